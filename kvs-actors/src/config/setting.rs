//! [`Setting`]: the types that settings have, as they are written and read.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, UNIX_EPOCH};

use kvs_client::{AckMode, EndpointVariant};
use kvs_mkv::{
    KeyFramePolicy, LeadingPicturePolicy, SilencePolicy, SkewPolicy, TimecodeScale, TimestampPolicy,
};
use kvs_storage::OverflowPolicy;
use kvs_storage::spool::SyncPolicy;

use super::stream::{FragmentTimes, Handover, RollbackPolicy};
use super::value::{Table, Value};
use crate::time_base::TimeBase;

/// A type that a setting can have.
pub(super) trait Setting: Sized {
    /// What is written; `None` where it is nothing of this type.
    fn read(value: &Value) -> Option<Self>;

    /// How it is written. What was read is written so that it reads the same.
    fn write(&self) -> Value;
}

macro_rules! whole_numbers {
    ($($number:ty),+) => {$(
        impl Setting for $number {
            fn read(value: &Value) -> Option<Self> {
                <$number>::try_from(value.as_integer()?).ok()
            }

            fn write(&self) -> Value {
                i128::try_from(*self).map_or(Value::Nothing, Value::Integer)
            }
        }
    )+};
}

whole_numbers!(u32, u64, usize);

impl Setting for bool {
    fn read(value: &Value) -> Option<Self> {
        match value {
            Value::Bool(fact) => Some(*fact),
            Value::Text(text) => text.trim().parse().ok(),
            _ => None,
        }
    }

    fn write(&self) -> Value {
        Value::Bool(*self)
    }
}

impl Setting for String {
    fn read(value: &Value) -> Option<Self> {
        value.as_text().map(str::to_owned)
    }

    fn write(&self) -> Value {
        Value::text(self)
    }
}

impl Setting for PathBuf {
    fn read(value: &Value) -> Option<Self> {
        value.as_text().filter(|path| !path.is_empty()).map(PathBuf::from)
    }

    fn write(&self) -> Value {
        Value::text(self.to_string_lossy())
    }
}

/// With its unit, always: a bare number would leave it to be guessed.
impl Setting for Duration {
    fn read(value: &Value) -> Option<Self> {
        humantime::parse_duration(value.as_text()?.trim()).ok()
    }

    fn write(&self) -> Value {
        Value::text(humantime::format_duration(*self).to_string())
    }
}

impl<S: Setting> Setting for Option<S> {
    fn read(value: &Value) -> Option<Self> {
        if value.is_none() {
            Some(None)
        } else {
            S::read(value).map(Some)
        }
    }

    fn write(&self) -> Value {
        self.as_ref().map_or_else(|| Value::text("none"), Setting::write)
    }
}

/// A table, or `name=value` pairs with commas between, for variables.
impl Setting for BTreeMap<String, String> {
    fn read(value: &Value) -> Option<Self> {
        let pairs = |text: &str| {
            let pair = |pair: &str| {
                let (name, value) = pair.split_once('=')?;
                Some((name.trim().to_owned(), value.trim().to_owned()))
            };
            let given = text.split(',').filter(|pair| !pair.trim().is_empty());
            given.map(pair).collect()
        };
        match value {
            Value::Table(table) => table
                .iter()
                .map(|(name, value)| Some((name.clone(), String::read(value)?)))
                .collect(),
            Value::Text(text) => pairs(text),
            _ => None,
        }
    }

    fn write(&self) -> Value {
        let entry = |(name, value): (&String, &String)| (name.clone(), value.write());
        Value::Table(self.iter().map(entry).collect::<Table>())
    }
}

impl Setting for TimecodeScale {
    fn read(value: &Value) -> Option<Self> {
        let nanos = u64::try_from(Duration::read(value)?.as_nanos()).ok()?;
        TimecodeScale::new(nanos).ok()
    }

    fn write(&self) -> Value {
        Duration::from_nanos(self.as_nanos()).write()
    }
}

/// Settings that are one word out of few.
macro_rules! words {
    ($type:ty, $($word:literal => $variant:path),+ $(,)?) => {
        impl Setting for $type {
            fn read(value: &Value) -> Option<Self> {
                match value.as_text()?.trim() {
                    $($word => Some($variant),)+
                    _ => None,
                }
            }

            fn write(&self) -> Value {
                // The types of other crates may grow; a word that can't be read back is seen by the tests.
                #[allow(unreachable_patterns, reason = "only some of the types may grow")]
                match self {
                    $($variant => Value::text($word),)+
                    _ => Value::Nothing,
                }
            }
        }
    };
}

words!(FragmentTimes, "absolute" => FragmentTimes::Absolute, "relative" => FragmentTimes::Relative);
words!(AckMode, "required" => AckMode::Required, "off" => AckMode::Off);
words!(SilencePolicy, "roll" => SilencePolicy::Roll, "refuse" => SilencePolicy::Refuse);
words!(
    KeyFramePolicy,
    "drop_until_key_frame" => KeyFramePolicy::DropUntilKeyFrame,
    "cut_anywhere" => KeyFramePolicy::CutAnywhere,
    "refuse" => KeyFramePolicy::Refuse,
);
words!(
    LeadingPicturePolicy,
    "keep" => LeadingPicturePolicy::Keep,
    "drop" => LeadingPicturePolicy::Drop,
);
words!(TimestampPolicy, "correct" => TimestampPolicy::Correct, "refuse" => TimestampPolicy::Refuse);
words!(SkewPolicy, "refuse" => SkewPolicy::Refuse, "rebase" => SkewPolicy::Rebase);
words!(Handover, "await_last_ack" => Handover::AwaitLastAck, "overlap" => Handover::Overlap);
words!(
    EndpointVariant,
    "standard" => EndpointVariant::Standard,
    "fips" => EndpointVariant::Fips,
    "dual_stack" => EndpointVariant::DualStack,
    "fips_dual_stack" => EndpointVariant::FipsDualStack,
);

impl Setting for OverflowPolicy {
    fn read(value: &Value) -> Option<Self> {
        match words_of(value)? {
            ("refuse", None) => Some(OverflowPolicy::Refuse),
            ("drop_until_fragment_start", None) => Some(OverflowPolicy::DropUntilFragmentStart),
            ("drop_tail_item", None) => Some(OverflowPolicy::DropTailItem),
            ("wait", Some(time)) => Some(OverflowPolicy::Wait(time)),
            _ => None,
        }
    }

    fn write(&self) -> Value {
        match self {
            OverflowPolicy::Refuse => Value::text("refuse"),
            OverflowPolicy::DropUntilFragmentStart => Value::text("drop_until_fragment_start"),
            OverflowPolicy::DropTailItem => Value::text("drop_tail_item"),
            OverflowPolicy::Wait(time) => phrase("wait", *time),
            _ => Value::Nothing,
        }
    }
}

impl Setting for RollbackPolicy {
    fn read(value: &Value) -> Option<Self> {
        match words_of(value)? {
            ("unpersisted", None) => Some(RollbackPolicy::Unpersisted),
            ("after_received", None) => Some(RollbackPolicy::AfterReceived),
            ("replay", Some(time)) => Some(RollbackPolicy::Replay(time)),
            _ => None,
        }
    }

    fn write(&self) -> Value {
        match self {
            RollbackPolicy::Unpersisted => Value::text("unpersisted"),
            RollbackPolicy::AfterReceived => Value::text("after_received"),
            RollbackPolicy::Replay(time) => phrase("replay", *time),
        }
    }
}

impl Setting for SyncPolicy {
    fn read(value: &Value) -> Option<Self> {
        match words_of(value)? {
            ("each_fragment", None) => Some(SyncPolicy::EachFragment),
            ("never", None) => Some(SyncPolicy::Never),
            ("interval", Some(time)) => Some(SyncPolicy::Interval(time)),
            _ => None,
        }
    }

    fn write(&self) -> Value {
        match self {
            SyncPolicy::EachFragment => Value::text("each_fragment"),
            SyncPolicy::Never => Value::text("never"),
            SyncPolicy::Interval(time) => phrase("interval", *time),
            _ => Value::Nothing,
        }
    }
}

impl Setting for TimeBase {
    fn read(value: &Value) -> Option<Self> {
        match value.as_text()?.trim() {
            "epoch" => Some(TimeBase::Epoch),
            "anchor_at_first_frame" => Some(TimeBase::AnchorAtFirstFrame),
            moment => humantime::parse_rfc3339(moment).ok().map(TimeBase::StartAt),
        }
    }

    fn write(&self) -> Value {
        match self {
            TimeBase::Epoch => Value::text("epoch"),
            TimeBase::AnchorAtFirstFrame => Value::text("anchor_at_first_frame"),
            TimeBase::StartAt(moment) => match moment.duration_since(UNIX_EPOCH) {
                // The year 10000, which RFC 3339 has no digits for.
                Ok(since) if since.as_secs() < 253_402_300_800 => {
                    Value::text(humantime::format_rfc3339(*moment).to_string())
                }
                _ => Value::text("a moment outside the years 1970 to 9999"),
            },
        }
    }
}

/// A word, and the time that may follow it.
fn words_of(value: &Value) -> Option<(&str, Option<Duration>)> {
    let text = value.as_text()?.trim();
    match text.split_once(char::is_whitespace) {
        None => Some((text, None)),
        Some((word, time)) => Some((word, Some(humantime::parse_duration(time.trim()).ok()?))),
    }
}

fn phrase(word: &str, time: Duration) -> Value {
    Value::text(format!("{word} {}", humantime::format_duration(time)))
}

/// Bytes: a number, or a text with a unit of 1,000 (`kB`, `MB`, `GB`) or of 1,024 (`KiB`, `MiB`, `GiB`).
pub(super) fn read_bytes(value: &Value) -> Option<u64> {
    let Value::Text(text) = value else {
        return u64::read(value);
    };
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(digits)?;
    let factor: u64 = match unit.trim() {
        "" | "B" => 1,
        "kB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_units_of_a_thousand_and_of_1024() {
        for (text, bytes) in [
            ("7", 7),
            ("64 MiB", 64 << 20),
            ("64MB", 64_000_000),
            ("3 GiB", 3 << 30),
            ("2 kB", 2_000),
        ] {
            assert_eq!(read_bytes(&Value::text(text)), Some(bytes), "{text}");
        }
        for wrong in [
            "",
            "MiB",
            "-1",
            "1.5 MiB",
            "1 mb",
            "99999999999999999999",
            "9999999999999 GiB",
        ] {
            assert_eq!(read_bytes(&Value::text(wrong)), None, "{wrong}");
        }
    }

    #[test]
    fn a_duration_needs_its_unit() {
        assert_eq!(
            Duration::read(&Value::text("1h 30min")),
            Some(Duration::from_secs(5_400))
        );
        assert_eq!(
            Duration::read(&Value::text("1500ms")),
            Some(Duration::from_millis(1_500))
        );
        for wrong in [Value::Integer(5), Value::text("5"), Value::text("soon")] {
            assert_eq!(Duration::read(&wrong), None, "{wrong}");
        }
    }

    #[test]
    fn tags_come_as_a_table_or_as_pairs() {
        let tags = BTreeMap::from([
            ("floor".to_owned(), "2".to_owned()),
            ("site".to_owned(), "north".to_owned()),
        ]);
        assert_eq!(
            Setting::read(&Value::text("site=north, floor=2")),
            Some(tags.clone())
        );
        assert_eq!(Setting::read(&tags.write()), Some(tags));
        assert_eq!(
            <BTreeMap<String, String> as Setting>::read(&Value::text("site")),
            None
        );
    }

    #[test]
    fn a_start_outside_of_what_dates_can_say_is_still_printed() {
        let before = UNIX_EPOCH - Duration::from_secs(1);
        assert!(matches!(TimeBase::StartAt(before).write(), Value::Text(_)));
    }
}
