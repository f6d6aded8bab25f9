//! [`StreamConfig`]: everything that can be set about one stream.

use std::collections::BTreeMap;
use std::time::Duration;

use kvs_client::{AckMode, CreateStream};
use kvs_mkv::{OrderConfig, TimecodeScale, Track, TrackSet};
use kvs_storage::OverflowPolicy;

use crate::error::{StreamError, StreamErrorKind};
use crate::machine::{CreatePolicy, RateLimits, RetryPolicy};
use crate::time_base::TimeBase;

/// How the clusters of a session are timed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum FragmentTimes {
    /// By epoch time.
    #[default]
    Absolute,
    /// From the start of the session, which travels in a header.
    Relative,
}

/// How one session follows another when it is replaced in good order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Handover {
    /// The next one opens when the last acknowledgement of the one before has come: the service allows one connection for
    /// each stream.
    #[default]
    AwaitLastAck,
    /// The next one opens at once, and the one before is kept for its acknowledgements.
    Overlap,
}

/// What is sent again after a session was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum RollbackPolicy {
    /// The first fragment that is not delivered, and all later ones that are not.
    #[default]
    Unpersisted,
    /// What comes after the last fragment that the service said it has received. What lies before is not sent again: it is
    /// given up as unconfirmed, unless an acknowledgement still comes.
    AfterReceived,
    /// Everything not delivered within so much media time of the newest fragment sent, as the C producer does. What lies
    /// before is given up as unconfirmed.
    Replay(Duration),
}

/// The settings of one stream.
///
/// ```
/// use kvs_actors::StreamConfig;
///
/// let config = StreamConfig::realtime("front-door").h264().aac().retention_hours(24);
/// assert_eq!(config.name, "front-door");
/// assert_eq!(config.tracks.len(), 2);
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StreamConfig {
    /// Name: 1–256 characters out of `a-z`, `A-Z`, `0-9`, `_`, `.` and `-`.
    pub name: String,
    /// The tracks, 1 to 3, with distinct numbers. Default: none; at least one must be declared.
    pub tracks: Vec<Track>,
    /// What the frames' times count from. Default: [`TimeBase::AnchorAtFirstFrame`].
    pub time_base: TimeBase,
    /// Retention of the stream where it is created, in hours; 0 keeps nothing. Limits: 0–87,600. Default 24.
    pub retention_hours: u32,
    /// Whether the stream is created where it doesn't exist. Default: yes.
    pub create_stream: bool,
    /// Tags that the stream gets when it is prepared: at most 50. Default: none.
    pub tags: BTreeMap<String, String>,
    /// The encryption key of a created stream. Default: the service's own.
    pub kms_key_id: Option<String>,
    /// How long [`put_frame`](crate::StreamHandle::put_frame) waits for room at most. Default 1 s for realtime streams, 15 s
    /// for recordings.
    pub put_timeout: Duration,
    /// What happens when the byte budget is full. Default: the oldest fragment goes, for recordings nothing does.
    pub overflow: OverflowPolicy,
    /// The most media time that is held. Default 120 s for realtime streams, no limit for recordings.
    pub buffer_duration: Option<Duration>,
    /// How clusters are timed. Default: [`FragmentTimes::Absolute`].
    pub fragment_times: FragmentTimes,
    /// The unit of time on the wire. Default: 1 ms.
    pub timecode_scale: TimecodeScale,
    /// Whether fragments are acknowledged. Default: yes.
    pub acks: AckMode,
    /// What is sent again after a lost session. Default: [`RollbackPolicy::Unpersisted`].
    pub rollback: RollbackPolicy,
    /// How failures are retried.
    pub retry: RetryPolicy,
    /// What the stream may send per second. Default: the service's quotas.
    pub rate: RateLimits,
    /// A session is replaced at the first fragment boundary after this. Limits: up to 45 min, where the service cuts it.
    /// Default 40 min.
    pub session_duration: Duration,
    /// How long the end of a session waits for its last acknowledgement before the next one opens. Default 5 s.
    pub last_ack_timeout: Duration,
    /// How one session follows another. Default: [`Handover::AwaitLastAck`].
    pub handover: Handover,
    /// A fragment that was received and not persisted within this, on a stream that retains media, is let go as
    /// unconfirmed. Default 60 s; `None` keeps it.
    pub received_limit: Option<Duration>,
    /// When more media time than this waits to be sent, the application is told. Default 60 s for realtime streams, never
    /// for recordings.
    pub max_latency: Option<Duration>,
    /// After so long without a frame the open fragment is closed and the session ended. Default 20 s; `None` never.
    pub idle_timeout: Option<Duration>,
    /// A session on which media was sent and nothing heard for so long is given up. Default 30 s; `None` never.
    pub staleness: Option<Duration>,
    /// A track that is silent for so long is left out from the next fragment on. Default 5 s; `None` waits for ever.
    pub silence_limit: Option<Duration>,
    /// How frames are ordered and cut into fragments: limits, and what happens beyond them. Its unit of time and its silence
    /// limit are not used: those of this stream are.
    pub order: OrderConfig,
}

impl StreamConfig {
    /// The longest time the service keeps media, in hours.
    pub const MAX_RETENTION_HOURS: u32 = 87_600;
    /// After this the service ends a `PutMedia` connection.
    pub const MAX_SESSION_DURATION: Duration = Duration::from_secs(45 * 60);

    /// For live media: bounded in time, the oldest fragments go when the link can't keep up.
    #[must_use]
    pub fn realtime(name: impl Into<String>) -> Self {
        StreamConfig {
            name: name.into(),
            tracks: Vec::new(),
            time_base: TimeBase::default(),
            retention_hours: 24,
            create_stream: true,
            tags: BTreeMap::new(),
            kms_key_id: None,
            put_timeout: Duration::from_secs(1),
            overflow: OverflowPolicy::DropUntilFragmentStart,
            buffer_duration: Some(Duration::from_secs(120)),
            fragment_times: FragmentTimes::default(),
            timecode_scale: TimecodeScale::default(),
            acks: AckMode::Required,
            rollback: RollbackPolicy::default(),
            retry: RetryPolicy::default(),
            rate: RateLimits::default(),
            session_duration: Duration::from_secs(40 * 60),
            last_ack_timeout: Duration::from_secs(5),
            handover: Handover::default(),
            received_limit: Some(Duration::from_secs(60)),
            max_latency: Some(Duration::from_secs(60)),
            idle_timeout: Some(Duration::from_secs(20)),
            staleness: Some(Duration::from_secs(30)),
            silence_limit: Some(Duration::from_secs(5)),
            order: OrderConfig::default(),
        }
    }

    /// For live media that may come late but should come: more is held, puts wait longer, and the oldest fragments go only
    /// when five times as much waits as for [`realtime`](Self::realtime).
    #[must_use]
    pub fn near_realtime(name: impl Into<String>) -> Self {
        StreamConfig {
            put_timeout: Duration::from_secs(5),
            buffer_duration: Some(Duration::from_secs(600)),
            max_latency: Some(Duration::from_secs(300)),
            ..StreamConfig::realtime(name)
        }
    }

    /// For recordings: nothing is ever dropped; a put waits for room instead. Fragments may be 19.5 s long, so that files
    /// with few key frames go up whole.
    #[must_use]
    pub fn offline(name: impl Into<String>) -> Self {
        StreamConfig {
            put_timeout: Duration::from_secs(15),
            overflow: OverflowPolicy::Refuse,
            buffer_duration: None,
            max_latency: None,
            order: OrderConfig {
                // Below the 20 s that the service takes today; live media keeps to the older limit of 10 s.
                max_fragment: Duration::from_millis(19_500),
                ..OrderConfig::default()
            },
            ..StreamConfig::realtime(name)
        }
    }

    /// Declares a track.
    #[must_use]
    pub fn track(mut self, track: Track) -> Self {
        self.tracks.push(track);
        self
    }

    /// Declares an H.264 video track as number 1.
    #[must_use]
    pub fn h264(self) -> Self {
        self.track(Track::h264())
    }

    /// Declares an AAC audio track as number 2.
    #[must_use]
    pub fn aac(self) -> Self {
        self.track(Track::aac())
    }

    /// Sets the retention of a created stream, in hours.
    #[must_use]
    pub fn retention_hours(mut self, hours: u32) -> Self {
        self.retention_hours = hours;
        self
    }

    /// Sets what the frames' times count from.
    #[must_use]
    pub fn time_base(mut self, base: TimeBase) -> Self {
        self.time_base = base;
        self
    }

    /// Says whether the stream is created where it doesn't exist.
    #[must_use]
    pub fn create_stream(mut self, create: bool) -> Self {
        self.create_stream = create;
        self
    }

    /// Adds a tag of the stream.
    #[must_use]
    pub fn tag(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.tags.insert(name.into(), value.into());
        self
    }

    /// Sets how long a put waits for room.
    #[must_use]
    pub fn put_timeout(mut self, timeout: Duration) -> Self {
        self.put_timeout = timeout;
        self
    }

    /// Sets what happens when the byte budget is full.
    #[must_use]
    pub fn overflow(mut self, policy: OverflowPolicy) -> Self {
        self.overflow = policy;
        self
    }

    /// Sets the most media time that is held.
    #[must_use]
    pub fn buffer_duration(mut self, duration: Option<Duration>) -> Self {
        self.buffer_duration = duration;
        self
    }

    /// Sets how clusters are timed.
    #[must_use]
    pub fn fragment_times(mut self, times: FragmentTimes) -> Self {
        self.fragment_times = times;
        self
    }

    /// Sets how failures are retried.
    #[must_use]
    pub fn retry(mut self, retry: RetryPolicy) -> Self {
        self.retry = retry;
        self
    }

    /// Sets how frames are ordered and cut into fragments.
    #[must_use]
    pub fn order(mut self, order: OrderConfig) -> Self {
        self.order = order;
        self
    }

    /// Sets what the stream may send per second.
    #[must_use]
    pub fn rate(mut self, rate: RateLimits) -> Self {
        self.rate = rate;
        self
    }

    pub(crate) fn track_set(&self) -> Result<TrackSet, StreamError> {
        TrackSet::new(self.tracks.clone()).map_err(|error| {
            let text = format!("setting tracks has {} tracks: {error}", self.tracks.len());
            StreamError::new(StreamErrorKind::InvalidConfig, text).with_source(error)
        })
    }

    /// The media type that the stream is created with: its tracks' content types.
    #[must_use]
    pub fn media_type(&self) -> String {
        self.tracks
            .iter()
            .map(Track::content_type)
            .collect::<Vec<_>>()
            .join(",")
    }

    pub(crate) fn create_policy(&self) -> CreatePolicy {
        if !self.create_stream {
            return CreatePolicy::MustExist;
        }
        let mut stream = CreateStream::new(&self.name)
            .retention_hours(self.retention_hours)
            .media_type(self.media_type());
        if let Some(key) = &self.kms_key_id {
            stream = stream.kms_key_id(key);
        }
        CreatePolicy::Create(stream)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_setting_names_its_key_its_value_and_what_is_allowed() {
        let wrong = [
            (StreamConfig::realtime("front door").h264(), "name"),
            (StreamConfig::realtime("").h264(), "name"),
            (StreamConfig::realtime("x"), "tracks"),
            (StreamConfig::realtime("x").h264().h264(), "tracks"),
            (
                StreamConfig::realtime("x").h264().retention_hours(87_601),
                "retention_hours",
            ),
            (
                StreamConfig::realtime("x")
                    .h264()
                    .buffer_duration(Some(Duration::ZERO)),
                "buffer_duration",
            ),
        ];
        for (config, key) in wrong {
            let error = config.validate().unwrap_err();
            assert_eq!(error.kind(), StreamErrorKind::InvalidConfig);
            assert!(error.to_string().contains(key), "{error}");
        }
    }

    #[test]
    fn the_presets_are_valid() {
        StreamConfig::realtime("a").h264().aac().validate().unwrap();
        StreamConfig::offline("a").h264().validate().unwrap();
        assert_eq!(
            StreamConfig::offline("a").h264().aac().media_type(),
            "video/h264,audio/aac"
        );
    }
}
