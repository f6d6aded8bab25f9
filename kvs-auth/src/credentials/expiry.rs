//! When credentials expire, as text.

use std::{error::Error, fmt, time::SystemTime};

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// An expiration that isn't an ISO 8601 time with an offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidExpiry(String);

impl fmt::Display for InvalidExpiry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "expiration {:?} is not of the form 2030-01-02T03:04:05Z",
            self.0
        )
    }
}

impl Error for InvalidExpiry {}

/// Parses the ISO 8601 form in which credentials say when they expire, for providers of your own.
///
/// # Errors
///
/// [`InvalidExpiry`] for anything else than a date, a time and an offset.
pub fn parse_expiry(text: &str) -> Result<SystemTime, InvalidExpiry> {
    OffsetDateTime::parse(text, &Rfc3339)
        .map(SystemTime::from)
        .map_err(|_| InvalidExpiry(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn offsets_and_fractions_are_read() {
        for (text, millis) in [
            ("1970-01-01T00:01:00Z", 60_000),
            ("1970-01-01T01:01:00+01:00", 60_000),
            ("1970-01-01T00:00:00.250Z", 250),
        ] {
            assert_eq!(
                parse_expiry(text),
                Ok(UNIX_EPOCH + Duration::from_millis(millis)),
                "{text}"
            );
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "tomorrow",
            "1970-01-01",
            "1970-01-01T00:00:00",
            "99999-01-01T00:00:00Z",
        ] {
            assert_eq!(parse_expiry(text), Err(InvalidExpiry(text.to_owned())), "{text}");
        }
    }
}
