//! The keys of opaque blobs, narrow enough to be file names anywhere.

use crate::{StoreError, StoreErrorKind};

/// Longest key in characters.
const MAX_KEY_LEN: usize = 64;

/// Checks a key against the limits that [`ContentStore::put_blob`](crate::ContentStore::put_blob) documents.
pub(crate) fn check(key: &str) -> Result<(), StoreError> {
    let starts_well = key.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.');
    if starts_well && key.len() <= MAX_KEY_LEN && key.chars().all(allowed) {
        return Ok(());
    }
    Err(StoreError::new(StoreErrorKind::InvalidArgument).with_detail(format!(
        "blob key {key:?} must be 1 to {MAX_KEY_LEN} characters of a-z, 0-9, '-', '_', '.', starting with a letter or digit"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_could_leave_the_directory_or_collide_are_refused() {
        for key in ["", ".", "..", "a/b", "A", "-x", "ä", &"k".repeat(65)] {
            assert_eq!(
                check(key).unwrap_err().kind(),
                StoreErrorKind::InvalidArgument,
                "{key:?}"
            );
        }
        for key in ["tracks", "tracks.17", "0", &"k".repeat(64)] {
            check(key).unwrap();
        }
    }
}
