//! Why a request could not be signed.

use std::{error::Error, fmt};

/// What went wrong while signing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum AuthErrorKind {
    /// The URI has no scheme or no authority: only absolute URIs can be signed.
    RelativeUri,
    /// A header value is not visible ASCII.
    InvalidHeader,
    /// The signing time lies outside the years 1970 to 9999.
    TimeOutOfRange,
    /// The credentials hold characters that no header can carry.
    InvalidCredentials,
    /// The signer refused the request for another reason; see the source.
    Signing,
}

/// A request could not be signed.
#[derive(Debug)]
pub struct AuthError {
    kind: AuthErrorKind,
    context: String,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl AuthError {
    pub(crate) fn new(kind: AuthErrorKind, context: impl Into<String>) -> Self {
        Self {
            kind,
            context: context.into(),
            source: None,
        }
    }

    pub(crate) fn with_source(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// What went wrong.
    pub fn kind(&self) -> AuthErrorKind {
        self.kind
    }
}

impl fmt::Display for AuthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            AuthErrorKind::RelativeUri => "only absolute uris can be signed",
            AuthErrorKind::InvalidHeader => "a header value is not visible ascii",
            AuthErrorKind::TimeOutOfRange => "the signing time is out of range",
            AuthErrorKind::InvalidCredentials => "the credentials do not fit into a header",
            AuthErrorKind::Signing => "the request could not be signed",
        })?;
        if !self.context.is_empty() {
            write!(f, ": {}", self.context)?;
        }
        Ok(())
    }
}

impl Error for AuthError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source
            .as_ref()
            .map(|source| &**source as &(dyn Error + 'static))
    }
}
