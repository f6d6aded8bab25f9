//! What went wrong with a call or a connection.

use std::{error::Error, fmt, io};

/// The class of a failure, by which callers decide what to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ClientErrorKind {
    /// Too many calls: back off (`ClientLimitExceededException`, `ThrottlingException`, HTTP 429 and 503).
    Throttled,
    /// Too many connections to the stream (`ConnectionLimitExceededException`).
    ConnectionLimit,
    /// The request itself is wrong (`InvalidArgumentException`, other HTTP 400).
    InvalidArgument,
    /// The data endpoint is no longer the right one: ask for it again (`InvalidEndpointException`).
    InvalidEndpoint,
    /// HTTP 401: expired token or missing permission (`NotAuthorizedException`, `AccessDeniedException`).
    NotAuthorized,
    /// HTTP 403: signature, key or token refused.
    Forbidden,
    /// No such stream (`ResourceNotFoundException`).
    NotFound,
    /// The stream exists, or is being changed (`ResourceInUseException`).
    ResourceInUse,
    /// The stream has another version than the request says (`VersionMismatchException`).
    VersionMismatch,
    /// A quota of the account or resource is used up (`AccountStreamLimitExceededException` and its like).
    LimitExceeded,
    /// The service failed (HTTP 5xx).
    Service,
    /// No connection could be made: name not found, refused, unreachable, or a proxy said no.
    Connect,
    /// The TLS handshake failed.
    Tls,
    /// Nothing came in time.
    Timeout,
    /// The connection broke: reset, broken pipe or unexpected end, on either half.
    ConnectionLost,
    /// The peer sent what the protocol doesn't allow.
    Protocol,
    /// There are no credentials to sign with.
    Credentials,
    /// A setting is wrong; the text names it.
    Configuration,
    /// None of the above.
    Other,
}

impl ClientErrorKind {
    fn text(self) -> &'static str {
        match self {
            Self::Throttled => "throttled by the service",
            Self::ConnectionLimit => "too many connections to the stream",
            Self::InvalidArgument => "the service refused an argument",
            Self::InvalidEndpoint => "the data endpoint is no longer valid",
            Self::NotAuthorized => "not authorized",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not found",
            Self::ResourceInUse => "the resource is in use",
            Self::VersionMismatch => "the stream has another version",
            Self::LimitExceeded => "a quota is used up",
            Self::Service => "the service failed",
            Self::Connect => "could not connect",
            Self::Tls => "tls handshake failed",
            Self::Timeout => "timed out",
            Self::ConnectionLost => "connection lost",
            Self::Protocol => "the peer broke the protocol",
            Self::Credentials => "no credentials",
            Self::Configuration => "wrong setting",
            Self::Other => "request failed",
        }
    }
}

/// A failed call or connection: its [kind](ClientErrorKind), and what is known about it.
pub struct ClientError(Box<Inner>);

struct Inner {
    kind: ClientErrorKind,
    context: String,
    status: Option<u16>,
    error_type: Option<String>,
    request_id: Option<String>,
    endpoint: Option<String>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl ClientError {
    /// An error of a kind, with a text that says what it was about.
    pub fn new(kind: ClientErrorKind, context: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            context: context.into(),
            status: None,
            error_type: None,
            request_id: None,
            endpoint: None,
            source: None,
        }))
    }

    /// The error that an HTTP answer other than 2xx stands for.
    ///
    /// The type of the error decides where there is one (as in `x-amzn-ErrorType`; what follows a `:` and
    /// what precedes a `#` is cut off), else the status.
    pub fn from_response(status: u16, error_type: Option<&str>, message: impl Into<String>) -> Self {
        let error_type = error_type.map(bare_type).filter(|bare| !bare.is_empty());
        let kind = error_type
            .and_then(kind_of_type)
            .unwrap_or_else(|| kind_of_status(status));
        let mut error = Self::new(kind, message);
        error.0.status = Some(status);
        error.0.error_type = error_type.map(str::to_owned);
        error
    }

    /// A failure of reading or writing on an open connection.
    pub fn from_io(error: io::Error) -> Self {
        use io::ErrorKind as Io;
        let kind = match error.kind() {
            Io::ConnectionReset
            | Io::ConnectionAborted
            | Io::BrokenPipe
            | Io::UnexpectedEof
            | Io::NotConnected => ClientErrorKind::ConnectionLost,
            Io::TimedOut => ClientErrorKind::Timeout,
            // rustls reports a peer's breach of TLS, a forged record too, as invalid data.
            Io::InvalidData => ClientErrorKind::Protocol,
            _ => ClientErrorKind::ConnectionLost,
        };
        Self::new(kind, "").with_source(error)
    }

    /// Adds the request id the service gave.
    #[must_use]
    pub fn with_request_id(mut self, request_id: Option<String>) -> Self {
        self.0.request_id = request_id;
        self
    }

    /// Adds the endpoint that was talked to.
    #[must_use]
    pub fn with_endpoint(mut self, endpoint: impl Into<String>) -> Self {
        self.0.endpoint = Some(endpoint.into());
        self
    }

    /// Adds the cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// The class of the failure.
    pub fn kind(&self) -> ClientErrorKind {
        self.0.kind
    }

    /// The HTTP status, if the service answered.
    pub fn status(&self) -> Option<u16> {
        self.0.status
    }

    /// The error type the service gave, such as `ResourceNotFoundException`.
    pub fn error_type(&self) -> Option<&str> {
        self.0.error_type.as_deref()
    }

    /// The request id the service gave, which its support asks for.
    pub fn request_id(&self) -> Option<&str> {
        self.0.request_id.as_deref()
    }

    /// The endpoint that was talked to.
    pub fn endpoint(&self) -> Option<&str> {
        self.0.endpoint.as_deref()
    }

    /// What it was about: the service's message, or what was being done.
    pub fn context(&self) -> &str {
        &self.0.context
    }

    /// True if the same request may succeed later: throttling, limits, a stale endpoint (after asking for it
    /// again), a failing service, and everything that can happen to a connection. [Authentication
    /// failures](Self::is_auth) aren't among them; they call for fresh credentials first.
    pub fn is_retryable(&self) -> bool {
        use ClientErrorKind as Kind;
        matches!(
            self.0.kind,
            Kind::Throttled
                | Kind::ConnectionLimit
                | Kind::InvalidEndpoint
                | Kind::ResourceInUse
                | Kind::Service
                | Kind::Connect
                | Kind::Tls
                | Kind::Timeout
                | Kind::ConnectionLost
                | Kind::Protocol
                | Kind::Credentials
        )
    }

    /// True if the service asks to slow down.
    pub fn is_throttle(&self) -> bool {
        matches!(
            self.0.kind,
            ClientErrorKind::Throttled | ClientErrorKind::ConnectionLimit
        )
    }

    /// True if the service refused the credentials or the signature; worth one more try with fresh
    /// credentials.
    pub fn is_auth(&self) -> bool {
        matches!(
            self.0.kind,
            ClientErrorKind::NotAuthorized | ClientErrorKind::Forbidden
        )
    }

    /// True if the connection is gone, whichever half noticed.
    pub fn is_connection_lost(&self) -> bool {
        self.0.kind == ClientErrorKind::ConnectionLost
    }
}

/// `com.amazon.x#ResourceNotFoundException:http://…` → `ResourceNotFoundException`.
fn bare_type(error_type: &str) -> &str {
    let head = error_type.split(':').next().unwrap_or_default();
    head.rsplit('#').next().unwrap_or_default().trim()
}

fn kind_of_type(error_type: &str) -> Option<ClientErrorKind> {
    use ClientErrorKind as Kind;
    Some(match error_type.strip_suffix("Exception").unwrap_or(error_type) {
        "ClientLimitExceeded"
        | "Throttling"
        | "ThrottlingError"
        | "TooManyRequests"
        | "RequestLimitExceeded"
        | "SlowDown" => Kind::Throttled,
        "ConnectionLimitExceeded" => Kind::ConnectionLimit,
        "InvalidArgument"
        | "InvalidResourceFormat"
        | "InvalidDevice"
        | "Validation"
        | "Serialization"
        | "NoDataRetention"
        | "UnknownOperation" => Kind::InvalidArgument,
        "InvalidEndpoint" => Kind::InvalidEndpoint,
        "NotAuthorized" | "AccessDenied" => Kind::NotAuthorized,
        "MissingAuthenticationToken"
        | "IncompleteSignature"
        | "InvalidSignature"
        | "SignatureDoesNotMatch"
        | "UnrecognizedClient"
        | "ExpiredToken"
        | "InvalidClientTokenId"
        | "RequestExpired"
        | "RequestTimeTooSkewed"
        | "InvalidToken"
        | "AuthFailure" => Kind::Forbidden,
        "ResourceNotFound" | "StreamEdgeConfigurationNotFound" => Kind::NotFound,
        "ResourceInUse" => Kind::ResourceInUse,
        "VersionMismatch" => Kind::VersionMismatch,
        "AccountStreamLimitExceeded"
        | "DeviceStreamLimitExceeded"
        | "AccountChannelLimitExceeded"
        | "TagsPerResourceExceededLimit" => Kind::LimitExceeded,
        "InternalFailure" | "InternalServerError" | "InternalService" => Kind::Service,
        "ServiceUnavailable" => Kind::Throttled,
        _ => return None,
    })
}

fn kind_of_status(status: u16) -> ClientErrorKind {
    use ClientErrorKind as Kind;
    match status {
        401 => Kind::NotAuthorized,
        403 => Kind::Forbidden,
        404 => Kind::NotFound,
        408 => Kind::Timeout,
        429 | 503 => Kind::Throttled,
        400..=499 => Kind::InvalidArgument,
        500..=599 => Kind::Service,
        _ => Kind::Protocol,
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &*self.0;
        f.write_str(inner.kind.text())?;
        if !inner.context.is_empty() {
            write!(f, ": {}", inner.context)?;
        }
        if let Some(source) = inner.source.as_ref().filter(|_| inner.context.is_empty()) {
            write!(f, ": {source}")?;
        }
        let mut separator = " (";
        let mut field = |f: &mut fmt::Formatter<'_>, name: &str, value: &dyn fmt::Display| {
            write!(f, "{separator}{name} {value}")?;
            separator = ", ";
            Ok(())
        };
        if let Some(status) = inner.status {
            field(f, "http", &status)?;
        }
        if let Some(error_type) = &inner.error_type {
            field(f, "type", error_type)?;
        }
        if let Some(request_id) = &inner.request_id {
            field(f, "request id", request_id)?;
        }
        if let Some(endpoint) = &inner.endpoint {
            field(f, "endpoint", endpoint)?;
        }
        if separator == ", " {
            f.write_str(")")?;
        }
        Ok(())
    }
}

impl fmt::Debug for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientError")
            .field("kind", &self.0.kind)
            .field("context", &self.0.context)
            .field("status", &self.0.status)
            .field("error_type", &self.0.error_type)
            .field("request_id", &self.0.request_id)
            .field("endpoint", &self.0.endpoint)
            .field("source", &self.0.source)
            .finish()
    }
}

impl Error for ClientError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0
            .source
            .as_ref()
            .map(|source| &**source as &(dyn Error + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_type_decides_and_the_status_fills_in() {
        for (status, error_type, kind) in [
            (
                400,
                Some("ClientLimitExceededException"),
                ClientErrorKind::Throttled,
            ),
            (
                400,
                Some("ConnectionLimitExceededException"),
                ClientErrorKind::ConnectionLimit,
            ),
            (
                400,
                Some("InvalidEndpointException"),
                ClientErrorKind::InvalidEndpoint,
            ),
            (
                400,
                Some("ResourceInUseException:http://internal/"),
                ClientErrorKind::ResourceInUse,
            ),
            (
                404,
                Some("com.amazonaws.kinesisvideo#ResourceNotFoundException"),
                ClientErrorKind::NotFound,
            ),
            (400, Some("SomethingNew"), ClientErrorKind::InvalidArgument),
            (400, None, ClientErrorKind::InvalidArgument),
            (401, None, ClientErrorKind::NotAuthorized),
            (403, Some(""), ClientErrorKind::Forbidden),
            (429, None, ClientErrorKind::Throttled),
            (500, None, ClientErrorKind::Service),
            (302, None, ClientErrorKind::Protocol),
        ] {
            assert_eq!(
                ClientError::from_response(status, error_type, "").kind(),
                kind,
                "{status} {error_type:?}"
            );
        }
    }

    #[test]
    fn the_text_holds_everything_known_on_one_line() {
        let error = ClientError::from_response(404, Some("ResourceNotFoundException:"), "stream front-door")
            .with_request_id(Some("id-1".into()))
            .with_endpoint("https://kinesisvideo.us-west-2.amazonaws.com");

        assert_eq!(
            error.to_string(),
            "not found: stream front-door (http 404, type ResourceNotFoundException, request id id-1, endpoint \
             https://kinesisvideo.us-west-2.amazonaws.com)"
        );
    }

    #[test]
    fn every_way_a_connection_ends_is_one_kind() {
        for kind in [
            io::ErrorKind::ConnectionReset,
            io::ErrorKind::BrokenPipe,
            io::ErrorKind::UnexpectedEof,
        ] {
            assert!(ClientError::from_io(kind.into()).is_connection_lost(), "{kind}");
        }
    }
}
