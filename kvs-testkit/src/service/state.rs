//! What outlives a restart: streams and stored fragments, handed out to be saved and taken back.

use std::sync::Arc;

use bytes::Bytes;
use kvs_mkv::{DemuxLimits, Demuxer, MkvError, MkvEvent, TimecodeScale, Timestamp, TrackEntry};
use serde::{Deserialize, Serialize};

use super::ingest::SessionHeader;
use super::ledger::TagLedger;
use super::matroska;
use super::media::Fragment;
use super::number::FragmentNumber;
use super::stream::Stream;
use super::{Operation, Service};

/// Something that changed and is to be saved, in the order in which it changed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Save {
    /// The streams changed: all of them, as an opaque JSON document.
    Streams(String),
    /// A fragment was stored.
    Fragment {
        /// Names its stream, also among streams of the same name that came and went.
        stream: String,
        /// Its number.
        number: FragmentNumber,
        /// A Matroska document.
        document: Bytes,
    },
    /// A fragment isn't kept any more.
    Forgotten {
        /// As it was saved.
        stream: String,
        /// Its number.
        number: FragmentNumber,
    },
}

/// The saved form of all streams.
#[derive(Serialize, Deserialize)]
struct SavedStreams {
    streams: Vec<Stream>,
}

/// A name for a stream's media that can stand in a path: the stream's name alone could be `..`.
fn storage_name(stream: &Stream) -> String {
    format!("{}@{}", stream.name, stream.created_ms)
}

impl Service {
    /// From here on [`take_save`](Service::take_save) has what changes.
    pub fn begin_saving(&mut self) {
        self.saves = Some(Default::default());
        self.save_streams();
    }

    /// Takes the next change to be saved.
    pub fn take_save(&mut self) -> Option<Save> {
        self.saves.as_mut()?.pop_front()
    }

    /// Takes back streams that were saved.
    ///
    /// # Errors
    /// The document isn't one.
    pub fn restore_streams(&mut self, document: &str) -> Result<(), serde_json::Error> {
        let saved: SavedStreams = serde_json::from_str(document)?;
        self.streams.extend(
            saved
                .streams
                .into_iter()
                .map(|stream| (stream.name.clone(), stream)),
        );
        Ok(())
    }

    /// Takes back a fragment that was saved. One whose stream is gone is passed over.
    ///
    /// # Errors
    /// The document can't be read.
    pub fn restore_fragment(
        &mut self,
        stream: &str,
        number: FragmentNumber,
        document: Bytes,
    ) -> Result<(), MkvError> {
        let owner = self
            .streams
            .values()
            .find(|candidate| storage_name(candidate) == stream);
        let Some(name) = owner.map(|owner| owner.name.clone()) else {
            return Ok(());
        };
        let fragment = read_fragment(number, document)?;
        self.fragments = self.fragments.max(number.counter());
        let times = self.producer_times.entry(name.clone()).or_default();
        times.entry(fragment.producer).or_insert(number);
        self.media.insert(&name, fragment);
        Ok(())
    }

    pub(super) fn save_after(&mut self, operation: Operation) {
        let name = operation.name();
        let only_reads = ["Describe", "List", "Get"]
            .iter()
            .any(|verb| name.starts_with(verb));
        if !only_reads {
            self.save_streams();
        }
    }

    pub(super) fn save_streams(&mut self) {
        let Some(saves) = &mut self.saves else { return };
        let saved = SavedStreams {
            streams: self.streams.values().cloned().collect(),
        };
        match serde_json::to_string_pretty(&saved) {
            Ok(document) => saves.push_back(Save::Streams(document)),
            Err(error) => tracing::error!(%error, "streams can't be saved"),
        }
    }

    pub(super) fn save_fragment(&mut self, stream: &str, number: FragmentNumber) {
        let Some(saves) = &mut self.saves else { return };
        let (Some(owner), Some(fragment)) = (self.streams.get(stream), self.media.get(stream, number)) else {
            return;
        };
        let document = matroska::saved(&fragment);
        saves.push_back(Save::Fragment {
            stream: storage_name(owner),
            number,
            document,
        });
    }

    /// Passes on which fragments the media store let go.
    pub(super) fn save_forgotten(&mut self) {
        for (stream, number) in self.media.take_forgotten() {
            let (Some(saves), Some(owner)) = (&mut self.saves, self.streams.get(&stream)) else {
                continue;
            };
            saves.push_back(Save::Forgotten {
                stream: storage_name(owner),
                number,
            });
        }
    }
}

/// Reads what [`matroska::saved`] wrote.
fn read_fragment(number: FragmentNumber, document: Bytes) -> Result<Fragment, MkvError> {
    let size = document.len() as u64;
    let mut demuxer = Demuxer::new(DemuxLimits::default());
    demuxer.push(document);
    let mut scale = TimecodeScale::MILLISECOND;
    let mut tracks: Vec<TrackEntry> = Vec::new();
    let (mut timecode, mut blocks, mut tags) = (0, Vec::new(), Vec::new());
    while let Some(event) = demuxer.poll()? {
        match event {
            MkvEvent::Info(info) => scale = TimecodeScale::new(info.timecode_scale)?,
            MkvEvent::Tracks(entries) => tracks = entries,
            MkvEvent::ClusterTimecode(at) => timecode = i64::try_from(at).unwrap_or(i64::MAX),
            MkvEvent::Block(block) => blocks.push(block),
            MkvEvent::Tags(read) => {
                tags.extend(read.into_iter().map(|tag| TagLedger {
                    name: tag.name,
                    value: tag.value,
                }));
            }
            _ => {}
        }
    }
    demuxer.finish()?;
    let mut take = |name: &str| {
        let place = tags.iter().position(|tag| tag.name == name)?;
        tags.remove(place).value.parse::<i64>().ok()
    };
    let producer = take(matroska::SAVED_PRODUCER_NS).unwrap_or(0);
    let server = take(matroska::SAVED_SERVER_NS).unwrap_or(0);
    let duration_ms = take(matroska::SAVED_DURATION_MS).unwrap_or(0);
    let bytes = take(matroska::SAVED_BYTES)
        .and_then(|bytes| u64::try_from(bytes).ok())
        .unwrap_or(size);
    Ok(Fragment {
        number,
        header: Arc::new(SessionHeader { scale, tracks }),
        timecode,
        producer: Timestamp::from_nanos(producer),
        server: Timestamp::from_nanos(server),
        duration_ms,
        bytes,
        blocks,
        tags,
    })
}
