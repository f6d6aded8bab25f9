//! [`Key`]: one setting of a configuration, how it is read, written and checked; and what is done with a table of them.

use serde::{Deserialize, Deserializer, Serializer, de, ser};

use super::value::{Table, Value};
use crate::error::{StreamError, StreamErrorKind};

/// A setting of the configuration `C`. Tables of these are the one place that knows the settings' names and limits: files,
/// variables and builders are all checked by them.
pub(super) struct Key<C: 'static> {
    pub(super) name: &'static str,
    /// What is allowed, unit included, to follow "allowed: ".
    pub(super) allowed: &'static str,
    /// Takes over what is written; `None` where that isn't of the setting's type.
    pub(super) read: fn(&mut C, &Value) -> Option<()>,
    pub(super) write: fn(&C) -> Value,
    pub(super) is_valid: fn(&C) -> bool,
}

/// A key whose field's type says how it is read and written.
macro_rules! key {
    ($name:literal, $($field:ident).+, $allowed:expr) => {
        key!($name, $($field).+, $allowed, |_| true)
    };
    ($name:literal, $($field:ident).+, $allowed:expr, $is_valid:expr) => {
        Key {
            name: $name,
            allowed: $allowed,
            read: |config, value| {
                config.$($field).+ = $crate::config::setting::Setting::read(value)?;
                Some(())
            },
            write: |config| $crate::config::setting::Setting::write(&config.$($field).+),
            is_valid: $is_valid,
        }
    };
}
pub(super) use key;

/// A setting as the documentation lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SettingInfo {
    /// Its name; a dot leads into a table.
    pub name: &'static str,
    /// What it is unless set, as a file would say it.
    pub default: String,
    /// What it may be, unit included.
    pub allowed: &'static str,
}

/// The settings of `default` as the documentation lists them.
pub(super) fn list<C>(keys: &'static [Key<C>], default: &C) -> Vec<SettingInfo> {
    keys.iter()
        .map(|key| SettingInfo {
            name: key.name,
            default: (key.write)(default).to_string(),
            allowed: key.allowed,
        })
        .collect()
}

/// Where the settings of a table come from, for messages.
pub(super) trait Origins {
    /// The setting's full name.
    fn full_name(&self, key: &str) -> String;

    /// The file or variable that has it.
    fn origin(&self, key: &str) -> Option<&str>;
}

/// Settings that were handed over by themselves.
pub(super) struct Unplaced;

impl Origins for Unplaced {
    fn full_name(&self, key: &str) -> String {
        key.to_owned()
    }

    fn origin(&self, _: &str) -> Option<&str> {
        None
    }
}

/// Takes a table of settings over into `config`.
pub(super) fn apply<C>(
    keys: &[Key<C>],
    config: &mut C,
    table: &Table,
    origins: &impl Origins,
) -> Result<(), StreamError> {
    apply_under("", keys, config, table, origins)
}

fn apply_under<C>(
    prefix: &str,
    keys: &[Key<C>],
    config: &mut C,
    table: &Table,
    origins: &impl Origins,
) -> Result<(), StreamError> {
    for (name, value) in table {
        let name = format!("{prefix}{name}");
        if let Some(key) = keys.iter().find(|key| key.name == name) {
            let is_taken = (key.read)(config, value).is_some() && (key.is_valid)(config);
            if !is_taken {
                return Err(wrong(&name, value, key.allowed, origins));
            }
            continue;
        }
        let inner = format!("{name}.");
        let is_outer = keys.iter().any(|key| key.name.starts_with(&inner));
        match value {
            Value::Table(table) if is_outer => apply_under(&inner, keys, config, table, origins)?,
            _ => {
                let names: Vec<&str> = keys.iter().map(|key| key.name).collect();
                let allowed = format!("the settings {}", names.join(", "));
                return Err(wrong(&name, value, &allowed, origins));
            }
        }
    }
    Ok(())
}

/// Checks every setting.
pub(super) fn validate<C>(keys: &[Key<C>], config: &C) -> Result<(), StreamError> {
    match keys.iter().find(|key| !(key.is_valid)(config)) {
        None => Ok(()),
        Some(key) => Err(wrong(key.name, &(key.write)(config), key.allowed, &Unplaced)),
    }
}

/// Every setting as it is written, in tables where its name has dots.
pub(super) fn write_all<C>(keys: &[Key<C>], config: &C) -> Table {
    let mut all = Table::new();
    for key in keys {
        place(&mut all, key.name, (key.write)(config));
    }
    all
}

fn place(table: &mut Table, name: &str, value: Value) {
    let Some((outer, inner)) = name.split_once('.') else {
        table.insert(name.to_owned(), value);
        return;
    };
    let entry = table
        .entry(outer.to_owned())
        .or_insert_with(|| Value::Table(Table::new()));
    if let Value::Table(table) = entry {
        place(table, inner, value);
    }
}

/// For the `Serialize` of a configuration.
pub(super) fn serialize<C, S: Serializer>(
    keys: &[Key<C>],
    config: &C,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    validate(keys, config).map_err(ser::Error::custom)?;
    serializer.collect_map(write_all(keys, config))
}

/// For the `Deserialize` of a configuration.
pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Table, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::Table(table) => Ok(table),
        other => Err(de::Error::custom(format!("{other} is not a table of settings"))),
    }
}

/// The error that names a setting, what it is and what is allowed.
pub(super) fn wrong(key: &str, value: &Value, allowed: &str, origins: &impl Origins) -> StreamError {
    let name = origins.full_name(key);
    let place = origins
        .origin(key)
        .map(|origin| format!(" in {origin}"))
        .unwrap_or_default();
    StreamError::new(
        StreamErrorKind::InvalidConfig,
        format!("setting {name} is {value}{place}, allowed: {allowed}"),
    )
}
