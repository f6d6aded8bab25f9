//! Whose media a stream's directory holds.

use std::collections::BTreeMap;
use std::path::Path;

use super::blob;
use super::disk::Disk;
use crate::{StoreError, StoreErrorKind};

const FILE: &str = "identity";

/// Named facts about a stream that are written down when its directory is made and compared when it is opened again.
///
/// *Fixed* facts must be the same: media of one account must not end up in another. *Noted* facts may change between runs
/// (the codecs of the tracks, say); the change is reported.
///
/// ```
/// use kvs_storage::spool::StreamIdentity;
///
/// let identity = StreamIdentity::new()
///     .fixed("account", "AKIDEXAMPLE")
///     .fixed("region", "us-west-2")
///     .noted("tracks", "video:h264 audio:aac");
/// # let _ = identity;
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StreamIdentity {
    fixed: BTreeMap<String, String>,
    noted: BTreeMap<String, String>,
}

/// A noted fact that is another one now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityChange {
    /// Its name.
    pub name: String,
    /// What it was, if anything.
    pub before: Option<String>,
    /// What it is.
    pub now: Option<String>,
}

impl StreamIdentity {
    /// No facts: any directory is right.
    #[must_use]
    pub fn new() -> StreamIdentity {
        StreamIdentity::default()
    }

    /// Adds a fact that must not change.
    #[must_use]
    pub fn fixed(mut self, name: &str, value: &str) -> StreamIdentity {
        self.fixed.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Adds a fact whose change is reported.
    #[must_use]
    pub fn noted(mut self, name: &str, value: &str) -> StreamIdentity {
        self.noted.insert(name.to_owned(), value.to_owned());
        self
    }

    /// The facts that must not change, by name.
    pub fn fixed_facts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fixed
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The facts whose change is reported, by name.
    pub fn noted_facts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.noted
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    fn encode(&self) -> Vec<u8> {
        let mut text = String::new();
        let facts = self.fixed.iter().map(|fact| ("fixed", fact));
        for (kind, (name, value)) in facts.chain(self.noted.iter().map(|fact| ("noted", fact))) {
            text.push_str(&format!("{kind} {}={}\n", escape(name), escape(value)));
        }
        text.into_bytes()
    }

    fn decode(bytes: &[u8]) -> Option<StreamIdentity> {
        let mut identity = StreamIdentity::new();
        for line in std::str::from_utf8(bytes).ok()?.lines() {
            let (kind, fact) = line.split_once(' ')?;
            let (name, value) = fact.split_once('=')?;
            let facts = match kind {
                "fixed" => &mut identity.fixed,
                "noted" => &mut identity.noted,
                _ => return None,
            };
            facts.insert(unescape(name)?, unescape(value)?);
        }
        Some(identity)
    }
}

/// Keeps the separators and line ends of the file out of names and values.
fn escape(text: &str) -> String {
    text.replace('%', "%25")
        .replace('=', "%3d")
        .replace('\n', "%0a")
        .replace('\r', "%0d")
}

fn unescape(text: &str) -> Option<String> {
    let mut pieces = text.split('%');
    let mut plain = pieces.next()?.to_owned();
    for piece in pieces {
        let (code, rest) = piece.split_at_checked(2)?;
        plain.push(match code {
            "25" => '%',
            "3d" => '=',
            "0a" => '\n',
            "0d" => '\r',
            _ => return None,
        });
        plain.push_str(rest);
    }
    Some(plain)
}

/// What the directory was made for; `None` if nothing was written down.
pub(crate) fn read(disk: &dyn Disk, dir: &Path) -> Result<Option<StreamIdentity>, StoreError> {
    let Some(bytes) = blob::get_file(disk, dir, FILE)? else {
        return Ok(None);
    };
    let identity = StreamIdentity::decode(&bytes);
    let corrupt = || {
        StoreError::new(StoreErrorKind::Corrupt)
            .with_detail("identity")
            .with_path(&dir.join(FILE))
    };
    identity.map(Some).ok_or_else(corrupt)
}

/// Compares what the directory was made for with `identity`, and writes down what is new.
pub(crate) fn check(
    disk: &dyn Disk,
    dir: &Path,
    identity: &StreamIdentity,
) -> Result<Vec<IdentityChange>, StoreError> {
    let before = match read(disk, dir) {
        Ok(before) => before,
        Err(error) if error.kind() == StoreErrorKind::Corrupt => {
            // The media is worth more than the note about it.
            tracing::warn!(%error, "the note of whose media this is was damaged; it is written anew");
            None
        }
        Err(error) => return Err(error),
    };
    let Some(before) = before else {
        blob::put_file(disk, dir, FILE, &identity.encode())?;
        return Ok(Vec::new());
    };
    for (name, now) in &identity.fixed {
        match before.fixed.get(name) {
            Some(found) if found != now => {
                return Err(StoreError::new(StoreErrorKind::IdentityMismatch)
                    .with_detail(format!("{name} is {now:?}, the spool was made for {found:?}"))
                    .with_path(dir));
            }
            _ => {}
        }
    }
    let names = before
        .noted
        .keys()
        .chain(identity.noted.keys())
        .collect::<std::collections::BTreeSet<_>>();
    let changes: Vec<IdentityChange> = names
        .into_iter()
        .filter(|name| before.noted.get(*name) != identity.noted.get(*name))
        .map(|name| IdentityChange {
            name: name.clone(),
            before: before.noted.get(name).cloned(),
            now: identity.noted.get(name).cloned(),
        })
        .collect();
    if before != *identity {
        // A fixed fact that isn't named this time stays.
        let mut fixed = before.fixed;
        fixed.extend(identity.fixed.clone());
        let merged = StreamIdentity {
            fixed,
            noted: identity.noted.clone(),
        };
        blob::put_file(disk, dir, FILE, &merged.encode())?;
    }
    Ok(changes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_identity_is_read_back_as_written(facts in prop::collection::vec(("\\PC{0,9}[=%\n]?", "\\PC{0,9}[=%\r\n]?"), 0..6)) {
            let identity = facts.iter().enumerate().fold(StreamIdentity::new(), |identity, (place, (name, value))| {
                if place % 2 == 0 { identity.fixed(name, value) } else { identity.noted(name, value) }
            });
            prop_assert_eq!(StreamIdentity::decode(&identity.encode()), Some(identity));
        }
    }
}
