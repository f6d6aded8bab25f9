//! What edge agents are told to do with a stream. No agent is modelled: a configuration is in sync at once.

use kvs_mkv::Timestamp;
use serde_json::{Value, json};

use super::input::{Input, Shape, required};
use super::streams::{page_start, page_token};
use super::{Operation, Service, ServiceError, ServiceErrorKind};
use crate::service::stream::{EdgeConfiguration, Stream};

const HUB_DEVICE: Shape = Shape::ForeignArn {
    service: "iot",
    kind: "thing/",
};
const SECRET: Shape = Shape::ForeignArn {
    service: "secretsmanager",
    kind: "secret:",
};

impl Service {
    pub(super) fn start_edge_update(&mut self, input: &Input, now: Timestamp) -> Result<Value, ServiceError> {
        let config = required("EdgeConfig", input.object("EdgeConfig")?)?;
        check_edge_config(&config)?;
        let name = self.called_stream(Operation::StartEdgeConfigurationUpdate, input)?;
        self.require_unchanging(&name)?;
        self.require_retention(&name)?;
        let Some(stream) = self.streams.get_mut(&name) else {
            return Ok(json!({}));
        };
        let now_ms = now.as_millis();
        let created_ms = stream.edge.as_ref().map_or(now_ms, |edge| edge.created_ms);
        let edge = EdgeConfiguration {
            created_ms,
            updated_ms: now_ms,
            config: config.to_value(),
        };
        stream.edge = Some(edge);
        let mut output = edge_configuration(stream)?;
        output["SyncStatus"] = "SYNCING".into();
        Ok(output)
    }

    pub(super) fn describe_edge(&mut self, input: &Input) -> Result<Value, ServiceError> {
        let name = self.called_stream(Operation::DescribeEdgeConfiguration, input)?;
        self.streams
            .get(&name)
            .map_or_else(|| Ok(json!({})), edge_configuration)
    }

    pub(super) fn delete_edge(&mut self, input: &Input) -> Result<Value, ServiceError> {
        let name = self.called_stream(Operation::DeleteEdgeConfiguration, input)?;
        let Some(stream) = self.streams.get_mut(&name) else {
            return Ok(json!({}));
        };
        stream
            .edge
            .take()
            .map_or_else(|| Err(not_configured(&name)), |_| Ok(json!({})))
    }

    pub(super) fn list_edge_agents(&mut self, input: &Input) -> Result<Value, ServiceError> {
        let hub = required("HubDeviceArn", input.text("HubDeviceArn", 1..=1_024, HUB_DEVICE)?)?;
        let most = input.number("MaxResults", 1..=10)?.unwrap_or(10);
        let skip = match input.text("NextToken", 0..=1_024, Shape::Token)? {
            Some(token) => page_start(token)?,
            None => 0,
        };
        let is_of_hub = |stream: &&Stream| {
            stream
                .edge
                .as_ref()
                .is_some_and(|edge| edge.config["HubDeviceArn"] == hub)
        };
        let streams: Vec<&Stream> = self.streams.values().filter(is_of_hub).collect();
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let page: Vec<Value> = streams
            .iter()
            .skip(skip)
            .take(most)
            .map(|stream| edge_configuration(stream))
            .collect::<Result<_, _>>()?;
        let next = skip + page.len();
        let mut output = json!({ "EdgeConfigs": page });
        if next < streams.len() {
            output["NextToken"] = page_token(next).into();
        }
        Ok(output)
    }
}

fn not_configured(name: &str) -> ServiceError {
    ServiceError::new(
        ServiceErrorKind::StreamEdgeConfigurationNotFound,
        format!("the stream {name} has no edge configuration"),
    )
}

fn edge_configuration(stream: &Stream) -> Result<Value, ServiceError> {
    let edge = stream.edge.as_ref().ok_or_else(|| not_configured(&stream.name))?;
    Ok(json!({
        "StreamName": stream.name,
        "StreamARN": stream.arn,
        "CreationTime": edge.created_ms as f64 / 1e3,
        "LastUpdatedTime": edge.updated_ms as f64 / 1e3,
        "SyncStatus": "IN_SYNC",
        "EdgeConfig": edge.config,
    }))
}

fn check_edge_config(config: &Input) -> Result<(), ServiceError> {
    required(
        "HubDeviceArn",
        config.text("HubDeviceArn", 1..=1_024, HUB_DEVICE)?,
    )?;
    let recorder = required("RecorderConfig", config.object("RecorderConfig")?)?;
    let source = required("MediaSourceConfig", recorder.object("MediaSourceConfig")?)?;
    required(
        "MediaUriSecretArn",
        source.text("MediaUriSecretArn", 20..=2_048, SECRET)?,
    )?;
    required(
        "MediaUriType",
        source.word("MediaUriType", &["RTSP_URI", "FILE_URI"])?,
    )?;
    if let Some(schedule) = recorder.object("ScheduleConfig")? {
        check_schedule(&schedule)?;
    }
    if let Some(uploader) = config.object("UploaderConfig")? {
        let schedule = required("ScheduleConfig", uploader.object("ScheduleConfig")?)?;
        check_schedule(&schedule)?;
    }
    if let Some(deletion) = config.object("DeletionConfig")? {
        check_deletion(&deletion)?;
    }
    Ok(())
}

fn check_schedule(schedule: &Input) -> Result<(), ServiceError> {
    required(
        "ScheduleExpression",
        schedule.text("ScheduleExpression", 11..=100, Shape::Any)?,
    )?;
    required(
        "DurationInSeconds",
        schedule.number("DurationInSeconds", 60..=3_600)?,
    )?;
    Ok(())
}

fn check_deletion(deletion: &Input) -> Result<(), ServiceError> {
    deletion.number("EdgeRetentionInHours", 1..=720)?;
    deletion.flag("DeleteAfterUpload")?;
    if let Some(local) = deletion.object("LocalSizeConfig")? {
        local.number("MaxLocalMediaSizeInMB", 64..=2_000_000)?;
        local.word("StrategyOnFullSize", &["DELETE_OLDEST_MEDIA", "DENY_NEW_MEDIA"])?;
    }
    Ok(())
}
