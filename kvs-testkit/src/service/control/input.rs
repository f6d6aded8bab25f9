//! Reading and checking the members of a request.

use std::collections::BTreeMap;

use kvs_mkv::Timestamp;
use serde_json::{Map, Value};

use crate::service::{ServiceError, ServiceErrorKind, StreamSelector};

/// The JSON object a request carries.
pub(super) struct Input {
    members: Map<String, Value>,
}

/// What a text member has to look like; the patterns are those of the API reference.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shape {
    /// `[a-zA-Z0-9_.-]+`
    Name,
    /// `[a-zA-Z0-9]+`
    Alphanumeric,
    /// `[\w\-\.\+]+/[\w\-\.\+]+(,[\w\-\.\+]+/[\w\-\.\+]+)*`
    MediaType,
    /// `^([\p{L}\p{Z}\p{N}_.:/=+\-@]*)$`
    Tag,
    /// `[a-zA-Z0-9+/=]*`
    Token,
    /// `[a-zA-Z0-9_\.\-]+`
    ContinuationToken,
    /// `[0-9]+`
    Digits,
    /// `arn:…:<service>:<region>:<account>:<kind><name>`, where the kind ends in its separator.
    ForeignArn {
        service: &'static str,
        kind: &'static str,
    },
    /// `^[a-zA-Z_0-9]+:(//)?([^/]+)/?([^*]*)$`
    DestinationUri,
    /// Any characters.
    Any,
}

impl Shape {
    fn fits(self, text: &str) -> bool {
        let all = |allowed: fn(char) -> bool| text.chars().all(allowed);
        match self {
            Shape::Name | Shape::ContinuationToken => {
                all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'))
            }
            Shape::Alphanumeric => all(|c| c.is_ascii_alphanumeric()),
            Shape::MediaType => text.split(',').all(is_media_type),
            Shape::Tag => all(|c| {
                c.is_alphabetic()
                    || c.is_numeric()
                    // Of the separators (\p{Z}) the blank and its wide relatives are white space, line feeds and
                    // tabs are control characters.
                    || (c.is_whitespace() && !c.is_control())
                    || matches!(c, '_' | '.' | ':' | '/' | '=' | '+' | '-' | '@')
            }),
            Shape::Token => all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=')),
            Shape::Digits => all(|c| c.is_ascii_digit()),
            Shape::ForeignArn { service, kind } => is_foreign_arn(text, service, kind),
            Shape::DestinationUri => is_destination(text),
            Shape::Any => true,
        }
    }

    fn pattern(self) -> &'static str {
        match self {
            Shape::Name => "[a-zA-Z0-9_.-]+",
            Shape::Alphanumeric => "[a-zA-Z0-9]+",
            Shape::MediaType => r"[\w\-\.\+]+/[\w\-\.\+]+(,[\w\-\.\+]+/[\w\-\.\+]+)*",
            Shape::Tag => r"^([\p{L}\p{Z}\p{N}_.:/=+\-@]*)$",
            Shape::Token => "[a-zA-Z0-9+/=]*",
            Shape::ContinuationToken => r"[a-zA-Z0-9_\.\-]+",
            Shape::Digits => "^[0-9]+$",
            Shape::ForeignArn { .. } => r"arn:[a-z\d-]+:[a-z]+:[a-z0-9-]+:[0-9]+:[a-z]+[:/][a-zA-Z0-9_.-]+",
            Shape::DestinationUri => "^[a-zA-Z_0-9]+:(//)?([^/]+)/?([^*]*)$",
            Shape::Any => ".*",
        }
    }
}

fn is_media_type(text: &str) -> bool {
    let part = |part: &str| {
        !part.is_empty()
            && part
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '+'))
    };
    text.split_once('/')
        .is_some_and(|(kind, subtype)| part(kind) && part(subtype))
}

/// `arn:[a-z\d-]+:<service>:[a-z0-9-]+:[0-9]+:<kind>[a-zA-Z0-9_.-]+`
fn is_foreign_arn(text: &str, service: &str, kind: &str) -> bool {
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    let [arn, partition, named_service, region, account, resource] = parts[..] else {
        return false;
    };
    let name = resource.strip_prefix(kind).unwrap_or_default();
    arn == "arn"
        && named_service == service
        && !partition.is_empty()
        && !region.is_empty()
        && !account.is_empty()
        && account.bytes().all(|byte| byte.is_ascii_digit())
        && !name.is_empty()
        && Shape::Name.fits(name)
}

/// A scheme, a bucket or topic, and a path without `*`.
fn is_destination(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else {
        return false;
    };
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    let (place, path) = rest.split_once('/').unwrap_or((rest, ""));
    !scheme.is_empty()
        && scheme
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && !place.is_empty()
        && !path.contains('*')
}

/// `arn:[a-z\d-]+:kinesisvideo:[a-z0-9-]+:[0-9]+:[a-z]+/[a-zA-Z0-9_.-]+/[0-9]+`
fn is_arn(text: &str) -> bool {
    let lower = |t: &str| {
        !t.is_empty()
            && t.chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
    };
    let digits = |t: &str| !t.is_empty() && t.chars().all(|c| c.is_ascii_digit());
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    let [arn, partition, service, region, account, resource] = parts[..] else {
        return false;
    };
    let resource: Vec<&str> = resource.split('/').collect();
    let [kind, name, created] = resource[..] else {
        return false;
    };
    arn == "arn"
        && lower(partition)
        && service == "kinesisvideo"
        && lower(region)
        && digits(account)
        && !kind.is_empty()
        && kind.chars().all(|c| c.is_ascii_lowercase())
        && !name.is_empty()
        && Shape::Name.fits(name)
        && digits(created)
}

pub(super) fn violated(member: &str, value: &str, constraint: &str) -> ServiceError {
    let shown: String = value.chars().take(300).collect();
    ServiceError::invalid(format!(
        "1 validation error detected: Value '{shown}' at '{member}' failed to satisfy constraint: {constraint}"
    ))
}

fn wrong_type(member: &str, wanted: &str) -> ServiceError {
    ServiceError::new(
        ServiceErrorKind::Serialization,
        format!("{member} is not {wanted}"),
    )
}

impl Input {
    pub(super) fn parse(body: &[u8]) -> Result<Input, ServiceError> {
        if body.iter().all(u8::is_ascii_whitespace) {
            // SDKs leave the body of an operation without set members empty.
            return Ok(Input { members: Map::new() });
        }
        match serde_json::from_slice(body) {
            Ok(Value::Object(members)) => Ok(Input { members }),
            Ok(_) => Err(ServiceError::new(
                ServiceErrorKind::Serialization,
                "the body is not a JSON object",
            )),
            Err(error) => Err(ServiceError::new(
                ServiceErrorKind::Serialization,
                format!("the body is not JSON: {error}"),
            )),
        }
    }

    fn from_value(name: &str, value: &Value) -> Result<Input, ServiceError> {
        match value {
            Value::Object(members) => Ok(Input {
                members: members.clone(),
            }),
            _ => Err(wrong_type(name, "an object")),
        }
    }

    fn value(&self, name: &str) -> Option<&Value> {
        self.members.get(name).filter(|value| !value.is_null())
    }

    /// A text member of so many characters and of a shape.
    pub(super) fn text(
        &self,
        name: &str,
        length: std::ops::RangeInclusive<usize>,
        shape: Shape,
    ) -> Result<Option<&str>, ServiceError> {
        let Some(value) = self.value(name) else {
            return Ok(None);
        };
        let text = value.as_str().ok_or_else(|| wrong_type(name, "a string"))?;
        check_text(name, text, length, shape)?;
        Ok(Some(text))
    }

    /// One of a few words.
    pub(super) fn word<'a>(&self, name: &str, words: &'a [&'a str]) -> Result<Option<&'a str>, ServiceError> {
        let Some(text) = self.text(name, 0..=usize::MAX, Shape::Any)? else {
            return Ok(None);
        };
        let word = words.iter().find(|word| **word == text);
        let constraint = || format!("Member must satisfy enum value set: [{}]", words.join(", "));
        word.copied()
            .map(Some)
            .ok_or_else(|| violated(name, text, &constraint()))
    }

    /// A whole number within limits.
    pub(super) fn number(
        &self,
        name: &str,
        range: std::ops::RangeInclusive<i64>,
    ) -> Result<Option<i64>, ServiceError> {
        let Some(value) = self.value(name) else {
            return Ok(None);
        };
        let number = value.as_i64().ok_or_else(|| wrong_type(name, "an integer"))?;
        if number < *range.start() {
            let constraint = format!(
                "Member must have value greater than or equal to {}",
                range.start()
            );
            return Err(violated(name, &number.to_string(), &constraint));
        }
        if number > *range.end() {
            let constraint = format!("Member must have value less than or equal to {}", range.end());
            return Err(violated(name, &number.to_string(), &constraint));
        }
        Ok(Some(number))
    }

    /// A time: epoch seconds, maybe with a fraction.
    pub(super) fn time(&self, name: &str) -> Result<Option<Timestamp>, ServiceError> {
        let Some(value) = self.value(name) else {
            return Ok(None);
        };
        if let Some(seconds) = value.as_i64() {
            let nanos = seconds.checked_mul(1_000_000_000);
            let nanos = nanos.ok_or_else(|| violated(name, &seconds.to_string(), "Member must be a time"))?;
            return Ok(Some(Timestamp::from_nanos(nanos)));
        }
        let seconds = value.as_f64().filter(|seconds| seconds.abs() < 9e9);
        let seconds = seconds.ok_or_else(|| wrong_type(name, "a timestamp"))?;
        // Milliseconds are what the service keeps; a double holds them exactly enough.
        Ok(Some(Timestamp::from_millis((seconds * 1e3).round() as i64)))
    }

    /// An object member.
    pub(super) fn object(&self, name: &str) -> Result<Option<Input>, ServiceError> {
        self.value(name)
            .map(|value| Input::from_value(name, value))
            .transpose()
    }

    /// A list of objects.
    pub(super) fn objects(
        &self,
        name: &str,
        count: std::ops::RangeInclusive<usize>,
    ) -> Result<Option<Vec<Input>>, ServiceError> {
        let Some(value) = self.value(name) else {
            return Ok(None);
        };
        let list = value.as_array().ok_or_else(|| wrong_type(name, "a list"))?;
        check_count(name, list.len(), &count)?;
        list.iter()
            .map(|value| Input::from_value(name, value))
            .collect::<Result<_, _>>()
            .map(Some)
    }

    /// A yes or no.
    pub(super) fn flag(&self, name: &str) -> Result<Option<bool>, ServiceError> {
        let Some(value) = self.value(name) else {
            return Ok(None);
        };
        value
            .as_bool()
            .map(Some)
            .ok_or_else(|| wrong_type(name, "a boolean"))
    }

    /// The names of the members that are set.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.members.keys().map(String::as_str)
    }

    /// All of it, to be kept as it is.
    pub(super) fn to_value(&self) -> Value {
        Value::Object(self.members.clone())
    }

    /// A list of texts.
    pub(super) fn texts(
        &self,
        name: &str,
        count: std::ops::RangeInclusive<usize>,
        length: std::ops::RangeInclusive<usize>,
        shape: Shape,
    ) -> Result<Option<Vec<&str>>, ServiceError> {
        let Some(value) = self.value(name) else {
            return Ok(None);
        };
        let list = value.as_array().ok_or_else(|| wrong_type(name, "a list"))?;
        check_count(name, list.len(), &count)?;
        let mut texts = Vec::with_capacity(list.len());
        for value in list {
            let text = value
                .as_str()
                .ok_or_else(|| wrong_type(name, "a list of strings"))?;
            check_text(name, text, length.clone(), shape)?;
            texts.push(text);
        }
        Ok(Some(texts))
    }

    /// A map of tags: 1 to 50, keys of 1 to 128 and values of 0 to 256 characters.
    pub(super) fn tags(&self, name: &str) -> Result<Option<BTreeMap<String, String>>, ServiceError> {
        let Some(value) = self.value(name) else {
            return Ok(None);
        };
        let map = value.as_object().ok_or_else(|| wrong_type(name, "a map"))?;
        check_count(name, map.len(), &(1..=50))?;
        let mut tags = BTreeMap::new();
        for (key, value) in map {
            let value = value
                .as_str()
                .ok_or_else(|| wrong_type(name, "a map of strings"))?;
            check_text(name, key, 1..=128, Shape::Tag)?;
            check_text(name, value, 0..=256, Shape::Tag)?;
            tags.insert(key.clone(), value.to_owned());
        }
        Ok(Some(tags))
    }

    /// The stream: by name or by ARN, one of which must be given.
    pub(super) fn stream(&self) -> Result<StreamSelector, ServiceError> {
        let name = self.text("StreamName", 1..=256, Shape::Name)?;
        let arn = self.arn("StreamARN")?;
        match (name, arn) {
            (_, Some(arn)) => Ok(StreamSelector::Arn(arn.to_owned())),
            (Some(name), None) => Ok(StreamSelector::Name(name.to_owned())),
            (None, None) => Err(ServiceError::invalid(
                "either StreamName or StreamARN must be given",
            )),
        }
    }

    /// An ARN of the service.
    pub(super) fn arn(&self, name: &str) -> Result<Option<&str>, ServiceError> {
        let Some(text) = self.text(name, 1..=1_024, Shape::Any)? else {
            return Ok(None);
        };
        if is_arn(text) {
            return Ok(Some(text));
        }
        let pattern = r"arn:[a-z\d-]+:kinesisvideo:[a-z0-9-]+:[0-9]+:[a-z]+/[a-zA-Z0-9_.-]+/[0-9]+";
        Err(violated(
            name,
            text,
            &format!("Member must satisfy regular expression pattern: {pattern}"),
        ))
    }
}

fn check_text(
    name: &str,
    text: &str,
    length: std::ops::RangeInclusive<usize>,
    shape: Shape,
) -> Result<(), ServiceError> {
    let chars = text.chars().count();
    if chars < *length.start() {
        let constraint = format!(
            "Member must have length greater than or equal to {}",
            length.start()
        );
        return Err(violated(name, text, &constraint));
    }
    if chars > *length.end() {
        let constraint = format!("Member must have length less than or equal to {}", length.end());
        return Err(violated(name, text, &constraint));
    }
    if !shape.fits(text) {
        let constraint = format!(
            "Member must satisfy regular expression pattern: {}",
            shape.pattern()
        );
        return Err(violated(name, text, &constraint));
    }
    Ok(())
}

fn check_count(
    name: &str,
    count: usize,
    allowed: &std::ops::RangeInclusive<usize>,
) -> Result<(), ServiceError> {
    if allowed.contains(&count) {
        return Ok(());
    }
    let constraint = format!(
        "Member must have between {} and {} entries",
        allowed.start(),
        allowed.end()
    );
    Err(violated(name, &format!("{count} entries"), &constraint))
}

/// A member that has to be there.
pub(super) fn required<T>(name: &str, value: Option<T>) -> Result<T, ServiceError> {
    value.ok_or_else(|| violated(name, "null", "Member must not be null"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(value: &serde_json::Value) -> Input {
        Input::parse(value.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn stream_names_keep_to_their_letters_and_length() {
        let name = |text: &str| input(&serde_json::json!({ "StreamName": text })).stream();
        assert!(name("front-door_1.a").is_ok());
        assert!(name(&"n".repeat(256)).is_ok());
        for wrong in ["", "a b", "a/b", "ä", &"n".repeat(257)] {
            let error = name(wrong).unwrap_err();
            assert_eq!(error.type_name(), "InvalidArgumentException", "{wrong:?}");
        }
    }

    #[test]
    fn arns_have_the_form_of_the_service() {
        assert!(is_arn(
            "arn:aws:kinesisvideo:us-west-2:123456789012:stream/cam/1500000000000"
        ));
        for wrong in [
            "arn:aws:kinesis:us-west-2:123456789012:stream/cam/1500000000000",
            "arn:aws:kinesisvideo:us-west-2:123456789012:stream/cam",
            "arn:aws:kinesisvideo:us-west-2:account:stream/cam/1500000000000",
            "",
        ] {
            assert!(!is_arn(wrong), "{wrong:?}");
        }
    }

    #[test]
    fn a_body_that_is_no_object_is_a_serialization_error() {
        for body in ["[]", "1", "{", "\u{0}"] {
            let error = Input::parse(body.as_bytes()).err().unwrap();
            assert_eq!(error.type_name(), "SerializationException", "{body:?}");
        }
    }

    #[test]
    fn media_types_are_lists_of_type_and_subtype() {
        assert!(Shape::MediaType.fits("video/h264,audio/aac"));
        assert!(!Shape::MediaType.fits("video"));
        assert!(!Shape::MediaType.fits("video/h264,"));
        assert!(!Shape::MediaType.fits("video/h/264"));
    }
}
