//! What a child tells its parent: a line each, so that a torn one can't be mistaken for a whole one.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;

use serde::{Deserialize, Serialize};

use crate::media::Place;

const MARK: &str = "@crash ";

/// One line.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Line {
    /// The spool is about to be opened.
    Opening,
    /// A stream of it is open: what it held was read.
    Opened,
    /// Everything of the stream that this process put before this place is durable.
    Durable {
        stream: usize,
        fragment: u64,
        frame: u64,
    },
    /// That these were PERSISTED is durable.
    Recorded { stream: usize, timecodes: Vec<i64> },
    /// Everything was delivered.
    Drained,
    /// What must not happen.
    Fault(String),
}

impl Line {
    pub(crate) fn tell(&self) {
        // One write, past the test harness's capture; a parent that is gone needs no answer.
        let text = format!("\n{MARK}{}\n", serde_json::to_string(self).unwrap());
        let mut out = std::io::stdout().lock();
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }

    /// The line that a text is, unless it is the test harness's or was cut off.
    pub(crate) fn read(text: &str) -> Option<Line> {
        let line = text.strip_suffix('\n')?.strip_prefix(MARK)?;
        serde_json::from_str(line).ok()
    }
}

/// What one child told until it was gone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Claims {
    pub(crate) first_fragment: u64,
    /// By stream: everything before is durable.
    pub(crate) durable: BTreeMap<usize, Place>,
    /// By stream: the timecodes recorded as persisted.
    pub(crate) recorded: BTreeMap<usize, BTreeSet<i64>>,
    pub(crate) is_opening: bool,
    pub(crate) opened: usize,
    pub(crate) drained: usize,
    pub(crate) faults: Vec<String>,
}

impl Claims {
    pub(crate) fn of(first_fragment: u64) -> Claims {
        Claims {
            first_fragment,
            ..Claims::default()
        }
    }

    pub(crate) fn take(&mut self, line: Line) {
        match line {
            Line::Opening => self.is_opening = true,
            Line::Opened => self.opened += 1,
            Line::Durable {
                stream,
                fragment,
                frame,
            } => {
                self.durable.insert(stream, Place { fragment, frame });
            }
            Line::Recorded { stream, timecodes } => {
                self.recorded.entry(stream).or_default().extend(timecodes);
            }
            Line::Drained => self.drained += 1,
            Line::Fault(text) => self.faults.push(text),
        }
    }
}
