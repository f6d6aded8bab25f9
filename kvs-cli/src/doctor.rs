//! `kvs doctor --conformance`: the truth check against a mock, someone's endpoint, or the real service.

use std::time::Duration;

use kvs_client::{Client, ClientErrorKind, ControlPlane, Url};
use kvs_testkit::MockKvs;
use kvs_testkit::truth::{Outcome, TruthCheck};
use serde::Serialize;

use crate::cli::DoctorArgs;
use crate::error::{CliError, Failure};
use crate::{output, service, signal, target};

/// Between sessions on the real service, which takes 5 PutMedia connects per second.
const LIVE_PAUSE: Duration = Duration::from_millis(400);

/// The embedded mock has no other writer that a reader could wait for.
const MOCK_READER_IDLE: Duration = Duration::from_millis(200);

/// Domains of the service's own endpoints in all partitions.
const SERVICE_DOMAINS: [&str; 3] = [".amazonaws.com", ".amazonaws.com.cn", ".api.aws"];

/// What a run came to, as JSON.
#[derive(Serialize)]
struct Report<'a> {
    endpoint: &'a str,
    region: &'a str,
    stream: &'a str,
    passed: usize,
    failed: usize,
    cases: Vec<CaseReport<'a>>,
}

#[derive(Serialize)]
struct CaseReport<'a> {
    name: &'a str,
    passed: bool,
    expects: &'a str,
    source: &'a str,
    /// What the endpoint did instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    instead: Option<&'a str>,
}

/// Runs the command.
pub(crate) async fn run(args: DoctorArgs) -> Result<(), CliError> {
    if args.live || args.endpoint.is_some() {
        let client = client(&args).await?;
        return check(&args, client).await;
    }
    let mock = MockKvs::builder()
        .region(&args.region.name)
        .reader_idle(MOCK_READER_IDLE)
        .start()
        .await
        .map_err(CliError::unexpected)?;
    let client = target::mock_client(&mock)?;
    let verdict = check(&args, client).await;
    mock.stop().await;
    verdict
}

async fn client(args: &DoctorArgs) -> Result<Client, CliError> {
    let endpoint = args.endpoint.as_deref();
    if !args.live && endpoint.is_some_and(is_the_service) {
        let message =
            "that endpoint is the real service, where the check costs money: --live says that this is meant";
        return Err(CliError::new(Failure::InvalidArgument, message));
    }
    target::client(
        &args.region.name,
        endpoint,
        args.profile.as_deref(),
        args.ca_file.as_deref(),
    )
    .await
}

fn is_the_service(endpoint: &str) -> bool {
    let url = Url::parse(endpoint).ok();
    let host = url.as_ref().and_then(Url::host_str).unwrap_or_default();
    SERVICE_DOMAINS
        .iter()
        .any(|domain| host.trim_end_matches('.').ends_with(domain))
}

async fn check(args: &DoctorArgs, client: Client) -> Result<(), CliError> {
    let check = TruthCheck::new(client.clone());
    let stream = check.stream().to_owned();
    reach(&client, &stream).await?;
    let check = if args.live {
        output::note(format_args!(
            "this makes the stream {stream} in {}, ingests and stores less than 1 MB, reads it once and deletes it: \
             less than a cent, and about two minutes",
            client.region()
        ));
        check.pause(LIVE_PAUSE)
    } else {
        check
    };

    let mut interrupted = None;
    let stop = async {
        signal::end_requested().await;
        interrupted = Some(CliError::new(Failure::Interrupted, "interrupted"));
    };
    let mut told = Ok(());
    let outcomes = check
        .run_until(stop, |outcome| {
            if !args.json && told.is_ok() {
                told = output::line(line(outcome));
            }
        })
        .await;

    let failed = outcomes.iter().filter(|outcome| outcome.result.is_err()).count();
    let passed = outcomes.len() - failed;
    let summed_up = output::line(if args.json {
        let report = Report {
            endpoint: client.control_endpoint().as_str(),
            region: client.region(),
            stream: &stream,
            passed,
            failed,
            cases: outcomes.iter().map(case_report).collect(),
        };
        serde_json::to_string(&report).map_err(CliError::unexpected)?
    } else {
        format!(
            "{passed} passed, {failed} failed, at {}",
            client.control_endpoint()
        )
    });
    if let Some(error) = interrupted {
        return Err(error);
    }
    told.and(summed_up)?;
    if failed > 0 {
        let message = format!("{failed} of {} cases failed", outcomes.len());
        return Err(CliError::new(Failure::NotConformant, message));
    }
    Ok(())
}

/// An endpoint that isn't there, or that trusts nobody, is no matter of conformance.
async fn reach(client: &Client, stream: &str) -> Result<(), CliError> {
    match client.control_plane().describe_stream(stream).await {
        Err(error) if stands_in_the_way(error.kind()) => Err(error.into()),
        _ => Ok(()),
    }
}

fn stands_in_the_way(kind: ClientErrorKind) -> bool {
    matches!(
        service::failure(kind),
        Failure::Unreachable | Failure::Tls | Failure::CredentialsRefused | Failure::NoCredentials
    )
}

/// A case with its verdict, and what speaks for it.
fn line(outcome: &Outcome) -> String {
    let Outcome {
        name,
        expects,
        source,
        result,
    } = outcome;
    match result {
        Ok(()) => format!("pass  {name}: {expects} ({source})"),
        Err(instead) => format!("FAIL  {name}: {expects} ({source})\n      instead: {instead}"),
    }
}

fn case_report(outcome: &Outcome) -> CaseReport<'_> {
    CaseReport {
        name: outcome.name,
        passed: outcome.result.is_ok(),
        expects: outcome.expects,
        source: outcome.source,
        instead: outcome.result.as_ref().err().map(String::as_str),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_real_service_is_known_by_its_domain() {
        for real in [
            "https://kinesisvideo.us-west-2.amazonaws.com",
            "https://kinesisvideo.cn-north-1.amazonaws.com.cn/",
            "https://vpce-1.kinesisvideo.us-east-1.vpce.amazonaws.com",
            "https://KinesisVideo.us-west-2.AMAZONAWS.com.",
        ] {
            assert!(is_the_service(real), "{real}");
        }
        for other in [
            "http://127.0.0.1:8080",
            "https://amazonaws.com.example.org",
            "nonsense",
        ] {
            assert!(!is_the_service(other), "{other}");
        }
    }
}
