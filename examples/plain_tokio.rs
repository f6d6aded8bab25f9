//! A service on tokio: cameras stream from ordinary tasks, the producer runs its own thread beside them.
#![allow(clippy::print_stdout, reason = "an example talks to people")]

use std::error::Error;
use std::time::Duration;

use kvs_actors::{Producer, ProducerHandle, StopReport, StreamConfig};
use kvs_examples::Camera;
use kvs_testkit::MockKvs;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    // In production: `.region("…").credentials(EnvironmentCredentials::new())`, and no endpoint.
    let kvs = MockKvs::start().await;
    let producer = Producer::builder()
        .endpoint(kvs.endpoint())
        .credentials(kvs.credentials())
        .start()?;

    let cameras: Vec<_> = ["front-door", "garage"]
        .map(|name| tokio::spawn(stream_camera(producer.clone(), name)))
        .into();
    for camera in cameras {
        let report = camera.await??;
        let sessions = &report.sessions;
        println!(
            "{}: {} frames delivered in {} fragments, {} dropped",
            report.stream,
            report.frames.delivered.frames,
            sessions.fragments_persisted,
            report.frames.dropped_total().frames
        );
    }
    producer.stop(Duration::from_secs(1)).await?;
    kvs.stop().await;
    Ok(())
}

/// Five seconds of a camera, as fast as they go.
async fn stream_camera(
    producer: ProducerHandle,
    name: &str,
) -> Result<StopReport, Box<dyn Error + Send + Sync>> {
    let stream = producer.open_stream(StreamConfig::realtime(name).h264()).await?;
    for frame in Camera::new(10_000).take(5 * 25) {
        stream.put_frame(frame).await?;
    }
    Ok(stream.stop(Duration::from_secs(10)).await?)
}
