//! ACKs out of a byte stream.

use std::{error::Error, fmt};

use bytes::{Buf, BytesMut};
use serde::{Deserialize, Deserializer, de::IgnoredAny};
use serde_json::Value;

use super::{Ack, AckError, AckEvent};

/// The longest object taken for an ACK. Real ones are below 300 bytes; the room is for members to come.
const MAX_OBJECT: usize = 16 * 1024;

/// What was wrong with an ACK.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AckDecodeErrorKind {
    /// Something else than an object stands between objects.
    NotAnObject,
    /// The object isn't JSON, or a member has a type it can't have.
    Malformed,
    /// The object has no `EventType`.
    MissingEventType,
    /// The object is longer than 16 KiB.
    TooLong,
}

/// Bytes that are no ACK. The decoder has passed over them and can go on.
#[derive(Debug)]
pub struct AckDecodeError {
    kind: AckDecodeErrorKind,
    offset: u64,
    source: Option<serde_json::Error>,
}

impl AckDecodeError {
    /// What was wrong.
    pub fn kind(&self) -> AckDecodeErrorKind {
        self.kind
    }

    /// Where in the response body the offending bytes began.
    pub fn offset(&self) -> u64 {
        self.offset
    }
}

impl fmt::Display for AckDecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self.kind {
            AckDecodeErrorKind::NotAnObject => "no json object",
            AckDecodeErrorKind::Malformed => "malformed ack",
            AckDecodeErrorKind::MissingEventType => "ack without EventType",
            AckDecodeErrorKind::TooLong => "ack longer than 16 KiB",
        };
        write!(f, "{text} at byte {} of the response", self.offset)
    }
}

impl Error for AckDecodeError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source
            .as_ref()
            .map(|source| source as &(dyn Error + 'static))
    }
}

/// Decodes ACKs from bytes in any split: several objects in one piece, one object in many, with or without
/// white space between them, flat or nested under `Acknowledgement`, with members of any kind that it doesn't
/// know.
///
/// At most 16 KiB plus what was pushed and not yet polled are held. An object that can't be read is reported
/// once and passed over.
///
/// ```
/// use kvs_client::{AckDecoder, AckEvent};
///
/// let mut decoder = AckDecoder::new();
/// decoder.push(br#"{"EventType":"RECEI"#);
/// assert!(decoder.poll()?.is_none());
/// decoder.push(br#"VED","FragmentTimecode":40}"#);
/// let ack = decoder.poll()?.expect("complete");
/// assert_eq!((ack.event, ack.timecode), (AckEvent::Received, Some(40)));
/// # Ok::<(), kvs_client::AckDecodeError>(())
/// ```
#[derive(Debug, Default)]
pub struct AckDecoder {
    /// What was pushed and not yet consumed.
    buffer: BytesMut,
    /// How far into the buffer the current object has been scanned.
    scanned: usize,
    /// Where the buffer begins in the body.
    offset: u64,
    scan: Scan,
}

/// Where in the text the scan stands.
#[derive(Debug, Default, Clone, Copy)]
struct Scan {
    /// Open braces and brackets.
    depth: u32,
    in_string: bool,
    escaped: bool,
    /// The object was too long and has been reported; its rest is passed over.
    discarding: bool,
    /// Stray bytes have been reported; more of them are passed over silently.
    astray: bool,
}

impl AckDecoder {
    /// A decoder at the start of a body.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds bytes as they came.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// True if nothing but white space is left: the body may end here.
    pub fn is_empty(&self) -> bool {
        self.scan.depth == 0 && self.buffer.iter().all(u8::is_ascii_whitespace)
    }

    /// The next complete ACK, or `None` until more bytes are pushed.
    ///
    /// # Errors
    ///
    /// [`AckDecodeError`] for bytes that are no ACK; the next call goes on after them.
    pub fn poll(&mut self) -> Result<Option<Ack>, AckDecodeError> {
        loop {
            if self.scan.depth == 0 && !self.find_object()? {
                return Ok(None);
            }
            if !self.find_end()? {
                return Ok(None);
            }
            let discarding = self.scan.discarding;
            self.scan = Scan::default();
            if !discarding {
                return self.take_object().map(Some);
            }
            self.consume(self.scanned);
        }
    }

    /// Consumes what stands between objects, up to and including nothing of the next one.
    fn find_object(&mut self) -> Result<bool, AckDecodeError> {
        let between = |byte: &u8| byte.is_ascii_whitespace() || *byte == b',';
        let start = self
            .buffer
            .iter()
            .position(|byte| !between(byte))
            .unwrap_or(self.buffer.len());
        self.consume(start);
        match self.buffer.first() {
            None => Ok(false),
            Some(b'{') => {
                self.scan.astray = false;
                Ok(true)
            }
            Some(_) => {
                let error = self.error(AckDecodeErrorKind::NotAnObject);
                let next = self
                    .buffer
                    .iter()
                    .position(|byte| *byte == b'{')
                    .unwrap_or(self.buffer.len());
                self.consume(next);
                if std::mem::replace(&mut self.scan.astray, true) {
                    return self.find_object();
                }
                Err(error)
            }
        }
    }

    /// Scans on to the end of the object; false if it hasn't come yet.
    fn find_end(&mut self) -> Result<bool, AckDecodeError> {
        while let Some(byte) = self.buffer.get(self.scanned) {
            let ended = self.scan.step(*byte);
            self.scanned += 1;
            if ended {
                return Ok(true);
            }
            if self.scanned >= MAX_OBJECT {
                self.shed()?;
            }
        }
        if self.scan.discarding {
            self.consume(self.scanned);
        }
        Ok(false)
    }

    fn take_object(&mut self) -> Result<Ack, AckDecodeError> {
        let parsed = parse(&self.buffer[..self.scanned]);
        let result = parsed.map_err(|(kind, source)| AckDecodeError {
            source,
            ..self.error(kind)
        });
        self.consume(self.scanned);
        result
    }

    /// Lets go of an object that is too long: the first time with an error.
    fn shed(&mut self) -> Result<(), AckDecodeError> {
        let error = self.error(AckDecodeErrorKind::TooLong);
        self.consume(self.scanned);
        if std::mem::replace(&mut self.scan.discarding, true) {
            Ok(())
        } else {
            Err(error)
        }
    }

    fn consume(&mut self, count: usize) {
        self.buffer.advance(count);
        self.offset += count as u64;
        self.scanned = 0;
    }

    fn error(&self, kind: AckDecodeErrorKind) -> AckDecodeError {
        AckDecodeError {
            kind,
            offset: self.offset,
            source: None,
        }
    }
}

impl Scan {
    /// Takes one byte; true if it closes the object.
    fn step(&mut self, byte: u8) -> bool {
        if self.in_string {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => self.in_string = false,
                _ => {}
            }
            return false;
        }
        match byte {
            b'"' => self.in_string = true,
            b'{' | b'[' => self.depth = self.depth.saturating_add(1),
            b'}' | b']' => {
                self.depth -= 1;
                return self.depth == 0;
            }
            _ => {}
        }
        false
    }
}

/// The members we know. Unknown ones are skipped whatever they hold; a known one that comes twice is
/// malformed.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Wire {
    #[serde(default, deserialize_with = "text")]
    event_type: Option<String>,
    #[serde(default, deserialize_with = "integer")]
    fragment_timecode: Option<i64>,
    #[serde(default, deserialize_with = "text")]
    fragment_number: Option<String>,
    #[serde(default, deserialize_with = "integer")]
    error_id: Option<i64>,
    #[serde(default, deserialize_with = "text")]
    error_code: Option<String>,
    /// The form in the API reference's example; no service was seen to send it.
    acknowledgement: Option<Nested>,
}

/// A nested ACK, or something else under its name.
#[derive(Deserialize)]
#[serde(untagged)]
enum Nested {
    Ack(Box<Wire>),
    Other(IgnoredAny),
}

fn parse(object: &[u8]) -> Result<Ack, (AckDecodeErrorKind, Option<serde_json::Error>)> {
    let wire: Wire =
        serde_json::from_slice(object).map_err(|source| (AckDecodeErrorKind::Malformed, Some(source)))?;
    let wire = match wire.acknowledgement {
        Some(Nested::Ack(nested)) if wire.event_type.is_none() => *nested,
        _ => wire,
    };
    let event = wire
        .event_type
        .as_deref()
        .ok_or((AckDecodeErrorKind::MissingEventType, None))?
        .into();
    let id = wire.error_id.and_then(|id| u32::try_from(id).ok());
    let error = (event == AckEvent::Error || id.is_some() || wire.error_code.is_some()).then_some(AckError {
        id,
        code: wire.error_code,
    });
    Ok(Ack {
        event,
        timecode: wire.fragment_timecode,
        fragment_number: wire.fragment_number,
        error,
    })
}

/// A string, or a number where one expects digits.
fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::String(text) => Some(text),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    })
}

/// An integer, also as a string of digits or with a fraction of zero.
fn integer<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::Number(number) => number.as_i64().or_else(|| number.as_f64().and_then(whole)),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    })
}

/// A float that is an integer and that an `i64` holds exactly.
fn whole(number: f64) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0; // 2^53
    (number.fract() == 0.0 && number.abs() <= EXACT).then_some(number as i64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::AckErrorCode;

    fn decode(pieces: &[&[u8]]) -> Vec<Result<Ack, AckDecodeErrorKind>> {
        let mut decoder = AckDecoder::new();
        let mut results = Vec::new();
        for piece in pieces {
            decoder.push(piece);
            loop {
                match decoder.poll() {
                    Ok(Some(ack)) => results.push(Ok(ack)),
                    Ok(None) => break,
                    Err(error) => results.push(Err(error.kind())),
                }
            }
        }
        results
    }

    fn decode_one(text: &str) -> Ack {
        let mut results = decode(&[text.as_bytes()]);
        assert_eq!(results.len(), 1, "{results:?}");
        results.remove(0).expect("decodes")
    }

    #[test]
    fn flat_and_nested_forms_are_the_same() {
        let flat = decode_one(r#"{"EventType":"RECEIVED","FragmentTimecode":12,"FragmentNumber":"123"}"#);
        let nested = decode_one(
            r#"{ "Acknowledgement" : {"EventType":"RECEIVED","FragmentTimecode":12,"FragmentNumber":"123"} }"#,
        );

        assert_eq!(
            flat,
            Ack::new(AckEvent::Received).timecode(12).fragment_number("123")
        );
        assert_eq!(nested, flat);
    }

    #[test]
    fn an_error_carries_its_code() {
        let ack = decode_one(r#"{"EventType":"ERROR","FragmentTimecode":12,"ErrorId":4004,"ErrorCode":"X"}"#);

        let error = ack.error.expect("has an error");
        assert_eq!(
            error.known(),
            Some(AckErrorCode::FragmentTimecodeLesserThanPrevious)
        );
    }

    #[test]
    fn an_error_without_number_is_known_by_its_name() {
        let ack = decode_one(r#"{"EventType":"ERROR","ErrorCode":"MIN_FRAGMENT_DURATION_REACHED"}"#);

        assert_eq!(
            ack.error.and_then(|error| error.known()),
            Some(AckErrorCode::MinFragmentDurationReached)
        );
    }

    #[test]
    fn an_error_without_any_code_is_still_an_error() {
        assert_eq!(
            decode_one(r#"{"EventType":"ERROR"}"#).error,
            Some(AckError { id: None, code: None })
        );
    }

    #[test]
    fn idle_may_come_without_a_timecode() {
        assert_eq!(decode_one(r#"{"EventType":"IDLE"}"#), Ack::new(AckEvent::Idle));
    }

    #[test]
    fn unknown_events_members_and_nested_values_are_kept_or_skipped() {
        let ack = decode_one(
            r#"{"New":{"a":[1,{"b":"}\"{"}],"EventType":"no"},"EventType":"ARCHIVED","List":[[]],"FragmentTimecode":7,"T":true,"N":null}"#,
        );

        assert_eq!(ack, Ack::new(AckEvent::Unknown("ARCHIVED".into())).timecode(7));
    }

    #[test]
    fn escapes_in_strings_and_names_are_resolved() {
        let ack = decode_one(r#"{"Event\u0054ype":"PERSI\u0053TED","FragmentNumber":"1\\2\"}"}"#);

        assert_eq!(ack, Ack::new(AckEvent::Persisted).fragment_number("1\\2\"}"));
    }

    #[test]
    fn numbers_may_be_strings_and_strings_numbers() {
        let ack = decode_one(
            r#"{"EventType":"ERROR","FragmentTimecode":"12","FragmentNumber":34,"ErrorId":"4006"}"#,
        );

        assert_eq!(
            (ack.timecode, ack.fragment_number.as_deref()),
            (Some(12), Some("34"))
        );
        assert_eq!(ack.error.and_then(|error| error.id), Some(4006));
    }

    #[test]
    fn glued_and_spaced_acks_are_told_apart() {
        let text = b"\r\n {\"EventType\":\"IDLE\"}{\"EventType\":\"IDLE\"}\n\n\t{\"EventType\":\"IDLE\"}, {\"EventType\":\"IDLE\"}";

        assert_eq!(decode(&[text]), vec![Ok(Ack::new(AckEvent::Idle)); 4]);
    }

    #[test]
    fn a_bad_object_is_reported_once_and_the_next_one_is_read() {
        for bad in [
            r#"{"EventType":}"#,
            r#"{"EventType":"IDLE","EventType":"IDLE"}"#,
            "{]",
            r#"{"a":1]"#,
        ] {
            let results = decode(&[bad.as_bytes(), br#"{"EventType":"IDLE"}"#]);

            assert_eq!(
                results,
                [Err(AckDecodeErrorKind::Malformed), Ok(Ack::new(AckEvent::Idle))],
                "{bad}"
            );
        }
    }

    #[test]
    fn stray_bytes_are_reported_once_and_the_next_object_is_read() {
        let results = decode(&[b"<html", b"><p>", b"{\"EventType\":\"IDLE\"}"]);

        assert_eq!(
            results,
            [Err(AckDecodeErrorKind::NotAnObject), Ok(Ack::new(AckEvent::Idle))]
        );
    }

    #[test]
    fn an_object_without_event_type_is_an_error() {
        for text in [
            r#"{"FragmentTimecode":1}"#,
            r#"{"EventType":null}"#,
            r#"{"Acknowledgement":3}"#,
            "{}",
        ] {
            assert_eq!(
                decode(&[text.as_bytes()]),
                [Err(AckDecodeErrorKind::MissingEventType)],
                "{text}"
            );
        }
    }

    #[test]
    fn an_endless_object_is_reported_once_and_never_held() {
        let mut decoder = AckDecoder::new();
        decoder.push(b"{\"EventType\":\"");
        let mut errors = 0;
        for _ in 0..1000 {
            decoder.push(&[b'x'; 1000]);
            while let Err(error) = decoder.poll() {
                assert_eq!(error.kind(), AckDecodeErrorKind::TooLong);
                errors += 1;
            }
            assert!(decoder.buffer.len() <= MAX_OBJECT + 1000);
        }
        assert_eq!(errors, 1);

        decoder.push(b"\"}{\"EventType\":\"IDLE\"}");
        assert_eq!(decoder.poll().expect("decodes"), Some(Ack::new(AckEvent::Idle)));
        assert!(decoder.is_empty());
    }

    #[test]
    fn deep_nesting_is_skipped_or_refused_without_overflow() {
        let deep = format!("{}{}", "[".repeat(4000), "]".repeat(4000));

        for name in ["EventType", "Acknowledgement"] {
            let text = format!("{{\"{name}\":{deep}}}");
            assert_eq!(
                decode(&[text.as_bytes()]),
                [Err(AckDecodeErrorKind::Malformed)],
                "{name}"
            );
        }
        let unknown = format!("{{\"New\":{deep},\"EventType\":\"IDLE\"}}");
        assert_eq!(decode(&[unknown.as_bytes()]), [Ok(Ack::new(AckEvent::Idle))]);
    }

    #[test]
    fn every_documented_code_is_found_by_number_and_name() {
        for code in AckErrorCode::NUMBERED {
            assert_eq!(code.id().and_then(AckErrorCode::from_id), Some(*code));
            assert_eq!(AckErrorCode::from_name(code.name()), Some(*code));
        }
    }

    fn any_ack() -> impl Strategy<Value = Ack> {
        let event = prop_oneof![
            Just(AckEvent::Buffering),
            Just(AckEvent::Received),
            Just(AckEvent::Persisted),
            Just(AckEvent::Idle),
            "[A-Z]{1,8}\"\\PC{0,4}".prop_map(AckEvent::Unknown),
        ];
        let error = proptest::sample::select(AckErrorCode::NUMBERED).prop_map(Ack::of_error);
        let other = event.prop_map(Ack::new);
        (
            prop_oneof![other, error],
            any::<Option<i64>>(),
            proptest::option::of("[0-9]{1,128}"),
        )
            .prop_map(|(ack, timecode, fragment_number)| Ack {
                timecode,
                fragment_number,
                ..ack
            })
    }

    proptest! {
        #[test]
        fn any_split_of_any_acks_gives_the_same_acks(
            acks in proptest::collection::vec((any_ack(), any::<bool>(), "[ \r\n\t]{0,3}"), 0..8),
            cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..40),
        ) {
            let mut bytes = Vec::new();
            for (ack, nested, space) in &acks {
                let json = ack.to_json();
                let json = if *nested { format!("{{\"Acknowledgement\":{json}}}") } else { json };
                bytes.extend_from_slice(json.as_bytes());
                bytes.extend_from_slice(space.as_bytes());
            }
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|cut| &bytes[cut[0]..cut[1]]).collect();

            let decoded = decode(&pieces);

            let expected: Vec<_> = acks.into_iter().map(|(ack, ..)| Ok(ack)).collect();
            prop_assert_eq!(decoded, expected);
        }

        #[test]
        fn no_bytes_make_the_decoder_panic_or_hoard(
            pieces in proptest::collection::vec(
                prop_oneof![
                    proptest::collection::vec(any::<u8>(), 0..64),
                    proptest::collection::vec(proptest::sample::select(&b"{}[]\":,\\ E\n"[..]), 0..64),
                ],
                0..32,
            ),
        ) {
            let mut decoder = AckDecoder::new();
            for piece in &pieces {
                decoder.push(piece);
                while !matches!(decoder.poll(), Ok(None)) {}
                prop_assert!(decoder.buffer.len() <= MAX_OBJECT);
            }
        }
    }
}
