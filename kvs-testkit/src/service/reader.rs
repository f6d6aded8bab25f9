//! GetMedia: a reader that follows a stream.

use std::collections::VecDeque;

use bytes::Bytes;
use kvs_mkv::Timestamp;

use super::matroska;
use super::number::{self, FragmentNumber};
use super::timer::Due;
use super::{Action, ConnectionId, Operation, Service, ServiceError, StreamSelector};

/// Where a reader begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StartSelector {
    /// With the next fragment that becomes whole.
    Now,
    /// With the oldest fragment kept.
    Earliest,
    /// With the fragment after this number.
    FragmentNumber(String),
    /// With the first fragment that arrived at or after this time.
    ServerTimestamp(Timestamp),
    /// With the first fragment whose producer timestamp is this or later.
    ProducerTimestamp(Timestamp),
    /// After the fragment that carried this token.
    ContinuationToken(String),
}

/// A GetMedia request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GetMediaRequest {
    /// Which stream.
    pub stream: StreamSelector,
    /// Where to begin.
    pub start: StartSelector,
}

/// A reader's state.
#[derive(Debug)]
pub(super) struct Reader {
    stream: String,
    source: Source,
    idle_since: Timestamp,
    ended: bool,
}

#[derive(Debug)]
enum Source {
    /// Everything after a number, and what comes.
    Following {
        after: Option<FragmentNumber>,
        from: From,
    },
    /// Fragments asked for by number (GetMediaForFragmentList).
    List(VecDeque<FragmentNumber>),
    /// Nothing could be found: an error tag, then the end.
    Failed(matroska::ReadFailure),
}

/// What the first fragment has to satisfy.
#[derive(Debug, Clone, Copy)]
enum From {
    Any,
    Server(Timestamp),
    Producer(Timestamp),
}

impl Service {
    /// A GetMedia request came.
    ///
    /// # Errors
    /// The refusal to answer with.
    pub fn open_get_media(
        &mut self,
        request: &GetMediaRequest,
        now: Timestamp,
    ) -> Result<(ConnectionId, String), ServiceError> {
        self.advance(now);
        let name = self.resolve(&request.stream)?;
        let nth = self.count_call(&name, Operation::GetMedia);
        self.admit_call(Operation::GetMedia, &name, nth)?;
        self.require_active(&name)?;
        self.check_readers(&name)?;
        self.expire_media(&name, now);
        let source = match &request.start {
            StartSelector::Now => {
                let newest = self.media.newest(&name).map(|fragment| fragment.number);
                Source::Following {
                    after: newest,
                    from: From::Any,
                }
            }
            StartSelector::Earliest => Source::Following {
                after: None,
                from: From::Any,
            },
            StartSelector::FragmentNumber(text) | StartSelector::ContinuationToken(text) => {
                match FragmentNumber::parse(text) {
                    Some(number) => Source::Following {
                        after: Some(number),
                        from: From::Any,
                    },
                    None => Source::Failed(matroska::ReadFailure::fragment_not_found()),
                }
            }
            StartSelector::ServerTimestamp(at) => Source::Following {
                after: None,
                from: From::Server(*at),
            },
            StartSelector::ProducerTimestamp(at) => Source::Following {
                after: None,
                from: From::Producer(*at),
            },
        };
        Ok(self.open_reader(name, source, now))
    }

    /// A GetMediaForFragmentList request came; the numbers were checked.
    pub(super) fn open_fragment_list(
        &mut self,
        stream: String,
        numbers: VecDeque<FragmentNumber>,
        now: Timestamp,
    ) -> (ConnectionId, String) {
        self.open_reader(stream, Source::List(numbers), now)
    }

    fn open_reader(&mut self, stream: String, source: Source, now: Timestamp) -> (ConnectionId, String) {
        let id = self.next_connection();
        let request_id = number::request_id(&mut self.rng);
        self.readers.insert(
            id,
            Reader {
                stream,
                source,
                idle_since: now,
                ended: false,
            },
        );
        self.timers
            .set(now.saturating_add(self.config.reader_idle), Due::ReaderIdle(id));
        (id, request_id)
    }

    pub(super) fn poll_reader(&mut self, id: ConnectionId, now: Timestamp) -> Option<Action> {
        let reader = self.readers.get_mut(&id)?;
        let gone = !self.streams.contains_key(&reader.stream);
        if reader.ended || gone {
            self.readers.remove(&id);
            return Some(Action::End);
        }
        let bytes = match &mut reader.source {
            Source::Failed(failure) => {
                reader.ended = true;
                failure.encode()
            }
            Source::List(numbers) => {
                let Some(number) = numbers.pop_front() else {
                    self.readers.remove(&id);
                    return Some(Action::End);
                };
                match self.media.get(&reader.stream, number) {
                    Some(fragment) => matroska::listed(&fragment),
                    None => matroska::not_listed(number),
                }
            }
            Source::Following { after, from } => {
                let found = loop {
                    let fragment = self.media.after(&reader.stream, *after)?;
                    *after = Some(fragment.number);
                    let wanted = match from {
                        From::Any => true,
                        From::Server(at) => fragment.server >= *at,
                        From::Producer(at) => fragment.producer >= *at,
                    };
                    if wanted {
                        break fragment;
                    }
                };
                *from = From::Any;
                let newest = self
                    .media
                    .newest(&reader.stream)
                    .map_or(found.number, |f| f.number);
                let behind = if newest == found.number {
                    0
                } else {
                    now.since(found.server) / 1_000_000
                };
                reader.idle_since = now;
                matroska::followed(&found, behind)
            }
        };
        Some(Action::Send(bytes))
    }

    /// Ends a reader that has had nothing to read for long enough.
    pub(super) fn check_reader(&mut self, id: ConnectionId, now: Timestamp) {
        let idle = self.config.reader_idle;
        let Some(reader) = self.readers.get_mut(&id) else {
            return;
        };
        let ends_at = reader.idle_since.saturating_add(idle);
        if now < ends_at {
            self.timers.set(ends_at, Due::ReaderIdle(id));
            return;
        }
        reader.ended = true;
        self.wake(id);
    }

    pub(super) fn readers_of(&self, stream: &str) -> Vec<ConnectionId> {
        let mut ids: Vec<ConnectionId> = self
            .readers
            .iter()
            .filter(|(_, reader)| reader.stream == stream)
            .map(|(id, _)| *id)
            .collect();
        ids.sort_unstable();
        ids
    }

    /// A stream's fragment as a GetMedia reader would get it, for tests that look at bytes.
    pub fn fragment_bytes(&self, stream: &str, number: FragmentNumber) -> Option<Bytes> {
        self.media
            .get(stream, number)
            .map(|fragment| matroska::followed(&fragment, 0))
    }
}
