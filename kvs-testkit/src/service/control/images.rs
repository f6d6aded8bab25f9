//! Image generation and notifications: settings of a stream, kept as they were set.

use serde_json::{Value, json};

use super::input::{Input, Shape, required, violated};
use super::{Operation, Service, ServiceError, ServiceErrorKind};

const STATUS: [&str; 2] = ["ENABLED", "DISABLED"];

impl Service {
    pub(super) fn describe_image_generation(&mut self, input: &Input) -> Result<Value, ServiceError> {
        let name = self.called_stream(Operation::DescribeImageGenerationConfiguration, input)?;
        let set = self
            .streams
            .get(&name)
            .and_then(|stream| stream.image_generation.as_ref());
        Ok(set.map_or_else(|| json!({}), |set| json!({ "ImageGenerationConfiguration": set })))
    }

    /// Without a configuration the call removes the one there is.
    pub(super) fn update_image_generation(&mut self, input: &Input) -> Result<Value, ServiceError> {
        let configuration = input.object("ImageGenerationConfiguration")?;
        if let Some(configuration) = &configuration {
            check_image_generation(configuration)?;
        }
        let name = self.called_stream(Operation::UpdateImageGenerationConfiguration, input)?;
        self.require_unchanging(&name)?;
        self.require_retention(&name)?;
        if let Some(stream) = self.streams.get_mut(&name) {
            stream.image_generation = configuration.map(|configuration| configuration.to_value());
        }
        Ok(json!({}))
    }

    pub(super) fn describe_notification(&mut self, input: &Input) -> Result<Value, ServiceError> {
        let name = self.called_stream(Operation::DescribeNotificationConfiguration, input)?;
        let set = self
            .streams
            .get(&name)
            .and_then(|stream| stream.notification.as_ref());
        Ok(set.map_or_else(|| json!({}), |set| json!({ "NotificationConfiguration": set })))
    }

    /// Without a configuration the call removes the one there is.
    pub(super) fn update_notification(&mut self, input: &Input) -> Result<Value, ServiceError> {
        let configuration = input.object("NotificationConfiguration")?;
        if let Some(configuration) = &configuration {
            required("Status", configuration.word("Status", &STATUS)?)?;
            let destination = required("DestinationConfig", configuration.object("DestinationConfig")?)?;
            check_uri(&destination)?;
        }
        let name = self.called_stream(Operation::UpdateNotificationConfiguration, input)?;
        self.require_unchanging(&name)?;
        self.require_retention(&name)?;
        if let Some(stream) = self.streams.get_mut(&name) {
            stream.notification = configuration.map(|configuration| configuration.to_value());
        }
        Ok(json!({}))
    }

    /// Some settings make sense only where media is stored.
    pub(super) fn require_retention(&self, name: &str) -> Result<(), ServiceError> {
        if self.retention_hours(name) > 0 {
            return Ok(());
        }
        Err(ServiceError::new(
            ServiceErrorKind::NoDataRetention,
            format!("the stream {name} has a data retention of 0 hours"),
        ))
    }
}

fn check_uri(destination: &Input) -> Result<(), ServiceError> {
    required("Uri", destination.text("Uri", 1..=255, Shape::DestinationUri)?)?;
    Ok(())
}

fn check_image_generation(configuration: &Input) -> Result<(), ServiceError> {
    required("Status", configuration.word("Status", &STATUS)?)?;
    let selectors = ["SERVER_TIMESTAMP", "PRODUCER_TIMESTAMP"];
    required(
        "ImageSelectorType",
        configuration.word("ImageSelectorType", &selectors)?,
    )?;
    let destination = required("DestinationConfig", configuration.object("DestinationConfig")?)?;
    check_uri(&destination)?;
    required(
        "DestinationRegion",
        destination.text("DestinationRegion", 9..=14, Shape::Any)?,
    )?;
    required(
        "SamplingInterval",
        configuration.number("SamplingInterval", 200..=i64::from(i32::MAX))?,
    )?;
    required("Format", configuration.word("Format", &["JPEG", "PNG"])?)?;
    if let Some(format) = configuration.object("FormatConfig")? {
        check_format(&format)?;
    }
    configuration.number("WidthPixels", 1..=3_840)?;
    configuration.number("HeightPixels", 1..=2_160)?;
    Ok(())
}

/// A map with one entry: the quality of a JPEG, as text.
fn check_format(format: &Input) -> Result<(), ServiceError> {
    if format.names().collect::<Vec<_>>() != ["JPEGQuality"] {
        return Err(violated("FormatConfig", "", "Map must hold exactly JPEGQuality"));
    }
    let text = required("JPEGQuality", format.text("JPEGQuality", 1..=256, Shape::Digits)?)?;
    match text.parse() {
        Ok(1..=100) => Ok(()),
        _ => Err(violated("JPEGQuality", text, "Member must be between 1 and 100")),
    }
}
