//! A string that must not be seen.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// What every rendering of a secret shows instead of it.
const REDACTED: &str = "** redacted **";

/// A secret key or session token: its `Debug`, `Display` and `Serialize` forms are redacted, comparison takes
/// the same time wherever two secrets of one length differ, and the memory is wiped on drop.
///
/// ```
/// use kvs_auth::Secret;
///
/// let secret = Secret::new("hunter2");
/// assert_eq!(secret.to_string(), "** redacted **");
/// assert_eq!(secret.expose(), "hunter2");
/// ```
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes the secret over.
    pub fn new(secret: impl Into<String>) -> Self {
        Self(Zeroizing::new(secret.into()))
    }

    /// The secret itself: the one way to see it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(REDACTED)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

impl From<String> for Secret {
    fn from(secret: String) -> Self {
        Self::new(secret)
    }
}

impl From<&str> for Secret {
    fn from(secret: &str) -> Self {
        Self::new(secret)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_rendering_shows_the_secret() {
        let secret = Secret::new("hunter2");

        let renderings = [
            format!("{secret}"),
            format!("{secret:?}"),
            serde_json::to_string(&secret).expect("serializes"),
        ];

        assert!(
            renderings.iter().all(|text| !text.contains("hunter2")),
            "{renderings:?}"
        );
    }

    #[test]
    fn equality_is_by_content() {
        assert_eq!(Secret::new("a"), Secret::new("a"));
        assert_ne!(Secret::new("a"), Secret::new("b"));
        assert_ne!(Secret::new("a"), Secret::new("aa"));
    }

    #[test]
    fn a_secret_is_read_from_configuration() {
        let secret: Secret = serde_json::from_str("\"hunter2\"").expect("deserializes");

        assert_eq!(secret.expose(), "hunter2");
    }
}
