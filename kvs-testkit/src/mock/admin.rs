//! The admin API: scripts, the ledger and the clock over HTTP, for tests in any language.
//!
//! A request with an `X-Kvs-Mock-Command` header is for the mock itself, whatever its path; it needs no
//! signature. Commands and their JSON bodies are listed at [`MockKvs`](super::MockKvs).

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};

use super::head::Head;
use super::host::Host;
use crate::service::{Fault, Reply, ServiceError};

/// A command to the mock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AdminRequest {
    command: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AddFaults {
    faults: Vec<Fault>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CreateStream {
    stream: String,
    #[serde(default)]
    retention_hours: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ShiftClock {
    seconds: i64,
}

impl AdminRequest {
    pub(super) fn of(head: &Head) -> Option<AdminRequest> {
        let command = head.text("x-kvs-mock-command")?;
        Some(AdminRequest {
            command: command.to_owned(),
        })
    }

    pub(super) fn answer(&self, host: &Host, body: &Bytes) -> Reply {
        match self.run(host, body) {
            Ok(body) => Reply {
                status: 200,
                request_id: "mock".to_owned(),
                error_type: None,
                body,
            },
            Err(error) => host.with(|service, _| service.refusal(&error)),
        }
    }

    fn run(&self, host: &Host, body: &Bytes) -> Result<Value, ServiceError> {
        match self.command.as_str() {
            "ledger" => host.with(|service, _| to_json(service.ledger())),
            "faults" => host.with(|service, _| to_json(&service.faults())),
            "add-faults" => {
                let added: AddFaults = from_json(body)?;
                for fault in added.faults {
                    host.with(|service, _| service.add_fault(fault));
                }
                Ok(json!({}))
            }
            "clear-faults" => {
                host.with(|service, _| service.clear_faults());
                Ok(json!({}))
            }
            "create-stream" => {
                let asked: CreateStream = from_json(body)?;
                host.with(|service, now| service.ensure_stream(&asked.stream, asked.retention_hours, now));
                Ok(json!({}))
            }
            "expire-endpoints" => {
                host.with(|service, _| service.expire_endpoints());
                Ok(json!({}))
            }
            "shift-clock" => {
                let asked: ShiftClock = from_json(body)?;
                host.shift_clock(asked.seconds);
                Ok(json!({}))
            }
            other => Err(ServiceError::with_status(
                404,
                "UnknownCommand",
                format!("no command {other:?}"),
            )),
        }
    }
}

fn to_json(value: &impl serde::Serialize) -> Result<Value, ServiceError> {
    serde_json::to_value(value)
        .map_err(|error| ServiceError::with_status(500, "InternalFailure", error.to_string()))
}

fn from_json<'a, T: Deserialize<'a>>(body: &'a Bytes) -> Result<T, ServiceError> {
    serde_json::from_slice(body)
        .map_err(|error| ServiceError::with_status(400, "InvalidCommand", error.to_string()))
}
