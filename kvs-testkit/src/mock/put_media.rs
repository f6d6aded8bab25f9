//! PutMedia on a socket: both directions at once.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use bytes::{Buf, Bytes};
use kvs_auth::VerifyBody;
use kvs_mkv::Timestamp;
use tokio::io::AsyncWrite;

use super::body::{BodyDecoder, Piece};
use super::capture::Capture;
use super::connection::{Connection, Outcome, after};
use super::head::{Framing, Head};
use super::host::Registration;
use super::response::{self, After};
use crate::service::{Action, PutMediaRequest, ServiceError, ServiceErrorKind, StreamSelector, TimecodeType};

/// How long the last bytes before a scripted reset may take to leave.
const FLUSH_BEFORE_RESET: Duration = Duration::from_secs(1);

/// Bytes of a following request that are read ahead while the response still runs.
const READ_AHEAD: usize = 64 * 1024;

/// Serves a PutMedia request.
pub(super) async fn serve(mut connection: Connection, head: Head, framing: Framing) -> io::Result<Outcome> {
    if let Err(error) = connection.verify(&head, VerifyBody::Streaming) {
        return connection.refuse_unread(&head, &error).await;
    }
    let opened = request(&head).and_then(|request| {
        connection
            .host
            .with(|service, now| service.open_put_media(&request, now))
    });
    let opened = match opened {
        Ok(opened) => opened,
        Err(error) => return connection.refuse_unread(&head, &error).await,
    };
    let registration = connection.host.register(opened.connection);
    let capture = connection.host.capture.as_deref();
    let capture = capture.and_then(|folder| Capture::create(folder, &opened.stream, opened.nth));
    connection.send_continue(&head).await?;
    // The service answers as soon as it has seen the head; clients wait for that before they send media.
    let ok = response::streaming(
        &opened.request_id,
        "application/json",
        after(&head),
        connection.host.system_time(),
    );
    connection.socket.send(&ok).await?;
    let duplex = Duplex {
        after: after(&head),
        decoder: BodyDecoder::new(framing),
        body: Body::Coming,
        out: VecDeque::new(),
        unflushed: false,
        ends: false,
        connection,
        registration,
        capture,
    };
    duplex.run().await
}

/// Reads the head of a PutMedia request.
fn request(head: &Head) -> Result<PutMediaRequest, ServiceError> {
    let name = head.text("x-amzn-stream-name").filter(|name| !name.is_empty());
    let arn = head.text("x-amzn-stream-arn").filter(|arn| !arn.is_empty());
    let stream = match (name, arn) {
        (Some(name), None) => StreamSelector::Name(name.to_owned()),
        (None, Some(arn)) => StreamSelector::Arn(arn.to_owned()),
        _ => {
            return Err(invalid(
                "exactly one of x-amzn-stream-name and x-amzn-stream-arn is needed",
            ));
        }
    };
    let timecodes = match head.text("x-amzn-fragment-timecode-type") {
        Some("ABSOLUTE") => TimecodeType::Absolute,
        Some("RELATIVE") => TimecodeType::Relative,
        _ => {
            return Err(invalid(
                "x-amzn-fragment-timecode-type must be ABSOLUTE or RELATIVE",
            ));
        }
    };
    let start_timestamp = match head.text("x-amzn-producer-start-timestamp") {
        None | Some("") => None,
        Some(text) => {
            let time = epoch_seconds(text);
            Some(time.ok_or_else(|| invalid("x-amzn-producer-start-timestamp is not epoch seconds"))?)
        }
    };
    let acks_required = match head.text("x-amzn-fragment-acknowledgment-required") {
        None | Some("0" | "") => false,
        Some("1") => true,
        Some(_) => return Err(invalid("x-amzn-fragment-acknowledgment-required must be 0 or 1")),
    };
    Ok(PutMediaRequest {
        stream,
        timecodes,
        start_timestamp,
        acks_required,
    })
}

fn invalid(message: &str) -> ServiceError {
    ServiceError::new(ServiceErrorKind::InvalidArgument, message)
}

/// `SSSSSSSSSS.mmm`. The C producer doesn't pad the fraction; it is read as the decimal fraction it is.
fn epoch_seconds(text: &str) -> Option<Timestamp> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if seconds.is_empty() || !digits(seconds) || !digits(fraction) || fraction.len() > 9 {
        return None;
    }
    let nanos: i64 = format!("{fraction:0<9}").parse().ok()?;
    let seconds: i64 = seconds.parse().ok()?;
    seconds
        .checked_mul(1_000_000_000)?
        .checked_add(nanos)
        .map(Timestamp::from_nanos)
}

/// Where the request's body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Body {
    Coming,
    Ended,
}

/// A PutMedia request under way.
struct Duplex {
    connection: Connection,
    registration: Registration,
    decoder: BodyDecoder,
    body: Body,
    /// Chunks of response, each written and flushed by itself.
    out: VecDeque<Bytes>,
    unflushed: bool,
    /// Whether the response's last chunk is queued.
    ends: bool,
    after: After,
    capture: Option<Capture>,
}

/// What a wait ended with.
enum Event {
    Read(usize),
    Progress,
}

impl Duplex {
    async fn run(mut self) -> io::Result<Outcome> {
        loop {
            if self.take_actions() {
                self.flush_before_reset().await;
                drop(self.registration);
                self.connection.socket.reset();
                return Ok(Outcome::Closed);
            }
            if self.ends && self.out.is_empty() && !self.unflushed {
                return self.finish().await;
            }
            if self.take_body()? {
                continue;
            }
            match self.wait().await? {
                // The peer closed its half. Inside a body that is a loss; after it, it may still read.
                Event::Read(0) if self.body == Body::Coming => {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                Event::Read(0) => self.after = After::Close,
                Event::Read(_) | Event::Progress => {}
            }
        }
    }

    /// Queues what the service has for us; true for a reset.
    fn take_actions(&mut self) -> bool {
        let id = self.registration.id();
        while let Some(action) = self.connection.host.with(|service, now| service.poll(id, now)) {
            match action {
                Action::Send(bytes) => self.out.push_back(response::chunk(&bytes)),
                Action::End => {
                    self.out.push_back(response::LAST_CHUNK);
                    self.ends = true;
                }
                Action::Reset => return true,
            }
        }
        false
    }

    fn wants(&self) -> usize {
        let id = self.registration.id();
        self.connection.host.with(|service, now| service.wants(id, now))
    }

    /// Hands a piece of body to the service; true if there was one.
    fn take_body(&mut self) -> io::Result<bool> {
        let wanted = self.wants();
        if self.body == Body::Ended || wanted == 0 {
            return Ok(false);
        }
        let id = self.registration.id();
        match self.decoder.next(&mut self.connection.buffer, wanted) {
            Ok(Piece::Data(data)) => {
                if let Some(capture) = &mut self.capture {
                    capture.write(&data);
                }
                self.connection
                    .host
                    .with(|service, now| service.put_media_data(id, data, now));
                Ok(true)
            }
            Ok(Piece::End) => {
                self.body = Body::Ended;
                self.connection
                    .host
                    .with(|service, now| service.put_media_end(id, now));
                Ok(true)
            }
            Ok(Piece::NeedMore) => Ok(false),
            Err(bad) => Err(io::Error::new(io::ErrorKind::InvalidData, bad.message)),
        }
    }

    /// Waits until bytes came, bytes went, or the service has something for us.
    async fn wait(&mut self) -> io::Result<Event> {
        let reads = match self.body {
            Body::Coming => self.wants() > 0,
            // Only to learn of a lost connection, and of the next request.
            Body::Ended => self.after == After::KeepAlive && self.connection.buffer.len() < READ_AHEAD,
        };
        let mut woken = pin!(self.registration.notify().notified());
        let Connection { socket, buffer, .. } = &mut self.connection;
        let (out, unflushed) = (&mut self.out, &mut self.unflushed);
        poll_fn(|cx| {
            while let Some(chunk) = out.front_mut() {
                if *unflushed {
                    break;
                }
                match Pin::new(&mut *socket).poll_write(cx, chunk) {
                    Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                    Poll::Ready(Ok(written)) => chunk.advance(written),
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => break,
                }
                if chunk.is_empty() {
                    out.pop_front();
                    *unflushed = true;
                }
            }
            if *unflushed && let Poll::Ready(flushed) = Pin::new(&mut *socket).poll_flush(cx) {
                *unflushed = false;
                return Poll::Ready(flushed.map(|()| Event::Progress));
            }
            if reads && let Poll::Ready(read) = pin!(socket.read(buffer)).poll(cx) {
                return Poll::Ready(read.map(Event::Read));
            }
            woken.as_mut().poll(cx).map(|()| Ok(Event::Progress))
        })
        .await
    }

    async fn flush_before_reset(&mut self) {
        let (socket, out) = (&mut self.connection.socket, &mut self.out);
        let flushed = async {
            for chunk in out.drain(..) {
                socket.send(&chunk).await?;
            }
            io::Result::Ok(())
        };
        // The connection is thrown away next, whatever came of it.
        let _ = tokio::time::timeout(FLUSH_BEFORE_RESET, flushed).await;
    }

    async fn finish(self) -> io::Result<Outcome> {
        drop(self.registration);
        if self.body == Body::Ended && self.after == After::KeepAlive {
            return Ok(Outcome::Reusable(self.connection));
        }
        self.connection.socket.close().await;
        Ok(Outcome::Closed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_timestamps_are_decimal_fractions_of_seconds() {
        assert_eq!(
            epoch_seconds("1500000000.007"),
            Some(Timestamp::from_millis(1_500_000_000_007))
        );
        assert_eq!(
            epoch_seconds("1500000000"),
            Some(Timestamp::from_secs(1_500_000_000))
        );
        // As the C producer prints 7 ms: read as 700 ms, as the service reads it.
        assert_eq!(
            epoch_seconds("1500000000.7"),
            Some(Timestamp::from_millis(1_500_000_000_700))
        );
        for wrong in ["", ".5", "-1", "1e9", "1.0.0", "99999999999999999999"] {
            assert_eq!(epoch_seconds(wrong), None, "{wrong:?}");
        }
    }
}
