//! Settings out of environment variables, as a source of the `config` crate.

use config::{ConfigError, Map, Source, Value, ValueKind};

use super::{producer, stream_keys};

/// What settings of a producer begin with.
const PRODUCER: &str = "KVS_PRODUCER_";
/// What settings of all streams begin with.
const STREAM: &str = "KVS_STREAM_";

/// The variables `KVS_PRODUCER_…` and `KVS_STREAM_…`; all others are passed over.
#[derive(Debug, Clone, Default)]
pub(super) struct Variables(Vec<(String, String)>);

impl Variables {
    /// Those of this process.
    pub(super) fn of_process() -> Result<Self, String> {
        let mut variables = Vec::new();
        for (name, value) in std::env::vars_os() {
            let Ok(name) = name.into_string() else { continue };
            if !name.starts_with(PRODUCER) && !name.starts_with(STREAM) {
                continue;
            }
            let value = value
                .into_string()
                .map_err(|value| format!("variable {name} is {value:?}, allowed: unicode text"))?;
            variables.push((name, value));
        }
        Ok(Variables(variables))
    }

    pub(super) fn given(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        Variables(variables.into_iter().collect())
    }
}

impl Source for Variables {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        let mut sections: Map<String, Value> = Map::new();
        let producer: Vec<&str> = producer::KEYS.iter().map(|key| key.name).collect();
        let stream: Vec<&str> = stream_keys::KEYS.iter().map(|key| key.name).collect();
        for (name, value) in &self.0 {
            let value = Value::new(Some(name), ValueKind::String(value.clone()));
            if let Some(rest) = name.strip_prefix(PRODUCER) {
                place(&mut sections, "producer", &setting_name(rest, &producer), value);
            } else if let Some(rest) = name.strip_prefix(STREAM) {
                place(&mut sections, "stream", &setting_name(rest, &stream), value);
            }
        }
        Ok(sections)
    }
}

/// The setting that a variable means: its dots are underscores there. What isn't one stays, to be refused by name.
fn setting_name(variable: &str, names: &[&str]) -> String {
    let variable = variable.to_ascii_lowercase();
    let meant = names.iter().find(|name| name.replace('.', "_") == variable);
    meant.map_or(variable.clone(), |name| (*name).to_owned())
}

fn place(tables: &mut Map<String, Value>, section: &str, name: &str, value: Value) {
    let entry = tables
        .entry(section.to_owned())
        .or_insert_with(|| Value::new(None, ValueKind::Table(Map::new())));
    let ValueKind::Table(table) = &mut entry.kind else {
        return;
    };
    match name.split_once('.') {
        Some((outer, inner)) => place(table, outer, inner, value),
        None => {
            table.insert(name.to_owned(), value);
        }
    }
}
