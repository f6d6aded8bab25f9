//! Keys from the one-line file of the C producer.

use std::{
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use aws_credential_types::{
    Credentials,
    provider::{self, ProvideCredentials, error::CredentialsError, future},
};
use tokio::io::AsyncReadExt;

use super::expiry::parse_expiry;

/// The C producer takes files below this size.
const MAX_FILE: u64 = 10_000;

/// The file is read again after this time at the latest, as in the C producer.
const MAX_AGE: Duration = Duration::from_secs(40 * 60);

/// Reads `CREDENTIALS <access key> <secret key>` or `CREDENTIALS <access key> <expiration> <secret key>
/// <session token>` from a file that something else keeps fresh, the form that the C producer's sample
/// programs use. The expiration has the form `2030-01-02T03:04:05Z`.
///
/// The keys count as good until they expire, for 40 minutes at most; then the file is read again.
///
/// # Errors
///
/// *Not loaded* if there is no such file; *invalid configuration*, with the file's name, if it can't be read,
/// has 10,000 bytes or more, or has another form.
#[derive(Debug, Clone)]
pub struct FileCredentials {
    path: PathBuf,
}

impl FileCredentials {
    /// Reads this file.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    async fn load(&self) -> provider::Result {
        let text = read(&self.path).await?;
        parse(&text, SystemTime::now()).ok_or_else(|| {
            let form = "CREDENTIALS <access key> [<expiration>] <secret key> [<session token>]";
            CredentialsError::invalid_configuration(format!(
                "{}: not of the form {form}",
                self.path.display()
            ))
        })
    }
}

async fn read(path: &Path) -> Result<String, CredentialsError> {
    let named = |error: std::io::Error| format!("{}: {error}", path.display());
    let file = tokio::fs::File::open(path)
        .await
        .map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => CredentialsError::not_loaded(named(error)),
            _ => CredentialsError::invalid_configuration(named(error)),
        })?;
    let mut text = String::new();
    let read = file.take(MAX_FILE).read_to_string(&mut text).await;
    let length = read.map_err(|error| CredentialsError::invalid_configuration(named(error)))?;
    if length as u64 >= MAX_FILE {
        let text = format!("{}: has {MAX_FILE} bytes or more", path.display());
        return Err(CredentialsError::invalid_configuration(text));
    }
    Ok(text)
}

fn parse(text: &str, now: SystemTime) -> Option<Credentials> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let (id, secret, token, expiry) = match words[..] {
        ["CREDENTIALS", id, secret] => (id, secret, None, None),
        ["CREDENTIALS", id, expiry, secret, token] => {
            (id, secret, Some(token), Some(parse_expiry(expiry).ok()?))
        }
        _ => return None,
    };
    let latest = now + MAX_AGE;
    let expiry = expiry.map_or(latest, |expiry| expiry.min(latest));
    Some(Credentials::new(
        id,
        secret,
        token.map(str::to_owned),
        Some(expiry),
        "file",
    ))
}

impl ProvideCredentials for FileCredentials {
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

    const NOW: SystemTime = SystemTime::UNIX_EPOCH;

    #[test]
    fn both_forms_are_read_and_expire_within_40_minutes() {
        let long_term = parse("CREDENTIALS AKID secret\n", NOW).expect("parses");
        assert_eq!(
            (long_term.access_key_id(), long_term.secret_access_key()),
            ("AKID", "secret")
        );
        assert_eq!(
            (long_term.session_token(), long_term.expiry()),
            (None, Some(NOW + MAX_AGE))
        );

        let early = parse("CREDENTIALS AKID 1970-01-01T00:10:00Z secret token", NOW).expect("parses");
        assert_eq!(early.session_token(), Some("token"));
        assert_eq!(early.expiry(), Some(NOW + Duration::from_secs(600)));

        let late = parse("CREDENTIALS AKID 2030-01-01T00:00:00Z secret token", NOW).expect("parses");
        assert_eq!(late.expiry(), Some(NOW + MAX_AGE));
    }

    #[tokio::test]
    async fn mistakes_name_the_file_and_never_show_a_value() {
        let directory = tempfile::tempdir().expect("creates a directory");
        let path = directory.path().join("credential");
        let long = "x".repeat(10_000);
        for text in [
            "",
            "CREDENTIALS hunter2",
            "AKID hunter2 x",
            "CREDENTIALS AKID tomorrow hunter2 token",
            &long,
        ] {
            std::fs::write(&path, text).expect("writes");

            let error = format!(
                "{:?}",
                FileCredentials::new(&path).load().await.expect_err("refused")
            );

            assert!(
                error.contains("credential") && !error.contains("hunter2"),
                "{error}"
            );
        }
    }

    #[tokio::test]
    async fn a_missing_file_is_not_loaded() {
        let error = FileCredentials::new("/nonexistent/credential")
            .load()
            .await
            .expect_err("refused");

        assert!(
            matches!(error, CredentialsError::CredentialsNotLoaded(_)),
            "{error:?}"
        );
    }
}
