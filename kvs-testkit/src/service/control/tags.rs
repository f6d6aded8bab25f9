//! Tags of streams.

use serde_json::{Value, json};

use super::input::{Input, Shape, required};
use super::{Operation, Service, ServiceError, ServiceErrorKind};

/// Tags a stream may have.
const MAX_TAGS: usize = 50;

impl Service {
    pub(super) fn tag_stream(&mut self, input: &Input) -> Result<Value, ServiceError> {
        let name = self.called_stream(Operation::TagStream, input)?;
        let tags = required("Tags", input.tags("Tags")?)?;
        let Some(stream) = self.streams.get_mut(&name) else {
            return Ok(json!({}));
        };
        let added = tags.keys().filter(|key| !stream.tags.contains_key(*key)).count();
        if stream.tags.len() + added > MAX_TAGS {
            return Err(ServiceError::new(
                ServiceErrorKind::TagsPerResourceExceededLimit,
                format!("a stream has at most {MAX_TAGS} tags"),
            ));
        }
        stream.tags.extend(tags);
        Ok(json!({}))
    }

    pub(super) fn untag_stream(&mut self, input: &Input) -> Result<Value, ServiceError> {
        let name = self.called_stream(Operation::UntagStream, input)?;
        let keys = required(
            "TagKeyList",
            input.texts("TagKeyList", 1..=MAX_TAGS, 1..=128, Shape::Tag)?,
        )?;
        if let Some(stream) = self.streams.get_mut(&name) {
            stream.tags.retain(|key, _| !keys.contains(&key.as_str()));
        }
        Ok(json!({}))
    }

    pub(super) fn list_tags_for_stream(&mut self, input: &Input) -> Result<Value, ServiceError> {
        let name = self.called_stream(Operation::ListTagsForStream, input)?;
        // All tags fit a page, so a token is only checked.
        input.text("NextToken", 0..=512, Shape::Token)?;
        Ok(json!({ "Tags": self.streams.get(&name).map(|stream| &stream.tags) }))
    }
}
