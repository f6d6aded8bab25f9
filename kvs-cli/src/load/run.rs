//! Runs the load and says what it cost.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cpu_time::{ProcessTime, ThreadTime};
use futures_util::future::join_all;
use kvs_actors::{
    FlushUntil, OverflowPolicy, Producer, ProducerHandle, RateLimits, Services, StopReport, StreamConfig, StreamHandle,
};
use kvs_client::Client;
use serde::Serialize;

use super::media::{Delimiter, GOP, Source};
use super::meter::{LoadEvents, Meter, Outstanding};
use super::usage::{resident_bytes, threads};
use super::wire::MeteredTransport;
use crate::cli::LoadArgs;
use crate::error::CliError;
use crate::summary::ProcessStart;

/// Flat out, a stream has at most so many payload bytes and fragments under way: the loop is closed by acknowledgements.
const UNDER_WAY_BYTES: u64 = 48 << 20;
const UNDER_WAY_FRAGMENTS: u64 = 64;
/// Paced frames of all streams that are due within this are put at one wake-up.
const TICK: Duration = Duration::from_millis(2);
/// How long the end may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// The figures of a run, one JSON object.
#[derive(Debug, Serialize)]
pub(crate) struct LoadReport {
    streams: usize,
    frames: u64,
    bytes: u64,
    persisted_fragments: u64,
    dropped_frames: u64,
    seconds: f64,
    mb_per_s: f64,
    cpu_s: f64,
    generator_cpu_s: f64,
    cpu_s_per_gb: f64,
    cpu_s_per_stream_min: f64,
    put_p50_us: f64,
    put_p99_us: f64,
    wire_p50_ms: f64,
    wire_p99_ms: f64,
    ack_p50_ms: f64,
    ack_p99_ms: f64,
    rss_mb: Option<f64>,
    rss_kb_per_stream: Option<f64>,
    threads: Option<u64>,
    first_persisted_ms: Option<f64>,
}

impl LoadReport {
    /// Whether everything that was accepted was delivered.
    pub(crate) fn is_complete(&self) -> bool {
        self.dropped_frames == 0
    }
}

/// One stream under load.
struct Camera {
    handle: StreamHandle,
    source: Source,
    outstanding: Arc<Outstanding>,
    sent: u64,
}

/// What the generator spent inside the producer's own calls.
#[derive(Default)]
struct PutTime(Duration);

pub(crate) async fn run(args: &LoadArgs, client: Client, start: ProcessStart) -> Result<LoadReport, CliError> {
    let before_us = start.elapsed();
    let meter = Arc::new(Meter::new().map_err(CliError::unexpected)?);
    let producer = producer(args, client, &meter)?;
    let rss_before = resident_bytes();
    let began = Instant::now();
    let generator = ThreadTime::now();
    let mut cameras = Vec::with_capacity(args.streams);
    for n in 0..args.streams {
        cameras.push(open(args, &producer, &meter, n).await?);
    }
    let mut put_time = PutTime::default();
    if args.fps > 0.0 {
        paced(args, &mut cameras, &meter, &mut put_time).await?;
    } else {
        flat_out(args, &mut cameras, &meter, &mut put_time).await?;
    }
    join_all(cameras.iter().map(|camera| camera.handle.flush(FlushUntil::Delivered, PATIENCE))).await;
    let (rss, threads) = (resident_bytes(), threads());
    let reports = producer.stop(PATIENCE).await.map_err(CliError::unexpected)?;
    let generator_cpu = generator.elapsed().saturating_sub(put_time.0);
    Ok(report(args, &reports, &meter, Spent { began, before_us, generator_cpu, rss_before, rss, threads }))
}

fn producer(args: &LoadArgs, client: Client, meter: &Arc<Meter>) -> Result<ProducerHandle, CliError> {
    let meter = Arc::clone(meter);
    Producer::builder()
        .services(move || {
            let transport = MeteredTransport { inner: client.media_transport(), meter: Arc::clone(&meter) };
            Ok(Services::new(client.control_plane(), transport))
        })
        .buffer_bytes(args.buffer_mb << 20)
        .arbiters(args.arbiters)
        .start()
        .map_err(CliError::unexpected)
}

async fn open(
    args: &LoadArgs,
    producer: &ProducerHandle,
    meter: &Arc<Meter>,
    n: usize,
) -> Result<Camera, CliError> {
    let delimiter = if args.annexb { Delimiter::AnnexB } else { Delimiter::Length };
    let track = Source::track(delimiter).map_err(CliError::unexpected)?;
    let config = StreamConfig::offline(format!("{}-{n}", args.prefix))
        .track(track)
        .overflow(OverflowPolicy::Refuse)
        .rate(RateLimits::OFF);
    let outstanding = Arc::new(Outstanding::new(Arc::clone(meter)));
    let handle = producer
        .open_stream_with(config, LoadEvents(Arc::clone(&outstanding)))
        .await
        .map_err(CliError::unexpected)?;
    Ok(Camera { handle, source: Source::new(delimiter, args.frame_bytes, args.fps), outstanding, sent: 0 })
}

impl Camera {
    /// Makes a frame and puts it; only the put counts as the producer's.
    fn put(&mut self, meter: &Meter, spent: &mut PutTime) -> Result<(), kvs_actors::PutError> {
        let frame = self.source.next(meter.start);
        let before = Instant::now();
        let result = self.handle.try_put_frame(frame);
        let took = before.elapsed();
        spent.0 += took;
        meter.put(took);
        self.sent += 1;
        result.map(|_| ())
    }
}

/// Every stream at its frame rate, their frames spread evenly over the interval.
async fn paced(
    args: &LoadArgs,
    cameras: &mut [Camera],
    meter: &Meter,
    spent: &mut PutTime,
) -> Result<(), CliError> {
    let interval = Duration::from_secs_f64(1.0 / args.fps);
    let end = Instant::now() + Duration::from_secs_f64(args.seconds);
    let first = Instant::now();
    let count = cameras.len().max(1) as u32;
    let mut due: Vec<Instant> = (0..cameras.len() as u32).map(|n| first + interval * n / count).collect();
    let mut next = 0;
    while let Some(at) = due.get(next).copied().filter(|at| *at < end) {
        let now = Instant::now();
        if at > now {
            tokio::time::sleep((at - now).max(TICK.min(interval))).await;
            continue;
        }
        cameras[next].put(meter, spent).map_err(CliError::unexpected)?;
        due[next] += interval;
        // They take turns in the order of their offsets.
        next = (next + 1) % cameras.len();
    }
    Ok(())
}

/// Every stream as fast as acknowledgements come.
async fn flat_out(
    args: &LoadArgs,
    cameras: &mut [Camera],
    meter: &Meter,
    spent: &mut PutTime,
) -> Result<(), CliError> {
    let per_fragment = GOP * args.frame_bytes.max(1) as u64;
    let share = UNDER_WAY_BYTES.min((args.buffer_mb << 20) / 2 / cameras.len().max(1) as u64);
    let most = (share / per_fragment).clamp(2, UNDER_WAY_FRAGMENTS);
    let end = Instant::now() + Duration::from_secs_f64(args.seconds);
    while Instant::now() < end {
        for camera in cameras.iter_mut() {
            if camera.sent.is_multiple_of(GOP) {
                camera.outstanding.begin(most).await;
            }
            camera.put(meter, spent).map_err(CliError::unexpected)?;
        }
        // The producer may share the core.
        tokio::task::yield_now().await;
    }
    Ok(())
}

/// What was spent besides the meter's figures.
struct Spent {
    began: Instant,
    before_us: Duration,
    generator_cpu: Duration,
    rss_before: Option<u64>,
    rss: Option<u64>,
    threads: Option<u64>,
}

fn report(args: &LoadArgs, reports: &[StopReport], meter: &Meter, spent: Spent) -> LoadReport {
    let sum = |of: fn(&StopReport) -> u64| reports.iter().map(of).sum::<u64>();
    let bytes = sum(|report| report.frames.delivered.bytes);
    let frames = sum(|report| report.frames.accepted.frames);
    let seconds = spent.began.elapsed().as_secs_f64();
    let cpu = ProcessTime::now().as_duration().as_secs_f64();
    let own = (cpu - spent.generator_cpu.as_secs_f64()).max(0.0);
    let grown = |(after, before): (u64, u64)| after.saturating_sub(before) as f64 / 1024.0 / args.streams as f64;
    LoadReport {
        streams: args.streams,
        frames,
        bytes,
        persisted_fragments: sum(|report| report.sessions.fragments_persisted),
        dropped_frames: frames - sum(|report| report.frames.delivered.frames),
        seconds,
        mb_per_s: bytes as f64 / 1e6 / seconds,
        cpu_s: cpu,
        generator_cpu_s: spent.generator_cpu.as_secs_f64(),
        cpu_s_per_gb: own / (bytes as f64 / 1e9),
        cpu_s_per_stream_min: own / (args.streams as f64 * seconds / 60.0),
        put_p50_us: meter.put_us(0.5),
        put_p99_us: meter.put_us(0.99),
        wire_p50_ms: meter.wire_ms(0.5),
        wire_p99_ms: meter.wire_ms(0.99),
        ack_p50_ms: meter.ack_ms(0.5),
        ack_p99_ms: meter.ack_ms(0.99),
        rss_mb: spent.rss.map(|bytes| bytes as f64 / 1_048_576.0),
        rss_kb_per_stream: spent.rss.zip(spent.rss_before).map(grown),
        threads: spent.threads,
        first_persisted_ms: meter
            .first_persisted()
            .map(|after| (spent.before_us + after).as_secs_f64() * 1_000.0),
    }
}
