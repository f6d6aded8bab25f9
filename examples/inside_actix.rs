//! Inside an actix system: the producer's actors run on the system's own thread, and the stream's events come to an actor as
//! messages.
#![allow(clippy::print_stdout, reason = "an example talks to people")]

use std::error::Error;
use std::time::Duration;

use actix::{Actor, Addr, Context, Handler, Message};
use kvs_actors::{FragmentAck, Producer, StreamConfig, StreamEvents};
use kvs_client::AckEvent;
use kvs_examples::Camera;
use kvs_testkit::MockKvs;

/// A fragment is stored.
#[derive(Message)]
#[rtype(result = "()")]
struct Stored(Option<String>);

/// Counts what is stored.
#[derive(Default)]
struct Archivist {
    stored: u32,
}

impl Actor for Archivist {
    type Context = Context<Self>;
}

impl Handler<Stored> for Archivist {
    type Result = ();

    fn handle(&mut self, Stored(number): Stored, _: &mut Self::Context) {
        self.stored += 1;
        println!(
            "fragment {} is stored, {} in all",
            number.as_deref().unwrap_or("?"),
            self.stored
        );
    }
}

/// Hands a stream's events to the actor.
struct ToArchivist(Addr<Archivist>);

impl StreamEvents for ToArchivist {
    fn fragment_ack(&self, _stream: &str, ack: &FragmentAck) {
        if ack.event == AckEvent::Persisted {
            self.0.do_send(Stored(ack.fragment_number.clone()));
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    actix::System::new().block_on(async {
        let kvs = MockKvs::start().await;
        let archivist = Archivist::default().start();
        let producer = Producer::builder()
            .endpoint(kvs.endpoint())
            .credentials(kvs.credentials())
            .start_here()?;
        let config = StreamConfig::realtime("front-door").h264();
        let stream = producer.open_stream_with(config, ToArchivist(archivist)).await?;

        for frame in Camera::new(10_000).take(5 * 25) {
            stream.put_frame(frame).await?;
        }
        let report = stream.stop(Duration::from_secs(10)).await?;
        println!(
            "{} of {} frames delivered",
            report.frames.delivered.frames, report.frames.accepted.frames
        );
        producer.stop(Duration::from_secs(1)).await?;
        kvs.stop().await;
        Ok(())
    })
}
