//! Reading media back: GetMedia and GetMediaForFragmentList, whose answer is a body of Matroska without known
//! end.

use std::{
    cell::Cell,
    rc::Rc,
    time::{SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header::CONTENT_LENGTH, header::CONTENT_TYPE};
use kvs_auth::PayloadHash;
use serde::{Serialize, Serializer, ser::SerializeMap};
use tokio::{
    io::{AsyncWrite, AsyncWriteExt},
    time::timeout,
};
use url::Url;

use crate::{
    Client, ClientError, ClientErrorKind, Dial,
    http1::{ResponseHead, ResponseReader, encode_head},
    service_error::{MAX_ERROR_BODY, request_id, service_error},
};

/// An operation that answers with media instead of JSON: what is serialized is the request body.
pub trait MediaOperation: Serialize {
    /// Where it is posted to.
    const PATH: &'static str;
}

/// Reads a stream's media from a point on; goes on with live media once it has caught up.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct GetMedia {
    /// The stream's name.
    pub stream_name: String,
    /// Where to start.
    pub start_selector: StartSelector,
}

impl GetMedia {
    /// Reads the stream of this name.
    pub fn new(stream: impl Into<String>, start: StartSelector) -> Self {
        Self {
            stream_name: stream.into(),
            start_selector: start,
        }
    }
}

impl MediaOperation for GetMedia {
    const PATH: &'static str = "/getMedia";
}

/// Reads archived fragments by their numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct GetMediaForFragmentList {
    /// The stream's name.
    pub stream_name: String,
    /// 1 to 1,000 fragment numbers.
    pub fragments: Vec<String>,
}

impl MediaOperation for GetMediaForFragmentList {
    const PATH: &'static str = "/getMediaForFragmentList";
}

/// Where GetMedia starts.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StartSelector {
    /// At the oldest fragment there is.
    Earliest,
    /// At the newest fragment.
    Now,
    /// After the fragment of this number.
    AfterFragment(String),
    /// At the first fragment that the service received at or after this time.
    ServerTimestamp(SystemTime),
    /// At the first fragment whose producer timestamp is this or later.
    ProducerTimestamp(SystemTime),
    /// Where an earlier answer left off (`AWS_KINESISVIDEO_CONTINUATION_TOKEN`).
    ContinuationToken(String),
}

impl Serialize for StartSelector {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        let mut put_type = |name: &str| map.serialize_entry("StartSelectorType", name);
        match self {
            Self::Earliest => put_type("EARLIEST")?,
            Self::Now => put_type("NOW")?,
            Self::AfterFragment(number) => {
                put_type("FRAGMENT_NUMBER")?;
                map.serialize_entry("AfterFragmentNumber", number)?;
            }
            Self::ServerTimestamp(time) => {
                put_type("SERVER_TIMESTAMP")?;
                map.serialize_entry("StartTimestamp", &epoch_seconds(*time))?;
            }
            Self::ProducerTimestamp(time) => {
                put_type("PRODUCER_TIMESTAMP")?;
                map.serialize_entry("StartTimestamp", &epoch_seconds(*time))?;
            }
            Self::ContinuationToken(token) => {
                put_type("CONTINUATION_TOKEN")?;
                map.serialize_entry("ContinuationToken", token)?;
            }
        }
        map.end()
    }
}

/// Times travel as seconds with a fraction; a float holds milliseconds exactly enough until long after the
/// year 9999.
fn epoch_seconds(time: SystemTime) -> f64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => since.as_secs_f64(),
        Err(before) => -before.duration().as_secs_f64(),
    }
}

/// A body of Matroska as it arrives. Pieces are as large as they came; an EBML header starts each fragment.
pub struct MediaBody {
    response: ResponseReader,
    /// Kept so that the connection isn't half closed, which some servers take for a client that has gone.
    _write: Box<dyn AsyncWrite + Unpin>,
    content_type: Option<String>,
    request_id: Option<String>,
    endpoint: String,
    over: bool,
}

impl MediaBody {
    /// The next bytes; `None` at the end of the media. There is no time limit: live media may pause. Dropping
    /// the future loses nothing. After an error comes `None`.
    ///
    /// # Errors
    ///
    /// [`ConnectionLost`](ClientErrorKind::ConnectionLost) if the connection ended inside the body,
    /// [`Protocol`](ClientErrorKind::Protocol) if its framing is broken.
    pub async fn next(&mut self) -> Option<Result<Bytes, ClientError>> {
        if self.over {
            return None;
        }
        match self.response.data().await {
            Ok(Some(data)) => Some(Ok(data)),
            Ok(None) => {
                self.over = true;
                None
            }
            Err(error) => {
                self.over = true;
                Some(Err(error.with_endpoint(self.endpoint.clone())))
            }
        }
    }

    /// What the service says the media is, such as `video/webm`.
    pub fn content_type(&self) -> Option<&str> {
        self.content_type.as_deref()
    }

    /// The id the service gave the request.
    pub fn request_id(&self) -> Option<&str> {
        self.request_id.as_deref()
    }
}

impl std::fmt::Debug for MediaBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MediaBody")
            .field("content_type", &self.content_type)
            .field("request_id", &self.request_id)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// Opens a body of media at the data endpoint of the operation. It belongs to this thread.
    ///
    /// ```no_run
    /// # async fn example(client: kvs_client::Client) -> Result<(), kvs_client::ClientError> {
    /// use kvs_client::{ApiName, ControlPlane, GetMedia, StartSelector};
    ///
    /// let endpoint = client.control_plane().get_data_endpoint("front-door", ApiName::GetMedia).await?;
    /// let mut body = client.open_media(&endpoint, &GetMedia::new("front-door", StartSelector::Earliest)).await?;
    /// while let Some(bytes) = body.next().await {
    ///     println!("{} bytes of Matroska", bytes?.len());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// The service's refusal, or what kept the request from being answered within the call timeout.
    pub async fn open_media<O: MediaOperation>(
        &self,
        endpoint: &Url,
        operation: &O,
    ) -> Result<MediaBody, ClientError> {
        let body = serde_json::to_vec(operation).map_err(|source| {
            ClientError::new(ClientErrorKind::InvalidArgument, O::PATH).with_source(source)
        })?;
        let limit = self.call_timeout();
        let opened = timeout(limit, self.open_signed(endpoint, O::PATH, &body)).await;
        opened
            .unwrap_or_else(|_| {
                Err(ClientError::new(
                    ClientErrorKind::Timeout,
                    format!("{} took longer than {limit:?}", O::PATH),
                ))
            })
            .map_err(|error| error.with_endpoint(endpoint.origin().ascii_serialization()))
    }

    /// Tries once more if the answer shows that the clock was off.
    async fn open_signed(&self, endpoint: &Url, path: &str, body: &[u8]) -> Result<MediaBody, ClientError> {
        let mut clock_corrected = false;
        loop {
            match self.open_once(endpoint, path, body).await? {
                Opened::Media(media) => return Ok(*media),
                Opened::RefusedByClock(_) if !clock_corrected => clock_corrected = true,
                Opened::RefusedByClock(error) => return Err(error),
            }
        }
    }

    async fn open_once(&self, endpoint: &Url, path: &str, body: &[u8]) -> Result<Opened, ClientError> {
        let headers = [
            (CONTENT_TYPE, HeaderValue::from_static("application/json")),
            (CONTENT_LENGTH, HeaderValue::from(body.len())),
        ];
        let mut duplex = self.dialer().dial(endpoint).await?;
        let signed = self
            .sign_post(
                endpoint,
                path,
                HeaderMap::from_iter(headers),
                PayloadHash::Body(body),
            )
            .await?;
        let mut request = encode_head(&signed.method, &signed.uri, &signed.headers);
        request.extend_from_slice(body);
        duplex
            .write
            .write_all(&request)
            .await
            .map_err(ClientError::from_io)?;
        duplex.write.flush().await.map_err(ClientError::from_io)?;
        let lost = Rc::new(Cell::new(false));
        let mut response = ResponseReader::new(duplex.read, lost);
        let head = response.head().await?;
        if !head.is_success() {
            let error = refusal(&head, &mut response).await;
            return match self.refused(&error, head.header("date"), &signed.credentials) {
                true => Ok(Opened::RefusedByClock(error)),
                false => Err(error),
            };
        }
        Ok(Opened::Media(Box::new(MediaBody {
            response,
            _write: duplex.write,
            content_type: head.header("content-type").map(str::to_owned),
            request_id: request_id(|name| head.header(name)),
            endpoint: endpoint.origin().ascii_serialization(),
            over: false,
        })))
    }
}

enum Opened {
    Media(Box<MediaBody>),
    RefusedByClock(ClientError),
}

async fn refusal(head: &ResponseHead, response: &mut ResponseReader) -> ClientError {
    let mut body = Vec::new();
    while let Ok(Some(data)) = response.data().await {
        body.extend_from_slice(&data);
        if body.len() > MAX_ERROR_BODY {
            break;
        }
    }
    service_error(head.status, |name| head.header(name), &body)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn each_start_names_its_type_and_what_it_needs() {
        let time = UNIX_EPOCH + Duration::from_millis(1_704_164_645_007);
        for (start, json) in [
            (StartSelector::Earliest, r#"{"StartSelectorType":"EARLIEST"}"#),
            (StartSelector::Now, r#"{"StartSelectorType":"NOW"}"#),
            (
                StartSelector::AfterFragment("12".into()),
                r#"{"StartSelectorType":"FRAGMENT_NUMBER","AfterFragmentNumber":"12"}"#,
            ),
            (
                StartSelector::ServerTimestamp(time),
                r#"{"StartSelectorType":"SERVER_TIMESTAMP","StartTimestamp":1704164645.007}"#,
            ),
            (
                StartSelector::ProducerTimestamp(time),
                r#"{"StartSelectorType":"PRODUCER_TIMESTAMP","StartTimestamp":1704164645.007}"#,
            ),
            (
                StartSelector::ContinuationToken("t".into()),
                r#"{"StartSelectorType":"CONTINUATION_TOKEN","ContinuationToken":"t"}"#,
            ),
        ] {
            assert_eq!(serde_json::to_string(&start).expect("serializes"), json);
        }
    }
}
