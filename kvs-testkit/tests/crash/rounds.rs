//! Rounds of kills over one spool, and the figures over all of them.

use std::collections::BTreeMap;
use std::time::Duration;

use kvs_testkit::MockKvs;
use tempfile::TempDir;

use crate::child::{Orders, Task};
use crate::claims::Claims;
use crate::judge::{Figures, Judged};
use crate::media::{FRAGMENTS_PER_PROCESS, STREAMS};
use crate::moment::{Came, Event, Moment, Running};

/// When the service can be reached in a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reachable {
    Always,
    /// Not before the last child, which isn't killed: everything arrives exactly once then.
    AfterAllKills,
    /// So that children are killed that deliver the backlog of the first.
    AfterTheFirstKill,
}

/// Longer than any round.
const FOR_LONG: Duration = Duration::from_secs(3_600);

/// From RECEIVED to PERSISTED, so that kills fall in between.
const PERSIST_DELAY: Duration = Duration::from_millis(2);

/// Plays rounds. A spool serves for several of them.
pub(crate) struct Rounds {
    choices: fastrand::Rng,
    dir: TempDir,
    next_fragment: u64,
    pub(crate) tally: Tally,
}

impl Rounds {
    pub(crate) fn new(seed: u64) -> Rounds {
        Rounds {
            choices: fastrand::Rng::with_seed(seed),
            dir: tempfile::tempdir().unwrap(),
            next_fragment: 0,
            tally: Tally::default(),
        }
    }

    /// Kills a few children one after the other, and lets the last one deliver what is left.
    pub(crate) async fn play(&mut self, reachable: Reachable) -> Judged {
        if self.choices.bool() {
            self.dir = tempfile::tempdir().unwrap();
        }
        // It has a thread of its own, so nothing here needs to yield to it.
        let kvs = MockKvs::builder()
            .persist_delay(PERSIST_DELAY)
            .start()
            .await
            .unwrap();
        if reachable != Reachable::Always {
            kvs.outage(FOR_LONG);
        }
        let kills = self.choices.u32(2..6);
        let (mut children, mut sessions) = (Vec::new(), Vec::new());
        for kill in 0..kills {
            let mut moment = Moment::choose(&mut self.choices);
            if kill == 0 {
                // Let there be something to recover.
                moment.event = Event::Told(30);
            }
            let task = match reachable {
                Reachable::Always => Task::ProduceAndAwait,
                Reachable::AfterTheFirstKill if kill > 0 => Task::ProduceAndAwait,
                Reachable::AfterTheFirstKill | Reachable::AfterAllKills => Task::Produce,
            };
            let ended = Running::start(&self.orders(&kvs, task)).kill_at(moment);
            if ended.came == Came::Yes {
                self.tally.note(moment.event, &ended.claims);
            } else {
                *self
                    .tally
                    .moments
                    .entry("while no segment was removed")
                    .or_default() += 1;
            }
            children.push(ended.claims);
            sessions.push(sessions_seen(&kvs));
            if kill == 0 && reachable == Reachable::AfterTheFirstKill {
                kvs.outage(Duration::ZERO);
            }
        }
        if reachable == Reachable::AfterAllKills {
            kvs.outage(Duration::ZERO);
        }
        children.push(Running::start(&self.orders(&kvs, Task::Drain)).finish());
        sessions.push([usize::MAX; STREAMS.len()]);
        let judged = Judged {
            reachable,
            children,
            sessions,
            ledger: kvs.ledger(),
        };
        kvs.stop().await;
        self.tally.add(&judged.figures());
        judged
    }

    fn orders(&mut self, kvs: &MockKvs, task: Task) -> Orders {
        let first_fragment = self.next_fragment;
        self.next_fragment += FRAGMENTS_PER_PROCESS;
        Orders {
            task,
            endpoint: kvs.endpoint(),
            region: kvs.region().to_owned(),
            dir: self.dir.path().to_owned(),
            first_fragment,
            seed: self.choices.u64(..),
        }
    }
}

fn sessions_seen(kvs: &MockKvs) -> [usize; STREAMS.len()] {
    let ledger = kvs.ledger();
    STREAMS.map(|name| ledger.stream(name).sessions.len())
}

/// Figures over all rounds.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) rounds: u64,
    pub(crate) records_checked: u64,
    moments: BTreeMap<&'static str, u64>,
    figures: Figures,
}

impl Tally {
    pub(crate) fn kills(&self) -> u64 {
        self.moments.values().sum()
    }

    fn note(&mut self, event: Event, claims: &Claims) {
        let moment = match event {
            _ if claims.opened < STREAMS.len() => "during recovery",
            Event::Recovery => "just after recovery",
            Event::Told(_) => "while frames were put",
            Event::Roll => "at a segment's beginning",
            Event::Removal => "at a segment's removal",
        };
        *self.moments.entry(moment).or_default() += 1;
    }

    fn add(&mut self, figures: &Figures) {
        self.rounds += 1;
        self.records_checked += figures.records_durable;
        let sums = &mut self.figures;
        sums.records_durable += figures.records_durable;
        sums.fragments_recorded += figures.fragments_recorded;
        sums.fragments_delivered += figures.fragments_delivered;
        sums.fragments_of_outages += figures.fragments_of_outages;
        sums.twice_after_persisted += figures.twice_after_persisted;
        sums.twice_before_persisted += figures.twice_before_persisted;
    }

    #[allow(clippy::print_stdout, reason = "the figures are what a long run is for")]
    pub(crate) fn print(&self, seed: u64) {
        println!(
            "seed {seed}: {} kills in {} rounds, none lost",
            self.kills(),
            self.rounds
        );
        for (moment, kills) in &self.moments {
            println!("  {kills} {moment}");
        }
        println!("  {:#?}", self.figures);
    }
}
