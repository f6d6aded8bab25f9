//! Streams and their life.

use std::collections::BTreeMap;

use kvs_mkv::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::number;
use super::timer::Due;
use super::{Service, ServiceError, ServiceErrorKind};

/// How a request names its stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StreamSelector {
    /// By name.
    Name(String),
    /// By ARN.
    Arn(String),
}

/// Where a stream is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum StreamStatus {
    /// Being made.
    Creating,
    /// Ready.
    Active,
    /// Being changed; media is taken.
    Updating,
    /// Being removed; nothing can be read or written.
    Deleting,
}

/// One stream.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Stream {
    pub(crate) name: String,
    pub(crate) arn: String,
    pub(crate) device_name: Option<String>,
    pub(crate) media_type: Option<String>,
    pub(crate) kms_key_id: String,
    pub(crate) version: String,
    pub(crate) status: StreamStatus,
    pub(crate) created_ms: i64,
    pub(crate) retention_hours: u32,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) storage_tier: String,
    /// `ImageGenerationConfiguration` as it was set.
    pub(crate) image_generation: Option<Value>,
    /// `NotificationConfiguration` as it was set.
    pub(crate) notification: Option<Value>,
    pub(crate) edge: Option<EdgeConfiguration>,
}

/// What an edge agent was told to do with a stream.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct EdgeConfiguration {
    pub(crate) created_ms: i64,
    pub(crate) updated_ms: i64,
    /// `EdgeConfig` as it was set.
    pub(crate) config: Value,
}

/// Where a stream's data is kept unless it was asked otherwise.
pub(crate) const DEFAULT_STORAGE_TIER: &str = "HOT";

impl Service {
    /// The name behind a selector.
    pub(crate) fn resolve(&self, selector: &StreamSelector) -> Result<String, ServiceError> {
        let found = match selector {
            StreamSelector::Name(name) => self.streams.get(name),
            StreamSelector::Arn(arn) => self.streams.values().find(|stream| stream.arn == *arn),
        };
        let asked = match selector {
            StreamSelector::Name(text) | StreamSelector::Arn(text) => text,
        };
        found.map(|stream| stream.name.clone()).ok_or_else(|| {
            ServiceError::new(
                ServiceErrorKind::ResourceNotFound,
                format!("the requested stream {asked} is not found or not active"),
            )
        })
    }

    /// Media can be written to and read from a stream unless it is being made or removed.
    pub(crate) fn require_active(&self, name: &str) -> Result<(), ServiceError> {
        match self.streams.get(name).map(|stream| stream.status) {
            Some(StreamStatus::Active | StreamStatus::Updating) => Ok(()),
            _ => Err(ServiceError::new(
                ServiceErrorKind::ResourceNotFound,
                format!("the requested stream {name} is not found or not active"),
            )),
        }
    }

    /// A stream's retention; 0 for one that is gone.
    pub(crate) fn retention_hours(&self, name: &str) -> u32 {
        self.streams.get(name).map_or(0, |stream| stream.retention_hours)
    }

    /// A new version, and the status a change brings until it is done.
    pub(crate) fn begin_change(&mut self, name: &str, status: StreamStatus, now: Timestamp) {
        let version = number::version(&mut self.rng);
        let delay = self.config.status_delay;
        let Some(stream) = self.streams.get_mut(name) else {
            return;
        };
        stream.version = version;
        stream.status = status;
        let arn = stream.arn.clone();
        if delay.is_zero() {
            self.finish_change(&arn, now);
        } else {
            self.timers.set(now.saturating_add(delay), Due::Status { arn });
        }
    }

    pub(crate) fn finish_change(&mut self, arn: &str, now: Timestamp) {
        let Some(stream) = self.streams.values_mut().find(|stream| stream.arn == arn) else {
            return;
        };
        if stream.status != StreamStatus::Deleting {
            stream.status = StreamStatus::Active;
            self.save_streams();
            return;
        }
        let name = stream.name.clone();
        self.forget_media(&name, now);
        self.streams.remove(&name);
        self.save_streams();
    }

    /// Makes a stream, or leaves the one of that name as it is. For tests that aren't about creation.
    pub fn ensure_stream(&mut self, name: &str, retention_hours: u32, now: Timestamp) {
        if self.streams.contains_key(name) {
            return;
        }
        let stream = Stream {
            name: name.to_owned(),
            arn: number::stream_arn(&self.config.region, &self.config.account, name, now.as_millis()),
            device_name: None,
            media_type: None,
            kms_key_id: super::control::default_key(&self.config),
            version: number::version(&mut self.rng),
            status: StreamStatus::Active,
            created_ms: now.as_millis(),
            retention_hours,
            tags: BTreeMap::new(),
            storage_tier: DEFAULT_STORAGE_TIER.to_owned(),
            image_generation: None,
            notification: None,
            edge: None,
        };
        self.streams.insert(name.to_owned(), stream);
        self.save_streams();
    }
}
