//! `kvs put --resume`: what earlier runs left in a spool is delivered.

use std::path::Path;

use kvs_actors::{StopReport, StoredTracks, StreamConfig};
use kvs_storage::spool::inspect::{self, StreamInspection};

use crate::cli::PutArgs;
use crate::error::{CliError, Failure};
use crate::progress::Progress;
use crate::put::{everything_delivered, producer, stream_failure, summarize};
use crate::spool::spool_error;
use crate::summary::ProcessStart;
use crate::watch::Watch;
use crate::{output, target};

/// Delivers the backlog of each stream, one after another, and sums up what that came to.
pub(crate) async fn resume(args: &PutArgs, dir: &Path, start: ProcessStart) -> Result<(), CliError> {
    let streams = streams_to_resume(args, dir)?;
    let client = target::client(
        &args.region.name,
        args.endpoint.as_deref(),
        args.profile.as_deref(),
        args.ca_file.as_deref(),
    )
    .await?;
    for (config, _) in &streams {
        target::prepare(&client, config, args.create).await?;
    }
    let fragments = streams.iter().map(|(_, fragments)| fragments).sum();
    let watch = Watch::new(start, Progress::new(fragments));
    let producer = producer(client, Some(dir))?;
    let mut reports = Vec::new();
    for (config, _) in streams {
        let stream = producer
            .open_stream_with(config, watch.clone())
            .await
            .map_err(stream_failure)?;
        reports.push(stream.stop(args.timeout).await.map_err(CliError::unexpected)?);
    }
    producer
        .stop(std::time::Duration::ZERO)
        .await
        .map_err(CliError::unexpected)?;
    let watched = watch.finish();
    let summary = summarize(&sum(reports), &watched, start);
    output::line(if args.json {
        summary.to_json()
    } else {
        summary.to_string()
    });
    everything_delivered(&summary, &watched)
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
        names.push(report.stream.clone());
        total.add(report);
    }
    total.stream = names.join(",");
    total
}
