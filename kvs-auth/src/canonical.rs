//! The steps of a SigV4 signature: request → canonical request → string to sign → signature.
//!
//! Sources: *Signature Version 4 for API requests* in the AWS IAM user guide ("Create a signed AWS API
//! request"). A server needs the steps apart, because it must rebuild what a client claims to have signed;
//! and where client and server disagree, comparing step by step says where.

use std::{
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use aws_sigv4::sign::v4;
use http::HeaderMap;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, percent_encode};
use sha2::{Digest, Sha256};
use time::{
    OffsetDateTime, PrimitiveDateTime, format_description::BorrowedFormatItem, macros::format_description,
};

use crate::Secret;

/// The only algorithm of SigV4.
pub const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// The SHA-256 of the empty string, in hexadecimal.
pub const EMPTY_PAYLOAD_HASH: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// The literal in place of a payload hash that leaves the body unsigned.
pub const UNSIGNED_PAYLOAD: &str = "UNSIGNED-PAYLOAD";

/// The last part of every credential scope.
const TERMINATOR: &str = "aws4_request";

/// Everything but the unreserved characters of RFC 3986 §2.3.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The same for paths, whose slashes stay.
const RESERVED_IN_PATH: &AsciiSet = &RESERVED.remove(b'/');

const AMZ_DATE: &[BorrowedFormatItem<'static>] =
    format_description!("[year][month][day]T[hour][minute][second]Z");

/// The moment of signing: `20150830T123600Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SigningTime(OffsetDateTime);

impl SigningTime {
    /// Parses the basic ISO 8601 form that `x-amz-date` carries.
    pub fn parse(text: &str) -> Option<Self> {
        PrimitiveDateTime::parse(text, AMZ_DATE)
            .ok()
            .map(|time| Self(time.assume_utc()))
    }

    /// The time, to the second; `None` outside the years 1970 to 9999.
    pub fn new(at: SystemTime) -> Option<Self> {
        let seconds = at.duration_since(UNIX_EPOCH).ok()?.as_secs();
        OffsetDateTime::from_unix_timestamp(i64::try_from(seconds).ok()?)
            .ok()
            .map(Self)
    }

    /// The same moment as system time.
    pub fn system_time(self) -> SystemTime {
        let seconds = self.0.unix_timestamp();
        let distance = Duration::from_secs(seconds.unsigned_abs());
        if seconds < 0 {
            UNIX_EPOCH - distance
        } else {
            UNIX_EPOCH + distance
        }
    }

    /// The date part, as the credential scope has it: `20150830`.
    pub fn date(self) -> String {
        self.to_string().chars().take(8).collect()
    }
}

impl fmt::Display for SigningTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = self.0;
        let (year, month, day) = time.to_calendar_date();
        let (hour, minute, second) = time.to_hms();
        write!(
            f,
            "{year:04}{:02}{day:02}T{hour:02}{minute:02}{second:02}Z",
            u8::from(month)
        )
    }
}

/// What a signing key is good for: `20150830/us-east-1/kinesisvideo/aws4_request`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialScope {
    /// The date, `YYYYMMDD`.
    pub date: String,
    /// The region, such as `us-west-2`.
    pub region: String,
    /// The service, such as [`SERVICE`](crate::SERVICE).
    pub service: String,
}

impl CredentialScope {
    /// Splits the `Credential` of an authorization into the access key id and the scope.
    pub fn parse_credential(credential: &str) -> Option<(&str, Self)> {
        let mut parts = credential.rsplitn(5, '/');
        let (terminator, service) = (parts.next()?, parts.next()?);
        let (region, date, access_key_id) = (parts.next()?, parts.next()?, parts.next()?);
        if terminator != TERMINATOR || access_key_id.is_empty() {
            return None;
        }
        let scope = Self {
            date: date.to_owned(),
            region: region.to_owned(),
            service: service.to_owned(),
        };
        Some((access_key_id, scope))
    }
}

impl fmt::Display for CredentialScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}/{TERMINATOR}", self.date, self.region, self.service)
    }
}

/// The first step: a request in the one form both sides agree on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CanonicalRequest(Vec<u8>);

impl CanonicalRequest {
    /// Builds the canonical form of a request as it was received.
    ///
    /// `target` is the origin form of the request line (`/path?query`), still percent-encoded;
    /// `signed_headers` is the client's own list in the client's own order (`host;x-amz-date`). A signed
    /// header that the request doesn't have is the error, by its name. `X-Amz-Signature` is left out of the
    /// query, as presigned requests need it.
    pub fn new<'a>(
        method: &str,
        target: &str,
        headers: &HeaderMap,
        signed_headers: &'a str,
        payload_hash: &str,
    ) -> Result<Self, &'a str> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut text = Vec::with_capacity(512);
        text.extend_from_slice(method.as_bytes());
        text.push(b'\n');
        text.extend_from_slice(canonical_path(path).as_bytes());
        text.push(b'\n');
        text.extend_from_slice(canonical_query(query).as_bytes());
        text.push(b'\n');
        for name in signed_headers.split(';') {
            push_header(&mut text, headers, name).ok_or(name)?;
        }
        text.push(b'\n');
        text.extend_from_slice(signed_headers.as_bytes());
        text.push(b'\n');
        text.extend_from_slice(payload_hash.as_bytes());
        Ok(Self(text))
    }

    /// The text that is hashed. It contains a session token where one was signed.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The second step: the string that is signed.
    pub fn string_to_sign(&self, at: SigningTime, scope: &CredentialScope) -> String {
        format!("{ALGORITHM}\n{at}\n{scope}\n{}", sha256_hex(&self.0))
    }
}

/// The last step: the signature of a string to sign, in hexadecimal. The scope's date must be that of `at`.
pub fn signature(secret: &Secret, at: SigningTime, scope: &CredentialScope, string_to_sign: &str) -> String {
    let key = v4::generate_signing_key(secret.expose(), at.system_time(), &scope.region, &scope.service);
    v4::calculate_signature(key, string_to_sign.as_bytes())
}

/// The SHA-256 of some bytes, in lower-case hexadecimal.
pub fn sha256_hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digest = Sha256::digest(bytes);
    digest
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|digit| char::from(DIGITS[usize::from(digit)]))
        .collect()
}

/// Removes dot segments and empty segments, then encodes once more what is already encoded: every service but
/// S3 signs the path this way.
fn canonical_path(path: &str) -> String {
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            other => segments.push(other),
        }
    }
    let is_directory = matches!(path.rsplit('/').next(), Some("" | "." | ".."));
    let mut normal = String::with_capacity(path.len() + 1);
    for segment in &segments {
        normal.push('/');
        normal.push_str(segment);
    }
    if segments.is_empty() || is_directory {
        normal.push('/');
    }
    percent_encode(normal.as_bytes(), RESERVED_IN_PATH).to_string()
}

/// Parameters sorted by encoded name, then by encoded value, each with an `=`.
fn canonical_query(query: &str) -> String {
    let mut parameters: Vec<String> = query_parameters(query)
        .filter(|(name, _)| name != b"X-Amz-Signature")
        .map(|(name, value)| {
            // A tab sorts before every character that can occur, so one string orders by name and then by
            // value.
            format!(
                "{}\t{}",
                percent_encode(&name, RESERVED),
                percent_encode(&value, RESERVED)
            )
        })
        .collect();
    parameters.sort_unstable();
    parameters.join("&").replace('\t', "=")
}

/// The decoded parameters of a query, in order.
pub(crate) fn query_parameters(query: &str) -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> + '_ {
    query.split('&').filter(|part| !part.is_empty()).map(|part| {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        (decode(name), decode(value))
    })
}

fn decode(text: &str) -> Vec<u8> {
    let spaced = text.replace('+', " ");
    percent_decode(spaced.as_bytes()).collect()
}

/// Appends `name:value[,value…]\n`; `None` if the request has no such header.
fn push_header(text: &mut Vec<u8>, headers: &HeaderMap, name: &str) -> Option<()> {
    let mut values = headers.get_all(name).iter().peekable();
    values.peek()?;
    text.extend_from_slice(name.to_ascii_lowercase().as_bytes());
    text.push(b':');
    while let Some(value) = values.next() {
        push_trimmed(text, value.as_bytes());
        if values.peek().is_some() {
            text.push(b',');
        }
    }
    text.push(b'\n');
    Some(())
}

/// Appends a value without outer spaces and with each run of inner spaces made one.
fn push_trimmed(text: &mut Vec<u8>, value: &[u8]) {
    let words = value.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
    for (index, word) in words.enumerate() {
        if index > 0 {
            text.push(b' ');
        }
        text.extend_from_slice(word);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lose_dot_segments_and_are_encoded_once_more() {
        for (path, canonical) in [
            ("", "/"),
            ("/", "/"),
            ("/putMedia", "/putMedia"),
            ("//a//b", "/a/b"),
            ("/a/./b/../c", "/a/c"),
            ("/a/b/..", "/a/"),
            ("/../a", "/a"),
            ("/a%20b", "/a%2520b"),
        ] {
            assert_eq!(canonical_path(path), canonical, "{path}");
        }
    }

    #[test]
    fn queries_are_decoded_encoded_and_sorted_by_name_then_value() {
        for (query, canonical) in [
            ("", ""),
            ("b=2&a=1", "a=1&b=2"),
            ("a-b=1&a=2", "a=2&a-b=1"),
            ("a=2&a=1", "a=1&a=2"),
            ("flag", "flag="),
            ("q=x%20y&r=a+b", "q=x%20y&r=a%20b"),
            ("k=%c3%a9~", "k=%C3%A9~"),
            ("X-Amz-Signature=00&X-Amz-Date=1", "X-Amz-Date=1"),
        ] {
            assert_eq!(canonical_query(query), canonical, "{query}");
        }
    }

    #[test]
    fn signing_times_survive_a_round_trip() {
        let time = SigningTime::parse("20150830T123600Z").expect("parses");

        assert_eq!(time.to_string(), "20150830T123600Z");
        assert_eq!(time.date(), "20150830");
        assert_eq!(SigningTime::new(time.system_time()), Some(time));
    }

    #[test]
    fn malformed_times_are_refused() {
        for text in [
            "",
            "20150830",
            "2015-08-30T12:36:00Z",
            "20151330T123600Z",
            "20150830T123600",
            "20150830T256000Z",
        ] {
            assert_eq!(SigningTime::parse(text), None, "{text}");
        }
    }

    #[test]
    fn an_access_key_id_may_hold_slashes() {
        let (id, scope) =
            CredentialScope::parse_credential("a/b/20150830/us-east-1/kinesisvideo/aws4_request")
                .expect("parses");

        assert_eq!(id, "a/b");
        assert_eq!(scope.to_string(), "20150830/us-east-1/kinesisvideo/aws4_request");
    }

    #[test]
    fn scopes_without_all_parts_are_refused() {
        for credential in [
            "",
            "id",
            "id/20150830/us-east-1/kinesisvideo/other",
            "/d/r/s/aws4_request",
            "r/s/aws4_request",
        ] {
            assert_eq!(
                CredentialScope::parse_credential(credential),
                None,
                "{credential}"
            );
        }
    }
}
