//! The control plane: the client's real request bodies into the service model, its answers into the client's types.

use kvs_actors::machine::{Input, ServiceCall};
use kvs_client::api::{DeleteStream, DescribeStream, GetDataEndpoint, Operation as Call, TagStream};
use kvs_client::{ApiName, ClientError, ClientErrorKind, CreateStream, StreamInfo, Url};
use kvs_mkv::Timestamp;

use crate::service::{Operation, Service, ServiceError};

/// Where the service is reached.
const BASE_URL: &str = "http://service.test";

/// Carries out a call of the machine's. `is_signed_in_time` says whether the service takes its date.
pub(super) fn answer(
    service: &mut Service,
    call: &ServiceCall,
    stream: &str,
    is_signed_in_time: bool,
    now: Timestamp,
) -> Input {
    let mut caller = Caller {
        service,
        is_signed_in_time,
        now,
    };
    match call {
        ServiceCall::Describe => {
            let described = caller.call(&DescribeStream::by_name(stream));
            Input::Described(described.map(|answer| StreamInfo::from(answer.stream_info)))
        }
        ServiceCall::Create(stream) => Input::Created(caller.call(stream).map(|answer| answer.stream_arn)),
        ServiceCall::Tag { arn, tags } => {
            Input::Tagged(caller.call(&TagStream::by_arn(arn, tags.clone())).map(|_| ()))
        }
        ServiceCall::Locate => {
            let located = caller.call(&GetDataEndpoint::by_name(stream, ApiName::PutMedia));
            Input::Located(located.and_then(|answer| {
                Url::parse(&answer.data_endpoint)
                    .map_err(|error| ClientError::new(ClientErrorKind::Protocol, error.to_string()))
            }))
        }
        _ => unreachable_call(),
    }
}

/// A call that never reached the service.
pub(super) fn failed(call: &ServiceCall, error: ClientError) -> Input {
    match call {
        ServiceCall::Describe => Input::Described(Err(error)),
        ServiceCall::Create(_) => Input::Created(Err(error)),
        ServiceCall::Tag { .. } => Input::Tagged(Err(error)),
        ServiceCall::Locate => Input::Located(Err(error)),
        _ => unreachable_call(),
    }
}

/// The machine has no other calls; one that is added has to be added here, and the run says so.
fn unreachable_call() -> Input {
    let error = ClientError::new(ClientErrorKind::Other, "the simulator doesn't know this call");
    Input::Described(Err(error))
}

/// An operator makes the stream.
pub(super) fn create(service: &mut Service, stream: &str, retention_hours: u32, now: Timestamp) {
    let body = CreateStream::new(stream).retention_hours(retention_hours);
    let body = serde_json::to_vec(&body).unwrap_or_default();
    service.call(Operation::CreateStream, &body, BASE_URL, now);
}

/// An operator deletes the stream.
pub(super) fn delete(service: &mut Service, stream: &str, now: Timestamp) {
    let mut caller = Caller {
        service,
        is_signed_in_time: true,
        now,
    };
    if let Ok(described) = caller.call(&DescribeStream::by_name(stream)) {
        let arn = StreamInfo::from(described.stream_info).arn;
        // It may be on its way out already.
        let _ = caller.call(&DeleteStream {
            stream_arn: arn,
            current_version: None,
        });
    }
}

/// What the client makes of the service's refusal.
pub(super) fn client_error(error: &ServiceError) -> ClientError {
    ClientError::from_response(error.status(), Some(error.type_name()), error.message())
}

/// What the client makes of a date that the service doesn't take.
pub(super) fn skewed() -> ClientError {
    ClientError::from_response(403, Some("InvalidSignatureException"), "signature expired")
}

struct Caller<'a> {
    service: &'a mut Service,
    is_signed_in_time: bool,
    now: Timestamp,
}

impl Caller<'_> {
    fn call<C: Call>(&mut self, call: &C) -> Result<C::Output, ClientError> {
        if !self.is_signed_in_time {
            return Err(skewed());
        }
        let broken = |what: &str| ClientError::new(ClientErrorKind::Protocol, what);
        let operation = self
            .service
            .route(C::PATH)
            .map_err(|error| client_error(&error))?;
        let body = serde_json::to_vec(call).map_err(|_| broken("a request that doesn't serialize"))?;
        let reply = self.service.call(operation, &body, BASE_URL, self.now);
        if reply.status != 200 {
            let message = reply.body["Message"].as_str().unwrap_or_default().to_owned();
            return Err(ClientError::from_response(
                reply.status,
                reply.error_type.as_deref(),
                message,
            ));
        }
        serde_json::from_value(reply.body).map_err(|_| broken("an answer that doesn't parse"))
    }
}
