//! Credentials as the command line and the environment give them.

use std::env;
use std::fmt;
use std::str::FromStr;

use kvs_testkit::{DEFAULT_ACCESS_KEY_ID, DEFAULT_SECRET_ACCESS_KEY};

/// An access key id and its secret.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct KeyPair {
    pub(crate) id: String,
    pub(crate) secret: String,
}

impl KeyPair {
    /// What the mock takes when nobody says otherwise.
    pub(crate) fn mock_default() -> KeyPair {
        KeyPair {
            id: DEFAULT_ACCESS_KEY_ID.into(),
            secret: DEFAULT_SECRET_ACCESS_KEY.into(),
        }
    }

    /// `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`, when both are set.
    pub(crate) fn from_environment() -> Option<KeyPair> {
        let variable = |name| env::var(name).ok().filter(|value| !value.is_empty());
        Some(KeyPair {
            id: variable("AWS_ACCESS_KEY_ID")?,
            secret: variable("AWS_SECRET_ACCESS_KEY")?,
        })
    }
}

impl FromStr for KeyPair {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<KeyPair, Self::Err> {
        match text.split_once(':') {
            Some((id, secret)) if !id.is_empty() && !secret.is_empty() => Ok(KeyPair {
                id: id.into(),
                secret: secret.into(),
            }),
            _ => Err("expected an access key id and its secret, such as AKIDEXAMPLE:secret"),
        }
    }
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyPair")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_secret_may_hold_colons() {
        let pair: KeyPair = "id:a:b".parse().unwrap();
        assert_eq!((pair.id.as_str(), pair.secret.as_str()), ("id", "a:b"));
    }

    #[test]
    fn half_a_pair_is_refused() {
        for wrong in ["", "id", "id:", ":secret"] {
            assert!(wrong.parse::<KeyPair>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_secret_is_not_printed() {
        let pair = KeyPair {
            id: "id".into(),
            secret: "hunter2".into(),
        };
        assert!(!format!("{pair:?}").contains("hunter2"));
    }
}
