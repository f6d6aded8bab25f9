//! What the service's errors mean for the exit status.

use kvs_client::{ClientError, ClientErrorKind};

use crate::error::{CliError, Failure};

impl From<ClientError> for CliError {
    fn from(error: ClientError) -> CliError {
        CliError::new(failure(error.kind()), error)
    }
}

/// The failure that a kind of service error stands for.
pub(crate) fn failure(kind: ClientErrorKind) -> Failure {
    use ClientErrorKind as Kind;
    match kind {
        Kind::InvalidArgument | Kind::Configuration => Failure::InvalidArgument,
        Kind::NotAuthorized | Kind::Forbidden => Failure::CredentialsRefused,
        Kind::Credentials => Failure::NoCredentials,
        Kind::NotFound => Failure::StreamNotFound,
        Kind::Connect | Kind::Timeout | Kind::ConnectionLost => Failure::Unreachable,
        Kind::Tls => Failure::Tls,
        _ => Failure::Refused,
    }
}
