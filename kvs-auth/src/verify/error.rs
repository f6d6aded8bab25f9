//! Why a request was not authenticated, and how the service says so.

use std::{error::Error, fmt};

/// The reason a request was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum VerifyErrorKind {
    /// Neither an `Authorization` header nor a presigned query.
    MissingAuthentication,
    /// A part of the authorization is missing, malformed, or of another algorithm; or a header that must be
    /// signed isn't.
    IncompleteSignature,
    /// The access key id is not known.
    UnknownKey,
    /// The signature is another one than the request should have.
    SignatureMismatch,
    /// The signing time is too long ago.
    Expired,
    /// The signing time lies in the future.
    NotYetCurrent,
    /// The credential scope names another service, region or date.
    WrongScope,
    /// The session token isn't the one that belongs to the key.
    InvalidToken,
    /// The temporary credentials have expired.
    TokenExpired,
}

/// A request was not authenticated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyError {
    kind: VerifyErrorKind,
    context: String,
}

impl VerifyError {
    pub(super) fn new(kind: VerifyErrorKind, context: impl Into<String>) -> Self {
        Self {
            kind,
            context: context.into(),
        }
    }

    /// The reason.
    pub fn kind(&self) -> VerifyErrorKind {
        self.kind
    }

    /// The HTTP status of the answer. (AWS: "Common error types" of the service's API reference.)
    pub fn status(&self) -> u16 {
        match self.kind {
            VerifyErrorKind::IncompleteSignature => 400,
            _ => 403,
        }
    }

    /// The error type of the answer, for `x-amzn-ErrorType`.
    pub fn error_type(&self) -> &'static str {
        match self.kind {
            VerifyErrorKind::MissingAuthentication => "MissingAuthenticationTokenException",
            VerifyErrorKind::IncompleteSignature => "IncompleteSignatureException",
            VerifyErrorKind::UnknownKey | VerifyErrorKind::InvalidToken => "UnrecognizedClientException",
            VerifyErrorKind::SignatureMismatch
            | VerifyErrorKind::Expired
            | VerifyErrorKind::NotYetCurrent
            | VerifyErrorKind::WrongScope => "InvalidSignatureException",
            VerifyErrorKind::TokenExpired => "ExpiredTokenException",
        }
    }
}

impl fmt::Display for VerifyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            VerifyErrorKind::MissingAuthentication => "the request carries no authentication",
            VerifyErrorKind::IncompleteSignature => "the authorization is incomplete",
            VerifyErrorKind::UnknownKey => "the access key id is not known",
            VerifyErrorKind::SignatureMismatch => "the signature does not match the request",
            VerifyErrorKind::Expired => "the signature has expired",
            VerifyErrorKind::NotYetCurrent => "the signature is not yet current",
            VerifyErrorKind::WrongScope => "the credential scope is wrong",
            VerifyErrorKind::InvalidToken => "the session token is invalid",
            VerifyErrorKind::TokenExpired => "the session token has expired",
        })?;
        if !self.context.is_empty() {
            write!(f, ": {}", self.context)?;
        }
        Ok(())
    }
}

impl Error for VerifyError {}
