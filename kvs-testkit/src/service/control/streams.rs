//! Making, describing, changing, removing and listing streams.

use kvs_mkv::Timestamp;
use serde_json::{Value, json};

use super::input::{Input, Shape, required};
use super::{Operation, Service, ServiceError, ServiceErrorKind};
use crate::service::number;
use crate::service::stream::{DEFAULT_STORAGE_TIER, Stream, StreamStatus};

/// Ceiling of a stream's retention: ten years.
const MAX_RETENTION_HOURS: i64 = 87_600;

impl Service {
    pub(super) fn create_stream(&mut self, input: &Input, now: Timestamp) -> Result<Value, ServiceError> {
        let name = required("StreamName", input.text("StreamName", 1..=256, Shape::Name)?)?.to_owned();
        let nth = self.count_call(&name, Operation::CreateStream);
        self.admit_call(Operation::CreateStream, &name, nth)?;
        let device_name = input.text("DeviceName", 1..=128, Shape::Name)?;
        let media_type = input.text("MediaType", 1..=128, Shape::MediaType)?;
        let kms_key_id = input.text("KmsKeyId", 1..=2_048, Shape::Any)?;
        let retention = input
            .number("DataRetentionInHours", 0..=MAX_RETENTION_HOURS)?
            .unwrap_or(0);
        let tags = input.tags("Tags")?.unwrap_or_default();
        let storage_tier = match input.object("StreamStorageConfiguration")? {
            Some(configuration) => super::storage::storage_tier(&configuration)?,
            None => DEFAULT_STORAGE_TIER,
        };
        if self.streams.contains_key(&name) {
            return Err(ServiceError::new(
                ServiceErrorKind::ResourceInUse,
                format!("the stream {name} exists already"),
            ));
        }
        let arn = number::stream_arn(&self.config.region, &self.config.account, &name, now.as_millis());
        let stream = Stream {
            name: name.clone(),
            arn: arn.clone(),
            device_name: device_name.map(str::to_owned),
            media_type: media_type.map(str::to_owned),
            kms_key_id: kms_key_id.map_or_else(|| super::default_key(&self.config), str::to_owned),
            version: String::new(),
            status: StreamStatus::Creating,
            created_ms: now.as_millis(),
            retention_hours: u32::try_from(retention).unwrap_or(u32::MAX),
            tags,
            storage_tier: storage_tier.to_owned(),
            image_generation: None,
            notification: None,
            edge: None,
        };
        self.streams.insert(name.clone(), stream);
        self.begin_change(&name, StreamStatus::Creating, now);
        Ok(json!({ "StreamARN": arn }))
    }

    pub(super) fn describe_stream(&mut self, input: &Input) -> Result<Value, ServiceError> {
        let name = self.called_stream(Operation::DescribeStream, input)?;
        let info = self.streams.get(&name).map_or(Value::Null, stream_info);
        Ok(json!({ "StreamInfo": info }))
    }

    pub(super) fn update_stream(&mut self, input: &Input, now: Timestamp) -> Result<Value, ServiceError> {
        let name = self.called_stream(Operation::UpdateStream, input)?;
        let version = required(
            "CurrentVersion",
            input.text("CurrentVersion", 1..=64, Shape::Alphanumeric)?,
        )?;
        let device_name = input.text("DeviceName", 1..=128, Shape::Name)?;
        let media_type = input.text("MediaType", 1..=128, Shape::MediaType)?;
        self.require_unchanging(&name)?;
        self.check_version(&name, Some(version))?;
        if let Some(stream) = self.streams.get_mut(&name) {
            if let Some(device_name) = device_name {
                stream.device_name = Some(device_name.to_owned());
            }
            if let Some(media_type) = media_type {
                stream.media_type = Some(media_type.to_owned());
            }
        }
        self.begin_change(&name, StreamStatus::Updating, now);
        Ok(json!({}))
    }

    pub(super) fn delete_stream(&mut self, input: &Input, now: Timestamp) -> Result<Value, ServiceError> {
        required("StreamARN", input.arn("StreamARN")?)?;
        let name = self.called_stream(Operation::DeleteStream, input)?;
        let version = input.text("CurrentVersion", 1..=64, Shape::Alphanumeric)?;
        self.require_unchanging(&name)?;
        self.check_version(&name, version)?;
        // Deletion makes the data unreadable at once; the stream itself goes when it is done.
        self.forget_media(&name, now);
        self.begin_change(&name, StreamStatus::Deleting, now);
        Ok(json!({}))
    }

    pub(super) fn list_streams(&mut self, input: &Input) -> Result<Value, ServiceError> {
        let most = input.number("MaxResults", 1..=10_000)?.unwrap_or(10_000);
        let token = input.text("NextToken", 0..=1_024, Shape::Token)?;
        let prefix = match input.object("StreamNameCondition")? {
            Some(condition) => {
                condition.word("ComparisonOperator", &["BEGINS_WITH"])?;
                condition
                    .text("ComparisonValue", 1..=256, Shape::Name)?
                    .unwrap_or("")
                    .to_owned()
            }
            None => String::new(),
        };
        let skip = match token {
            Some(token) => page_start(token)?,
            None => 0,
        };
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let names: Vec<&Stream> = self
            .streams
            .values()
            .filter(|stream| stream.name.starts_with(&prefix))
            .collect();
        let page: Vec<Value> = names
            .iter()
            .skip(skip)
            .take(most)
            .copied()
            .map(stream_info)
            .collect();
        let mut output = json!({ "StreamInfoList": page });
        if skip + page.len() < names.len() {
            output["NextToken"] = page_token(skip + page.len()).into();
        }
        Ok(output)
    }

    pub(super) fn update_data_retention(
        &mut self,
        input: &Input,
        now: Timestamp,
    ) -> Result<Value, ServiceError> {
        let name = self.called_stream(Operation::UpdateDataRetention, input)?;
        let version = required(
            "CurrentVersion",
            input.text("CurrentVersion", 1..=64, Shape::Alphanumeric)?,
        )?;
        let operations = ["INCREASE_DATA_RETENTION", "DECREASE_DATA_RETENTION"];
        let operation = required("Operation", input.word("Operation", &operations)?)?;
        let change = required(
            "DataRetentionChangeInHours",
            input.number("DataRetentionChangeInHours", 1..=i64::from(u32::MAX))?,
        )?;
        self.require_unchanging(&name)?;
        self.check_version(&name, Some(version))?;
        let current = i64::from(self.retention_hours(&name));
        let changed = if operation == operations[0] {
            current + change
        } else {
            current - change
        };
        if !(0..=MAX_RETENTION_HOURS).contains(&changed) {
            return Err(ServiceError::invalid(format!(
                "the retention would become {changed} hours, allowed are 0 to {MAX_RETENTION_HOURS}"
            )));
        }
        if let Some(stream) = self.streams.get_mut(&name) {
            stream.retention_hours = u32::try_from(changed).unwrap_or(u32::MAX);
        }
        self.begin_change(&name, StreamStatus::Updating, now);
        self.expire_media(&name, now);
        Ok(json!({}))
    }

    /// One change at a time.
    pub(super) fn require_unchanging(&self, name: &str) -> Result<(), ServiceError> {
        match self.streams.get(name).map(|stream| stream.status) {
            None | Some(StreamStatus::Active) => Ok(()),
            Some(_) => Err(ServiceError::new(
                ServiceErrorKind::ResourceInUse,
                format!("the stream {name} is not in the ACTIVE status"),
            )),
        }
    }
}

/// `StreamInfo`, without the members that aren't set.
fn stream_info(stream: &Stream) -> Value {
    let mut info = json!({
        "StreamName": stream.name,
        "StreamARN": stream.arn,
        "KmsKeyId": stream.kms_key_id,
        "Version": stream.version,
        "Status": stream.status,
        // Epoch seconds with a fraction, as rest-json carries times.
        "CreationTime": stream.created_ms as f64 / 1e3,
        "DataRetentionInHours": stream.retention_hours,
    });
    if let Some(device_name) = &stream.device_name {
        info["DeviceName"] = device_name.as_str().into();
    }
    if let Some(media_type) = &stream.media_type {
        info["MediaType"] = media_type.as_str().into();
    }
    info
}

/// A page token is opaque to callers; here it is where the next page begins.
pub(super) fn page_token(start: usize) -> String {
    format!("page{start}")
}

pub(super) fn page_start(token: &str) -> Result<usize, ServiceError> {
    let start = token.strip_prefix("page").and_then(|start| start.parse().ok());
    start.ok_or_else(|| ServiceError::invalid("NextToken was not given out by this service"))
}
