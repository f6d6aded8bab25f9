//! Tags of streams.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::input::{Input, Shape, required};
use super::{Operation, Service, ServiceError, ServiceErrorKind};
use crate::service::StreamSelector;

/// Tags a stream may have.
const MAX_TAGS: usize = 50;

impl Service {
    pub(super) fn tag_stream(&mut self, input: &Input) -> Result<Value, ServiceError> {
        let name = self.called_stream(Operation::TagStream, input)?;
        let tags = required("Tags", input.tags("Tags")?)?;
        self.add_tags(&name, tags)
    }

    fn add_tags(&mut self, name: &str, tags: BTreeMap<String, String>) -> Result<Value, ServiceError> {
        let Some(stream) = self.streams.get_mut(name) else {
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

    /// The operations on resources take streams, too.
    fn tagged_resource(&mut self, operation: Operation, input: &Input) -> Result<String, ServiceError> {
        let arn = required("ResourceARN", input.arn("ResourceARN")?)?;
        let name = self.resolve(&StreamSelector::Arn(arn.to_owned()))?;
        let nth = self.count_call(&name, operation);
        self.admit_call(operation, &name, nth)?;
        Ok(name)
    }

    pub(super) fn tag_resource(&mut self, input: &Input) -> Result<Value, ServiceError> {
        let list = required("Tags", input.objects("Tags", 1..=MAX_TAGS)?)?;
        let mut tags = BTreeMap::new();
        for tag in &list {
            let key = required("Key", tag.text("Key", 1..=128, Shape::Tag)?)?;
            let value = required("Value", tag.text("Value", 0..=256, Shape::Tag)?)?;
            tags.insert(key.to_owned(), value.to_owned());
        }
        let name = self.tagged_resource(Operation::TagResource, input)?;
        self.add_tags(&name, tags)
    }

    pub(super) fn untag_resource(&mut self, input: &Input) -> Result<Value, ServiceError> {
        let keys = required(
            "TagKeyList",
            input.texts("TagKeyList", 1..=MAX_TAGS, 1..=128, Shape::Tag)?,
        )?;
        let name = self.tagged_resource(Operation::UntagResource, input)?;
        if let Some(stream) = self.streams.get_mut(&name) {
            stream.tags.retain(|key, _| !keys.contains(&key.as_str()));
        }
        Ok(json!({}))
    }

    pub(super) fn list_tags_for_resource(&mut self, input: &Input) -> Result<Value, ServiceError> {
        let name = self.tagged_resource(Operation::ListTagsForResource, input)?;
        Ok(json!({ "Tags": self.streams.get(&name).map(|stream| &stream.tags) }))
    }
}
