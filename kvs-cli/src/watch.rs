//! What a stream tells while it uploads.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kvs_actors::machine::{Reaction, SessionId};
use kvs_actors::{FragmentAck, StreamError, StreamErrorKind, StreamEvents};
use kvs_client::{AckEvent, ClientErrorKind};
use kvs_mkv::Timestamp;
use tokio::sync::watch;

use crate::progress::Progress;
use crate::summary::ProcessStart;

/// After so many refusals of the credentials, and no session that was ever accepted, they won't be taken later either. A
/// refusal or two may be an expired token, or one that the service doesn't know of yet; fresh ones are asked for each time.
const REFUSALS: u32 = 3;

/// Takes a stream's events on the stream's thread, so that the times it notes are those of the events.
#[derive(Clone, Debug)]
pub(crate) struct Watch {
    start: ProcessStart,
    progress: Progress,
    watched: Arc<Mutex<Watched>>,
    /// Why the credentials will never be taken, once that is known.
    refused: watch::Sender<Option<String>>,
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
    /// The latest trouble since a session was accepted.
    pub(crate) trouble: Option<String>,
    /// The latest refusal of a fragment.
    pub(crate) refusal: Option<String>,
    /// When the service was heard of last: the first session, or an acknowledgement of a fragment. At first, the beginning.
    pub(crate) heard: Duration,
    /// Whether a session was ever accepted.
    accepted: bool,
    /// How often the credentials were refused.
    refusals: u32,
}

impl Watch {
    pub(crate) fn new(start: ProcessStart, progress: Progress) -> Watch {
        Watch {
            start,
            progress,
            watched: Arc::new(Mutex::new(Watched {
                heard: start.elapsed(),
                ..Watched::default()
            })),
            refused: watch::Sender::new(None),
        }
    }

    /// Resolves when it is plain that the service will never take the credentials, with what it said.
    pub(crate) async fn credentials_refused(&self) -> String {
        let mut refused = self.refused.subscribe();
        match refused.wait_for(Option::is_some).await.map(|said| said.clone()) {
            Ok(Some(said)) => said,
            _ => std::future::pending().await,
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
        watched.heard = at;
    }

    fn session_opened(&self, _stream: &str, _session: SessionId) {
        let mut watched = self.lock();
        if !watched.accepted {
            watched.accepted = true;
            watched.heard = self.start.elapsed();
        }
        watched.trouble = None;
    }

    fn fragment_refused(&self, _stream: &str, _timecode: Timestamp, reaction: &Reaction) {
        self.lock().refusal = Some(format!(
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
        let mut watched = self.lock();
        watched.trouble = Some(error.to_string());
        let is_refusal = matches!(
            error.kind(),
            StreamErrorKind::Service(ClientErrorKind::NotAuthorized | ClientErrorKind::Forbidden)
        );
        if is_refusal && !watched.accepted {
            watched.refusals += 1;
            if watched.refusals >= REFUSALS {
                self.refused.send_replace(Some(error.to_string()));
            }
        }
    }
}
