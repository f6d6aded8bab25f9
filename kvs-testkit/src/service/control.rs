//! The JSON operations.

use bytes::Bytes;
use kvs_mkv::Timestamp;
use serde_json::{Value, json};

use super::number;
use super::script::{Effect, Moment};
use super::{ConnectionId, Operation, Service, ServiceConfig, ServiceError, ServiceErrorKind};

mod edge;
mod endpoint;
mod images;
mod input;
mod media;
mod storage;
mod streams;
mod tags;

use input::Input;

/// The answer to a JSON operation.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// For `x-amzn-RequestId`.
    pub request_id: String,
    /// For `x-amzn-ErrorType`; `None` when the call succeeded.
    pub error_type: Option<String>,
    /// The JSON body.
    pub body: Value,
}

impl Reply {
    /// The body as it goes on the wire.
    pub fn bytes(&self) -> Bytes {
        Bytes::from(self.body.to_string())
    }
}

/// Media that is to be streamed as a response's body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaReply {
    /// Whose [`poll`](Service::poll) gives the body.
    pub connection: ConnectionId,
    /// For `x-amzn-RequestId`.
    pub request_id: String,
}

/// The AWS-managed key that encrypts a stream which names none.
pub(super) fn default_key(config: &ServiceConfig) -> String {
    format!(
        "arn:aws:kms:{}:{}:alias/aws/kinesisvideo",
        config.region, config.account
    )
}

impl Service {
    /// A JSON operation came. `base_url` is where the caller reaches this service, as
    /// `http://host:port`; data endpoints are given out below it.
    pub fn call(&mut self, operation: Operation, body: &[u8], base_url: &str, now: Timestamp) -> Reply {
        self.advance(now);
        let result = Input::parse(body).and_then(|input| self.dispatch(operation, &input, base_url, now));
        if result.is_ok() {
            self.save_after(operation);
        }
        match result {
            Ok(body) => Reply {
                status: 200,
                request_id: number::request_id(&mut self.rng),
                error_type: None,
                body,
            },
            Err(error) => self.refusal(&error),
        }
    }

    /// The answer that carries a refusal.
    pub fn refusal(&mut self, error: &ServiceError) -> Reply {
        Reply {
            status: error.status(),
            request_id: number::request_id(&mut self.rng),
            error_type: Some(error.type_name().to_owned()),
            body: json!({ "Message": error.message() }),
        }
    }

    /// A GetMedia or GetMediaForFragmentList request came.
    ///
    /// # Errors
    /// The refusal to answer with.
    pub fn call_media(
        &mut self,
        operation: Operation,
        body: &[u8],
        now: Timestamp,
    ) -> Result<MediaReply, ServiceError> {
        self.advance(now);
        let input = Input::parse(body)?;
        let (connection, request_id) = match operation {
            Operation::GetMedia => self.open_get_media(&media::get_media_request(&input)?, now)?,
            _ => self.get_media_for_fragment_list(&input, now)?,
        };
        Ok(MediaReply {
            connection,
            request_id,
        })
    }

    fn dispatch(
        &mut self,
        operation: Operation,
        input: &Input,
        base_url: &str,
        now: Timestamp,
    ) -> Result<Value, ServiceError> {
        match operation {
            Operation::CreateStream => self.create_stream(input, now),
            Operation::DescribeStream => self.describe_stream(input),
            Operation::UpdateStream => self.update_stream(input, now),
            Operation::DeleteStream => self.delete_stream(input, now),
            Operation::ListStreams => self.list_streams(input),
            Operation::GetDataEndpoint => self.get_data_endpoint(input, base_url),
            Operation::UpdateDataRetention => self.update_data_retention(input, now),
            Operation::TagStream => self.tag_stream(input),
            Operation::UntagStream => self.untag_stream(input),
            Operation::ListTagsForStream => self.list_tags_for_stream(input),
            Operation::DescribeImageGenerationConfiguration => self.describe_image_generation(input),
            Operation::UpdateImageGenerationConfiguration => self.update_image_generation(input),
            Operation::DescribeNotificationConfiguration => self.describe_notification(input),
            Operation::UpdateNotificationConfiguration => self.update_notification(input),
            Operation::DescribeStreamStorageConfiguration => self.describe_stream_storage(input),
            Operation::UpdateStreamStorageConfiguration => self.update_stream_storage(input, now),
            Operation::DescribeMappedResourceConfiguration => self.describe_mapped_resource(input),
            Operation::DescribeMediaStorageConfiguration => self.describe_media_storage(input),
            Operation::UpdateMediaStorageConfiguration => self.update_media_storage(input),
            Operation::StartEdgeConfigurationUpdate => self.start_edge_update(input, now),
            Operation::DescribeEdgeConfiguration => self.describe_edge(input),
            Operation::DeleteEdgeConfiguration => self.delete_edge(input),
            Operation::ListEdgeAgentConfigurations => self.list_edge_agents(input),
            Operation::TagResource => self.tag_resource(input),
            Operation::UntagResource => self.untag_resource(input),
            Operation::ListTagsForResource => self.list_tags_for_resource(input),
            Operation::ListFragments => self.list_fragments(input, now),
            // Media goes its own ways; the rest isn't modelled (`Operation::is_supported`).
            _ => Err(ServiceError::new(
                ServiceErrorKind::UnsupportedOperation,
                format!("{} is not part of this mock", operation.name()),
            )),
        }
    }

    /// The stream a request names, counted, and with quotas and scripted refusals applied.
    fn called_stream(&mut self, operation: Operation, input: &Input) -> Result<String, ServiceError> {
        let name = self.resolve(&input.stream()?)?;
        let nth = self.count_call(&name, operation);
        self.admit_call(operation, &name, nth)?;
        Ok(name)
    }

    pub(super) fn admit_call(
        &mut self,
        operation: Operation,
        stream: &str,
        nth: u32,
    ) -> Result<(), ServiceError> {
        self.check_rate(operation, stream)?;
        for effect in self.script.fire(operation, stream, nth, Moment::Request) {
            match effect {
                Effect::Refuse { status, error_type } => {
                    let message = "refused by the fault script";
                    return Err(ServiceError::with_status(status, error_type, message));
                }
                Effect::ExpireEndpoints => self.expire_endpoints(),
                // The others need a PutMedia session.
                _ => {}
            }
        }
        Ok(())
    }

    fn check_version(&self, name: &str, claimed: Option<&str>) -> Result<(), ServiceError> {
        let current = self.streams.get(name).map(|stream| stream.version.as_str());
        if claimed.is_none() || claimed == current {
            return Ok(());
        }
        Err(ServiceError::new(
            ServiceErrorKind::VersionMismatch,
            "the stream version is not the latest, call DescribeStream for it",
        ))
    }
}
