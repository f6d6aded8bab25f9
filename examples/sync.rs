//! A program without async code: settings out of TOML, frames from an ordinary thread.
#![allow(clippy::print_stdout, reason = "an example talks to people")]

use std::error::Error;
use std::thread;
use std::time::Duration;

use kvs_actors::{FlushUntil, Producer, Settings, StopReport};
use kvs_examples::Camera;
use kvs_testkit::MockKvs;

/// What a program reads with `Settings::load("kvs.toml")`, variables over it.
const SETTINGS: &str = r#"
    [producer]
    buffer_bytes = "32 MiB"

    [streams.front-door]
    tracks = ["h264"]
    retention_hours = 24
    put_timeout = "2s"
"#;

fn main() -> Result<(), Box<dyn Error>> {
    // The mock is the only thing here that wants a runtime, to start and to stop.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let kvs = runtime.block_on(MockKvs::start());
    let report = stream_camera(&kvs)?;
    println!(
        "{}: {} frames delivered in {} fragments",
        report.stream, report.frames.delivered.frames, report.sessions.fragments_persisted
    );
    runtime.block_on(kvs.stop());
    Ok(())
}

fn stream_camera(kvs: &MockKvs) -> Result<StopReport, Box<dyn Error>> {
    let settings = Settings::sources().toml(SETTINGS).load()?;
    let mut config = settings.producer.clone();
    config.endpoint = Some(kvs.endpoint());
    let producer = Producer::builder()
        .config(config)
        .credentials(kvs.credentials())
        .start()?;

    let stream = producer.blocking_open_stream(settings.stream("front-door")?)?;
    let camera = stream.clone();
    let streaming = thread::spawn(move || {
        let mut frames = Camera::new(10_000).take(5 * 25);
        frames.try_for_each(|frame| camera.blocking_put_frame(frame).map(drop))
    });
    streaming.join().map_err(|_| "the camera's thread panicked")??;
    stream.blocking_flush(FlushUntil::Delivered, Duration::from_secs(10))?;
    let report = stream.blocking_stop(Duration::from_secs(10))?;
    producer.blocking_stop(Duration::from_secs(1))?;
    Ok(report)
}
