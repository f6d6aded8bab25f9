//! Script files: streams, faults and expectations in TOML or JSON.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::error::{MockError, MockErrorKind};
use crate::service::{Expectation, Fault};

/// A script for a mock, as it stands in a file.
///
/// Each fault reads as its sentence: on which stream, on which of its PutMedia requests, at which moment,
/// what happens and how often.
///
/// ```
/// let script: kvs_testkit::ScriptFile = r#"
///     [[stream]]
///     name = "cam"
///     retention_hours = 24
///
///     [[fault]]                          # on the 2nd PutMedia, after fragment 3, reset
///     stream = "cam"
///     nth = 2
///     at = { after_fragment = 3 }
///     effect = "reset"
///     times = 1
///
///     [[fault]]                          # every session: ACKs byte by byte
///     effect = "split_acks"
///
///     [[fault]]                          # one fragment is refused
///     at = { on_fragment = 5 }
///     effect = { error = 4006 }
///     times = 1
///
///     [[fault]]                          # the first two DescribeStream calls are throttled
///     call = "DescribeStream"
///     effect = { refuse = { status = 400, error_type = "ClientLimitExceededException" } }
///     times = 2
///
///     [[expect]]
///     stream = "cam"
///     persisted = 10
/// "#
/// .parse()?;
/// assert_eq!((script.fault.len(), script.expect.len()), (4, 1));
/// # Ok::<(), kvs_testkit::MockError>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScriptFile {
    /// Streams that are there from the start.
    #[serde(default)]
    pub stream: Vec<ScriptStream>,
    /// What goes wrong.
    #[serde(default)]
    pub fault: Vec<Fault>,
    /// What is checked at the end.
    #[serde(default)]
    pub expect: Vec<Expectation>,
}

/// A stream of a [`ScriptFile`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScriptStream {
    /// Its name.
    pub name: String,
    /// Its retention. Default: 24.
    #[serde(default = "a_day")]
    pub retention_hours: u32,
}

fn a_day() -> u32 {
    24
}

impl ScriptFile {
    /// Reads a file: JSON if its name ends so, TOML otherwise.
    ///
    /// # Errors
    /// The file can't be read, or holds something else; the message says where.
    pub fn read(path: &Path) -> Result<ScriptFile, MockError> {
        let shown = path.display();
        let text = std::fs::read_to_string(path)
            .map_err(|error| MockError::new(MockErrorKind::File, format!("can't read {shown}"), error))?;
        let invalid = |error: Box<dyn std::error::Error + Send + Sync>| {
            MockError::new(MockErrorKind::Setting, format!("{shown} is not a script"), error)
        };
        if path
            .extension()
            .is_some_and(|extension| extension.eq_ignore_ascii_case("json"))
        {
            return serde_json::from_str(&text).map_err(|error| invalid(error.into()));
        }
        toml::from_str(&text).map_err(|error| invalid(error.into()))
    }
}

impl std::str::FromStr for ScriptFile {
    type Err = MockError;

    /// Reads TOML.
    fn from_str(text: &str) -> Result<ScriptFile, MockError> {
        toml::from_str(text).map_err(|error| MockError::new(MockErrorKind::Setting, "not a script", error))
    }
}
