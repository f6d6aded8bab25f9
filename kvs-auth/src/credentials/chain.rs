//! Several places to look for keys, in order.

use std::sync::Arc;

use aws_credential_types::provider::{self, ProvideCredentials, error::CredentialsError, future};

use super::{EnvironmentCredentials, ProfileCredentials};

/// Asks one provider after the other. It goes on only where a provider has nothing to offer (*not loaded*); a
/// provider that is set up wrongly or fails ends the search with its error, so that a mistake doesn't
/// silently lead to other keys.
///
/// ```
/// use kvs_auth::{CredentialChain, EnvironmentCredentials, ProfileCredentials};
///
/// let chain = CredentialChain::empty().then(EnvironmentCredentials::new()).then(ProfileCredentials::new().profile("cameras"));
/// # let _ = chain;
/// ```
#[derive(Debug, Clone)]
pub struct CredentialChain {
    providers: Vec<Arc<dyn ProvideCredentials>>,
}

impl CredentialChain {
    /// A chain that finds nothing until providers are added.
    pub fn empty() -> Self {
        Self {
            providers: Vec::new(),
        }
    }

    /// The environment, then the AWS profile.
    pub fn usual() -> Self {
        Self::empty()
            .then(EnvironmentCredentials::new())
            .then(ProfileCredentials::new())
    }

    /// Adds a provider at the end.
    #[must_use]
    pub fn then(mut self, provider: impl ProvideCredentials + 'static) -> Self {
        self.providers.push(Arc::new(provider));
        self
    }

    async fn load(&self) -> provider::Result {
        let mut reasons = Vec::new();
        for provider in &self.providers {
            match provider.provide_credentials().await {
                Err(error @ CredentialsError::CredentialsNotLoaded(_)) => reasons.push(reason(&error)),
                other => return other,
            }
        }
        Err(CredentialsError::not_loaded(format!(
            "no provider has credentials: {}",
            reasons.join("; ")
        )))
    }
}

/// The innermost text of an error, which says what was missing.
fn reason(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

impl ProvideCredentials for CredentialChain {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.load())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::StaticCredentials;

    #[derive(Debug)]
    struct Broken;

    impl ProvideCredentials for Broken {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            future::ProvideCredentials::ready(Err(CredentialsError::invalid_configuration("broken")))
        }
    }

    fn nothing() -> EnvironmentCredentials {
        EnvironmentCredentials::from_variables([])
    }

    #[tokio::test]
    async fn providers_without_credentials_are_passed_over() {
        let chain = CredentialChain::empty()
            .then(nothing())
            .then(StaticCredentials::new("second", "s"))
            .then(Broken);

        assert_eq!(chain.load().await.expect("loads").access_key_id(), "second");
    }

    #[tokio::test]
    async fn a_broken_provider_ends_the_search() {
        let chain = CredentialChain::empty()
            .then(Broken)
            .then(StaticCredentials::new("second", "s"));

        let error = chain.load().await.expect_err("refused");

        assert!(
            matches!(error, CredentialsError::InvalidConfiguration(_)),
            "{error:?}"
        );
    }

    #[tokio::test]
    async fn an_exhausted_chain_says_what_each_provider_missed() {
        let error = CredentialChain::empty()
            .then(nothing())
            .load()
            .await
            .expect_err("refused");

        assert!(reason(&error).contains("AWS_ACCESS_KEY_ID"), "{error:?}");
    }
}
