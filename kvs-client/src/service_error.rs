//! Answers other than 2xx.

use serde_json::Value;

use crate::ClientError;

/// How much of an error body is read.
pub(crate) const MAX_ERROR_BODY: usize = 64 * 1024;

/// How much of its message is kept.
const MAX_MESSAGE: usize = 300;

/// The names under which the error type comes: the API models have the first, the developer guide the second.
const TYPE_HEADERS: [&str; 2] = ["x-amzn-errortype", "x-amz-errortype"];

const REQUEST_ID_HEADERS: [&str; 3] = ["x-amzn-requestid", "x-amzn-request-id", "x-amz-request-id"];

/// The request id among the headers of a response, looked up by lower-case name.
pub(crate) fn request_id<'h>(header: impl Fn(&str) -> Option<&'h str>) -> Option<String> {
    REQUEST_ID_HEADERS.into_iter().find_map(header).map(str::to_owned)
}

/// The error that a response stands for: type from a header, else from the body; message from the body.
pub(crate) fn service_error<'h>(
    status: u16,
    header: impl Fn(&str) -> Option<&'h str>,
    body: &[u8],
) -> ClientError {
    let json: Option<Value> = serde_json::from_slice(body).ok();
    let member = |names: &[&str]| {
        let object = json.as_ref()?.as_object()?;
        names.iter().find_map(|name| object.get(*name)?.as_str())
    };
    let error_type = TYPE_HEADERS
        .into_iter()
        .find_map(&header)
        .or_else(|| member(&["__type", "code", "Code", "Type"]));
    let message = match &json {
        Some(_) => member(&["message", "Message", "errorMessage"]).unwrap_or_default(),
        None => std::str::from_utf8(body).unwrap_or_default(),
    };
    ClientError::from_response(status, error_type, first_line(message)).with_request_id(request_id(header))
}

/// The first line only: where a signature doesn't match, the service goes on with the canonical request,
/// token and all.
fn first_line(message: &str) -> String {
    let line = message.trim().lines().next().unwrap_or_default();
    line.chars()
        .filter(|character| !character.is_control())
        .take(MAX_MESSAGE)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ClientErrorKind;

    fn error(status: u16, headers: &[(&str, &'static str)], body: &str) -> ClientError {
        let find = |name: &str| {
            headers
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| *value)
        };
        service_error(status, find, body.as_bytes())
    }

    #[test]
    fn the_type_comes_from_either_header_or_the_body() {
        for error in [
            error(
                400,
                &[("x-amzn-errortype", "ClientLimitExceededException:http://x/")],
                "",
            ),
            error(400, &[("x-amz-errortype", "ClientLimitExceededException")], "{}"),
            error(
                400,
                &[],
                r#"{"__type":"com.amazon#ClientLimitExceededException"}"#,
            ),
        ] {
            assert_eq!(error.kind(), ClientErrorKind::Throttled);
            assert_eq!(error.error_type(), Some("ClientLimitExceededException"));
        }
    }

    #[test]
    fn message_and_request_id_are_kept() {
        let error = error(
            404,
            &[("x-amzn-requestid", "id-1")],
            r#"{"Message":"no such stream"}"#,
        );

        assert_eq!(
            (error.context(), error.request_id()),
            ("no such stream", Some("id-1"))
        );
    }

    #[test]
    fn only_the_first_line_of_a_message_is_kept() {
        let error = error(
            403,
            &[],
            r#"{"message":"The signature does not match.\n\nThe Canonical String should have been\n'x-amz-security-token:hunter2'"}"#,
        );

        assert_eq!(error.context(), "The signature does not match.");
    }

    #[test]
    fn a_body_that_is_no_json_is_the_message() {
        assert_eq!(error(502, &[], "<html>\nbad gateway").context(), "<html>");
        assert_eq!(
            service_error(502, |_| None, b"\xff\xfe").kind(),
            ClientErrorKind::Service
        );
    }
}
