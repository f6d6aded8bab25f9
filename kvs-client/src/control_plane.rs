//! The control plane as a seam: find or create a stream, and learn where its media goes.

use std::{collections::BTreeMap, fmt, future::Future, pin::Pin, time::SystemTime};

use serde::{Deserialize, Serialize};
use url::Url;

use crate::ClientError;

/// A future that stays on its thread.
pub type LocalFuture<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// The calls a producer needs before it can send media.
///
/// Ships with [`HttpControlPlane`](crate::HttpControlPlane) and the wrapper
/// [`CachedControlPlane`](crate::CachedControlPlane). The futures are local: one value serves one thread.
pub trait ControlPlane {
    /// Describes a stream.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::ClientErrorKind::NotFound) if there is no such stream.
    fn describe_stream<'a>(&'a self, name: &'a str) -> LocalFuture<'a, Result<StreamInfo, ClientError>>;

    /// Creates a stream and gives its ARN. The stream may be [`Creating`](StreamStatus::Creating) for a
    /// while.
    ///
    /// # Errors
    ///
    /// [`ResourceInUse`](crate::ClientErrorKind::ResourceInUse) if the stream exists.
    fn create_stream(&self, stream: CreateStream) -> LocalFuture<'_, Result<String, ClientError>>;

    /// Asks where one API of a stream is served. The URL has no path of its own.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::ClientErrorKind::NotFound) if there is no such stream.
    fn get_data_endpoint<'a>(
        &'a self,
        name: &'a str,
        api: ApiName,
    ) -> LocalFuture<'a, Result<Url, ClientError>>;

    /// Adds tags to a stream, 1 to 50, or overwrites those of the same name.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::ClientErrorKind::NotFound) if there is no such stream,
    /// [`LimitExceeded`](crate::ClientErrorKind::LimitExceeded) beyond 50 tags.
    fn tag_stream<'a>(
        &'a self,
        arn: &'a str,
        tags: &'a BTreeMap<String, String>,
    ) -> LocalFuture<'a, Result<(), ClientError>>;

    /// Hears that `api` of a stream could not be used where the control plane said it was. What is remembered
    /// about the stream is dropped; a control plane that remembers nothing has nothing to do.
    fn endpoint_failed(&self, name: &str, api: ApiName) {
        let _ = (name, api);
    }
}

/// What the service knows about a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamInfo {
    /// The stream's name.
    pub name: String,
    /// Its Amazon resource name.
    pub arn: String,
    /// Whether it can be used.
    pub status: StreamStatus,
    /// How long media is kept, in hours. With 0 nothing is persisted: RECEIVED is the last ACK of a fragment.
    pub retention_hours: u32,
    /// The media type the stream was created with, such as `video/h264`.
    pub media_type: Option<String>,
    /// The version, which changes with every update and which updates must name.
    pub version: Option<String>,
    /// The key the media is encrypted with.
    pub kms_key_id: Option<String>,
    /// The device the stream was created for.
    pub device_name: Option<String>,
    /// When the stream was created.
    pub created: Option<SystemTime>,
}

impl StreamInfo {
    /// An active stream without retention.
    pub fn new(name: impl Into<String>, arn: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            arn: arn.into(),
            status: StreamStatus::Active,
            retention_hours: 0,
            media_type: None,
            version: None,
            kms_key_id: None,
            device_name: None,
            created: None,
        }
    }
}

/// The state of a stream.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StreamStatus {
    /// Being created; can't take media yet.
    Creating,
    /// Ready.
    Active,
    /// Being changed; takes media.
    Updating,
    /// Being deleted.
    Deleting,
    /// A state this version doesn't know.
    Unknown(String),
}

impl From<&str> for StreamStatus {
    fn from(text: &str) -> Self {
        match text {
            "CREATING" => Self::Creating,
            "ACTIVE" => Self::Active,
            "UPDATING" => Self::Updating,
            "DELETING" => Self::Deleting,
            other => Self::Unknown(other.to_owned()),
        }
    }
}

impl fmt::Display for StreamStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Creating => "CREATING",
            Self::Active => "ACTIVE",
            Self::Updating => "UPDATING",
            Self::Deleting => "DELETING",
            Self::Unknown(text) => text,
        })
    }
}

/// A stream to be created.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
#[non_exhaustive]
pub struct CreateStream {
    /// 1 to 256 characters of `a-z A-Z 0-9 _ . -`.
    #[serde(rename = "StreamName")]
    pub name: String,
    /// Such as `video/h264` or `video/h264,audio/aac`; the service doesn't check it against the media.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub media_type: Option<String>,
    /// How long media is kept, in hours; 0, the default, keeps nothing.
    #[serde(rename = "DataRetentionInHours", default)]
    pub retention_hours: u32,
    /// The key to encrypt with; the service's own unless set.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub kms_key_id: Option<String>,
    /// Accepted and not used by the service.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub device_name: Option<String>,
    /// At most 50.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub tags: BTreeMap<String, String>,
}

impl CreateStream {
    /// A stream of this name, with the defaults of the service.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            media_type: None,
            retention_hours: 0,
            kms_key_id: None,
            device_name: None,
            tags: BTreeMap::new(),
        }
    }

    /// Keeps media for this many hours.
    #[must_use]
    pub fn retention_hours(mut self, hours: u32) -> Self {
        self.retention_hours = hours;
        self
    }

    /// Says what kind of media the stream carries.
    #[must_use]
    pub fn media_type(mut self, media_type: impl Into<String>) -> Self {
        self.media_type = Some(media_type.into());
        self
    }

    /// Encrypts with this key.
    #[must_use]
    pub fn kms_key_id(mut self, kms_key_id: impl Into<String>) -> Self {
        self.kms_key_id = Some(kms_key_id.into());
        self
    }

    /// Names the device.
    #[must_use]
    pub fn device_name(mut self, device_name: impl Into<String>) -> Self {
        self.device_name = Some(device_name.into());
        self
    }

    /// Adds a tag.
    #[must_use]
    pub fn tag(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.tags.insert(key.into(), value.into());
        self
    }
}

/// The APIs that have data endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[non_exhaustive]
pub enum ApiName {
    /// Sending media.
    PutMedia,
    /// Reading media as it comes, or from a point on.
    GetMedia,
    /// Listing archived fragments.
    ListFragments,
    /// Reading archived fragments.
    GetMediaForFragmentList,
    /// HLS playback.
    GetHlsStreamingSessionUrl,
    /// DASH playback.
    GetDashStreamingSessionUrl,
    /// An MP4 clip.
    GetClip,
    /// Still images.
    GetImages,
}
