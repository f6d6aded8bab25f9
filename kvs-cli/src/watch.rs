//! What a stream tells while it uploads.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kvs_actors::machine::{Reaction, SessionId};
use kvs_actors::{FragmentAck, StreamError, StreamEvents};
use kvs_client::AckEvent;
use kvs_mkv::Timestamp;

use crate::progress::Progress;
use crate::summary::ProcessStart;

/// Takes a stream's events on the stream's thread, so that the times it notes are those of the events.
#[derive(Clone, Debug)]
pub(crate) struct Watch {
    start: ProcessStart,
    progress: Progress,
    watched: Arc<Mutex<Watched>>,
}

/// What was seen of a stream's events.
#[derive(Clone, Debug, Default)]
pub(crate) struct Watched {
    /// When the first acknowledgement came, from the start of the process.
    pub(crate) first_ack: Option<Duration>,
    /// When the first fragment was persisted.
    pub(crate) first_persisted: Option<Duration>,
    /// The service's numbers of the fragments that it stored, by their time. Where a fragment was stored twice, the first.
    pub(crate) numbers: BTreeMap<Timestamp, String>,
    /// The latest trouble.
    pub(crate) trouble: Option<String>,
}

impl Watch {
    pub(crate) fn new(start: ProcessStart, progress: Progress) -> Watch {
        Watch {
            start,
            progress,
            watched: Arc::default(),
        }
    }

    /// Ends the progress bar and gives what was seen.
    pub(crate) fn finish(&self) -> Watched {
        self.progress.finish();
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Watched> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StreamEvents for Watch {
    fn fragment_ack(&self, _stream: &str, ack: &FragmentAck) {
        let at = self.start.elapsed();
        let mut watched = self.lock();
        match ack.event {
            AckEvent::Idle | AckEvent::Unknown(_) => return,
            AckEvent::Received => self.progress.received(),
            AckEvent::Persisted => {
                self.progress.persisted();
                watched.first_persisted.get_or_insert(at);
                if let (Some(timecode), Some(number)) = (ack.timecode, &ack.fragment_number) {
                    watched.numbers.entry(timecode).or_insert_with(|| number.clone());
                }
            }
            _ => {}
        }
        watched.first_ack.get_or_insert(at);
    }

    fn fragment_refused(&self, _stream: &str, _timecode: Timestamp, reaction: &Reaction) {
        self.lock().trouble = Some(format!(
            "a fragment was refused: {} {}",
            reaction.code, reaction.name
        ));
    }

    fn session_closed(&self, _stream: &str, _session: SessionId, error: Option<&StreamError>) {
        if let Some(error) = error {
            self.lock().trouble = Some(error.to_string());
        }
    }

    fn stream_error(&self, _stream: &str, error: &StreamError) {
        self.lock().trouble = Some(error.to_string());
    }
}
