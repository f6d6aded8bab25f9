//! Keys given in code or configuration.

use aws_credential_types::{
    Credentials,
    provider::{ProvideCredentials, future},
};

use crate::Secret;

/// Keys that never change.
#[derive(Debug, Clone)]
pub struct StaticCredentials(Credentials);

impl StaticCredentials {
    /// Long-term keys.
    pub fn new(access_key_id: impl Into<String>, secret_access_key: impl Into<Secret>) -> Self {
        let secret: Secret = secret_access_key.into();
        Self(Credentials::new(
            access_key_id,
            secret.expose(),
            None,
            None,
            "static",
        ))
    }

    /// Temporary keys with their session token. Nothing refreshes them when they expire.
    pub fn with_session_token(
        access_key_id: impl Into<String>,
        secret_access_key: impl Into<Secret>,
        session_token: impl Into<Secret>,
    ) -> Self {
        let (secret, token): (Secret, Secret) = (secret_access_key.into(), session_token.into());
        Self(Credentials::new(
            access_key_id,
            secret.expose(),
            Some(token.expose().to_owned()),
            None,
            "static",
        ))
    }

    /// The keys themselves.
    pub fn credentials(&self) -> &Credentials {
        &self.0
    }
}

impl ProvideCredentials for StaticCredentials {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::ready(Ok(self.0.clone()))
    }
}
