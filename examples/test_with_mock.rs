//! A test of a service that streams: the mock resets the connection in the middle of a fragment, and nothing is lost.
//!
//! `cargo test -p kvs-examples` runs it as a test; run as an example it prints what the mock saw.
#![allow(clippy::print_stdout, reason = "an example talks to people")]

use std::error::Error;
use std::time::Duration;

use kvs_actors::{Producer, StopReport, StreamConfig};
use kvs_examples::Camera;
use kvs_testkit::MockKvs;
use kvs_testkit::service::Delivery;

/// Stands for the service under test: it takes where to stream as a setting.
async fn service_under_test(kvs: &MockKvs) -> Result<StopReport, Box<dyn Error>> {
    let producer = Producer::builder()
        .endpoint(kvs.endpoint())
        .credentials(kvs.credentials())
        .start()?;
    let stream = producer
        .open_stream(StreamConfig::realtime("front-door").h264())
        .await?;
    for frame in Camera::new(10_000).take(5 * 25) {
        stream.put_frame(frame).await?;
    }
    let report = stream.stop(Duration::from_secs(10)).await?;
    producer.stop(Duration::from_secs(1)).await?;
    Ok(report)
}

/// A fragment of the camera takes about 250 kB: the reset comes in the middle of the third.
const MIDDLE_OF_THE_THIRD_FRAGMENT: u64 = 600_000;

async fn stream_through_a_reset() -> Result<MockKvs, Box<dyn Error>> {
    let kvs = MockKvs::start().await;
    kvs.stream("front-door")
        .on_put_media(1)
        .after_bytes(MIDDLE_OF_THE_THIRD_FRAGMENT)
        .reset_connection();

    let report = service_under_test(&kvs).await?;

    kvs.stream("front-door").expect_persisted(5).await;
    kvs.assert_conserved(accounts(&report));
    assert_eq!(report.frames.delivered.frames, 5 * 25);
    assert_eq!(report.sessions.sessions, 2);
    Ok(kvs)
}

/// The producer's accounts in the words of the mock, which compares them with what it saw.
fn accounts(report: &StopReport) -> Delivery {
    let frames = &report.frames;
    Delivery {
        stream: report.stream.clone(),
        accepted: frames.accepted.frames,
        delivered: frames.delivered.frames,
        dropped: frames.dropped_total().frames,
        unconfirmed: frames.unconfirmed.frames,
        refused: frames.refused.frames,
        buffered: frames.buffered.frames,
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let kvs = stream_through_a_reset().await?;
    print!("{}", kvs.ledger().stream("front-door").summary());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_reset_in_the_middle_of_a_fragment_loses_nothing() {
        stream_through_a_reset().await.unwrap();
    }
}
