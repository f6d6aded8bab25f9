//! Machines that are broken in one way each. Every one has to be caught.

use std::time::Duration;

use kvs_actors::machine::{Input, Output, SendOp, SessionId, StreamMachine};
use kvs_actors::{StreamEvent, StreamState};
use kvs_client::{Ack, AckEvent};
use kvs_testkit::sim::{FindingKind, Simulation};

use super::doors::{Meddled, Meddler};

/// So many seeds have to suffice to catch one.
const SEEDS: u64 = 12;

const DURATION: Duration = Duration::from_secs(15 * 60);

/// Runs seeds until one catches the machine, and says how.
fn caught<M: Meddler>(meddler: impl Fn() -> M) -> Option<FindingKind> {
    (1..=SEEDS).find_map(|seed| {
        let verdict = Simulation::new(seed).run_with(DURATION, |config| Meddled::new(config, meddler()));
        verdict.finding.map(|finding| finding.kind)
    })
}

/// Asserts that a machine is caught by what is meant to catch it.
fn assert_caught<M: Meddler>(by: &[FindingKind], meddler: impl Fn() -> M) {
    let kind = caught(meddler);
    assert!(kind.is_some_and(|kind| by.contains(&kind)), "{kind:?}");
}

/// Meddles with the n-th thing that it picks.
struct Nth {
    left: u32,
}

impl Nth {
    fn new(n: u32) -> Self {
        Nth { left: n }
    }

    fn is_it(&mut self, picked: bool) -> bool {
        if !picked || self.left == 0 {
            return false;
        }
        self.left -= 1;
        self.left == 0
    }
}

#[test]
fn an_unbroken_machine_behind_doors_is_not_caught() {
    struct Nobody;
    impl Meddler for Nobody {}
    assert_eq!(caught(|| Nobody), None);
}

#[test]
fn a_machine_that_forgets_a_release_is_caught() {
    struct Forgetful(Nth);
    impl Meddler for Forgetful {
        fn says(&mut self, output: Output) -> Vec<Output> {
            let is_it = self.0.is_it(matches!(output, Output::Release { .. }));
            if is_it { Vec::new() } else { vec![output] }
        }
    }
    assert_caught(&[FindingKind::Conservation], || Forgetful(Nth::new(5)));
}

#[test]
fn a_machine_that_releases_twice_is_caught() {
    struct Twice(Nth);
    impl Meddler for Twice {
        fn says(&mut self, output: Output) -> Vec<Output> {
            match &output {
                Output::Release { seqs } if self.0.is_it(true) => {
                    let again = Output::Release { seqs: seqs.clone() };
                    vec![output, again]
                }
                _ => vec![output],
            }
        }
    }
    assert_caught(&[FindingKind::Store], || Twice(Nth::new(5)));
}

#[test]
fn a_machine_that_loses_a_drop_report_is_caught() {
    struct Silent(Nth);
    impl Meddler for Silent {
        fn says(&mut self, output: Output) -> Vec<Output> {
            let is_report = matches!(output, Output::Event(StreamEvent::Dropped { .. }));
            if self.0.is_it(is_report) {
                Vec::new()
            } else {
                vec![output]
            }
        }
    }
    assert_caught(&[FindingKind::Conservation], || Silent(Nth::new(1)));
}

#[test]
fn a_machine_that_sends_an_item_twice_is_caught() {
    struct Twice(Nth);
    impl Meddler for Twice {
        fn says(&mut self, output: Output) -> Vec<Output> {
            match &output {
                Output::Send {
                    session,
                    op: SendOp::Item { meta },
                } if self.0.is_it(true) => {
                    let again = Output::Send {
                        session: *session,
                        op: SendOp::Item { meta: *meta },
                    };
                    vec![output, again]
                }
                _ => vec![output],
            }
        }
    }
    assert_caught(&[FindingKind::Wire], || Twice(Nth::new(50)));
}

#[test]
fn a_machine_that_skips_an_item_is_caught() {
    struct Skips(Nth);
    impl Meddler for Skips {
        fn says(&mut self, output: Output) -> Vec<Output> {
            let is_item = matches!(
                &output,
                Output::Send {
                    op: SendOp::Item { .. },
                    ..
                }
            );
            if self.0.is_it(is_item) {
                Vec::new()
            } else {
                vec![output]
            }
        }
    }
    assert_caught(&[FindingKind::Wire, FindingKind::Conservation], || {
        Skips(Nth::new(50))
    });
}

/// Sends a fragment once more, with all that it held, before the next begins.
struct Repeats {
    nth: Nth,
    last: Vec<Output>,
    current: Vec<Output>,
}

fn copy(output: &Output) -> Option<Output> {
    match output {
        Output::Send { session, op } => Some(Output::Send {
            session: *session,
            op: op.clone(),
        }),
        _ => None,
    }
}

impl Meddler for Repeats {
    fn says(&mut self, output: Output) -> Vec<Output> {
        let starts = matches!(
            &output,
            Output::Send {
                op: SendOp::Fragment { .. },
                ..
            }
        );
        let mut outputs = Vec::new();
        if starts {
            self.last = std::mem::take(&mut self.current);
            if self.nth.is_it(!self.last.is_empty()) {
                outputs.append(&mut self.last);
            }
        }
        self.current.extend(copy(&output));
        outputs.push(output);
        outputs
    }
}

#[test]
fn a_machine_that_sends_a_fragment_twice_on_a_session_is_caught() {
    assert_caught(&[FindingKind::Wire], || Repeats {
        nth: Nth::new(3),
        last: Vec::new(),
        current: Vec::new(),
    });
}

/// Passes over acknowledgements of one kind.
struct Deaf {
    event: AckEvent,
}

impl Meddler for Deaf {
    fn hears(&mut self, input: Input, _: &StreamMachine) -> Vec<Input> {
        match &input {
            Input::Acked { ack, .. } if ack.event == self.event => Vec::new(),
            _ => vec![input],
        }
    }
}

#[test]
fn a_machine_that_is_deaf_to_persisted_is_caught() {
    assert_caught(&[FindingKind::Conservation], || Deaf {
        event: AckEvent::Persisted,
    });
}

#[test]
fn a_machine_that_takes_received_for_persisted_is_caught() {
    struct Hasty;
    impl Meddler for Hasty {
        fn hears(&mut self, input: Input, _: &StreamMachine) -> Vec<Input> {
            match input {
                Input::Acked { session, mut ack } if ack.event == AckEvent::Received => {
                    ack.event = AckEvent::Persisted;
                    vec![Input::Acked { session, ack }]
                }
                _ => vec![input],
            }
        }
    }
    assert_caught(&[FindingKind::Conservation], || Hasty);
}

#[test]
fn a_machine_that_delivers_what_was_never_acknowledged_is_caught() {
    struct Optimist(Option<i64>);
    impl Meddler for Optimist {
        fn hears(&mut self, input: Input, _: &StreamMachine) -> Vec<Input> {
            match &input {
                Input::Acked { session, ack } if ack.event == AckEvent::Buffering => {
                    let session = *session;
                    // The fragment before the one that begins is whole.
                    let before = std::mem::replace(&mut self.0, ack.timecode);
                    let made_up = before.map(|timecode| Input::Acked {
                        session,
                        ack: Ack::new(AckEvent::Persisted).timecode(timecode),
                    });
                    made_up.into_iter().chain([input]).collect()
                }
                Input::Acked { ack, .. } if ack.event == AckEvent::Received => Vec::new(),
                _ => vec![input],
            }
        }
    }
    assert_caught(&[FindingKind::Conservation], || Optimist(None));
}

#[test]
fn a_machine_that_matches_acknowledgements_to_another_session_is_caught() {
    struct Mixed(Option<SessionId>);
    impl Meddler for Mixed {
        fn hears(&mut self, input: Input, _: &StreamMachine) -> Vec<Input> {
            match input {
                Input::Acked { ack, .. } => {
                    let session = self.0;
                    session
                        .map(|session| Input::Acked { session, ack })
                        .into_iter()
                        .collect()
                }
                _ => vec![input],
            }
        }

        fn says(&mut self, output: Output) -> Vec<Output> {
            if let Output::Open(plan) = &output {
                // The first session gets all acknowledgements.
                self.0.get_or_insert(plan.session);
            }
            vec![output]
        }
    }
    assert_caught(&[FindingKind::Conservation, FindingKind::SentAgain], || {
        Mixed(None)
    });
}

#[test]
fn a_machine_that_forgets_to_abort_is_caught() {
    struct Clinging;
    impl Meddler for Clinging {
        fn says(&mut self, output: Output) -> Vec<Output> {
            match output {
                Output::Abort(_) => Vec::new(),
                _ => vec![output],
            }
        }
    }
    assert_caught(&[FindingKind::TwoSessions, FindingKind::NotStopped], || Clinging);
}

#[test]
fn a_machine_that_loses_the_answer_to_a_call_is_caught() {
    struct Lost(Nth);
    impl Meddler for Lost {
        fn hears(&mut self, input: Input, _: &StreamMachine) -> Vec<Input> {
            let is_answer = matches!(input, Input::Described(_) | Input::Located(_));
            if self.0.is_it(is_answer) {
                Vec::new()
            } else {
                vec![input]
            }
        }
    }
    assert_caught(&[FindingKind::NotRecovered, FindingKind::NotDelivered], || {
        Lost(Nth::new(2))
    });
}

#[test]
fn a_machine_that_goes_on_after_the_end_of_a_body_is_caught() {
    struct Restless;
    impl Meddler for Restless {
        fn says(&mut self, output: Output) -> Vec<Output> {
            match &output {
                Output::Finish(session) => {
                    let again = Output::Send {
                        session: *session,
                        op: SendOp::EndOfFragment,
                    };
                    vec![output, again]
                }
                _ => vec![output],
            }
        }
    }
    assert_caught(&[FindingKind::Wire], || Restless);
}

#[test]
fn a_machine_that_forgets_its_retry_timer_is_caught() {
    struct Sleeper(Nth);
    impl Meddler for Sleeper {
        fn wakes(&mut self, machine: &StreamMachine) -> bool {
            let waits = matches!(machine.state(), StreamState::Preparing | StreamState::Ready);
            !self.0.is_it(waits)
        }
    }
    assert_caught(
        &[
            FindingKind::NotRecovered,
            FindingKind::NotDelivered,
            FindingKind::NotStopped,
        ],
        || Sleeper(Nth::new(3)),
    );
}

#[test]
fn a_machine_that_never_wakes_is_caught() {
    struct Asleep;
    impl Meddler for Asleep {
        fn wakes(&mut self, _: &StreamMachine) -> bool {
            false
        }
    }
    assert_caught(
        &[
            FindingKind::NotRecovered,
            FindingKind::NotDelivered,
            FindingKind::NotStopped,
        ],
        || Asleep,
    );
}

#[test]
fn a_machine_that_begins_a_session_in_the_middle_of_a_fragment_is_caught() {
    struct Headless(Nth, bool);
    impl Meddler for Headless {
        fn says(&mut self, output: Output) -> Vec<Output> {
            if matches!(output, Output::Open(_)) {
                self.1 = self.0.is_it(true);
            }
            let is_item = matches!(
                &output,
                Output::Send {
                    op: SendOp::Item { .. },
                    ..
                }
            );
            if is_item && std::mem::take(&mut self.1) {
                return Vec::new();
            }
            vec![output]
        }
    }
    assert_caught(&[FindingKind::Wire], || Headless(Nth::new(2), false));
}

#[test]
fn a_machine_that_does_not_stop_is_caught() {
    struct Endless;
    impl Meddler for Endless {
        fn hears(&mut self, input: Input, _: &StreamMachine) -> Vec<Input> {
            match input {
                Input::Stop { .. } => Vec::new(),
                _ => vec![input],
            }
        }
    }
    assert_caught(&[FindingKind::NotStopped], || Endless);
}

#[test]
fn a_machine_that_opens_every_session_twice_is_caught() {
    struct Greedy;
    impl Meddler for Greedy {
        fn says(&mut self, output: Output) -> Vec<Output> {
            match output {
                Output::Open(plan) => vec![Output::Open(plan.clone()), Output::Open(plan)],
                _ => vec![output],
            }
        }
    }
    assert_caught(&[FindingKind::ConnectSpacing, FindingKind::TwoSessions], || {
        Greedy
    });
}

#[test]
fn a_machine_that_swallows_a_refusal_report_is_caught() {
    struct Proud;
    impl Meddler for Proud {
        fn says(&mut self, output: Output) -> Vec<Output> {
            match output {
                Output::Event(StreamEvent::FragmentRefused { .. }) => Vec::new(),
                _ => vec![output],
            }
        }
    }
    assert_caught(&[FindingKind::Conservation], || Proud);
}
