//! `kvs put`: a file goes up, its acknowledgements are waited for, and what was stored is read back.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, SystemTime};

use kvs_actors::machine::DropReason;
use kvs_actors::{
    Producer, ProducerHandle, StopReport, StreamConfig, StreamError, StreamErrorKind, StreamHandle, TimeBase,
};
use kvs_client::Client;
use kvs_mkv::Timestamp;
use kvs_storage::spool::SpoolOptions;

use crate::cli::{Pace, PutArgs};
use crate::delivery::Oversight;
use crate::error::{CliError, Failure};
use crate::mp4::Mp4;
use crate::pace::Pacer;
use crate::progress::Progress;
use crate::signal::Interrupt;
use crate::summary::{ProcessStart, Summary};
use crate::target::Target;
use crate::watch::{Watch, Watched};
use crate::{cause, output, resume, verify};

/// The stream on the mock where none is named.
const MOCK_STREAM: &str = "clip";

/// How long a frame waits for room in the buffer. A service that takes nothing for so long won't soon.
const PUT_TIMEOUT: Duration = Duration::from_secs(30);

/// Fragments longer than this are refused where the older of the service's published limits is in force.
const CAUTIOUS_FRAGMENT: Duration = Duration::from_secs(10);

/// Runs the command.
pub(crate) async fn run(args: PutArgs, start: ProcessStart) -> Result<(), CliError> {
    let interrupt = Interrupt::listen();
    match (&args.resume, &args.file) {
        (Some(dir), _) => resume::resume(&args, dir, start, interrupt).await,
        (None, Some(file)) => upload(&args, file, start, interrupt).await,
        // The command line asks for one of the two.
        (None, None) => Err(CliError::new(Failure::InvalidArgument, "no file to upload")),
    }
}

async fn upload(
    args: &PutArgs,
    file: &Path,
    start: ProcessStart,
    interrupt: Interrupt,
) -> Result<(), CliError> {
    let mp4 = Mp4::open(file)?;
    let config = stream_config(args, &mp4)?;
    warn_of(&mp4, &config);
    let target = interrupt.guard(async {
        if args.mock {
            Target::mock(args, &config).await
        } else {
            Target::service(args, &config).await
        }
    });
    let target = target.await?;
    if args.verify && target.retention_hours == 0 {
        return Err(not_kept(&config.name));
    }

    let fragments = mp4.key_frame_count() * u64::from(args.passes.get());
    let watch = Watch::new(start, Progress::new(fragments));
    let oversight = Oversight { interrupt, watch };
    let (report, fed) = send(args, &mp4, config, &target, &oversight).await?;
    let silence = start.elapsed();
    let mut watched = oversight.watch.finish();
    let silence = silence.saturating_sub(watched.heard);
    let verified = match &fed {
        Ok(begin) if is_read_back(args, &target) && report.is_complete() => {
            // What an earlier run left in the spool isn't this file's.
            watched
                .numbers
                .retain(|timecode, _| begin.is_some_and(|begin| *timecode >= begin));
            let (numbers, passes) = (&watched.numbers, args.passes.get());
            let read_back = verify::read_back(&target.client, &report.stream, numbers, &mp4, passes);
            Some(oversight.interrupt.guard(read_back).await)
        }
        _ => None,
    };
    target.close().await;

    let mut summary = summarize(&report, &watched, start);
    summary.tracks_skipped = mp4.skipped().len();
    summary.frames_verified = verified
        .as_ref()
        .and_then(|outcome| outcome.as_ref().ok())
        .copied();
    let told = tell(&summary, args);
    fed?;
    everything_delivered(&summary, &cause::of(&report, &watched, silence))?;
    verified.transpose()?;
    told
}

/// Warns of what is known before anything is sent to go less well than hoped for.
fn warn_of(mp4: &Mp4, config: &StreamConfig) {
    if !mp4.skipped().is_empty() {
        output::warning(format!("not sent: {}", mp4.skipped().join(", ")));
    }
    let longest = mp4.longest_group();
    if longest > config.order.max_fragment {
        output::warning(format!(
            "key frames are up to {:.1} s apart; what comes later than {:.1} s after one is dropped",
            longest.as_secs_f64(),
            config.order.max_fragment.as_secs_f64()
        ));
    } else if longest > CAUTIOUS_FRAGMENT {
        output::warning(format!(
            "key frames are up to {:.1} s apart; the service takes fragments of 20 s, but its older limit is 10 s",
            longest.as_secs_f64()
        ));
    }
}

/// Prints the summary.
pub(crate) fn tell(summary: &Summary, args: &PutArgs) -> Result<(), CliError> {
    output::line(if args.json {
        summary.to_json()
    } else {
        summary.to_string()
    })
}

fn not_kept(stream: &str) -> CliError {
    let message = format!("stream {stream} keeps nothing (retention 0), so it can't be read back (--verify)");
    CliError::new(Failure::InvalidArgument, message)
}

/// Media that isn't kept can't be read back.
fn is_read_back(args: &PutArgs, target: &Target) -> bool {
    (args.mock || args.verify) && target.retention_hours > 0
}

fn stream_config(args: &PutArgs, mp4: &Mp4) -> Result<StreamConfig, CliError> {
    let name = args.stream.as_deref().unwrap_or(MOCK_STREAM);
    if args.verify && args.retention == 0 {
        return Err(not_kept(name));
    }
    let config = mp4
        .tracks()
        .into_iter()
        .fold(StreamConfig::offline(name), StreamConfig::track);
    let config = config
        .retention_hours(args.retention)
        .create_stream(false)
        .time_base(time_base(args, mp4));
    let config = config.put_timeout(PUT_TIMEOUT);
    config
        .validate()
        .map_err(|error| CliError::new(Failure::InvalidArgument, error))?;
    Ok(config)
}

/// At playing speed the media is live. Otherwise it is a recording that ends now: its times never lie in the future, however
/// fast it goes up.
fn time_base(args: &PutArgs, mp4: &Mp4) -> TimeBase {
    let length = mp4.duration().saturating_mul(args.passes.get());
    match SystemTime::now().checked_sub(length) {
        Some(begin) if args.pace == Pace::Quota => TimeBase::StartAt(begin),
        _ => TimeBase::AnchorAtFirstFrame,
    }
}

/// Puts every frame of the file and waits for what is still to be confirmed. Once the stream is open there is a report,
/// whatever becomes of it.
async fn send(
    args: &PutArgs,
    mp4: &Mp4,
    config: StreamConfig,
    target: &Target,
    oversight: &Oversight,
) -> Result<(StopReport, Result<Option<Timestamp>, CliError>), CliError> {
    let producer = producer(target.client.clone(), args.spool.as_deref())?;
    let stream = producer
        .open_stream_with(config, oversight.watch.clone())
        .await
        .map_err(stream_failure)?;
    let fed = oversight.guard(feed(args, mp4, &stream)).await;
    let (report, fed) = oversight.stop(&stream, args.timeout, fed).await;
    let ended = producer.stop(Duration::ZERO).await;
    let ended = ended.map_err(CliError::unexpected);
    Ok((report, fed.and_then(|begin| ended.map(|_| begin))))
}

/// A producer whose media is in memory, or in a spool.
pub(crate) fn producer(client: Client, spool: Option<&Path>) -> Result<ProducerHandle, CliError> {
    let builder = Producer::builder().client(client);
    let builder = match spool {
        Some(dir) => builder.spool(dir, SpoolOptions::default()),
        None => builder,
    };
    builder.start().map_err(stream_failure)
}

/// What a failure of a stream or a producer means for the exit status.
pub(crate) fn stream_failure(error: StreamError) -> CliError {
    match error.kind() {
        StreamErrorKind::Store => CliError::new(Failure::Spool, error),
        _ => CliError::unexpected(error),
    }
}

/// Puts every frame; gives the presentation time at which the first fragment may begin, floored as on the wire.
async fn feed(args: &PutArgs, mp4: &Mp4, stream: &StreamHandle) -> Result<Option<Timestamp>, CliError> {
    let mut pacer = Pacer::new(args.pace);
    let mut begin: Option<Timestamp> = None;
    for frame in mp4.frames(args.passes.get())? {
        let frame = frame?;
        pacer.wait_for(&frame).await;
        let accepted = stream
            .put_frame(frame)
            .await
            .map_err(|error| CliError::new(Failure::NotDelivered, error))?;
        let pts = Timestamp::from_millis(accepted.pts.as_millis());
        begin = Some(begin.map_or(pts, |begin| begin.min(pts)));
    }
    Ok(begin)
}

pub(crate) fn summarize(report: &StopReport, watched: &Watched, start: ProcessStart) -> Summary {
    let (frames, sessions) = (&report.frames, &report.sessions);
    let mut drops: BTreeMap<String, u64> = frames
        .dropped
        .iter()
        .map(|(reason, tally)| (name_of(*reason), tally.frames))
        .collect();
    for (what, tally) in [
        ("refused", frames.refused),
        ("unconfirmed", frames.unconfirmed),
        ("still held", frames.buffered),
    ] {
        if tally.frames > 0 {
            drops.insert(what.into(), tally.frames);
        }
    }
    Summary {
        stream: report.stream.clone(),
        frames_in: frames.accepted.frames,
        frames_dropped: frames.accepted.frames.saturating_sub(frames.delivered.frames),
        fragments_sent: sessions.fragments_sent,
        fragments_received: sessions.fragments_received,
        fragments_persisted: sessions.fragments_persisted,
        bytes: frames.accepted.bytes,
        sessions: sessions.sessions,
        first_ack: watched.first_ack,
        first_persisted: watched.first_persisted,
        seconds: start.elapsed(),
        frames_delivered: frames.delivered.frames,
        drops,
        tracks_skipped: 0,
        frames_verified: None,
    }
}

/// The words of a reason's name, as it is serialized everywhere.
fn name_of(reason: DropReason) -> String {
    let name = serde_json::to_value(reason).ok();
    name.as_ref()
        .and_then(|name| name.as_str())
        .map_or_else(|| format!("{reason:?}"), |name| name.replace('_', " "))
}

pub(crate) fn everything_delivered(summary: &Summary, cause: &str) -> Result<(), CliError> {
    if summary.frames_delivered == summary.frames_in {
        return Ok(());
    }
    let (missing, all) = (summary.frames_dropped, summary.frames_in);
    let message = format!("not everything was delivered: {missing} frames of {all} are missing; {cause}");
    Err(CliError::new(Failure::NotDelivered, message))
}
