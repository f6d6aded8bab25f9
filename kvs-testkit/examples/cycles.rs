//! Starts and stops a producer over and over, with a stream that delivers or one that never can, and tells the memory it takes.
//!
//! `cargo run --release -p kvs-testkit --example cycles -- 10000 1000`: so many cycles that deliver, then so many that fail.

#![allow(clippy::print_stdout)] // printing is what it is for

use std::error::Error;
use std::time::Duration;

use kvs_actors::{Producer, StreamConfig};
use kvs_mkv::{Frame, Timestamp, Track};
use kvs_testkit::MockKvs;

fn resident_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?
        .trim()
        .strip_suffix(" kB")?
        .trim()
        .parse()
        .ok()
}

fn config() -> Result<StreamConfig, Box<dyn Error>> {
    let track = Track::aac()
        .with_number(1)
        .with_codec_private(vec![0x11, 0x90].into())?;
    Ok(StreamConfig::realtime("cam").track(track))
}

async fn cycle(builder: kvs_actors::ProducerBuilder, timeout: Duration) -> Result<u64, Box<dyn Error>> {
    let producer = builder.start()?;
    let camera = producer.open_stream(config()?).await?;
    for n in 0..5 {
        let frame = Frame::video(vec![1; 1_000])
            .pts(Timestamp::from_millis(200 * n))
            .key();
        camera.put_frame(frame).await?;
    }
    let report = camera.stop(timeout).await?;
    producer.stop(Duration::from_secs(5)).await?;
    Ok(report.frames.delivered.frames)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut counts = std::env::args().skip(1).map(|count| count.parse::<u32>());
    let good = counts.next().transpose()?.unwrap_or(100);
    let failing = counts.next().transpose()?.unwrap_or(10);

    let mut delivered = 0;
    for n in 0..good {
        if n % 100 == 0 || n + 1 == good {
            println!("{n} cycles: {} KiB resident", resident_kib().unwrap_or(0));
        }
        let kvs = MockKvs::start().await;
        let builder = Producer::builder()
            .endpoint(kvs.endpoint())
            .credentials(kvs.credentials());
        delivered += cycle(builder.region(kvs.region()), Duration::from_secs(10)).await?;
        kvs.stop().await;
    }
    println!("{good} cycles delivered {delivered} frames");

    let nobody = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    for n in 0..failing {
        if n % 100 == 0 || n + 1 == failing {
            println!("{n} failed starts: {} KiB resident", resident_kib().unwrap_or(0));
        }
        let keys = kvs_auth::StaticCredentials::new("AKIDEXAMPLE", "secret");
        let builder = Producer::builder()
            .endpoint(format!("http://{nobody}"))
            .credentials(keys);
        let delivered = cycle(builder, Duration::from_millis(5)).await?;
        assert_eq!(delivered, 0, "nobody listens there");
    }
    Ok(())
}
