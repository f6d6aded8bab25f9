//! [`FragmentInfo`]: what the service says about a fragment it gives back.

use crate::demux::SimpleTag;
use crate::tag::END_OF_FRAGMENT;
use crate::time::Timestamp;

const PREFIX: &str = "AWS_KINESISVIDEO_";

/// The service's own tags on a fragment, as GetMedia and GetMediaForFragmentList write them.
///
/// ```
/// use kvs_mkv::{FragmentInfo, SimpleTag, Timestamp};
///
/// let tag = |name: &str, value: &str| SimpleTag { name: name.into(), value: value.into() };
/// let info = FragmentInfo::from_tags(&[
///     tag("AWS_KINESISVIDEO_FRAGMENT_NUMBER", "91343852333181432392682062607743920"),
///     tag("AWS_KINESISVIDEO_PRODUCER_TIMESTAMP", "1700000000.040"),
///     tag("AWS_KINESISVIDEO_MILLIS_BEHIND_NOW", "0"),
/// ]).unwrap();
/// assert_eq!(info.producer_time, Some(Timestamp::from_millis(1_700_000_000_040)));
/// assert_eq!(info.millis_behind_now, Some(0));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct FragmentInfo {
    /// Fragment number: decimal digits.
    pub fragment_number: Option<String>,
    /// When the service received the fragment.
    pub server_time: Option<Timestamp>,
    /// The producer's time of the fragment.
    pub producer_time: Option<Timestamp>,
    /// How far behind the newest media the reader is; 0 is live.
    pub millis_behind_now: Option<u64>,
    /// Where a later request can go on.
    pub continuation_token: Option<String>,
    /// The number of the error that ended the stream: 3002, 4000, 4500 to 4506 or 5000.
    pub error_id: Option<u32>,
    /// The name of that error.
    pub error_code: Option<String>,
}

impl FragmentInfo {
    /// What these tags say; `None` where none is the service's.
    ///
    /// A value that does not parse counts as absent.
    #[must_use]
    pub fn from_tags(tags: &[SimpleTag]) -> Option<Self> {
        let mut info = FragmentInfo::default();
        let mut found = false;
        for tag in tags.iter().filter(|tag| tag.name != END_OF_FRAGMENT) {
            let Some(name) = tag.name.strip_prefix(PREFIX) else {
                continue;
            };
            let value = || Some(tag.value.clone());
            match name {
                "FRAGMENT_NUMBER" => info.fragment_number = value(),
                // The SIDE forms are those of the reference page of GetMediaForFragmentList.
                "SERVER_TIMESTAMP" | "SERVER_SIDE_TIMESTAMP" => info.server_time = seconds(&tag.value),
                "PRODUCER_TIMESTAMP" | "PRODUCER_SIDE_TIMESTAMP" => info.producer_time = seconds(&tag.value),
                "MILLIS_BEHIND_NOW" => info.millis_behind_now = tag.value.parse().ok(),
                "CONTINUATION_TOKEN" => info.continuation_token = value(),
                "ERROR_ID" => info.error_id = tag.value.parse().ok(),
                "ERROR_CODE" => info.error_code = value(),
                _ => continue,
            }
            found = true;
        }
        found.then_some(info)
    }

    /// Whether the service reports an error.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.error_id.is_some() || self.error_code.is_some()
    }
}

/// Seconds with up to nine decimals.
fn seconds(text: &str) -> Option<Timestamp> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.len() > 9 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let nanos: i64 = format!("{fraction:0<9}").parse().ok()?;
    let whole: i64 = whole.parse().ok()?;
    whole
        .checked_mul(1_000_000_000)?
        .checked_add(nanos)
        .map(Timestamp::from_nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(tags: &[(&str, &str)]) -> Option<FragmentInfo> {
        let tags: Vec<_> = tags
            .iter()
            .map(|(name, value)| SimpleTag {
                name: format!("{PREFIX}{name}"),
                value: (*value).to_owned(),
            })
            .collect();
        FragmentInfo::from_tags(&tags)
    }

    #[test]
    fn times_are_seconds_with_decimals() {
        assert_eq!(seconds("1.5"), Some(Timestamp::from_millis(1_500)));
        assert_eq!(seconds("12"), Some(Timestamp::from_secs(12)));
        for wrong in ["", ".5", "1.-5", "1.0000000001", "x", "9999999999999999999.0"] {
            assert_eq!(seconds(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn both_spellings_of_the_times_are_read() {
        let info = info(&[
            ("SERVER_SIDE_TIMESTAMP", "2.0"),
            ("PRODUCER_SIDE_TIMESTAMP", "1.0"),
        ])
        .unwrap();
        assert_eq!(info.server_time, Some(Timestamp::from_secs(2)));
        assert_eq!(info.producer_time, Some(Timestamp::from_secs(1)));
    }

    #[test]
    fn errors_are_told_and_broken_values_are_absent() {
        let error = info(&[("ERROR_ID", "4000"), ("ERROR_CODE", "STREAM_READ_ERROR")]).unwrap();
        assert!(error.is_error());
        assert_eq!(error.error_id, Some(4000));
        assert_eq!(
            info(&[("MILLIS_BEHIND_NOW", "soon")]).unwrap().millis_behind_now,
            None
        );
    }

    #[test]
    fn a_producers_own_tags_are_no_service_tags() {
        assert_eq!(info(&[("END_OF_FRAGMENT", "")]), None);
        assert_eq!(
            FragmentInfo::from_tags(&[SimpleTag {
                name: "door".into(),
                value: "open".into()
            }]),
            None
        );
    }
}
