//! [`ProducerConfig`]: everything that can be set about a producer.

use std::path::PathBuf;
use std::time::Duration;

use kvs_client::{ClientConfig, DEFAULT_REGION, EndpointVariant, Url};
use kvs_storage::spool::{SpoolOptions, SyncPolicy};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::key::{Key, Origins, SettingInfo, Unplaced, apply, deserialize, key, list, serialize, validate};
use super::setting::{Setting, read_bytes};
use super::value::Table;
use crate::error::StreamError;

/// The settings of a producer.
///
/// They come out of a builder, a file or variables; `settings` in the documentation lists how they are written there.
/// Credentials are not among them: they have providers of their own.
///
/// ```
/// use kvs_actors::ProducerConfig;
///
/// let mut config = ProducerConfig::default();
/// config.arbiters = 0;
/// let error = config.validate().unwrap_err();
/// assert_eq!(error.to_string(), "setting arbiters is 0, allowed: 1 to 256 threads");
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ProducerConfig {
    /// The region, such as `us-west-2`, which is the default.
    pub region: String,
    /// The control plane to talk to instead of the region's: `http://…` or `https://…`. Default: none.
    pub endpoint: Option<String>,
    /// Which of the region's hosts to talk to. Default: [`EndpointVariant::Standard`].
    pub endpoint_variant: EndpointVariant,
    /// A PEM file whose certificates are trusted besides the bundled roots. Default: none.
    pub ca_file: Option<PathBuf>,
    /// The time a connection may take, name lookup and TLS included. Default 5 s; more than 0, up to 10 min.
    pub connect_timeout: Duration,
    /// The time a call of the control plane may take as a whole. Default 10 s; more than 0, up to 10 min.
    pub call_timeout: Duration,
    /// How the client names itself: visible ASCII. Default: the client's own name and version.
    pub user_agent: Option<String>,
    /// The byte budget over all streams: payload bytes and a fixed cost per frame. Default 128 MiB; at least 1 MiB.
    pub buffer_bytes: u64,
    /// Threads that streams are spread over. Default 1; 1 to 256.
    pub arbiters: usize,
    /// A directory in which media survives the process and the power. Default: none, media is in memory.
    pub spool_directory: Option<PathBuf>,
    /// How the spool behaves where there is one.
    pub spool: SpoolOptions,
}

impl Default for ProducerConfig {
    fn default() -> Self {
        ProducerConfig {
            region: DEFAULT_REGION.to_owned(),
            endpoint: None,
            endpoint_variant: EndpointVariant::default(),
            ca_file: None,
            connect_timeout: ClientConfig::CONNECT_TIMEOUT,
            call_timeout: ClientConfig::CALL_TIMEOUT,
            user_agent: None,
            buffer_bytes: 128 << 20,
            arbiters: 1,
            spool_directory: None,
            spool: SpoolOptions::default(),
        }
    }
}

const CALL_TIME: &str = "a time with its unit, such as \"5s\", more than 0 and up to 10 minutes";

fn up_to_ten_minutes(time: Duration) -> bool {
    !time.is_zero() && time <= Duration::from_secs(600)
}

fn is_http(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https"))
}

pub(super) static KEYS: &[Key<ProducerConfig>] = &[
    key!("region", region, "a region such as \"us-west-2\"", |c| {
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-';
        !c.region.is_empty() && c.region.chars().all(allowed)
    }),
    key!(
        "endpoint",
        endpoint,
        "a URL that begins with http:// or https://, or \"none\"",
        |c| c.endpoint.as_deref().is_none_or(is_http)
    ),
    key!(
        "endpoint_variant",
        endpoint_variant,
        "\"standard\", \"fips\", \"dual_stack\" or \"fips_dual_stack\""
    ),
    key!("ca_file", ca_file, "the path of a PEM file, or \"none\""),
    key!("connect_timeout", connect_timeout, CALL_TIME, |c| {
        up_to_ten_minutes(c.connect_timeout)
    }),
    key!("call_timeout", call_timeout, CALL_TIME, |c| {
        up_to_ten_minutes(c.call_timeout)
    }),
    key!(
        "user_agent",
        user_agent,
        "visible ASCII characters, or \"none\"",
        |c| {
            let visible = |c: char| matches!(c, ' '..='~');
            c.user_agent
                .as_deref()
                .is_none_or(|name| !name.is_empty() && name.chars().all(visible))
        }
    ),
    Key {
        name: "buffer_bytes",
        allowed: "1048576 (1 MiB) or more, as a number of bytes or as \"256 MiB\"",
        read: |config, value| {
            config.buffer_bytes = read_bytes(value)?;
            Some(())
        },
        write: |config| config.buffer_bytes.write(),
        is_valid: |config| config.buffer_bytes >= 1 << 20,
    },
    key!("arbiters", arbiters, "1 to 256 threads", |c| {
        (1..=256).contains(&c.arbiters)
    }),
    key!(
        "spool_directory",
        spool_directory,
        "the path of a directory, or \"none\""
    ),
    key!(
        "spool.sync",
        spool.sync,
        "\"each_fragment\", \"never\", or \"interval\" and a time up to an hour",
        |c| match c.spool.sync {
            SyncPolicy::Interval(time) => time <= Duration::from_secs(3_600),
            _ => true,
        }
    ),
    Key {
        name: "spool.max_bytes_per_stream",
        allowed: "1048576 (1 MiB) or more, as a number of bytes or as \"4 GiB\"",
        read: |config, value| {
            config.spool.max_bytes_per_stream = read_bytes(value)?;
            Some(())
        },
        write: |config| config.spool.max_bytes_per_stream.write(),
        is_valid: |config| config.spool.max_bytes_per_stream >= 1 << 20,
    },
    Key {
        name: "spool.max_bytes_total",
        allowed: "1048576 (1 MiB) or more, as a number of bytes or as \"16 GiB\"; or \"none\"",
        read: |config, value| {
            config.spool.max_bytes_total = if value.is_none() {
                None
            } else {
                Some(read_bytes(value)?)
            };
            Some(())
        },
        write: |config| config.spool.max_bytes_total.write(),
        is_valid: |config| config.spool.max_bytes_total.is_none_or(|bytes| bytes >= 1 << 20),
    },
    key!(
        "spool.max_duration",
        spool.max_duration,
        "a time with its unit, such as \"6h\", more than 0; or \"none\"",
        |c| c.spool.max_duration.is_none_or(|time| !time.is_zero())
    ),
    Key {
        name: "spool.memory",
        allowed: "bytes, as a number or as \"64 MiB\"; best below buffer_bytes",
        read: |config, value| {
            config.spool.memory = read_bytes(value)?;
            Some(())
        },
        write: |config| config.spool.memory.write(),
        is_valid: |_| true,
    },
    Key {
        name: "spool.read_ahead",
        allowed: "65536 (64 KiB) or more, as a number of bytes or as \"1 MiB\"",
        read: |config, value| {
            config.spool.read_ahead = usize::try_from(read_bytes(value)?).ok()?;
            Some(())
        },
        write: |config| config.spool.read_ahead.write(),
        is_valid: |config| config.spool.read_ahead >= 64 << 10,
    },
    Key {
        name: "spool.segment_bytes",
        allowed: "65536 (64 KiB) or more, as a number of bytes or as \"16 MiB\"",
        read: |config, value| {
            config.spool.segment_bytes = read_bytes(value)?;
            Some(())
        },
        write: |config| config.spool.segment_bytes.write(),
        is_valid: |config| config.spool.segment_bytes >= 64 << 10,
    },
];

impl ProducerConfig {
    /// Every setting of a producer with its default and what is allowed: names, as files and variables have them.
    #[must_use]
    pub fn settings() -> Vec<SettingInfo> {
        list(KEYS, &ProducerConfig::default())
    }

    /// Checks every setting.
    ///
    /// # Errors
    /// [`InvalidConfig`](crate::StreamErrorKind::InvalidConfig) naming the setting, its value and what is allowed.
    pub fn validate(&self) -> Result<(), StreamError> {
        validate(KEYS, self)
    }
}

/// The defaults, and what a table says over them.
pub(super) fn read(table: &Table, origins: &impl Origins) -> Result<ProducerConfig, StreamError> {
    let mut config = ProducerConfig::default();
    apply(KEYS, &mut config, table, origins)?;
    Ok(config)
}

impl Serialize for ProducerConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize(KEYS, self, serializer)
    }
}

impl<'de> Deserialize<'de> for ProducerConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read(&deserialize(deserializer)?, &Unplaced).map_err(de::Error::custom)
    }
}
