//! Fills a spool while nobody takes its media, opens it again, and tells the memory that both take.
//!
//! `cargo run --release -p kvs-testkit --example backlog -- 10240`: a backlog of so many MiB, 3 unless told.

#![allow(clippy::print_stdout)] // printing is what it is for

use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};

use kvs_actors::{FlushUntil, Producer, ProducerHandle, StreamConfig};
use kvs_auth::StaticCredentials;
use kvs_mkv::{Codec, Frame, Timestamp, Track, TrackKind};
use kvs_storage::spool::SpoolOptions;

const FRAME: usize = 10_000;
const PATIENCE: Duration = Duration::from_secs(120);

fn resident_kib() -> u64 {
    memory("VmRSS:").unwrap_or(0)
}

fn memory(field: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    line.trim().strip_suffix(" kB")?.trim().parse().ok()
}

/// A producer whose endpoint nobody listens at.
fn producer(dir: &Path, limit: u64) -> Result<ProducerHandle, Box<dyn Error>> {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let options = SpoolOptions::default().max_bytes_per_stream(limit);
    let keys = StaticCredentials::new("AKIDEXAMPLE", "secret");
    Ok(Producer::builder()
        .endpoint(format!("http://{nobody}"))
        .credentials(keys)
        .spool(dir, options)
        .start()?)
}

fn config() -> Result<StreamConfig, Box<dyn Error>> {
    let codec = Codec::Raw {
        codec_id: "V_UNCOMPRESSED".to_owned(),
        kind: TrackKind::Video,
    };
    Ok(StreamConfig::offline("cam").track(Track::new(1, codec).with_codec_private(Vec::new().into())?))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mib: u64 = std::env::args()
        .nth(1)
        .map(|mib| mib.parse())
        .transpose()?
        .unwrap_or(3);
    let dir = tempfile::tempdir()?;
    let limit = (2 * mib) << 20;
    println!("at the start: {} KiB resident", resident_kib());

    let frames = (mib << 20) / FRAME as u64;
    let first = producer(dir.path(), limit)?;
    let camera = first.open_stream(config()?).await?;
    let begun = Instant::now();
    for n in 0..frames {
        let pts = Timestamp::from_millis(i64::try_from(40 * n)?);
        camera
            .put_frame(Frame::video(vec![n as u8; FRAME]).pts(pts).key_if(n % 50 == 0))
            .await?;
    }
    camera.flush(FlushUntil::Durable, PATIENCE).await?;
    let rate = mib as f64 / begun.elapsed().as_secs_f64();
    println!(
        "{mib} MiB put and durable at {rate:.0} MiB/s: {} KiB resident",
        resident_kib()
    );
    let report = camera.stop(Duration::ZERO).await?;
    first.stop(PATIENCE).await?;
    assert_eq!(report.frames.buffered.frames, frames, "everything is still held");

    let begun = Instant::now();
    let second = producer(dir.path(), limit)?;
    let camera = second.open_stream(config()?).await?;
    let held = camera.observe().await?.frames.buffered.frames;
    let took = begun.elapsed().as_millis();
    println!(
        "opened again in {took} ms with {held} frames to deliver: {} KiB resident",
        resident_kib()
    );
    assert_eq!(held, frames, "nothing was lost");
    second.stop(Duration::ZERO).await?;
    println!("at most {} KiB resident", memory("VmHWM:").unwrap_or(0));
    Ok(())
}
