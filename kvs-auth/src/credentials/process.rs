//! Keys from a program: `credential_process` (AWS SDKs and tools reference guide, "Process credential
//! provider").

use std::{process::Stdio, time::Duration};

use aws_credential_types::{
    Credentials,
    provider::{self, error::CredentialsError},
};
use serde::Deserialize;
use tokio::{process::Command, time::timeout};

use super::expiry::parse_expiry;
use crate::Secret;

/// A program that prompts for a second factor needs a while; one that hangs must not hang the caller.
const PROCESS_TIMEOUT: Duration = Duration::from_secs(60);

/// What the program prints.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Output {
    version: u32,
    access_key_id: String,
    secret_access_key: Secret,
    session_token: Option<Secret>,
    expiration: Option<String>,
}

/// Runs a command line through the system's shell and reads the keys it prints. Neither its output nor what
/// it writes to stderr is repeated in errors, as either may hold secrets.
pub(super) async fn run(command_line: &str) -> provider::Result {
    let mut command = shell(command_line);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    let output = timeout(PROCESS_TIMEOUT, command.output())
        .await
        .map_err(|_| CredentialsError::provider_timed_out(PROCESS_TIMEOUT))?
        .map_err(|error| {
            CredentialsError::provider_error(format!("credential_process did not start: {error}"))
        })?;
    if !output.status.success() {
        return Err(CredentialsError::provider_error(format!(
            "credential_process failed: {}",
            output.status
        )));
    }
    parse(&output.stdout)
}

#[cfg(not(windows))]
fn shell(command_line: &str) -> Command {
    let mut command = Command::new("sh");
    command.arg("-c").arg(command_line);
    command
}

#[cfg(windows)]
fn shell(command_line: &str) -> Command {
    let mut command = Command::new("cmd.exe");
    command.arg("/C").arg(command_line);
    command
}

fn parse(stdout: &[u8]) -> provider::Result {
    let output: Output = serde_json::from_slice(stdout).map_err(|error| {
        // The position is safe to show; the text around it isn't.
        CredentialsError::provider_error(format!(
            "credential_process printed no credentials: {:?} error at line {} column {}",
            error.classify(),
            error.line(),
            error.column()
        ))
    })?;
    if output.version != 1 {
        return Err(CredentialsError::provider_error(format!(
            "credential_process printed version {}, only 1 is known",
            output.version
        )));
    }
    let expiry = output
        .expiration
        .map(|text| parse_expiry(&text))
        .transpose()
        .map_err(|error| CredentialsError::provider_error(format!("credential_process: {error}")))?;
    let session_token = output.session_token.map(|token| token.expose().to_owned());
    Ok(Credentials::new(
        output.access_key_id,
        output.secret_access_key.expose(),
        session_token,
        expiry,
        "credential_process",
    ))
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    // The command line is of the POSIX shell.
    #[cfg(not(windows))]
    #[tokio::test]
    async fn printed_keys_are_read() {
        let credentials = run(
            r#"echo '{"Version":1,"AccessKeyId":"AKID","SecretAccessKey":"s","SessionToken":"t","Expiration":"1970-01-01T00:01:00Z"}'"#,
        )
        .await
        .expect("loads");

        assert_eq!(credentials.access_key_id(), "AKID");
        assert_eq!(credentials.session_token(), Some("t"));
        assert_eq!(credentials.expiry(), Some(UNIX_EPOCH + Duration::from_secs(60)));
    }

    // The command line is of the POSIX shell.
    #[cfg(not(windows))]
    #[tokio::test]
    async fn a_failing_program_is_an_error_without_its_output() {
        let error = run("echo hunter2; echo hunter2 >&2; exit 3")
            .await
            .expect_err("fails");

        let text = format!("{error:?}");
        assert!(
            text.contains("exit status: 3") && !text.contains("hunter2"),
            "{text}"
        );
    }

    #[test]
    fn unreadable_output_is_an_error_without_its_text() {
        for stdout in [
            "hunter2",
            r#"{"Version":"hunter2"}"#,
            r#"{"Version":2,"AccessKeyId":"a","SecretAccessKey":"hunter2"}"#,
        ] {
            let text = format!("{:?}", parse(stdout.as_bytes()).expect_err("refused"));

            assert!(!text.contains("hunter2"), "{text}");
        }
    }
}
