//! A body without end, 400 bytes every 100 ms: how soon the request head is on the wire after the first frame, how soon the
//! first acknowledgement is at the application, and that nothing times out. Plain, then over TLS.
//!
//! Takes the number of seconds to go on for; 60 without it.
#![allow(clippy::print_stdout, reason = "an example talks to people")]

use std::error::Error;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use kvs_actors::{EventStream, Producer, StopReport, StreamConfig, StreamEvent};
use kvs_client::TlsOptions;
use kvs_examples::Camera;
use kvs_testkit::MockKvs;

const STREAM: &str = "endless";
const FRAME_BYTES: usize = 400;
const INTERVAL: Duration = Duration::from_millis(100);
const HEAD_LIMIT: Duration = Duration::from_millis(50);
const ACK_LIMIT: Duration = Duration::from_millis(300);

/// What one run measured.
struct Measured {
    /// From the first frame to the request head at the endpoint.
    head: Duration,
    /// From the first frame to the first acknowledgement at the application.
    ack: Duration,
    report: StopReport,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let seconds: u64 = std::env::args()
        .nth(1)
        .map_or(Ok(60), |argument| argument.parse())?;
    let mut slow = false;
    for (name, kvs) in [
        ("plain", MockKvs::start().await),
        ("tls", MockKvs::builder().https().start().await?),
    ] {
        let Measured { head, ack, report } = run(&kvs, Duration::from_secs(seconds)).await?;
        println!(
            "{name}: head after {:.1} ms, first ACK after {:.1} ms; {seconds} s: {} sessions, {} of {} frames delivered",
            head.as_secs_f64() * 1e3,
            ack.as_secs_f64() * 1e3,
            report.sessions.sessions,
            report.frames.delivered.frames,
            report.frames.accepted.frames,
        );
        slow |=
            head >= HEAD_LIMIT || ack >= ACK_LIMIT || report.sessions.sessions != 1 || !report.is_complete();
        kvs.stop().await;
    }
    if slow {
        Err("slower than promised, or not in one piece".into())
    } else {
        Ok(())
    }
}

async fn run(kvs: &MockKvs, length: Duration) -> Result<Measured, Box<dyn Error>> {
    let tls = kvs
        .ca_pem()
        .into_iter()
        .fold(TlsOptions::default(), TlsOptions::extra_ca_pem);
    let producer = Producer::builder()
        .endpoint(kvs.endpoint())
        .credentials(kvs.credentials())
        .tls(tls)
        .start()?;
    let stream = producer
        .open_stream(StreamConfig::realtime(STREAM).h264())
        .await?;
    // Preparing a stream (describing and creating it, asking for its endpoint) is not what is measured here.
    let mut events = stream.events();
    wait_for(&mut events, |event| matches!(event, StreamEvent::Ready)).await?;

    let (first_frame, began) = (SystemTime::now(), Instant::now());
    let ack = tokio::spawn(async move {
        let outcome = wait_for(&mut events, |event| matches!(event, StreamEvent::FragmentAck(_))).await;
        outcome.map(|()| began.elapsed())
    });
    let mut clock = tokio::time::interval(INTERVAL);
    for frame in Camera::new(FRAME_BYTES).every(INTERVAL) {
        clock.tick().await;
        if began.elapsed() >= length {
            break;
        }
        stream.put_frame(frame).await?;
    }
    let report = stream.stop(Duration::from_secs(10)).await?;
    producer.stop(Duration::from_secs(1)).await?;

    let ledger = kvs.ledger();
    let session = ledger.stream(STREAM).sessions.first().ok_or("no session came")?;
    let opened = UNIX_EPOCH + Duration::from_millis(u64::try_from(session.opened_ms)?);
    // The ledger counts whole milliseconds, rounded down.
    let head = opened.duration_since(first_frame).unwrap_or_default() + Duration::from_millis(1);
    Ok(Measured {
        head,
        ack: ack.await??,
        report,
    })
}

async fn wait_for(
    events: &mut EventStream,
    wanted: impl Fn(&StreamEvent) -> bool,
) -> Result<(), &'static str> {
    while let Some(event) = events.next().await {
        if wanted(&event) {
            return Ok(());
        }
    }
    Err("the stream ended before its time")
}
