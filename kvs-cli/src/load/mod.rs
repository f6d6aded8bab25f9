//! `kvs load`: many streams of made-up video against an endpoint, and what that costs.

mod media;
mod meter;
mod report;
mod run;
mod usage;
mod wire;

use crate::cli::LoadArgs;
use crate::error::{CliError, Failure};
use crate::output;
use crate::summary::ProcessStart;
use crate::target;

/// Runs the load and prints its figures.
pub(crate) async fn run(args: LoadArgs, start: ProcessStart) -> Result<(), CliError> {
    let client = target::client(
        &args.region.name,
        args.endpoint.as_deref(),
        args.profile.as_deref(),
        args.ca_file.as_deref(),
    )
    .await?;
    let report = run::run(&args, client, start).await?;
    output::line(if args.json {
        report.to_json()
    } else {
        report.to_string()
    })?;
    if report.dropped_frames > 0 {
        let message = format!("{} frames were not delivered", report.dropped_frames);
        return Err(CliError::new(Failure::NotDelivered, message));
    }
    Ok(())
}
