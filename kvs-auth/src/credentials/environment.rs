//! Keys from environment variables.

use std::{collections::HashMap, env};

use aws_credential_types::{
    Credentials,
    provider::{self, ProvideCredentials, error::CredentialsError, future},
};

use super::expiry::parse_expiry;

/// Where variables are looked up: the process environment, or a fixed set.
#[derive(Clone, Default)]
pub(super) enum Variables {
    #[default]
    Process,
    Fixed(HashMap<String, String>),
}

impl Variables {
    /// A variable that is set and not blank.
    pub(super) fn get(&self, name: &str) -> Option<String> {
        let value = match self {
            Self::Process => env::var(name).ok()?,
            Self::Fixed(variables) => variables.get(name)?.clone(),
        };
        let value = value.trim();
        (!value.is_empty()).then(|| value.to_owned())
    }
}

impl FromIterator<(String, String)> for Variables {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(variables: I) -> Self {
        Self::Fixed(variables.into_iter().collect())
    }
}

impl std::fmt::Debug for Variables {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Names only: values may be secrets.
        match self {
            Self::Process => f.write_str("process environment"),
            Self::Fixed(variables) => f.debug_set().entries(variables.keys()).finish(),
        }
    }
}

/// Reads `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, and where they are set `AWS_SESSION_TOKEN` and
/// `AWS_CREDENTIAL_EXPIRATION` (ISO 8601), at every request.
///
/// # Errors
///
/// *Not loaded* if either key is missing or blank, so that a [`CredentialChain`](crate::CredentialChain) goes
/// on; *invalid configuration* if the expiration can't be read.
#[derive(Debug, Clone, Default)]
pub struct EnvironmentCredentials {
    variables: Variables,
}

impl EnvironmentCredentials {
    /// Reads the environment of this process.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads the given variables instead, for services that keep their environment elsewhere.
    pub fn from_variables(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        Self {
            variables: variables.into_iter().collect(),
        }
    }

    fn load(&self) -> provider::Result {
        let required = |name: &str| {
            self.variables.get(name).ok_or_else(|| {
                CredentialsError::not_loaded(format!("environment variable {name} is not set"))
            })
        };
        let access_key_id = required("AWS_ACCESS_KEY_ID")?;
        let secret_access_key = required("AWS_SECRET_ACCESS_KEY")?;
        let session_token = self.variables.get("AWS_SESSION_TOKEN");
        let expiry = self
            .variables
            .get("AWS_CREDENTIAL_EXPIRATION")
            .map(|text| parse_expiry(&text))
            .transpose()
            .map_err(|error| {
                CredentialsError::invalid_configuration(format!(
                    "environment variable AWS_CREDENTIAL_EXPIRATION: {error}"
                ))
            })?;
        Ok(Credentials::new(
            access_key_id,
            secret_access_key,
            session_token,
            expiry,
            "environment",
        ))
    }
}

impl ProvideCredentials for EnvironmentCredentials {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::ready(self.load())
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    fn environment(variables: &[(&str, &str)]) -> EnvironmentCredentials {
        let owned = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        EnvironmentCredentials::from_variables(owned)
    }

    #[test]
    fn all_four_variables_are_read() {
        let credentials = environment(&[
            ("AWS_ACCESS_KEY_ID", "AKID"),
            ("AWS_SECRET_ACCESS_KEY", " secret \n"),
            ("AWS_SESSION_TOKEN", "token"),
            ("AWS_CREDENTIAL_EXPIRATION", "1970-01-01T00:01:00Z"),
        ])
        .load()
        .expect("loads");

        assert_eq!(credentials.access_key_id(), "AKID");
        assert_eq!(credentials.secret_access_key(), "secret");
        assert_eq!(credentials.session_token(), Some("token"));
        assert_eq!(credentials.expiry(), Some(UNIX_EPOCH + Duration::from_secs(60)));
    }

    #[test]
    fn a_blank_or_missing_key_is_not_loaded() {
        for variables in [
            &[][..],
            &[("AWS_ACCESS_KEY_ID", "AKID"), ("AWS_SECRET_ACCESS_KEY", "  ")],
        ] {
            let error = environment(variables).load().expect_err("refused");

            assert!(
                matches!(error, CredentialsError::CredentialsNotLoaded(_)),
                "{error:?}"
            );
        }
    }

    #[test]
    fn debug_output_names_variables_only() {
        let text = format!("{:?}", environment(&[("AWS_SECRET_ACCESS_KEY", "hunter2")]));

        assert!(
            text.contains("AWS_SECRET_ACCESS_KEY") && !text.contains("hunter2"),
            "{text}"
        );
    }
}
