//! Why media is missing: the last thing known, for people.

use std::time::Duration;

use kvs_actors::StopReport;

use crate::watch::Watched;

/// The last thing known about what stands in the way of the frames that aren't delivered; `silence` is how long nothing was
/// heard of the service.
pub(crate) fn of(report: &StopReport, watched: &Watched, silence: Duration) -> String {
    let told = report.failure.as_ref().or(watched.refusal.as_ref());
    // That a session ended says less than that everything was received on it.
    let trouble = watched.trouble.as_ref().filter(|_| not_persisted(report) == 0);
    if let Some(told) = told.or(trouble) {
        return told.clone();
    }
    let (frames, sessions) = (&report.frames, &report.sessions);
    if frames.buffered.frames + frames.unconfirmed.frames + frames.refused.frames == 0 {
        return "they were dropped before they were sent".to_owned();
    }
    let stalled = match sessions.stale_connections {
        0 => String::new(),
        times => format!("; the connection stalled ({times} times)"),
    };
    format!("{}{stalled}", standstill(report, watched, silence))
}

/// How many fragments were received and not persisted, where nothing else is missing.
fn not_persisted(report: &StopReport) -> u64 {
    let sessions = &report.sessions;
    let all_received = report.unacknowledged.iter().all(|fragment| fragment.received);
    if all_received {
        sessions
            .fragments_received
            .saturating_sub(sessions.fragments_persisted)
    } else {
        0
    }
}

fn standstill(report: &StopReport, watched: &Watched, silence: Duration) -> String {
    let sessions = &report.sessions;
    let silence = format!("for {:.1} s", silence.as_secs_f64());
    let accepted = match sessions.sessions {
        1 => "the service accepted the session".to_owned(),
        n => format!("the service accepted {n} sessions"),
    };
    let not_persisted = not_persisted(report);
    if sessions.connects == 0 {
        format!("no session was begun {silence}")
    } else if sessions.sessions == 0 {
        format!("the service did not answer the request to take media {silence}")
    } else if watched.first_ack.is_none() && sessions.idle_acks > 0 {
        format!("{accepted}, said that it was idle and acknowledged no fragment {silence}")
    } else if watched.first_ack.is_none() {
        format!("{accepted} and acknowledged nothing {silence}")
    } else if not_persisted > 0 {
        format!("{not_persisted} fragments were received but never persisted; nothing was heard {silence}")
    } else {
        format!("{accepted} and acknowledged no more {silence}")
    }
}

#[cfg(test)]
mod tests {
    use kvs_actors::machine::Tally;

    use super::*;

    fn report() -> StopReport {
        let mut report = StopReport::default();
        report.frames.accepted = Tally::frame(1);
        report.frames.buffered = Tally::frame(1);
        report
    }

    fn cause(change: impl FnOnce(&mut StopReport, &mut Watched)) -> String {
        let (mut report, mut watched) = (report(), Watched::default());
        change(&mut report, &mut watched);
        of(&report, &watched, Duration::from_millis(7_500))
    }

    #[test]
    fn every_way_of_saying_nothing_is_told_apart() {
        let black_hole = cause(|report, _| report.sessions.connects = 1);
        let accepted = cause(|report, _| {
            report.sessions.connects = 1;
            report.sessions.sessions = 1;
        });
        let ended = cause(|report, _| {
            report.sessions.connects = 8;
            report.sessions.sessions = 8;
        });
        let idle = cause(|report, _| {
            report.sessions.connects = 1;
            report.sessions.sessions = 1;
            report.sessions.idle_acks = 7;
        });
        let withheld = cause(|report, watched| {
            report.sessions.connects = 1;
            report.sessions.sessions = 1;
            report.sessions.fragments_received = 5;
            watched.first_ack = Some(Duration::ZERO);
        });
        let stalled = cause(|report, _| {
            report.sessions.connects = 1;
            report.sessions.sessions = 1;
            report.sessions.stale_connections = 2;
        });
        for (told, words) in [
            (&black_hole, "did not answer the request to take media for 7.5 s"),
            (
                &accepted,
                "accepted the session and acknowledged nothing for 7.5 s",
            ),
            (&ended, "accepted 8 sessions and acknowledged nothing"),
            (&idle, "idle"),
            (&withheld, "5 fragments were received but never persisted"),
            (&stalled, "the connection stalled (2 times)"),
        ] {
            assert!(told.contains(words), "{told}");
        }
    }

    #[test]
    fn what_the_service_said_last_comes_before_what_it_did_not_say() {
        let told = cause(|_, watched| watched.trouble = Some("connection lost".to_owned()));
        assert_eq!(told, "connection lost");
        let refused = cause(|_, watched| {
            watched.trouble = Some("connection lost".to_owned());
            watched.refusal = Some("a fragment was refused".to_owned());
        });
        assert_eq!(refused, "a fragment was refused");
    }
}
