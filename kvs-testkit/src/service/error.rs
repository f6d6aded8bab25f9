//! What the service answers when it refuses a request.

use std::fmt;

/// Why a request was refused: one of the exception types of the service's API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ServiceErrorKind {
    /// `AccessDeniedException`, HTTP 401.
    AccessDenied,
    /// `AccountStreamLimitExceededException`, HTTP 400.
    AccountStreamLimitExceeded,
    /// `ClientLimitExceededException`, HTTP 400: throttled, back off.
    ClientLimitExceeded,
    /// `ConnectionLimitExceededException`, HTTP 400: the stream has its connection already.
    ConnectionLimitExceeded,
    /// `InvalidArgumentException`, HTTP 400.
    InvalidArgument,
    /// `InvalidEndpointException`, HTTP 400: call GetDataEndpoint again.
    InvalidEndpoint,
    /// `InvalidResourceFormatException`, HTTP 400: the ARN isn't one.
    InvalidResourceFormat,
    /// `NoDataRetentionException`, HTTP 400: the call needs a retention above 0.
    NoDataRetention,
    /// `NotAuthorizedException`, HTTP 401.
    NotAuthorized,
    /// `ResourceInUseException`, HTTP 400.
    ResourceInUse,
    /// `ResourceNotFoundException`, HTTP 404.
    ResourceNotFound,
    /// `SerializationException`, HTTP 400: the body isn't a JSON object of the right shape.
    Serialization,
    /// `StreamEdgeConfigurationNotFoundException`, HTTP 404.
    StreamEdgeConfigurationNotFound,
    /// `TagsPerResourceExceededLimitException`, HTTP 400.
    TagsPerResourceExceededLimit,
    /// `UnknownOperationException`, HTTP 404: no operation lives at this path.
    UnknownOperation,
    /// `UnsupportedOperationException`, HTTP 400: an operation of the service that the mock doesn't have.
    UnsupportedOperation,
    /// `VersionMismatchException`, HTTP 400.
    VersionMismatch,
}

impl ServiceErrorKind {
    /// The exception's name, as it stands in `x-amzn-ErrorType`.
    pub fn type_name(self) -> &'static str {
        use ServiceErrorKind as K;
        match self {
            K::AccessDenied => "AccessDeniedException",
            K::AccountStreamLimitExceeded => "AccountStreamLimitExceededException",
            K::ClientLimitExceeded => "ClientLimitExceededException",
            K::ConnectionLimitExceeded => "ConnectionLimitExceededException",
            K::InvalidArgument => "InvalidArgumentException",
            K::InvalidEndpoint => "InvalidEndpointException",
            K::InvalidResourceFormat => "InvalidResourceFormatException",
            K::NoDataRetention => "NoDataRetentionException",
            K::NotAuthorized => "NotAuthorizedException",
            K::ResourceInUse => "ResourceInUseException",
            K::ResourceNotFound => "ResourceNotFoundException",
            K::Serialization => "SerializationException",
            K::StreamEdgeConfigurationNotFound => "StreamEdgeConfigurationNotFoundException",
            K::TagsPerResourceExceededLimit => "TagsPerResourceExceededLimitException",
            K::UnknownOperation => "UnknownOperationException",
            K::UnsupportedOperation => "UnsupportedOperationException",
            K::VersionMismatch => "VersionMismatchException",
        }
    }

    /// The HTTP status that goes with it.
    pub fn status(self) -> u16 {
        use ServiceErrorKind as K;
        match self {
            K::AccessDenied | K::NotAuthorized => 401,
            K::ResourceNotFound | K::StreamEdgeConfigurationNotFound | K::UnknownOperation => 404,
            _ => 400,
        }
    }
}

/// A refused request: the exception, and what the service says about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceError {
    status: u16,
    type_name: String,
    message: String,
}

impl ServiceError {
    /// An exception of the API, with its message.
    pub fn new(kind: ServiceErrorKind, message: impl Into<String>) -> ServiceError {
        ServiceError {
            status: kind.status(),
            type_name: kind.type_name().to_owned(),
            message: message.into(),
        }
    }

    /// Any status and type, as a fault script or a signature check wants it.
    pub fn with_status(
        status: u16,
        type_name: impl Into<String>,
        message: impl Into<String>,
    ) -> ServiceError {
        ServiceError {
            status,
            type_name: type_name.into(),
            message: message.into(),
        }
    }

    /// The exception that usually goes with a status, for faults that only name the status.
    pub fn of_status(status: u16) -> ServiceError {
        let type_name = match status {
            400 => "ClientLimitExceededException",
            401 => "NotAuthorizedException",
            403 => "AccessDeniedException",
            404 => "ResourceNotFoundException",
            429 => "ThrottlingException",
            503 => "ServiceUnavailableException",
            _ => "InternalFailure",
        };
        ServiceError::with_status(status, type_name, "refused by the fault script")
    }

    pub(crate) fn invalid(message: impl Into<String>) -> ServiceError {
        ServiceError::new(ServiceErrorKind::InvalidArgument, message)
    }

    /// The HTTP status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The exception's name.
    pub fn type_name(&self) -> &str {
        &self.type_name
    }

    /// The text of the body's `Message` member.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for ServiceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.type_name, self.status, self.message)
    }
}

impl std::error::Error for ServiceError {}
