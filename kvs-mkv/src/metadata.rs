//! [`FragmentMetadata`]: which tags a fragment carries.

use crate::error::{MkvError, MkvErrorKind};
use crate::tag::{MAX_TAG_VALUE, MAX_TAGS_PER_FRAGMENT, Tag};

/// The tag that asks the service to make images of the fragment.
pub const IMAGE_GENERATION: &str = "AWS_KINESISVIDEO_IMAGE_GENERATION";
/// The tag that says under which prefix those images are stored.
pub const IMAGE_PREFIX: &str = "AWS_KINESISVIDEO_IMAGE_PREFIX";
/// The tag that asks the service to send a notification about the fragment.
pub const NOTIFICATION: &str = "AWS_KINESISVIDEO_NOTIFICATION";

/// Something the service does when it has the fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FragmentEvent {
    /// Images are made of it.
    ImageGeneration {
        /// Under which prefix they are stored, at most 256 bytes.
        prefix: Option<String>,
        /// Names and values that go with the images.
        pairs: Vec<Tag>,
    },
    /// A notification is sent.
    Notification {
        /// Names and values that go with the notification.
        pairs: Vec<Tag>,
    },
}

impl FragmentEvent {
    fn name(&self) -> &'static str {
        match self {
            FragmentEvent::ImageGeneration { .. } => IMAGE_GENERATION,
            FragmentEvent::Notification { .. } => NOTIFICATION,
        }
    }

    fn into_tags(self) -> Vec<Tag> {
        let own = |name: &str, value: String| Tag {
            name: name.to_owned(),
            value,
        };
        let mut tags = vec![own(self.name(), String::new())];
        let pairs = match self {
            FragmentEvent::ImageGeneration { prefix, pairs } => {
                tags.extend(prefix.map(|prefix| own(IMAGE_PREFIX, prefix)));
                pairs
            }
            FragmentEvent::Notification { pairs } => pairs,
        };
        tags.extend(pairs);
        tags
    }
}

/// The tags of the fragment that is open, and those that every fragment gets.
///
/// What is put while a fragment is open belongs to that fragment: write what
/// [`end_fragment`](Self::end_fragment) gives after its last block and before its end-of-fragment tag.
/// A fragment carries at most [`MAX_TAGS_PER_FRAGMENT`] tags, all kinds counted together.
///
/// ```
/// use kvs_mkv::{FragmentEvent, FragmentMetadata, Tag};
///
/// let mut metadata = FragmentMetadata::default();
/// metadata.put_persistent(Tag::new("site", "north")?)?;
/// metadata.put(Tag::new("door", "open")?)?;
/// metadata.put_event(FragmentEvent::Notification { pairs: vec![] })?;
/// let names: Vec<_> = metadata.end_fragment().into_iter().map(|tag| tag.name).collect();
/// assert_eq!(names, ["site", "door", "AWS_KINESISVIDEO_NOTIFICATION"]);
/// assert_eq!(metadata.end_fragment().len(), 1); // "site" stays
/// # Ok::<(), kvs_mkv::MkvError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FragmentMetadata {
    persistent: Vec<Tag>,
    once: Vec<Tag>,
    /// Tags of events; they go last, together.
    events: Vec<Tag>,
}

impl FragmentMetadata {
    /// Puts a tag on the open fragment alone.
    ///
    /// # Errors
    /// [`MkvErrorKind::InvalidTag`] for a tag over its limits or one too many.
    pub fn put(&mut self, tag: Tag) -> Result<(), MkvError> {
        check_own(&tag)?;
        self.check_room(1)?;
        self.once.push(tag);
        Ok(())
    }

    /// Puts a tag on the open fragment and all that follow; one of the same name is replaced, and with an
    /// empty value taken away.
    ///
    /// # Errors
    /// [`MkvErrorKind::InvalidTag`] for a tag over its limits or one too many.
    pub fn put_persistent(&mut self, tag: Tag) -> Result<(), MkvError> {
        check_own(&tag)?;
        let place = self.persistent.iter().position(|known| known.name == tag.name);
        match place {
            Some(place) if tag.value.is_empty() => {
                self.persistent.remove(place);
            }
            Some(place) => self.persistent[place] = tag,
            None if tag.value.is_empty() => {}
            None => {
                self.check_room(1)?;
                self.persistent.push(tag);
            }
        }
        Ok(())
    }

    /// Puts an event on the open fragment.
    ///
    /// # Errors
    /// [`MkvErrorKind::InvalidTag`] for an event the fragment has already, a prefix of more than 256 bytes,
    /// or tags over their limits or too many.
    pub fn put_event(&mut self, event: FragmentEvent) -> Result<(), MkvError> {
        let name = event.name();
        if self.events.iter().any(|tag| tag.name == name) {
            return Err(MkvError::new(MkvErrorKind::InvalidTag)
                .with_detail(format!("the fragment has the event {name} already")));
        }
        if let FragmentEvent::ImageGeneration {
            prefix: Some(prefix), ..
        } = &event
            && prefix.len() > MAX_TAG_VALUE
        {
            return Err(MkvError::new(MkvErrorKind::InvalidTag).with_detail(format!(
                "image prefix of {} bytes, at most {MAX_TAG_VALUE}",
                prefix.len()
            )));
        }
        match &event {
            FragmentEvent::ImageGeneration { pairs, .. } | FragmentEvent::Notification { pairs } => {
                pairs.iter().try_for_each(check_own)?;
            }
        }
        let tags = event.into_tags();
        self.check_room(tags.len())?;
        self.events.extend(tags);
        Ok(())
    }

    /// How many tags the open fragment has so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.persistent.len() + self.once.len() + self.events.len()
    }

    /// Whether the open fragment has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The tags of the fragment that ends, in the order they are to be written; the next starts with the
    /// persistent ones.
    #[must_use]
    pub fn end_fragment(&mut self) -> Vec<Tag> {
        let mut tags = self.persistent.clone();
        tags.append(&mut self.once);
        tags.append(&mut self.events);
        tags
    }

    fn check_room(&self, more: usize) -> Result<(), MkvError> {
        if self.len() + more > MAX_TAGS_PER_FRAGMENT {
            return Err(MkvError::new(MkvErrorKind::InvalidTag).with_detail(format!(
                "the fragment has {} tags, {more} more are over the limit of {MAX_TAGS_PER_FRAGMENT}",
                self.len()
            )));
        }
        Ok(())
    }
}

/// A caller's tag may not take a name of the service's.
fn check_own(tag: &Tag) -> Result<(), MkvError> {
    Tag::new(tag.name.as_str(), tag.value.as_str()).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(name: &str, value: &str) -> Tag {
        Tag {
            name: name.to_owned(),
            value: value.to_owned(),
        }
    }

    fn names(tags: &[Tag]) -> Vec<&str> {
        tags.iter().map(|tag| tag.name.as_str()).collect()
    }

    #[test]
    fn persistent_tags_stay_until_replaced_or_emptied() {
        let mut metadata = FragmentMetadata::default();
        metadata.put_persistent(tag("site", "north")).unwrap();
        assert_eq!(metadata.end_fragment(), [tag("site", "north")]);
        metadata.put_persistent(tag("site", "south")).unwrap();
        assert_eq!(metadata.end_fragment(), [tag("site", "south")]);
        metadata.put_persistent(tag("site", "")).unwrap();
        assert!(metadata.end_fragment().is_empty());
    }

    #[test]
    fn one_shot_tags_go_with_one_fragment() {
        let mut metadata = FragmentMetadata::default();
        metadata.put(tag("door", "open")).unwrap();
        assert_eq!(metadata.end_fragment().len(), 1);
        assert!(metadata.is_empty());
    }

    #[test]
    fn events_come_last_with_their_pairs() {
        let mut metadata = FragmentMetadata::default();
        let event = FragmentEvent::ImageGeneration {
            prefix: Some("cam/".into()),
            pairs: vec![tag("who", "me")],
        };
        metadata.put_event(event.clone()).unwrap();
        metadata.put(tag("door", "open")).unwrap();
        assert!(metadata.put_event(event).is_err(), "twice in one fragment");
        let tags = metadata.end_fragment();
        assert_eq!(names(&tags), ["door", IMAGE_GENERATION, IMAGE_PREFIX, "who"]);
    }

    #[test]
    fn the_quota_counts_all_kinds_together() {
        let mut metadata = FragmentMetadata::default();
        for index in 0..8 {
            metadata.put(tag(&format!("n{index}"), "v")).unwrap();
        }
        metadata.put_persistent(tag("p", "v")).unwrap();
        let event = FragmentEvent::Notification {
            pairs: vec![tag("a", "b")],
        };
        assert_eq!(
            metadata.put_event(event).unwrap_err().kind(),
            MkvErrorKind::InvalidTag
        );
        metadata.put(tag("last", "v")).unwrap();
        assert!(metadata.put(tag("over", "v")).is_err());
        assert!(metadata.put_persistent(tag("p", "replaced")).is_ok());
    }

    #[test]
    fn the_services_names_and_long_prefixes_are_refused() {
        let mut metadata = FragmentMetadata::default();
        assert!(metadata.put(tag("AWS_X", "v")).is_err());
        assert!(metadata.put_persistent(tag("AWS_X", "v")).is_err());
        let prefix = Some("p".repeat(257));
        assert!(
            metadata
                .put_event(FragmentEvent::ImageGeneration {
                    prefix,
                    pairs: vec![]
                })
                .is_err()
        );
        let pairs = vec![tag("AWS_X", "v")];
        assert!(metadata.put_event(FragmentEvent::Notification { pairs }).is_err());
        assert!(metadata.is_empty());
    }
}
