//! What the mock itself costs: CPU seconds of its thread per GB of media taken in over a loopback socket.
//!
//! `cargo bench -p kvs-testkit --bench mock_throughput`. The CPU time is read from `/proc`; elsewhere only the
//! wall time is printed.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    missing_docs,
    reason = "a measuring program"
)]

#[path = "../tests/common/mod.rs"]
mod common;

use std::time::Instant;

use common::{RawClient, media};
use kvs_testkit::MockKvs;

const T: u64 = 1_700_000_000_000;

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for (what, frame_bytes, https) in [
        ("http, 100 kB frames", 100_000, false),
        ("http, 10 kB frames", 10_000, false),
        ("https, 100 kB frames", 100_000, true),
    ] {
        let mut builder = MockKvs::builder().with_stream("cam", 1);
        if https {
            builder = builder.https();
        }
        let kvs = runtime.block_on(builder.start()).unwrap();
        measure(what, &kvs, frame_bytes);
    }
}

fn measure(what: &str, kvs: &MockKvs, frame_bytes: usize) {
    let frames_per_fragment: i16 = 30;
    let payload: Vec<u8> = (0..frame_bytes).map(|i| (i * 7) as u8).collect();
    let frames: Vec<u8> = (0..frames_per_fragment)
        .flat_map(|i| media::block(1, i * 33, &payload))
        .collect();
    let fragments = 1_000_000_000 / frames.len() as u64;

    let mut client = RawClient::connect(kvs);
    client.put_media(kvs, "cam");
    let (started, cpu) = (Instant::now(), mock_cpu_seconds());
    client.send_chunk(media::header(&[1]));
    for n in 0..fragments {
        client.send_chunk(media::cluster(T + n * 1_000));
        for block in frames.chunks(64 * 1024) {
            client.send_chunk(block);
        }
    }
    client.send_last_chunk();
    client.read_to_end();
    let gigabytes = fragments as f64 * frames.len() as f64 / 1e9;
    let wall = started.elapsed().as_secs_f64();
    match (cpu, mock_cpu_seconds()) {
        (Some(before), Some(after)) => {
            println!(
                "{what}: {:.2} CPU s/GB, {:.2} GB/s",
                (after - before) / gigabytes,
                gigabytes / wall
            );
        }
        _ => println!("{what}: {:.2} GB/s", gigabytes / wall),
    }
}

/// CPU time of the threads named `kvs-mock`, from `/proc` (proc_pid_stat(5): fields 14 and 15, in ticks of
/// 1/100 s).
fn mock_cpu_seconds() -> Option<f64> {
    let mut ticks = 0;
    for task in std::fs::read_dir("/proc/self/task").ok()? {
        let stat = std::fs::read_to_string(task.ok()?.path().join("stat")).ok()?;
        let (name, rest) = stat.split_once(") ")?;
        if name.ends_with("(kvs-mock") {
            let fields: Vec<&str> = rest.split(' ').collect();
            ticks += fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
        }
    }
    Some(ticks as f64 / 100.0)
}
