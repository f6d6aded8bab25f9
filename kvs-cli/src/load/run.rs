//! Runs the load and says what it cost.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cpu_time::ThreadTime;
use futures_util::future::join_all;
use kvs_actors::machine::RateLimits;
use kvs_actors::{FlushUntil, Producer, ProducerHandle, Services, StreamConfig, StreamHandle};
use kvs_client::Client;

use super::media::{Delimiter, GOP, Source};
use super::meter::{LoadEvents, Meter, Outstanding};
use super::report::{LoadReport, Spent};
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

/// Runs the load to its end.
pub(super) async fn run(
    args: &LoadArgs,
    client: Client,
    start: ProcessStart,
) -> Result<LoadReport, CliError> {
    let before = start.elapsed();
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
    join_all(
        cameras
            .iter()
            .map(|camera| camera.handle.flush(FlushUntil::Delivered, PATIENCE)),
    )
    .await;
    let (rss, threads) = (resident_bytes(), threads());
    let reports = producer.stop(PATIENCE).await.map_err(CliError::unexpected)?;
    let generator_cpu = generator.elapsed().saturating_sub(put_time.0);
    let spent = Spent {
        began,
        before,
        generator_cpu,
        rss_before,
        rss,
        threads,
    };
    Ok(LoadReport::new(args, &reports, &meter, &spent))
}

fn producer(args: &LoadArgs, client: Client, meter: &Arc<Meter>) -> Result<ProducerHandle, CliError> {
    let meter = Arc::clone(meter);
    Producer::builder()
        .services(move || {
            let transport = MeteredTransport {
                inner: client.media_transport(),
                meter: Arc::clone(&meter),
            };
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
    let delimiter = if args.annexb {
        Delimiter::AnnexB
    } else {
        Delimiter::Length
    };
    let track = Source::track(delimiter).map_err(CliError::unexpected)?;
    let config = StreamConfig::offline(format!("{}-{n}", args.prefix))
        .track(track)
        .rate(RateLimits::OFF);
    let outstanding = Arc::new(Outstanding::new(Arc::clone(meter)));
    let handle = producer
        .open_stream_with(config, LoadEvents(Arc::clone(&outstanding)))
        .await
        .map_err(CliError::unexpected)?;
    Ok(Camera {
        handle,
        source: Source::new(delimiter, args.frame_bytes, args.fps),
        outstanding,
        sent: 0,
    })
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
    let mut due: Vec<Instant> = (0..cameras.len() as u32)
        .map(|n| first + interval * n / count)
        .collect();
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
