//! [`ProducerConfig`]: everything that can be set about a producer.

use crate::error::{StreamError, StreamErrorKind};

/// The settings of a producer.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ProducerConfig {
    /// The byte budget over all streams: payload bytes and a fixed cost per frame. Default 128 MiB; at least 1 MiB.
    pub buffer_bytes: u64,
    /// Threads that streams are spread over. Default 1; 1 to 256.
    pub arbiters: usize,
}

impl Default for ProducerConfig {
    fn default() -> Self {
        ProducerConfig {
            buffer_bytes: 128 << 20,
            arbiters: 1,
        }
    }
}

impl ProducerConfig {
    /// Checks every setting.
    ///
    /// # Errors
    /// [`StreamErrorKind::InvalidConfig`] naming the setting, its value and what is allowed.
    pub fn validate(&self) -> Result<(), StreamError> {
        if self.buffer_bytes < 1 << 20 {
            return Err(invalid(
                "buffer_bytes",
                self.buffer_bytes,
                "1048576 (1 MiB) or more",
            ));
        }
        if !(1..=256).contains(&self.arbiters) {
            return Err(invalid("arbiters", self.arbiters as u64, "1 to 256"));
        }
        Ok(())
    }
}

fn invalid(key: &str, value: u64, allowed: &str) -> StreamError {
    StreamError::new(
        StreamErrorKind::InvalidConfig,
        format!("setting {key} is {value}, allowed: {allowed}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_setting_names_its_key_its_value_and_what_is_allowed() {
        let error = ProducerConfig {
            buffer_bytes: 7,
            ..ProducerConfig::default()
        }
        .validate()
        .unwrap_err();
        assert_eq!(
            error.to_string(),
            "setting buffer_bytes is 7, allowed: 1048576 (1 MiB) or more"
        );
        assert!(
            ProducerConfig {
                arbiters: 0,
                ..ProducerConfig::default()
            }
            .validate()
            .is_err()
        );
        ProducerConfig::default().validate().unwrap();
    }
}
