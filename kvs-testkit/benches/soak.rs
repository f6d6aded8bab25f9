//! A million fragments through one mock, with the memory it takes on the way.
//!
//! `cargo bench -p kvs-testkit --bench soak`. Resident memory is read from `/proc`; elsewhere only the rate is
//! printed.

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

/// Sessions, one after the other, on as many streams in turn.
const SESSIONS: u64 = 20;
const FRAGMENTS: u64 = 50_000;

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let builder = MockKvs::builder().media_cap(16 << 20).configure(|config| {
        config.ledger_fragments = 10_000;
        config.ledger_frames = 100_000;
    });
    let kvs = runtime.block_on(builder.start()).unwrap();
    let started = Instant::now();
    for session in 0..SESSIONS {
        let stream = format!("cam{}", session % 4);
        kvs.create_stream(&stream, 1);
        let mut client = RawClient::connect(&kvs);
        client.put_media(&kvs, &stream);
        client.send_chunk(media::header(&[1]));
        let first = T + session * FRAGMENTS * 1_000;
        // Acknowledgements are read as they come, or the two sides would block each other.
        for hundred in 0..FRAGMENTS / 100 {
            let body: Vec<u8> = (0..100)
                .flat_map(|n| media::fragment(first + (hundred * 100 + n) * 1_000))
                .collect();
            client.send_chunk(body);
            let acks = if hundred == 0 { 298 } else { 300 };
            for _ in 0..acks {
                client.read_ack();
            }
        }
        client.send_last_chunk();
        client.read_to_end();
        let done = (session + 1) * FRAGMENTS;
        let rate = done as f64 / started.elapsed().as_secs_f64();
        println!(
            "{done} fragments, {rate:.0}/s, {} MB resident",
            resident_mb().unwrap_or(0)
        );
    }
}

/// Resident memory of this process (proc_pid_status(5)).
fn resident_mb() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kilobytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes / 1_024)
}
