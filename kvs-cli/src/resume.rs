//! `kvs put --resume`: what earlier runs left in a spool is delivered.

use std::path::Path;
use std::time::Duration;

use kvs_actors::{StopReport, StoredTracks, StreamConfig};
use kvs_client::Client;
use kvs_storage::spool::inspect::{self, StreamInspection};

use crate::cli::PutArgs;
use crate::delivery::Oversight;
use crate::error::{CliError, Failure};
use crate::progress::Progress;
use crate::put::{everything_delivered, producer, stream_failure, summarize, tell};
use crate::signal::Interrupt;
use crate::spool::spool_error;
use crate::summary::ProcessStart;
use crate::watch::Watch;
use crate::{cause, target};

/// Delivers the backlog of each stream, one after another, and sums up what that came to.
pub(crate) async fn resume(
    args: &PutArgs,
    dir: &Path,
    start: ProcessStart,
    interrupt: Interrupt,
) -> Result<(), CliError> {
    let streams = streams_to_resume(args, dir)?;
    let client = interrupt.guard(client_for(args, &streams)).await?;
    let fragments = streams.iter().map(|(_, fragments)| fragments).sum();
    let watch = Watch::new(start, Progress::new(fragments));
    let oversight = Oversight { interrupt, watch };
    let producer = producer(client, Some(dir))?;
    let mut reports = Vec::new();
    let mut outcome = Ok(());
    for (config, _) in streams {
        let opened = producer.open_stream_with(config, oversight.watch.clone()).await;
        let report;
        (report, outcome) = match opened.map_err(stream_failure) {
            Ok(stream) => oversight.stop(&stream, args.timeout, Ok(())).await,
            Err(error) => (StopReport::default(), Err(error)),
        };
        reports.push(report);
        if outcome.is_err() {
            break;
        }
    }
    let ended = producer.stop(Duration::ZERO).await;
    let ended = ended.map(drop).map_err(CliError::unexpected);
    let silence = start.elapsed();
    let watched = oversight.watch.finish();
    let silence = silence.saturating_sub(watched.heard);
    let report = sum(reports);
    let summary = summarize(&report, &watched, start);
    let told = tell(&summary, args);
    outcome.and(ended)?;
    everything_delivered(&summary, &cause::of(&report, &watched, silence))?;
    told
}

/// The client, with the streams made sure of.
async fn client_for(args: &PutArgs, streams: &[(StreamConfig, u64)]) -> Result<Client, CliError> {
    let client = target::client(
        &args.region.name,
        args.endpoint.as_deref(),
        args.profile.as_deref(),
        args.ca_file.as_deref(),
    )
    .await?;
    for (config, _) in streams {
        target::prepare(&client, config, args.create).await?;
    }
    Ok(client)
}

/// The streams that have something left, with how many fragments that is.
fn streams_to_resume(args: &PutArgs, dir: &Path) -> Result<Vec<(StreamConfig, u64)>, CliError> {
    let mut streams = Vec::new();
    for name in inspect::streams(dir).map_err(spool_error)? {
        if args.stream.as_ref().is_some_and(|wanted| *wanted != name) {
            continue;
        }
        let stream = StreamInspection::open(dir, &name).map_err(spool_error)?;
        let left = stream.fragments().len() as u64;
        let blob = stream.blob(StoredTracks::BLOB).map_err(spool_error)?;
        let tracks = blob.map(StoredTracks::decode).and_then(|stored| stored.newest());
        match tracks {
            _ if left == 0 => {}
            Some(tracks) => {
                let config = StreamConfig::offline(name)
                    .create_stream(false)
                    .retention_hours(args.retention);
                streams.push((tracks.iter().cloned().fold(config, StreamConfig::track), left));
            }
            None => {
                let message = format!("the tracks of stream {name} are lost; its media can't be delivered");
                return Err(CliError::new(Failure::Spool, message));
            }
        }
    }
    Ok(streams)
}

/// The reports as if they were of one stream.
fn sum(reports: Vec<StopReport>) -> StopReport {
    let mut total = StopReport::default();
    let mut names = Vec::new();
    for report in reports {
        if !report.stream.is_empty() {
            names.push(report.stream.clone());
        }
        total.add(report);
    }
    total.stream = names.join(",");
    total
}
