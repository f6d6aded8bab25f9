//! PutMedia over HTTP/1.1, both directions at once.

use std::{
    cell::Cell,
    rc::Rc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{CONNECTION, CONTENT_TYPE, EXPECT, TRANSFER_ENCODING},
};
use kvs_auth::{Credentials, PayloadHash};
use tokio::time::{Instant, timeout_at};

use crate::{
    AckDecoder, AckMode, Client, ClientError, ClientErrorKind, Dial, LocalFuture, MediaConnection,
    MediaEvent, MediaReader, MediaTransport, MediaWriter, PutMediaRequest, TimecodeType,
    http1::{ChunkedWriter, ResponseHead, ResponseReader, encode_head},
    service_error::{MAX_ERROR_BODY, request_id, service_error},
};

/// How long the body of a refusal is waited for; the status alone says enough.
const ERROR_BODY_TIMEOUT: Duration = Duration::from_secs(5);

/// Whether the client asks the service to confirm the head before the body (`Expect: 100-continue`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ExpectContinue {
    /// It doesn't; the body starts at once.
    #[default]
    No,
    /// It does, for gateways that insist. The body starts at once all the same.
    Yes,
}

/// Opens PutMedia sessions over HTTP/1.1 with or without TLS.
///
/// The connection is dialled anew for each session, without Nagle's delay. The request head goes out as soon
/// as the connection stands, the response is read from then on, and every batch of media is one chunk,
/// written and flushed at once.
#[derive(Clone)]
pub struct HttpMediaTransport {
    client: Client,
    dial: Rc<dyn Dial>,
    expect: ExpectContinue,
}

impl HttpMediaTransport {
    /// A transport that dials over TCP.
    pub fn new(client: &Client) -> Self {
        Self {
            client: client.clone(),
            dial: Rc::new(client.dialer()),
            expect: ExpectContinue::No,
        }
    }

    /// Dials in another way.
    #[must_use]
    pub fn with_dial(mut self, dial: impl Dial + 'static) -> Self {
        self.dial = Rc::new(dial);
        self
    }

    /// Asks for a confirmation of the head.
    #[must_use]
    pub fn expect_continue(mut self, expect: ExpectContinue) -> Self {
        self.expect = expect;
        self
    }

    async fn connect(&self, request: PutMediaRequest) -> Result<MediaConnection, ClientError> {
        let headers = self.headers(&request)?;
        let duplex = self.dial.dial(&request.endpoint).await?;
        // Signed last, so that a slow connection doesn't age the signature.
        let signed = self
            .client
            .sign_post(&request.endpoint, "/putMedia", headers, PayloadHash::Empty)
            .await?;
        let head = encode_head(&signed.method, &signed.uri, &signed.headers);
        let lost = Rc::new(Cell::new(false));
        let mut writer = ChunkedWriter::new(duplex.write, head, Rc::clone(&lost));
        let endpoint = request.endpoint.origin().ascii_serialization();
        // A service that refuses at once may close before the head is through; its answer says more than the
        // write error.
        if let Err(error) = writer.drain().await {
            tracing::debug!(%error, %endpoint, "the connection broke while the request head was sent");
        }
        let reader = Reader {
            response: ResponseReader::new(duplex.read, lost),
            decoder: AckDecoder::new(),
            phase: Phase::Head,
            client: self.client.clone(),
            credentials: signed.credentials,
            endpoint,
        };
        Ok(MediaConnection {
            writer: Box::new(Writer(writer)),
            reader: Box::new(reader),
        })
    }

    fn headers(&self, request: &PutMediaRequest) -> Result<HeaderMap, ClientError> {
        let mut headers = HeaderMap::with_capacity(12);
        let mut put =
            |name: &'static str, value: HeaderValue| headers.insert(HeaderName::from_static(name), value);
        let stream = HeaderValue::from_str(&request.stream).map_err(|source| {
            let text = format!("stream name {:?} is not visible ascii", request.stream);
            ClientError::new(ClientErrorKind::InvalidArgument, text).with_source(source)
        })?;
        put("x-amzn-stream-name", stream);
        put(
            "x-amzn-fragment-timecode-type",
            HeaderValue::from_static(match request.timecodes {
                TimecodeType::Absolute => "ABSOLUTE",
                TimecodeType::Relative => "RELATIVE",
            }),
        );
        if let Some(start) = request.start_timestamp {
            put("x-amzn-producer-start-timestamp", start_timestamp(start)?);
        } else if request.timecodes == TimecodeType::Relative {
            let text = "relative timecodes need a start timestamp";
            return Err(ClientError::new(ClientErrorKind::InvalidArgument, text));
        }
        put(
            "x-amzn-fragment-acknowledgment-required",
            HeaderValue::from_static(match request.acks {
                AckMode::Required => "1",
                AckMode::Off => "0",
            }),
        );
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        headers.insert(CONNECTION, HeaderValue::from_static("keep-alive"));
        if self.expect == ExpectContinue::Yes {
            headers.insert(EXPECT, HeaderValue::from_static("100-continue"));
        }
        Ok(headers)
    }
}

impl MediaTransport for HttpMediaTransport {
    fn open(&self, request: PutMediaRequest) -> LocalFuture<'_, Result<MediaConnection, ClientError>> {
        Box::pin(self.connect(request))
    }
}

impl std::fmt::Debug for HttpMediaTransport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpMediaTransport")
            .field("client", &self.client)
            .finish_non_exhaustive()
    }
}

/// Seconds since the epoch with exactly three decimals: some services read `.7` as 700 ms.
fn start_timestamp(start: SystemTime) -> Result<HeaderValue, ClientError> {
    let invalid = || {
        ClientError::new(
            ClientErrorKind::InvalidArgument,
            "the start timestamp lies before 1970",
        )
    };
    let since = start
        .duration_since(UNIX_EPOCH)
        .map_err(|source| invalid().with_source(source))?;
    let text = format!("{}.{:03}", since.as_secs(), since.subsec_millis());
    HeaderValue::from_str(&text).map_err(|source| invalid().with_source(source))
}

struct Writer(ChunkedWriter);

impl MediaWriter for Writer {
    fn write<'a>(&'a mut self, chunks: &'a mut Vec<Bytes>) -> LocalFuture<'a, Result<(), ClientError>> {
        Box::pin(self.0.write(chunks))
    }

    fn finish(&mut self) -> LocalFuture<'_, Result<(), ClientError>> {
        Box::pin(self.0.finish())
    }

    fn abort(self: Box<Self>) {}
}

struct Reader {
    response: ResponseReader,
    decoder: AckDecoder,
    phase: Phase,
    client: Client,
    credentials: Credentials,
    endpoint: String,
}

enum Phase {
    Head,
    Acks,
    /// An answer other than 2xx: its body is collected until the deadline.
    Refusal {
        head: ResponseHead,
        body: Vec<u8>,
        deadline: Instant,
    },
    Ended,
    Lost,
}

impl Reader {
    async fn next_event(&mut self) -> Result<MediaEvent, ClientError> {
        loop {
            match &mut self.phase {
                Phase::Head => {
                    let head = self.response.head().await?;
                    if head.is_success() {
                        self.phase = Phase::Acks;
                        return Ok(MediaEvent::Head {
                            request_id: request_id(|name| head.header(name)),
                        });
                    }
                    let deadline = Instant::now() + ERROR_BODY_TIMEOUT;
                    self.phase = Phase::Refusal {
                        head,
                        body: Vec::new(),
                        deadline,
                    };
                }
                Phase::Refusal { head, body, deadline } => {
                    // Whatever ends the body, the status stands.
                    if let Ok(Ok(Some(data))) = timeout_at(*deadline, self.response.data()).await {
                        body.extend_from_slice(&data);
                        if body.len() <= MAX_ERROR_BODY {
                            continue;
                        }
                    }
                    let error = service_error(head.status, |name| head.header(name), body);
                    self.client
                        .refused(&error, head.header("date"), &self.credentials);
                    self.phase = Phase::Ended;
                    return Err(error);
                }
                Phase::Acks => return self.next_ack().await,
                Phase::Ended => return Ok(MediaEvent::End),
                Phase::Lost => return Err(ClientError::new(ClientErrorKind::ConnectionLost, "")),
            }
        }
    }

    async fn next_ack(&mut self) -> Result<MediaEvent, ClientError> {
        loop {
            let polled = self.decoder.poll().map_err(|source| {
                ClientError::new(ClientErrorKind::Protocol, source.to_string()).with_source(source)
            })?;
            if let Some(ack) = polled {
                return Ok(MediaEvent::Ack(ack));
            }
            match self.response.data().await? {
                Some(data) => self.decoder.push(&data),
                None => {
                    self.phase = Phase::Ended;
                    if self.decoder.is_empty() {
                        return Ok(MediaEvent::End);
                    }
                    return Err(ClientError::new(
                        ClientErrorKind::Protocol,
                        "the response ends inside an ack",
                    ));
                }
            }
        }
    }
}

impl MediaReader for Reader {
    fn next(&mut self) -> LocalFuture<'_, Result<MediaEvent, ClientError>> {
        Box::pin(async move {
            self.next_event().await.map_err(|error| {
                if error.is_connection_lost() {
                    self.phase = Phase::Lost;
                }
                error.with_endpoint(self.endpoint.clone())
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_timestamps_have_three_decimals_rounded_down() {
        for (nanos, text) in [
            (0, "0.000"),
            (7_000_000, "0.007"),
            (1_704_164_645_007_999_999, "1704164645.007"),
            (1_704_164_645_700_000_000, "1704164645.700"),
        ] {
            let start = UNIX_EPOCH + Duration::from_nanos(nanos);

            assert_eq!(start_timestamp(start).expect("is valid"), text);
        }
    }

    #[test]
    fn a_start_before_1970_is_refused() {
        let error = start_timestamp(UNIX_EPOCH - Duration::from_millis(1)).expect_err("refused");

        assert_eq!(error.kind(), ClientErrorKind::InvalidArgument);
    }
}
