//! [`Tag`]: a name and a value that belong to a fragment.

use crate::error::{MkvError, MkvErrorKind};

/// Longest name of a fragment tag, in bytes (service quota).
pub const MAX_TAG_NAME: usize = 128;
/// Longest value of a fragment tag, in bytes (service quota).
pub const MAX_TAG_VALUE: usize = 256;
/// Most tags on one fragment (service quota).
pub const MAX_TAGS_PER_FRAGMENT: usize = 10;
/// The prefix of names that are the service's own.
pub const RESERVED_TAG_PREFIX: &str = "AWS";
/// The tag that closes a fragment at once instead of at the next cluster.
pub const END_OF_FRAGMENT: &str = "AWS_KINESISVIDEO_END_OF_FRAGMENT";

/// A fragment tag: what Matroska calls a SimpleTag.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Tag {
    /// Name, 1 to [`MAX_TAG_NAME`] bytes.
    pub name: String,
    /// Value, at most [`MAX_TAG_VALUE`] bytes.
    pub value: String,
}

impl Tag {
    /// A tag of the caller's own.
    ///
    /// # Errors
    /// [`MkvErrorKind::InvalidTag`] for an empty or too long name, a too long value, or a name that starts
    /// with `AWS`, which the service keeps for itself.
    ///
    /// ```
    /// use kvs_mkv::Tag;
    ///
    /// assert!(Tag::new("door", "open").is_ok());
    /// assert!(Tag::new("AWS_DOOR", "open").is_err());
    /// ```
    pub fn new(name: impl Into<String>, value: impl Into<String>) -> Result<Tag, MkvError> {
        let tag = Tag {
            name: name.into(),
            value: value.into(),
        };
        if tag.name.starts_with(RESERVED_TAG_PREFIX) {
            return Err(MkvError::new(MkvErrorKind::InvalidTag).with_detail(format!(
                "tag name {:?} starts with {RESERVED_TAG_PREFIX}",
                tag.name
            )));
        }
        tag.check()?;
        Ok(tag)
    }

    /// Checks the limits on name and value.
    pub(crate) fn check(&self) -> Result<(), MkvError> {
        let invalid = |what: String| Err(MkvError::new(MkvErrorKind::InvalidTag).with_detail(what));
        if self.name.is_empty() || self.name.len() > MAX_TAG_NAME {
            return invalid(format!(
                "tag name of {} bytes, allowed are 1 to {MAX_TAG_NAME}",
                self.name.len()
            ));
        }
        if self.value.len() > MAX_TAG_VALUE {
            return invalid(format!(
                "tag value of {} bytes, at most {MAX_TAG_VALUE}",
                self.value.len()
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_count_bytes_and_are_inclusive() {
        assert!(Tag::new("n".repeat(MAX_TAG_NAME), "v".repeat(MAX_TAG_VALUE)).is_ok());
        for (name, value) in [("", ""), ("AWS", "")] {
            assert_eq!(
                Tag::new(name, value).unwrap_err().kind(),
                MkvErrorKind::InvalidTag
            );
        }
        assert!(Tag::new("n".repeat(MAX_TAG_NAME + 1), "").is_err());
        assert!(Tag::new("ü".repeat(65), "").is_err());
        assert!(Tag::new("n", "v".repeat(MAX_TAG_VALUE + 1)).is_err());
    }
}
