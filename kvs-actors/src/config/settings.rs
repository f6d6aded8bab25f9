//! [`Settings`]: a producer and its streams, out of files and variables.

use std::collections::BTreeMap;
use std::path::PathBuf;

use config::{Config, ConfigError, File, FileFormat, Source, ValueKind};

use super::environment::Variables;
use super::key::{self, Origins};
use super::value::{Table, Value};
use super::{ProducerConfig, StreamConfig, producer, stream_keys};
use crate::error::{StreamError, StreamErrorKind};

/// The settings of a producer and of its streams, out of TOML files and environment variables.
///
/// ```
/// use std::time::Duration;
/// use kvs_actors::Settings;
///
/// let settings = Settings::sources()
///     .toml(r#"
///         [producer]
///         region = "eu-central-1"
///         buffer_bytes = "256 MiB"
///
///         [stream] # for every stream
///         tracks = ["h264", "aac"]
///         idle_timeout = "30s"
///
///         [streams.front-door]
///         retention_hours = 48
///
///         [streams.archive]
///         preset = "offline"
///         rate.fragments_per_second = 2
///     "#)
///     .variables([("KVS_STREAM_IDLE_TIMEOUT", "10s")])
///     .load()?;
///
/// assert_eq!(settings.producer.region, "eu-central-1");
/// assert_eq!(settings.streams.len(), 2);
/// assert_eq!(settings.stream("front-door")?.retention_hours, 48);
/// // A stream that no table names has the settings of every stream.
/// assert_eq!(settings.stream("garage")?.idle_timeout, Some(Duration::from_secs(10)));
/// # Ok::<(), kvs_actors::StreamError>(())
/// ```
///
/// # Which setting holds
///
/// From the weakest: the preset, `[stream]`, the variables `KVS_STREAM_…`, the stream's own table. For the producer: the
/// defaults, `[producer]`, the variables `KVS_PRODUCER_…`. A later file goes over an earlier one, setting by setting.
///
/// A variable's name is the setting's in capitals, with underscores for dots: `KVS_STREAM_RETRY_CAP` is `retry.cap` of
/// every stream. Other variables that begin with `KVS_` are none of these settings and are passed over. What is wrong, and
/// what is no setting at all, is an error that names the setting, its value, the file or variable, and what is allowed.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Settings {
    /// The producer.
    pub producer: ProducerConfig,
    /// The streams that have a table `[streams.NAME]`, by name; before them the one of `[stream]` where that has a `name`.
    pub streams: Vec<StreamConfig>,
    layers: Layers,
}

impl Settings {
    /// Reads one TOML file, and the process's variables over it.
    ///
    /// # Errors
    /// As [`SettingsSources::load`].
    pub fn load(file: impl Into<PathBuf>) -> Result<Self, StreamError> {
        Settings::sources().file(file).environment().load()
    }

    /// To be told where settings come from.
    #[must_use]
    pub fn sources() -> SettingsSources {
        SettingsSources::default()
    }

    /// The settings of the stream `name`: its own where it has a table, over those of every stream.
    ///
    /// # Errors
    /// [`StreamErrorKind::InvalidConfig`], as for a name that is none, or where no tracks are set for it.
    pub fn stream(&self, name: &str) -> Result<StreamConfig, StreamError> {
        self.layers.stream(name)
    }
}

/// Where settings come from; what is added later goes over what was added before.
#[derive(Debug, Clone, Default)]
pub struct SettingsSources {
    sources: Vec<SettingsSource>,
}

#[derive(Debug, Clone)]
enum SettingsSource {
    File(PathBuf),
    Toml(String),
    Environment,
    Variables(Variables),
}

impl SettingsSources {
    /// A TOML file, which has to be there.
    #[must_use]
    pub fn file(mut self, path: impl Into<PathBuf>) -> Self {
        self.sources.push(SettingsSource::File(path.into()));
        self
    }

    /// TOML itself.
    #[must_use]
    pub fn toml(mut self, text: impl Into<String>) -> Self {
        self.sources.push(SettingsSource::Toml(text.into()));
        self
    }

    /// The process's environment variables.
    #[must_use]
    pub fn environment(mut self) -> Self {
        self.sources.push(SettingsSource::Environment);
        self
    }

    /// These variables, as if they were the process's.
    #[must_use]
    pub fn variables<N: Into<String>, V: Into<String>>(
        mut self,
        variables: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        let variables = variables
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()));
        self.sources
            .push(SettingsSource::Variables(Variables::given(variables)));
        self
    }

    /// Reads and checks everything.
    ///
    /// # Errors
    /// [`StreamErrorKind::InvalidConfig`] with the file that can't be read, or with the setting that is wrong, its value,
    /// where it stands and what is allowed.
    pub fn load(self) -> Result<Settings, StreamError> {
        let mut builder = Config::builder();
        for source in self.sources {
            builder = match source {
                SettingsSource::File(path) => builder.add_source(File::from(path).format(FileFormat::Toml)),
                SettingsSource::Toml(text) => builder.add_source(File::from_str(&text, FileFormat::Toml)),
                SettingsSource::Environment => {
                    builder.add_source(Variables::of_process().map_err(|text| invalid(&text))?)
                }
                SettingsSource::Variables(variables) => builder.add_source(variables),
            };
        }
        let layers = Layers::of(builder.build().and_then(|all| all.collect()))?;
        Ok(Settings {
            producer: producer::read(&layers.producer, &layers.section("producer"))?,
            streams: layers.streams()?,
            layers,
        })
    }
}

fn invalid(text: &str) -> StreamError {
    StreamError::new(StreamErrorKind::InvalidConfig, text)
}

/// What all sources say together.
#[derive(Debug, Clone, Default)]
struct Layers {
    producer: Table,
    stream: Table,
    streams: BTreeMap<String, Table>,
    /// The file or variable of each setting, by its full name.
    origins: BTreeMap<String, String>,
}

const SECTIONS: &str = "the tables producer, stream and streams";

impl Layers {
    fn of(collected: Result<config::Map<String, config::Value>, ConfigError>) -> Result<Self, StreamError> {
        let collected = collected.map_err(|error| {
            let text = format!("settings can't be read: {error}");
            invalid(text.trim_end()).with_source(error)
        })?;
        let mut layers = Layers::default();
        for (name, value) in collected {
            let value = own(&name, value, &mut layers.origins);
            match (name.as_str(), value) {
                ("producer", Value::Table(table)) => layers.producer = table,
                ("stream", Value::Table(table)) => layers.stream = table,
                ("streams", Value::Table(tables)) => {
                    for (stream, value) in tables {
                        let Value::Table(table) = value else {
                            let allowed = "a table of settings";
                            return Err(key::wrong(&stream, &value, allowed, &layers.section("streams")));
                        };
                        layers.streams.insert(stream, table);
                    }
                }
                (_, value) => return Err(key::wrong(&name, &value, SECTIONS, &layers.section(""))),
            }
        }
        Ok(layers)
    }

    fn section(&self, name: impl Into<String>) -> Section<'_> {
        Section {
            name: name.into(),
            origins: &self.origins,
        }
    }

    fn streams(&self) -> Result<Vec<StreamConfig>, StreamError> {
        let single = self
            .stream
            .get("name")
            .and_then(Value::as_text)
            .filter(|name| !self.streams.contains_key(*name));
        let names = single.into_iter().chain(self.streams.keys().map(String::as_str));
        let streams = names.map(|name| self.stream(name)).collect::<Result<_, _>>()?;
        // What is wrong in the settings of every stream is told, even where no stream is named.
        stream_keys::read("", &[(&self.stream, self.section("stream"))])?;
        Ok(streams)
    }

    fn stream(&self, name: &str) -> Result<StreamConfig, StreamError> {
        let mut every = self.stream.clone();
        every.remove("name");
        let none = Table::new();
        let own = self.streams.get(name).unwrap_or(&none);
        let layers = [
            (&every, self.section("stream")),
            (own, self.section(format!("streams.{name}"))),
        ];
        let config = stream_keys::read(name, &layers)?;
        config.validate().map_err(|error| error.on_stream(name))?;
        Ok(config)
    }
}

/// One table of settings, and where each stands.
struct Section<'a> {
    name: String,
    origins: &'a BTreeMap<String, String>,
}

impl Origins for Section<'_> {
    fn full_name(&self, key: &str) -> String {
        if self.name.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.name)
        }
    }

    fn origin(&self, key: &str) -> Option<&str> {
        self.origins.get(&self.full_name(key)).map(String::as_str)
    }
}

/// The value as ours, noting where it and all within stand.
fn own(name: &str, value: config::Value, origins: &mut BTreeMap<String, String>) -> Value {
    if let Some(origin) = value.origin() {
        origins.insert(name.to_owned(), origin.to_owned());
    }
    match value.kind {
        ValueKind::Nil => Value::Nothing,
        ValueKind::Boolean(fact) => Value::Bool(fact),
        ValueKind::I64(number) => Value::Integer(number.into()),
        ValueKind::I128(number) => Value::Integer(number),
        ValueKind::U64(number) => Value::Integer(number.into()),
        ValueKind::U128(number) => i128::try_from(number).map_or(Value::Nothing, Value::Integer),
        ValueKind::Float(number) => Value::Float(number),
        ValueKind::String(text) => Value::Text(text),
        ValueKind::Array(values) => Value::List(
            values
                .into_iter()
                .map(|value| own(name, value, origins))
                .collect(),
        ),
        ValueKind::Table(values) => {
            let named = |(key, value)| {
                let value = own(&format!("{name}.{key}"), value, origins);
                (key, value)
            };
            Value::Table(values.into_iter().map(named).collect())
        }
    }
}
