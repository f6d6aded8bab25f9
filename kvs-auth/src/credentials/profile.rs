//! Keys from AWS profiles.

use std::{
    collections::HashMap,
    env, io,
    path::{Path, PathBuf},
};

use aws_credential_types::{
    Credentials,
    provider::{self, ProvideCredentials, error::CredentialsError, future},
};

use super::{
    environment::Variables,
    ini::{self, Sections},
    process,
};

/// Ways to get keys that a profile may name and that need more than this provider.
const UNSUPPORTED: [&str; 4] = [
    "role_arn",
    "sso_session",
    "sso_start_url",
    "web_identity_token_file",
];

/// Reads a profile of the shared AWS files, at every request.
///
/// The files are `~/.aws/credentials` (or `AWS_SHARED_CREDENTIALS_FILE`) and `~/.aws/config` (or
/// `AWS_CONFIG_FILE`); the profile is the one set here, else `AWS_PROFILE`, else `default`. Of a profile it
/// uses `aws_access_key_id`, `aws_secret_access_key` and `aws_session_token`, else it runs
/// `credential_process` (at most 60 seconds). The credentials file wins over the config file.
///
/// # Errors
///
/// *Not loaded* if no file or no such profile exists, unless the profile was set here; *invalid
/// configuration*, with the file's name, if a file can't be read or parsed, keys are incomplete, or the
/// profile wants a role, single sign-on or web identity; *provider error* or *timed out* if the program
/// fails.
#[derive(Debug, Clone, Default)]
pub struct ProfileCredentials {
    profile: Option<String>,
    files: Option<Vec<PathBuf>>,
    variables: Variables,
}

impl ProfileCredentials {
    /// The profile and files that the environment names.
    pub fn new() -> Self {
        Self::default()
    }

    /// Uses this profile.
    #[must_use]
    pub fn profile(mut self, name: impl Into<String>) -> Self {
        self.profile = Some(name.into());
        self
    }

    /// Reads this file instead of the shared two; may be called again, the earlier file wins.
    #[must_use]
    pub fn file(mut self, path: impl Into<PathBuf>) -> Self {
        self.files.get_or_insert_default().push(path.into());
        self
    }

    /// Takes `AWS_PROFILE`, `AWS_SHARED_CREDENTIALS_FILE`, `AWS_CONFIG_FILE` and the home directory from
    /// these variables instead of the environment of this process.
    #[must_use]
    pub fn variables(mut self, variables: impl IntoIterator<Item = (String, String)>) -> Self {
        self.variables = variables.into_iter().collect();
        self
    }

    async fn load(&self) -> provider::Result {
        let name = self
            .profile
            .clone()
            .or_else(|| self.variables.get("AWS_PROFILE"))
            .unwrap_or_else(|| "default".to_owned());
        let mut settings: HashMap<String, (String, PathBuf)> = HashMap::new();
        let mut found = false;
        for path in self.paths() {
            let Some(mut sections) = read(&path).await? else {
                continue;
            };
            for section in section_names(&name) {
                let Some(section) = sections.remove(&section) else {
                    continue;
                };
                found = true;
                for (key, value) in section {
                    settings.entry(key).or_insert_with(|| (value, path.clone()));
                }
            }
        }
        if !found {
            return Err(self.no_such_profile(&name));
        }
        from_settings(&name, &settings).await
    }

    /// A profile asked for by name must exist; the default one may not.
    fn no_such_profile(&self, name: &str) -> CredentialsError {
        let files = self
            .paths()
            .iter()
            .map(|path| path.display().to_string())
            .collect::<Vec<_>>()
            .join(" or ");
        let text = format!("profile {name:?} not found in {files}");
        match self.profile {
            Some(_) => CredentialsError::invalid_configuration(text),
            None => CredentialsError::not_loaded(text),
        }
    }

    /// The files in order of precedence.
    fn paths(&self) -> Vec<PathBuf> {
        if let Some(files) = &self.files {
            return files.clone();
        }
        let shared = |variable: &str, name: &str| match self.variables.get(variable) {
            Some(path) => Some(self.expand_home(&path)),
            None => Some(self.home()?.join(".aws").join(name)),
        };
        [
            shared("AWS_SHARED_CREDENTIALS_FILE", "credentials"),
            shared("AWS_CONFIG_FILE", "config"),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    fn home(&self) -> Option<PathBuf> {
        match &self.variables {
            Variables::Process => env::home_dir(),
            fixed => fixed
                .get("HOME")
                .or_else(|| fixed.get("USERPROFILE"))
                .map(PathBuf::from),
        }
    }

    fn expand_home(&self, path: &str) -> PathBuf {
        match (path.strip_prefix("~/"), self.home()) {
            (Some(rest), Some(home)) => home.join(rest),
            _ => PathBuf::from(path),
        }
    }
}

/// The credentials file has `[name]`, the config file `[profile name]`, and for the default profile either.
fn section_names(profile: &str) -> [String; 2] {
    [profile.to_owned(), format!("profile {profile}")]
}

async fn read(path: &Path) -> Result<Option<Sections>, CredentialsError> {
    let invalid =
        |reason: String| CredentialsError::invalid_configuration(format!("{}: {reason}", path.display()));
    let text = match tokio::fs::read_to_string(path).await {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(invalid(error.to_string())),
    };
    ini::parse(&text)
        .map(Some)
        .map_err(|malformed| invalid(format!("line {} is no setting", malformed.line)))
}

async fn from_settings(name: &str, settings: &HashMap<String, (String, PathBuf)>) -> provider::Result {
    let get = |key: &str| {
        settings
            .get(key)
            .map(|(value, _)| value.as_str())
            .filter(|value| !value.is_empty())
    };
    let file_of = |key: &str| {
        settings
            .get(key)
            .map(|(_, path)| path.display().to_string())
            .unwrap_or_default()
    };
    match (get("aws_access_key_id"), get("aws_secret_access_key")) {
        (Some(id), Some(secret)) => {
            let token = get("aws_session_token").map(str::to_owned);
            return Ok(Credentials::new(id, secret, token, None, "profile"));
        }
        (Some(_), None) => {
            let file = file_of("aws_access_key_id");
            let text = format!("{file}: profile {name:?} has aws_access_key_id but no aws_secret_access_key");
            return Err(CredentialsError::invalid_configuration(text));
        }
        (None, _) => {}
    }
    if let Some(command_line) = get("credential_process") {
        return process::run(command_line).await;
    }
    if let Some(key) = UNSUPPORTED.into_iter().find(|key| get(key).is_some()) {
        let file = file_of(key);
        let text =
            format!("{file}: profile {name:?} uses {key}, which needs the provider chain of the aws sdk");
        return Err(CredentialsError::invalid_configuration(text));
    }
    Err(CredentialsError::not_loaded(format!(
        "profile {name:?} holds no credentials"
    )))
}

impl ProvideCredentials for ProfileCredentials {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.load())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;

    struct Home(TempDir);

    impl Home {
        fn with(files: &[(&str, &str)]) -> Self {
            let home = tempfile::tempdir().expect("creates a directory");
            fs::create_dir(home.path().join(".aws")).expect("creates .aws");
            for (name, text) in files {
                fs::write(home.path().join(".aws").join(name), text).expect("writes");
            }
            Self(home)
        }

        fn provider(&self, variables: &[(&str, &str)]) -> ProfileCredentials {
            let home = self.0.path().to_string_lossy().into_owned();
            let variables = variables
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            ProfileCredentials::new().variables(variables.chain([("HOME".to_owned(), home)]))
        }
    }

    #[tokio::test]
    async fn the_credentials_file_wins_over_the_config_file() {
        let home = Home::with(&[
            (
                "credentials",
                "[default]\naws_access_key_id = one\naws_secret_access_key = s\n",
            ),
            (
                "config",
                "[default]\naws_access_key_id = two\naws_secret_access_key = s\naws_session_token = t\n",
            ),
        ]);

        let credentials = home.provider(&[]).load().await.expect("loads");

        assert_eq!(credentials.access_key_id(), "one");
    }

    #[tokio::test]
    async fn the_profile_comes_from_the_setting_then_from_the_environment() {
        let home = Home::with(&[(
            "config",
            "[profile a]\naws_access_key_id = A\naws_secret_access_key = s\n[profile b]\naws_access_key_id = B\naws_secret_access_key = s\n",
        )]);
        let provider = home.provider(&[("AWS_PROFILE", "a")]);

        assert_eq!(provider.load().await.expect("loads").access_key_id(), "A");
        assert_eq!(
            provider.profile("b").load().await.expect("loads").access_key_id(),
            "B"
        );
    }

    #[tokio::test]
    async fn files_named_in_the_environment_are_read() {
        let home = Home::with(&[(
            "elsewhere",
            "[default]\naws_access_key_id = E\naws_secret_access_key = s\n",
        )]);

        let credentials = home
            .provider(&[("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/elsewhere")])
            .load()
            .await
            .expect("loads");

        assert_eq!(credentials.access_key_id(), "E");
    }

    // The command line is of the POSIX shell.
    #[cfg(not(windows))]
    #[tokio::test]
    async fn a_credential_process_is_run() {
        let home = Home::with(&[(
            "config",
            "[default]\ncredential_process = echo '{\"Version\":1,\"AccessKeyId\":\"P\",\"SecretAccessKey\":\"s\"}'\n",
        )]);

        let credentials = home.provider(&[]).load().await.expect("loads");

        assert_eq!(credentials.access_key_id(), "P");
    }

    #[tokio::test]
    async fn a_missing_default_profile_is_not_loaded_and_a_missing_named_one_is_a_mistake() {
        let home = Home::with(&[]);

        let default = home.provider(&[]).load().await.expect_err("refused");
        let named = home
            .provider(&[])
            .profile("nope")
            .load()
            .await
            .expect_err("refused");

        assert!(
            matches!(default, CredentialsError::CredentialsNotLoaded(_)),
            "{default:?}"
        );
        assert!(
            matches!(named, CredentialsError::InvalidConfiguration(_)),
            "{named:?}"
        );
    }

    #[tokio::test]
    async fn mistakes_name_the_file_and_never_show_a_value() {
        for text in [
            "[default]\naws_secret_access_key hunter2\n",
            "[default]\naws_access_key_id = hunter2\n",
            "[default]\nrole_arn = hunter2\n",
        ] {
            let home = Home::with(&[("credentials", text)]);

            let error = format!("{:?}", home.provider(&[]).load().await.expect_err("refused"));

            assert!(
                error.contains("credentials") && !error.contains("hunter2"),
                "{error}"
            );
        }
    }
}
