//! PutMedia sessions of the cases.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use kvs_client::{
    AckEvent, ApiName, ClientError, MediaConnection, MediaEvent, MediaTransport, PutMediaRequest,
};

use super::{TruthCheck, text};

/// How long an endpoint may take for anything in a session.
const PATIENCE: Duration = Duration::from_secs(45);

/// An acknowledgement, as far as cases look at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) event: AckEvent,
    pub(super) timecode: Option<i64>,
    pub(super) error: Option<u32>,
}

impl Said {
    pub(super) fn is(&self, event: &AckEvent, timecode: u64) -> bool {
        self.event == *event && self.timecode.and_then(|at| u64::try_from(at).ok()) == Some(timecode)
    }
}

/// Now, as an absolute timecode in milliseconds.
pub(super) fn now_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// What an endpoint says next: an acknowledgement, or `None` when it has ended the response.
pub(super) async fn next_said(connection: &mut MediaConnection) -> Result<Option<Said>, String> {
    loop {
        let event = tokio::time::timeout(PATIENCE, connection.reader.next()).await;
        match event
            .map_err(|_| format!("it said nothing for {PATIENCE:?}"))?
            .map_err(text)?
        {
            MediaEvent::Ack(ack) => {
                let error = ack.error.and_then(|error| error.id);
                return Ok(Some(Said {
                    event: ack.event,
                    timecode: ack.timecode,
                    error,
                }));
            }
            MediaEvent::End => return Ok(None),
            _ => {}
        }
    }
}

/// The first answer to a request: its head, or its refusal.
pub(super) async fn head(connection: &mut MediaConnection) -> Result<Result<(), ClientError>, String> {
    match tokio::time::timeout(PATIENCE, connection.reader.next()).await {
        Ok(Ok(MediaEvent::Head { .. })) => Ok(Ok(())),
        Ok(Ok(other)) => Err(format!("it began with {other:?}")),
        Ok(Err(error)) => Ok(Err(error)),
        Err(_) => Err("no head came before the body".to_owned()),
    }
}

impl TruthCheck {
    /// Opens a session with absolute timecodes, and waits for its head.
    pub(super) async fn open(&self) -> Result<MediaConnection, String> {
        let request = PutMediaRequest::new(self.endpoint(ApiName::PutMedia).await?, &self.stream);
        self.open_with(request).await
    }

    pub(super) async fn open_with(&self, request: PutMediaRequest) -> Result<MediaConnection, String> {
        let mut connection = self.client.media_transport().open(request).await.map_err(text)?;
        head(&mut connection).await?.map_err(text)?;
        Ok(connection)
    }

    /// Sends a whole body and gives everything that was said.
    pub(super) async fn send(&self, body: Bytes) -> Result<Vec<Said>, String> {
        let connection = self.open().await?;
        finish_with(connection, body).await
    }

    /// Sends a body that is to be refused with a code.
    pub(super) async fn expect_error(&self, body: Bytes, code: u32) -> Result<(), String> {
        let said = self.send(body).await?;
        match said.iter().find(|said| said.event == AckEvent::Error) {
            Some(error) if error.error == Some(code) => Ok(()),
            _ => Err(format!("it said {said:?}")),
        }
    }
}

/// Sends a body's end and gives everything that was said.
pub(super) async fn finish_with(mut connection: MediaConnection, body: Bytes) -> Result<Vec<Said>, String> {
    // An endpoint that refuses may stop reading; what it says counts.
    let _ = connection.writer.write(&mut vec![body]).await;
    let _ = connection.writer.finish().await;
    let mut said = Vec::new();
    loop {
        match next_said(&mut connection).await {
            Ok(Some(ack)) => said.push(ack),
            Ok(None) => return Ok(said),
            // After an ERROR the endpoint may close without ceremony.
            Err(_) if said.iter().any(|said| said.event == AckEvent::Error) => return Ok(said),
            Err(reason) => return Err(reason),
        }
    }
}
