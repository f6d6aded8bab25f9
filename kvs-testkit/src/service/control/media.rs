//! Reading media: the requests of GetMedia, ListFragments and GetMediaForFragmentList.

use std::collections::VecDeque;

use kvs_mkv::Timestamp;
use serde_json::{Value, json};

use super::input::{Input, Shape, required};
use super::streams::{page_start, page_token};
use super::{ConnectionId, Operation, Service, ServiceError};
use crate::service::number::FragmentNumber;
use crate::service::reader::{GetMediaRequest, StartSelector};

/// Reads the body of a GetMedia request.
pub(super) fn get_media_request(input: &Input) -> Result<GetMediaRequest, ServiceError> {
    let types = [
        "FRAGMENT_NUMBER",
        "SERVER_TIMESTAMP",
        "PRODUCER_TIMESTAMP",
        "NOW",
        "EARLIEST",
        "CONTINUATION_TOKEN",
    ];
    let selector = required("StartSelector", input.object("StartSelector")?)?;
    let kind = required("StartSelectorType", selector.word("StartSelectorType", &types)?)?;
    let number = selector.text("AfterFragmentNumber", 1..=128, Shape::Digits)?;
    let time = selector.time("StartTimestamp")?;
    let token = selector.text("ContinuationToken", 1..=128, Shape::ContinuationToken)?;
    let start = match kind {
        "FRAGMENT_NUMBER" => {
            StartSelector::FragmentNumber(required("AfterFragmentNumber", number)?.to_owned())
        }
        "SERVER_TIMESTAMP" => StartSelector::ServerTimestamp(required("StartTimestamp", time)?),
        "PRODUCER_TIMESTAMP" => StartSelector::ProducerTimestamp(required("StartTimestamp", time)?),
        "CONTINUATION_TOKEN" => {
            StartSelector::ContinuationToken(required("ContinuationToken", token)?.to_owned())
        }
        "EARLIEST" => StartSelector::Earliest,
        _ => StartSelector::Now,
    };
    Ok(GetMediaRequest {
        stream: input.stream()?,
        start,
    })
}

impl Service {
    pub(super) fn list_fragments(&mut self, input: &Input, now: Timestamp) -> Result<Value, ServiceError> {
        let name = self.called_stream(Operation::ListFragments, input)?;
        let most = input.number("MaxResults", 1..=1_000)?.unwrap_or(1_000);
        let token = input.text("NextToken", 0..=4_096, Shape::Token)?;
        let range = match input.object("FragmentSelector")? {
            Some(selector) => Some(selected_range(&selector)?),
            None => None,
        };
        let skip = match token {
            Some(token) => page_start(token)?,
            None => 0,
        };
        self.expire_media(&name, now);
        let matching = || {
            self.media.of_stream(&name).filter(|fragment| {
                range.is_none_or(|(by_server, start, end)| {
                    let time = if by_server {
                        fragment.server
                    } else {
                        fragment.producer
                    };
                    (start..=end).contains(&time)
                })
            })
        };
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let page: Vec<Value> = matching()
            .skip(skip)
            .take(most)
            .map(|fragment| {
                json!({
                    "FragmentNumber": fragment.number.to_string(),
                    "FragmentSizeInBytes": fragment.bytes,
                    "ProducerTimestamp": fragment.producer.as_millis() as f64 / 1e3,
                    "ServerTimestamp": fragment.server.as_millis() as f64 / 1e3,
                    "FragmentLengthInMilliseconds": fragment.duration_ms,
                })
            })
            .collect();
        let more = matching().nth(skip + page.len()).is_some();
        let next = skip + page.len();
        let mut output = json!({ "Fragments": page });
        if more {
            output["NextToken"] = page_token(next).into();
        }
        Ok(output)
    }

    pub(super) fn get_media_for_fragment_list(
        &mut self,
        input: &Input,
        now: Timestamp,
    ) -> Result<(ConnectionId, String), ServiceError> {
        let name = self.called_stream(Operation::GetMediaForFragmentList, input)?;
        let numbers = required(
            "Fragments",
            input.texts("Fragments", 1..=1_000, 1..=128, Shape::Digits)?,
        )?;
        let mut list = VecDeque::with_capacity(numbers.len());
        for number in numbers {
            let known = FragmentNumber::parse(number);
            list.push_back(known.ok_or_else(|| {
                ServiceError::invalid(format!("{number} is not a fragment number of this service"))
            })?);
        }
        self.require_active(&name)?;
        self.expire_media(&name, now);
        Ok(self.open_fragment_list(name, list, now))
    }
}

/// Whether the range is one of server timestamps, and its ends, both of which belong to it.
fn selected_range(selector: &Input) -> Result<(bool, Timestamp, Timestamp), ServiceError> {
    let types = ["PRODUCER_TIMESTAMP", "SERVER_TIMESTAMP"];
    let kind = required(
        "FragmentSelectorType",
        selector.word("FragmentSelectorType", &types)?,
    )?;
    let range = required("TimestampRange", selector.object("TimestampRange")?)?;
    let start = required("StartTimestamp", range.time("StartTimestamp")?)?;
    let end = required("EndTimestamp", range.time("EndTimestamp")?)?;
    if end < start {
        return Err(ServiceError::invalid("EndTimestamp is before StartTimestamp"));
    }
    Ok((kind == types[1], start, end))
}
