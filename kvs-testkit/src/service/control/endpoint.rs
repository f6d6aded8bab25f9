//! GetDataEndpoint.

use serde_json::{Value, json};

use super::input::{Input, required};
use super::{Operation, Service, ServiceError};

/// The values of `APIName`.
const API_NAMES: [&str; 8] = [
    "PUT_MEDIA",
    "GET_MEDIA",
    "LIST_FRAGMENTS",
    "GET_MEDIA_FOR_FRAGMENT_LIST",
    "GET_HLS_STREAMING_SESSION_URL",
    "GET_DASH_STREAMING_SESSION_URL",
    "GET_CLIP",
    "GET_IMAGES",
];

impl Service {
    pub(super) fn get_data_endpoint(&mut self, input: &Input, base_url: &str) -> Result<Value, ServiceError> {
        let name = self.called_stream(Operation::GetDataEndpoint, input)?;
        required("APIName", input.word("APIName", &API_NAMES)?)?;
        self.require_active(&name)?;
        Ok(json!({ "DataEndpoint": format!("{base_url}{}", self.endpoint_path()) }))
    }
}
