//! Fragment numbers, stream ARNs, versions and request ids in the service's form.

use std::fmt;

/// Leading digits of every fragment number; with the 29 digits of the counter a number has the service's 47.
const PREFIX: &str = "913438523331814323";
const COUNTER_DIGITS: usize = 29;

/// The place of a fragment in the order in which the service took fragments, over all streams.
///
/// Its text form is the service's: 47 decimal digits that rise with time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FragmentNumber(u64);

impl FragmentNumber {
    pub(crate) fn new(counter: u64) -> FragmentNumber {
        FragmentNumber(counter)
    }

    pub(crate) fn counter(self) -> u64 {
        self.0
    }

    /// Reads the text form; `None` for what this service can't have given out.
    ///
    /// ```
    /// use kvs_testkit::service::FragmentNumber;
    /// let text = "91343852333181432300000000000000000000000000042";
    /// assert_eq!(FragmentNumber::parse(text).unwrap().to_string(), text);
    /// assert!(FragmentNumber::parse("42").is_none());
    /// ```
    pub fn parse(text: &str) -> Option<FragmentNumber> {
        let counter = text.strip_prefix(PREFIX)?;
        if counter.len() != COUNTER_DIGITS || !counter.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        counter.parse().ok().map(FragmentNumber)
    }
}

impl fmt::Display for FragmentNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{:0width$}", self.0, width = COUNTER_DIGITS)
    }
}

/// The partition of a region, as ARNs name it.
fn partition(region: &str) -> &'static str {
    if region.starts_with("cn-") {
        "aws-cn"
    } else if region.starts_with("us-gov-") {
        "aws-us-gov"
    } else if region.starts_with("us-isob-") {
        "aws-iso-b"
    } else if region.starts_with("us-iso-") {
        "aws-iso"
    } else {
        "aws"
    }
}

/// The ARN of a stream; its last part is the time of creation in milliseconds.
pub(crate) fn stream_arn(region: &str, account: &str, name: &str, created_ms: i64) -> String {
    format!(
        "arn:{}:kinesisvideo:{region}:{account}:stream/{name}/{created_ms}",
        partition(region)
    )
}

/// A stream version: 20 letters and digits.
pub(crate) fn version(rng: &mut fastrand::Rng) -> String {
    (0..20).map(|_| rng.alphanumeric()).collect()
}

/// A request id in the form of a version 4 UUID.
pub(crate) fn request_id(rng: &mut fastrand::Rng) -> String {
    let bits = rng.u128(..);
    let hex = format!("{bits:032x}");
    format!(
        "{}-{}-4{}-a{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[13..16],
        &hex[17..20],
        &hex[20..]
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_47_digits_and_rise_as_text() {
        let (low, high) = (
            FragmentNumber::new(9).to_string(),
            FragmentNumber::new(10).to_string(),
        );
        assert_eq!(low.len(), 47);
        assert!(low < high);
    }

    #[test]
    fn a_number_of_another_service_is_not_read() {
        assert_eq!(FragmentNumber::parse(""), None);
        assert_eq!(FragmentNumber::parse(&"9".repeat(47)), None);
        let too_big = format!("{PREFIX}{}", "9".repeat(COUNTER_DIGITS));
        assert_eq!(FragmentNumber::parse(&too_big), None);
    }

    #[test]
    fn request_ids_look_like_uuids() {
        let id = request_id(&mut fastrand::Rng::with_seed(1));
        assert_eq!(id.len(), 36);
        assert_eq!(id.split('-').map(str::len).collect::<Vec<_>>(), [8, 4, 4, 4, 12]);
    }
}
