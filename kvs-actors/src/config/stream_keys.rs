//! The settings of a stream, with their limits.

use std::time::{Duration, UNIX_EPOCH};

use kvs_mkv::Codec;
use kvs_storage::OverflowPolicy;

use super::key::{Key, SettingInfo, apply, deserialize, key, list, serialize, write_all};
use super::key::{Origins, Unplaced, validate};
use super::stream::{RollbackPolicy, StreamConfig};
use super::value::Table;
use crate::error::StreamError;
use crate::time_base::TimeBase;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};

/// Longer times would say nothing that `none` doesn't; with a limit, no sum of a moment and a setting can overflow.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 60 * 60);

const TIME: &str = "a time with its unit, such as \"500ms\" or \"1h 30min\", up to 7 days";
const TIME_OR_NONE: &str = "a time with its unit, such as \"20s\", more than 0 and up to 7 days; or \"none\"";
const FRAGMENT: &str = "a time with its unit, from \"200ms\" to \"20s\"";
const YES_OR_NO: &str = "true or false";
const PRESETS: &str = "\"realtime\", \"near_realtime\" or \"offline\"";

/// Says what the settings start from. It is a setting of files alone: a configuration no longer knows it.
const PRESET: &str = "preset";

fn up_to_a_week(time: Duration) -> bool {
    time <= LONGEST
}

fn some_up_to_a_week(time: Option<Duration>) -> bool {
    time.is_none_or(|time| !time.is_zero() && time <= LONGEST)
}

/// The service takes fragments of up to 20 s and five of them a second (*Kinesis Video Streams quotas*).
fn is_fragment(time: Duration) -> bool {
    (Duration::from_millis(200)..=Duration::from_secs(20)).contains(&time)
}

fn is_stream_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    (1..=256).contains(&name.len()) && name.chars().all(allowed)
}

fn is_tag_text(text: &str) -> bool {
    let allowed =
        |c: char| c.is_alphanumeric() || (c.is_whitespace() && !c.is_control()) || "_.:/=+-@".contains(c);
    text.chars().all(allowed)
}

/// Frames of these codecs can't tell the codec private data.
fn lacks_format(config: &StreamConfig) -> bool {
    let untold = |codec: &Codec| matches!(codec, Codec::Raw { .. });
    config
        .tracks
        .iter()
        .any(|track| untold(&track.codec) && !track.is_ready())
}

/// Limits of names, tags and retention: API reference, *CreateStream* and *TagStream*.
pub(super) static KEYS: &[Key<StreamConfig>] = &[
    key!(
        "name",
        name,
        "1 to 256 characters out of a-z A-Z 0-9 _ . -",
        |c| { is_stream_name(&c.name) }
    ),
    key!("tracks", tracks, super::tracks::ALLOWED, |c| {
        c.track_set().is_ok() && !lacks_format(c)
    }),
    key!(
        "time_base",
        time_base,
        "\"epoch\", \"anchor_at_first_frame\", or the moment that is zero, as \"2024-05-01T12:00:00Z\", from 1970 to 9999",
        |c| match c.time_base {
            TimeBase::StartAt(moment) => moment
                .duration_since(UNIX_EPOCH)
                .is_ok_and(|since| since.as_secs() < 253_402_300_800),
            _ => true,
        }
    ),
    key!("retention_hours", retention_hours, "0 to 87600 hours", |c| {
        c.retention_hours <= StreamConfig::MAX_RETENTION_HOURS
    }),
    key!("create_stream", create_stream, YES_OR_NO),
    key!(
        "tags",
        tags,
        "at most 50; names of 1 to 128 and values of up to 256 letters, digits, spaces and _ . : / = + - @",
        |c| {
            c.tags.len() <= 50
                && c.tags.iter().all(|(name, value)| {
                    (1..=128).contains(&name.chars().count())
                        && value.chars().count() <= 256
                        && is_tag_text(name)
                        && is_tag_text(value)
                })
        }
    ),
    key!(
        "kms_key_id",
        kms_key_id,
        "1 to 2048 characters, or \"none\" for the service's own key",
        |c| {
            c.kms_key_id
                .as_ref()
                .is_none_or(|id| (1..=2_048).contains(&id.chars().count()))
        }
    ),
    key!("put_timeout", put_timeout, TIME, |c| up_to_a_week(c.put_timeout)),
    key!(
        "overflow",
        overflow,
        "\"refuse\", \"drop_until_fragment_start\", \"drop_tail_item\", or \"wait\" and a time up to 7 days",
        |c| match c.overflow {
            OverflowPolicy::Wait(time) => up_to_a_week(time),
            _ => true,
        }
    ),
    key!("buffer_duration", buffer_duration, TIME_OR_NONE, |c| {
        some_up_to_a_week(c.buffer_duration)
    }),
    key!("fragment_times", fragment_times, "\"absolute\" or \"relative\""),
    key!(
        "timecode_scale",
        timecode_scale,
        "a time with its unit, from \"100ns\" to \"1s\""
    ),
    key!("acks", acks, "\"required\" or \"off\""),
    key!(
        "rollback",
        rollback,
        "\"unpersisted\", \"after_received\", or \"replay\" and a time up to 7 days",
        |c| match c.rollback {
            RollbackPolicy::Replay(time) => up_to_a_week(time),
            _ => true,
        }
    ),
    key!("retry.base", retry.base, TIME, |c| up_to_a_week(c.retry.base)),
    key!("retry.cap", retry.cap, TIME, |c| up_to_a_week(c.retry.cap)),
    key!("retry.throttle_cap", retry.throttle_cap, TIME, |c| {
        up_to_a_week(c.retry.throttle_cap)
    }),
    key!("retry.connect_spacing", retry.connect_spacing, TIME, |c| {
        up_to_a_week(c.retry.connect_spacing)
    }),
    key!(
        "rate.fragments_per_second",
        rate.fragments_per_second,
        "a whole number, more than 0, or \"none\"",
        |c| { c.rate.fragments_per_second != Some(0) }
    ),
    Key {
        name: "rate.bytes_per_second",
        allowed: "bytes, more than 0, as 12500000 or \"12 MiB\"; or \"none\"",
        read: |config, value| {
            config.rate.bytes_per_second = if value.is_none() {
                None
            } else {
                Some(super::setting::read_bytes(value)?)
            };
            Some(())
        },
        write: |config| super::setting::Setting::write(&config.rate.bytes_per_second),
        is_valid: |config| config.rate.bytes_per_second != Some(0),
    },
    key!(
        "session_duration",
        session_duration,
        "a time with its unit, more than 0 and up to 45 minutes",
        |c| { !c.session_duration.is_zero() && c.session_duration <= StreamConfig::MAX_SESSION_DURATION }
    ),
    key!("last_ack_timeout", last_ack_timeout, TIME, |c| {
        up_to_a_week(c.last_ack_timeout)
    }),
    key!("handover", handover, "\"await_last_ack\" or \"overlap\""),
    key!("received_limit", received_limit, TIME_OR_NONE, |c| {
        some_up_to_a_week(c.received_limit)
    }),
    key!("max_latency", max_latency, TIME_OR_NONE, |c| {
        some_up_to_a_week(c.max_latency)
    }),
    key!("idle_timeout", idle_timeout, TIME_OR_NONE, |c| {
        some_up_to_a_week(c.idle_timeout)
    }),
    key!("staleness", staleness, TIME_OR_NONE, |c| {
        some_up_to_a_week(c.staleness)
    }),
    key!("silence_limit", silence_limit, TIME_OR_NONE, |c| {
        some_up_to_a_week(c.silence_limit)
    }),
    key!(
        "order.leading_audio",
        order.leading_audio,
        "a time with its unit, up to 1 minute",
        |c| { c.order.leading_audio <= Duration::from_secs(60) }
    ),
    key!("order.silence", order.silence, "\"roll\" or \"refuse\""),
    key!("order.min_fragment", order.min_fragment, FRAGMENT, |c| {
        is_fragment(c.order.min_fragment)
    }),
    key!("order.intra_fragment", order.intra_fragment, FRAGMENT, |c| {
        is_fragment(c.order.intra_fragment)
    }),
    key!("order.max_fragment", order.max_fragment, FRAGMENT, |c| {
        is_fragment(c.order.max_fragment)
    }),
    Key {
        name: "order.max_fragment_bytes",
        allowed: "1 to 50000000 bytes, as a number or as \"50 MB\"",
        read: |config, value| {
            config.order.max_fragment_bytes = usize::try_from(super::setting::read_bytes(value)?).ok()?;
            Some(())
        },
        write: |config| super::setting::Setting::write(&config.order.max_fragment_bytes),
        is_valid: |config| (1..=50_000_000).contains(&config.order.max_fragment_bytes),
    },
    key!(
        "order.key_frames",
        order.key_frames,
        "\"drop_until_key_frame\", \"cut_anywhere\" or \"refuse\""
    ),
    key!(
        "order.leading_pictures",
        order.leading_pictures,
        "\"keep\" or \"drop\""
    ),
    key!("order.timestamps", order.timestamps, "\"correct\" or \"refuse\""),
    key!("order.jump", order.jump, TIME, |c| up_to_a_week(c.order.jump)),
    key!("order.max_skew", order.max_skew, TIME, |c| up_to_a_week(
        c.order.max_skew
    )),
    key!("order.skew", order.skew, "\"refuse\" or \"rebase\""),
    key!(
        "order.max_queued_frames",
        order.max_queued_frames,
        "1 to 65536 frames",
        |c| (1..=65_536).contains(&c.order.max_queued_frames)
    ),
];

impl StreamConfig {
    /// Every setting of a stream with its default and what is allowed: names, as files and variables have them.
    #[must_use]
    pub fn settings() -> Vec<SettingInfo> {
        let mut settings = list(KEYS, &StreamConfig::realtime(""));
        settings.push(SettingInfo {
            name: PRESET,
            default: "\"realtime\"".to_owned(),
            allowed: PRESETS,
        });
        settings
    }

    /// Checks every setting.
    ///
    /// # Errors
    /// [`InvalidConfig`](crate::StreamErrorKind::InvalidConfig) naming the setting, its value and what is allowed.
    pub fn validate(&self) -> Result<(), StreamError> {
        validate(KEYS, self)
    }
}

/// What the tables say, the later over the earlier, on the preset that the last of them names.
pub(super) fn read<O: Origins>(name: &str, tables: &[(&Table, O)]) -> Result<StreamConfig, StreamError> {
    let mut config = StreamConfig::realtime(name);
    for (table, origins) in tables {
        if let Some(preset) = table.get(PRESET) {
            config = match preset.as_text().map(str::trim) {
                Some("realtime") => StreamConfig::realtime(name),
                Some("near_realtime") => StreamConfig::near_realtime(name),
                Some("offline") => StreamConfig::offline(name),
                _ => return Err(super::key::wrong(PRESET, preset, PRESETS, origins)),
            };
        }
    }
    for (table, origins) in tables {
        let mut table = (*table).clone();
        table.remove(PRESET);
        apply(KEYS, &mut config, &table, origins)?;
    }
    Ok(config)
}

impl Serialize for StreamConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let again = read("", &[(&write_all(KEYS, self), Unplaced)]).map_err(ser::Error::custom)?;
        if again.tracks != self.tracks {
            let text = "setting tracks has a format that its codec private data doesn't tell, so it can't be written";
            return Err(ser::Error::custom(text));
        }
        serialize(KEYS, self, serializer)
    }
}

impl<'de> Deserialize<'de> for StreamConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let table = deserialize(deserializer)?;
        let config = read("", &[(&table, Unplaced)]).map_err(de::Error::custom)?;
        config.validate().map_err(de::Error::custom)?;
        Ok(config)
    }
}
