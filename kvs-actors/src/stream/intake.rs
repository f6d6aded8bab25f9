//! The way of a frame from the caller to the stream's thread: placed in time, adapted, ordered, charged.
//!
//! All of it runs on the caller's side under one lock, so that a frame is refused at the call or not at all, and so that
//! what was accepted survives whatever becomes of the stream's actor.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use kvs_mkv::Correction;

use kvs_mkv::{
    FragmentMetadata, FragmentStart, Frame, FrameFlags, FrameOrderer, MkvErrorKind, OrderConfig, OrderDrop,
    OrderErrorKind, Ordered, Tag, Timestamp, Track, TrackAdapter, TrackFormat, TrackKind, TrackSet,
};
use kvs_storage::{ITEM_OVERHEAD, Reservation};
use tokio::sync::oneshot;

use crate::config::StreamConfig;
use crate::error::{PutError, PutErrorKind, StreamError};
use crate::machine::{DropReason, Tally};
use crate::time_base::Anchor;

/// A frame was accepted: from now on it is delivered, or reported as dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Accepted {
    /// Its presentation time, in epoch time.
    pub pts: Timestamp,
    /// What was changed about its time, if anything.
    pub correction: Option<Correction>,
}

/// What the stream's thread takes over, in order.
#[derive(Debug)]
pub(crate) enum Ready {
    Fragment {
        timecode: Timestamp,
        tracks: Arc<TrackSet>,
    },
    Frame {
        frame: Frame,
        charge: Option<Reservation>,
    },
    FragmentEnd {
        tags: Vec<Tag>,
    },
    /// The open fragment was closed because nothing came; its end stands before this.
    Closed,
    Dropped {
        pts: Timestamp,
        tally: Tally,
        reason: DropReason,
    },
    /// A time was changed after its frame was accepted.
    Corrected(Correction),
    /// The encoder should make a key frame.
    KeyFrameWanted {
        track: u8,
        open_for: Duration,
    },
    /// Whoever asked is to know when everything before this is durable.
    Flush(oneshot::Sender<Result<(), StreamError>>),
}

impl Ready {
    /// The frames that leave the intake with it.
    pub(super) fn tally(&self) -> Tally {
        match self {
            Ready::Frame { frame, .. } => Tally::frame(frame.data.len() as u64),
            Ready::Dropped { tally, .. } => *tally,
            _ => Tally::default(),
        }
    }
}

/// What a frame begins on its track.
enum Begins {
    Nothing,
    /// The first format that is known.
    First(TrackFormat),
    /// Another format than before.
    New(TrackFormat),
}

/// Why no frame is taken any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gate {
    Open,
    Closed,
}

pub(crate) struct Intake {
    gate: Gate,
    anchor: Anchor,
    adapters: Vec<(u8, TrackAdapter)>,
    orderer: FrameOrderer,
    /// The tracks in the formats of the fragment handed out last.
    tracks: TrackSet,
    /// The tracks that the fragment handed out last carries.
    session_tracks: Option<Arc<TrackSet>>,
    /// The format of the newest accepted frame of each track.
    latest: BTreeMap<u8, TrackFormat>,
    /// Formats that refused frames told and no accepted one has yet.
    untold: BTreeMap<u8, TrackFormat>,
    /// Formats that frames still in the orderer begin, in the order of their frames.
    coming: VecDeque<(u8, TrackFormat)>,
    /// Tags of the open fragment and of those that follow.
    pub(crate) metadata: FragmentMetadata,
    ready: VecDeque<Ready>,
    /// The charges of the frames in the orderer, in one sum.
    charge: Option<Reservation>,
    /// Accepted frames that the stream's thread has not taken over.
    queued: Tally,
}

impl Intake {
    pub(crate) fn new(config: &StreamConfig) -> Result<Self, StreamError> {
        let tracks = config.track_set()?;
        let adapters = tracks
            .iter()
            .map(|track| (track.number, TrackAdapter::new(track)))
            .collect();
        let order = OrderConfig {
            scale: config.timecode_scale,
            silence_limit: config.silence_limit,
            ..config.order.clone()
        };
        let known = |track: &Track| Some((track.number, track.format.clone()?));
        let latest = tracks.iter().filter_map(known).collect();
        Ok(Intake {
            gate: Gate::Open,
            anchor: Anchor::new(config.time_base),
            adapters,
            orderer: FrameOrderer::new(&tracks, order),
            tracks,
            session_tracks: None,
            latest,
            untold: BTreeMap::new(),
            coming: VecDeque::new(),
            metadata: FragmentMetadata::default(),
            ready: VecDeque::new(),
            charge: None,
            queued: Tally::default(),
        })
    }

    /// Takes a frame, or gives it back. Its charge covers the frame as it came; more is asked of `extra`.
    pub(crate) fn put(
        &mut self,
        frame: Frame,
        mut charge: Reservation,
        wall: SystemTime,
        extra: impl FnOnce(u64) -> Result<Reservation, PutErrorKind>,
    ) -> Result<Accepted, PutError> {
        if self.gate == Gate::Closed {
            return Err(PutError::new(PutErrorKind::Stopped, frame));
        }
        let mut placed = frame.clone();
        self.anchor.place(&mut placed, wall);
        let Some((number, adapter)) = self
            .adapters
            .iter_mut()
            .find(|(number, _)| *number == frame.track)
        else {
            let text = format!("track {} was not declared", frame.track);
            return Err(PutError::new(
                PutErrorKind::Order {
                    kind: OrderErrorKind::UnknownTrack,
                    text,
                },
                frame,
            ));
        };
        let number = *number;
        let (mut pts, is_key, len) = (placed.pts, placed.is_key(), placed.data.len() as u64);
        let adapted = match adapter.adapt(placed) {
            Ok(adapted) => adapted,
            // A live stream may be joined between two key frames: what can't be decoded yet is passed over.
            Err(error) if error.kind() == MkvErrorKind::CodecPrivateMissing && !is_key => {
                self.anchor.fix(&frame, wall);
                self.note_dropped(pts, Tally::frame(len), DropReason::BeforeKeyFrame);
                return Ok(Accepted {
                    pts,
                    correction: None,
                });
            }
            Err(error) => return Err(PutError::new(PutErrorKind::Invalid(Arc::new(error)), frame)),
        };
        let kvs_mkv::Adapted {
            frame: mut ready,
            format,
            ..
        } = adapted;
        // A frame that was refused may have been the one to tell the format; the next that can begin it does.
        let format = format.or_else(|| self.untold_format(number, &ready));
        let begins = self.begins(number, format, &mut ready);
        let cost = ready.data.len() as u64 + ITEM_OVERHEAD;
        if let Err(kind) = adjust(&mut charge, cost, extra) {
            self.refuse_format(number, begins);
            return Err(PutError::new(kind, frame));
        }
        let tally = Tally::frame(ready.data.len() as u64);
        let correction = match self.orderer.push(ready) {
            Ok(correction) => correction,
            Err(error) => {
                self.refuse_format(number, begins);
                let (kind, text) = (error.kind(), error.to_string());
                return Err(PutError::new(PutErrorKind::Order { kind, text }, frame));
            }
        };
        self.take_format(number, begins);
        if let Some(correction) = &correction {
            pts = correction.to;
        }
        self.anchor.fix(&frame, wall);
        self.queued.add(tally);
        merge(&mut self.charge, charge);
        self.collect();
        Ok(Accepted { pts, correction })
    }

    /// The format that a refused frame told and that this one may begin in its place.
    fn untold_format(&mut self, number: u8, frame: &Frame) -> Option<TrackFormat> {
        let is_video = self
            .tracks
            .get(number)
            .is_some_and(|track| track.kind == TrackKind::Video);
        if is_video && !frame.is_key() {
            None
        } else {
            self.untold.remove(&number)
        }
    }

    /// What a frame's format means for its track, and the mark it needs on the frame.
    fn begins(&self, number: u8, format: Option<TrackFormat>, frame: &mut Frame) -> Begins {
        frame.flags.remove(FrameFlags::NEW_FORMAT);
        let latest = self.latest.get(&number);
        match format {
            None => Begins::Nothing,
            Some(format) if latest == Some(&format) => Begins::Nothing,
            Some(format) if latest.is_none() => Begins::First(format),
            Some(format) => {
                frame.flags.insert(FrameFlags::NEW_FORMAT);
                Begins::New(format)
            }
        }
    }

    fn refuse_format(&mut self, number: u8, begins: Begins) {
        if let Begins::First(format) | Begins::New(format) = begins {
            self.untold.insert(number, format);
        }
    }

    fn take_format(&mut self, number: u8, begins: Begins) {
        match begins {
            Begins::Nothing => {}
            Begins::First(format) => {
                self.latest.insert(number, format.clone());
                self.tracks = self.tracks.clone().with_format(number, format);
            }
            Begins::New(format) => {
                self.latest.insert(number, format.clone());
                self.coming.push_back((number, format));
            }
        }
    }

    /// Everything that is ready for the stream's thread.
    pub(crate) fn take_ready(&mut self, into: &mut VecDeque<Ready>) {
        debug_assert!(into.is_empty(), "what was taken before is gone");
        std::mem::swap(&mut self.ready, into);
        for ready in into.iter() {
            self.queued.remove(ready.tally());
        }
    }

    /// Has the stream's thread answer when what is ready now is durable.
    pub(crate) fn flush(&mut self, answer: oneshot::Sender<Result<(), StreamError>>) {
        self.ready.push_back(Ready::Flush(answer));
    }

    /// Nothing will become durable any more: whoever waits for it learns that the stream is gone.
    pub(crate) fn give_up_flushes(&mut self) {
        self.ready.retain(|ready| !matches!(ready, Ready::Flush(_)));
    }

    /// Closes the open fragment with what is held; what follows starts with a key frame.
    pub(crate) fn close_fragment(&mut self) {
        self.orderer.flush();
        self.collect();
    }

    /// Closes the open fragment because nothing came for long, and says so to the stream's thread.
    pub(crate) fn close_idle_fragment(&mut self) {
        self.close_fragment();
        self.ready.push_back(Ready::Closed);
    }

    /// Takes no frame any more, and closes the open fragment.
    pub(crate) fn close(&mut self) {
        self.gate = Gate::Closed;
        self.close_fragment();
    }

    /// Accepted frames that the stream's thread has not taken over.
    pub(crate) fn queued(&self) -> Tally {
        self.queued
    }

    /// Whether something waits for the stream's thread.
    pub(crate) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    fn note_dropped(&mut self, pts: Timestamp, tally: Tally, reason: DropReason) {
        self.queued.add(tally);
        self.ready.push_back(Ready::Dropped { pts, tally, reason });
    }

    /// Takes from the orderer what is in order.
    fn collect(&mut self) {
        while let Some(ordered) = self.orderer.poll() {
            match ordered {
                Ordered::Fragment(start) => self.open_fragment(&start),
                Ordered::Frame(frame) => {
                    let charge = self.charge_of(&frame);
                    self.ready.push_back(Ready::Frame { frame, charge });
                }
                Ordered::FragmentEnd => {
                    let tags = self.metadata.end_fragment();
                    self.ready.push_back(Ready::FragmentEnd { tags });
                }
                Ordered::Dropped { frame, reason } => {
                    drop(self.charge_of(&frame));
                    self.keep_format_of_dropped(&frame);
                    let tally = Tally::frame(frame.data.len() as u64);
                    let reason = reason_of(reason);
                    self.ready.push_back(Ready::Dropped {
                        pts: frame.pts,
                        tally,
                        reason,
                    });
                }
                Ordered::KeyFrameWanted { track, open_for } => {
                    self.ready.push_back(Ready::KeyFrameWanted { track, open_for });
                }
                Ordered::Corrected(correction) => self.ready.push_back(Ready::Corrected(correction)),
                _ => {}
            }
        }
    }

    /// Hands out a fragment, with its tracks in the formats that begin with it.
    fn open_fragment(&mut self, start: &FragmentStart) {
        for number in &start.new_formats {
            if let Some(format) = self.take_coming(*number) {
                self.tracks = self.tracks.clone().with_format(*number, format);
            }
        }
        let tracks = self
            .tracks
            .only(&start.tracks)
            .unwrap_or_else(|| self.tracks.clone());
        let shared = match self.session_tracks.take() {
            Some(before) if *before == tracks => before,
            _ => Arc::new(tracks),
        };
        self.session_tracks = Some(Arc::clone(&shared));
        self.ready.push_back(Ready::Fragment {
            timecode: start.timecode,
            tracks: shared,
        });
    }

    /// The format that the track's oldest frame with a new one began.
    fn take_coming(&mut self, number: u8) -> Option<TrackFormat> {
        let at = self.coming.iter().position(|(coming, _)| *coming == number)?;
        self.coming.remove(at).map(|(_, format)| format)
    }

    /// A dropped frame may have been the one to begin a format: the next that can does.
    fn keep_format_of_dropped(&mut self, frame: &Frame) {
        if !frame.flags.contains(FrameFlags::NEW_FORMAT) {
            return;
        }
        if let Some(format) = self.take_coming(frame.track)
            && self.latest.get(&frame.track) == Some(&format)
        {
            match self
                .tracks
                .get(frame.track)
                .and_then(|track| track.format.clone())
            {
                Some(current) => self.latest.insert(frame.track, current),
                None => self.latest.remove(&frame.track),
            };
            self.untold.insert(frame.track, format);
        }
    }

    fn charge_of(&mut self, frame: &Frame) -> Option<Reservation> {
        self.charge
            .as_mut()?
            .split(frame.data.len() as u64 + ITEM_OVERHEAD)
    }
}

/// Makes a charge cover exactly `cost`.
fn adjust(
    charge: &mut Reservation,
    cost: u64,
    extra: impl FnOnce(u64) -> Result<Reservation, PutErrorKind>,
) -> Result<(), PutErrorKind> {
    if let Some(surplus) = charge.bytes().checked_sub(cost) {
        drop(charge.split(surplus));
        return Ok(());
    }
    let more = extra(cost - charge.bytes())?;
    // Both come from the stream's share of one budget, so they always merge.
    let _ = charge.merge(more);
    Ok(())
}

fn merge(into: &mut Option<Reservation>, charge: Reservation) {
    match into {
        Some(sum) => {
            let _ = sum.merge(charge);
        }
        None => *into = Some(charge),
    }
}

fn reason_of(drop: OrderDrop) -> DropReason {
    match drop {
        OrderDrop::BeforeKeyFrame => DropReason::BeforeKeyFrame,
        OrderDrop::AudioTooEarly => DropReason::AudioTooEarly,
        OrderDrop::FragmentTooLong | OrderDrop::FragmentTooLarge => DropReason::FragmentLimit,
        OrderDrop::LeadingPicture => DropReason::LeadingPicture,
        _ => DropReason::IncompleteFragment,
    }
}
