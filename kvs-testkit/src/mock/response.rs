//! Response heads.

use std::fmt::Write as _;
use std::time::SystemTime;

use bytes::Bytes;

use crate::service::Reply;

/// What comes after a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    /// The connection may be used again.
    KeepAlive,
    /// The connection is closed.
    Close,
}

/// A whole response with a JSON body.
pub(super) fn json(reply: &Reply, after: After, now: SystemTime) -> Bytes {
    let mut head = status_line(reply.status, &reply.request_id, now);
    if let Some(error_type) = &reply.error_type {
        field(&mut head, "x-amzn-ErrorType", error_type);
    }
    let body = reply.bytes();
    field(&mut head, "Content-Type", "application/json");
    field(&mut head, "Content-Length", &body.len().to_string());
    finish(&mut head, after);
    let mut whole = head.into_bytes();
    whole.extend_from_slice(&body);
    whole.into()
}

/// The head of a streamed response.
pub(super) fn streaming(request_id: &str, content_type: &str, after: After, now: SystemTime) -> Bytes {
    let mut head = status_line(200, request_id, now);
    field(&mut head, "Content-Type", content_type);
    field(&mut head, "Transfer-Encoding", "chunked");
    finish(&mut head, after);
    head.into()
}

/// A piece of a chunked body.
pub(super) fn chunk(data: &[u8]) -> Bytes {
    let mut chunk = format!("{:x}\r\n", data.len()).into_bytes();
    chunk.extend_from_slice(data);
    chunk.extend_from_slice(b"\r\n");
    chunk.into()
}

/// The end of a chunked body.
pub(super) const LAST_CHUNK: Bytes = Bytes::from_static(b"0\r\n\r\n");

/// What a client with `Expect: 100-continue` waits for.
pub(super) const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

fn status_line(status: u16, request_id: &str, now: SystemTime) -> String {
    let mut head = format!("HTTP/1.1 {status} {}\r\n", reason(status));
    field(&mut head, "x-amzn-RequestId", request_id);
    field(&mut head, "Date", &httpdate::fmt_http_date(now));
    head
}

fn reason(status: u16) -> &'static str {
    http::StatusCode::from_u16(status)
        .ok()
        .and_then(|status| status.canonical_reason())
        .unwrap_or("Unknown")
}

fn field(head: &mut String, name: &str, value: &str) {
    // A scripted value may hold anything; nothing may end the field early.
    let value: String = value.chars().filter(|c| !c.is_control()).collect();
    let _ = write!(head, "{name}: {value}\r\n");
}

fn finish(head: &mut String, after: After) {
    if after == After::Close {
        field(head, "Connection", "close");
    }
    head.push_str("\r\n");
}
