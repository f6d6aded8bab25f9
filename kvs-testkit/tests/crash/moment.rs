//! Starting a child, and killing it at a moment of one's choice.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use crate::child::{ORDERS, Orders};
use crate::claims::{Claims, Line};

/// How long a child may take for what it is to do.
const PATIENCE: Duration = Duration::from_secs(90);

/// How long a segment's removal is waited for.
const REMOVAL_PATIENCE: Duration = Duration::from_millis(300);

/// How often the spool is looked at while a segment is waited for.
const LOOK: Duration = Duration::from_micros(200);

/// When a child is killed: on the event, and so much later.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    pub(crate) event: Event,
    pub(crate) later: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Event {
    /// The child begins to read what the kill before has left.
    Recovery,
    /// It has told something for the n-th time.
    Told(u32),
    /// A segment was begun.
    Roll,
    /// A segment was removed.
    Removal,
}

impl Moment {
    pub(crate) fn choose(choices: &mut fastrand::Rng) -> Moment {
        let (event, micros) = match choices.u8(..8) {
            0 | 1 => (Event::Recovery, 8_000),
            2 | 3 => (Event::Roll, 2_000),
            4 | 5 => (Event::Removal, 1_000),
            _ => (Event::Told(choices.u32(4..150)), 10_000),
        };
        Moment {
            event,
            later: Duration::from_micros(choices.u64(..micros)),
        }
    }
}

/// How a child ended.
pub(crate) struct Ended {
    pub(crate) claims: Claims,
    /// Whether the event that was waited for came.
    pub(crate) came: Came,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Came {
    Yes,
    /// It was killed because the event didn't come for long: a removal while nothing is delivered.
    No,
}

/// A child that runs.
pub(crate) struct Running {
    child: Child,
    lines: Receiver<Line>,
    claims: Claims,
    dir: PathBuf,
}

impl Running {
    pub(crate) fn start(orders: &Orders) -> Running {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--ignored", "--nocapture", "--test-threads=1"])
            .env(ORDERS, serde_json::to_string(orders).unwrap())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let (tell, lines) = mpsc::channel();
        std::thread::spawn(move || {
            let mut text = String::new();
            while matches!(out.read_line(&mut text), Ok(read) if read > 0) {
                if let Some(line) = Line::read(&text)
                    && tell.send(line).is_err()
                {
                    return;
                }
                text.clear();
            }
        });
        Running {
            child,
            lines,
            claims: Claims::of(orders.first_fragment),
            dir: orders.dir.clone(),
        }
    }

    /// Kills it. What it told before counts.
    pub(crate) fn kill_at(mut self, moment: Moment) -> Ended {
        let came = self.wait_for(moment.event);
        self.listen_for(moment.later);
        // It may have ended by itself, which the claims show.
        let _ = self.child.kill();
        self.child.wait().unwrap();
        self.claims_to_the_last();
        Ended {
            claims: self.claims,
            came,
        }
    }

    /// Waits until it ends by itself.
    pub(crate) fn finish(mut self) -> Claims {
        self.listen_for(PATIENCE);
        let _ = self.child.kill();
        let status = self.child.wait().unwrap();
        self.claims_to_the_last();
        if !status.success() {
            self.claims.faults.push(format!("it ended with {status}"));
        }
        self.claims
    }

    fn claims_to_the_last(&mut self) {
        while let Ok(line) = self.lines.recv() {
            self.claims.take(line);
        }
    }

    /// Takes what it tells for so long, or until it is gone.
    fn listen_for(&mut self, span: Duration) {
        let until = Instant::now() + span;
        loop {
            match self
                .lines
                .recv_timeout(until.saturating_duration_since(Instant::now()))
            {
                Ok(line) => self.claims.take(line),
                Err(_) => return,
            }
        }
    }

    fn wait_for(&mut self, event: Event) -> Came {
        let mut until = Instant::now() + PATIENCE;
        let mut told = 0;
        let mut known: Option<BTreeSet<PathBuf>> = None;
        loop {
            match self.lines.recv_timeout(LOOK) {
                Ok(line) => {
                    told += 1;
                    self.claims.take(line);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Came::No,
            }
            let came = match event {
                _ if !self.claims.is_opening => false,
                Event::Recovery => true,
                Event::Told(times) => told >= times,
                Event::Roll | Event::Removal => {
                    let there = segments(&self.dir);
                    let came = known.as_ref().is_some_and(|known| match event {
                        Event::Roll => there.difference(known).next().is_some(),
                        _ => known.difference(&there).next().is_some(),
                    });
                    // What recovery removes and begins is another matter.
                    if !self.claims.durable.is_empty() {
                        if event == Event::Removal && known.is_none() {
                            until = Instant::now() + REMOVAL_PATIENCE;
                        }
                        known = Some(there);
                    }
                    came
                }
            };
            if came {
                return Came::Yes;
            }
            if Instant::now() > until {
                return Came::No;
            }
        }
    }
}

/// The segment files in a spool.
fn segments(dir: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        // The child may have just removed it.
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => dirs.push(entry.path()),
                Ok(_)
                    if entry
                        .path()
                        .extension()
                        .is_some_and(|extension| extension == "seg") =>
                {
                    found.insert(entry.path());
                }
                _ => {}
            }
        }
    }
    found
}
