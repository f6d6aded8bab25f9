//! Request heads.

use bytes::{Buf, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

/// Bytes a head may have. The service's own limit isn't documented; SDKs send 1 to 3 kB.
const MAX_HEAD: usize = 32 * 1024;

/// Header fields a head may have.
const MAX_HEADERS: usize = 100;

/// A request that isn't HTTP, or not as the service takes it: what to answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BadRequest {
    pub(super) status: u16,
    pub(super) message: &'static str,
}

impl BadRequest {
    pub(super) fn new(status: u16, message: &'static str) -> BadRequest {
        BadRequest { status, message }
    }
}

/// A request's head.
#[derive(Debug, Clone)]
pub(super) struct Head {
    pub(super) method: Method,
    /// As received: `/path?query`.
    pub(super) target: String,
    pub(super) headers: HeaderMap,
    /// HTTP/1.0, where a connection ends after its response.
    pub(super) is_http_10: bool,
}

/// How a request's body is delimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    Length(u64),
    Chunked,
}

impl Head {
    /// Takes a head off the buffer; `None` when it isn't all there.
    pub(super) fn parse(buffer: &mut BytesMut) -> Result<Option<Head>, BadRequest> {
        // Empty lines before a request line are to be ignored (RFC 9112 §2.2).
        while buffer.starts_with(b"\r\n") {
            buffer.advance(2);
        }
        let mut fields = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut request = httparse::Request::new(&mut fields);
        let length = match request.parse(buffer) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) if buffer.len() > MAX_HEAD => {
                return Err(BadRequest::new(431, "the request head is too large"));
            }
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(httparse::Error::TooManyHeaders) => {
                return Err(BadRequest::new(431, "too many header fields"));
            }
            Err(httparse::Error::Version) => return Err(BadRequest::new(505, "not HTTP/1.1")),
            Err(_) => return Err(BadRequest::new(400, "not an HTTP request")),
        };
        let (Some(method), Some(target), Some(version)) = (request.method, request.path, request.version)
        else {
            return Err(BadRequest::new(400, "not an HTTP request"));
        };
        let method = Method::from_bytes(method.as_bytes());
        let method = method.map_err(|_| BadRequest::new(400, "not an HTTP method"))?;
        let mut headers = HeaderMap::with_capacity(request.headers.len());
        for field in request.headers.iter() {
            let name = HeaderName::from_bytes(field.name.as_bytes());
            let value = HeaderValue::from_bytes(field.value);
            let (Ok(name), Ok(value)) = (name, value) else {
                return Err(BadRequest::new(400, "a malformed header field"));
            };
            headers.append(name, value);
        }
        let head = Head {
            method,
            target: target.to_owned(),
            headers,
            is_http_10: version == 0,
        };
        buffer.advance(length);
        Ok(Some(head))
    }

    /// The target's path, without the query.
    pub(super) fn path(&self) -> &str {
        self.target
            .split_once('?')
            .map_or(&*self.target, |(path, _)| path)
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok().map(str::trim)
    }

    /// Whether a comma-separated field holds a token, in any case.
    fn has_token(&self, name: &str, token: &str) -> bool {
        let values = self
            .headers
            .get_all(name)
            .into_iter()
            .filter_map(|value| value.to_str().ok());
        values
            .flat_map(|value| value.split(','))
            .any(|part| part.trim().eq_ignore_ascii_case(token))
    }

    /// Whether the connection may serve another request after this one.
    pub(super) fn keeps_alive(&self) -> bool {
        if self.is_http_10 {
            return self.has_token("connection", "keep-alive");
        }
        !self.has_token("connection", "close")
    }

    pub(super) fn expects_continue(&self) -> bool {
        self.has_token("expect", "100-continue")
    }

    /// How the body is delimited; a length of 0 when the head says nothing.
    pub(super) fn framing(&self) -> Result<Framing, BadRequest> {
        let lengths: Vec<&HeaderValue> = self.headers.get_all("content-length").into_iter().collect();
        if self.headers.contains_key("transfer-encoding") {
            // Both together is how requests are smuggled (RFC 9112 §6.1).
            if !lengths.is_empty() {
                return Err(BadRequest::new(400, "both Transfer-Encoding and Content-Length"));
            }
            if self
                .text("transfer-encoding")
                .is_some_and(|coding| coding.eq_ignore_ascii_case("chunked"))
            {
                return Ok(Framing::Chunked);
            }
            return Err(BadRequest::new(501, "a transfer coding other than chunked"));
        }
        let Some(first) = lengths.first() else {
            return Ok(Framing::Length(0));
        };
        let text = first.to_str().unwrap_or_default();
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let same = lengths.iter().all(|length| length == first);
        match text.parse() {
            Ok(length) if digits && same => Ok(Framing::Length(length)),
            _ => Err(BadRequest::new(400, "a malformed Content-Length")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Option<Head>, BadRequest> {
        Head::parse(&mut BytesMut::from(text))
    }

    fn head(text: &str) -> Head {
        parse(text).unwrap().unwrap()
    }

    #[test]
    fn a_head_is_taken_off_and_what_follows_stays() {
        let mut buffer = BytesMut::from("\r\nPOST /putMedia?a=b HTTP/1.1\r\nHost: h\r\n\r\nbody");
        let head = Head::parse(&mut buffer).unwrap().unwrap();
        assert_eq!(
            (head.target.as_str(), head.path()),
            ("/putMedia?a=b", "/putMedia")
        );
        assert_eq!(&buffer[..], b"body");
    }

    #[test]
    fn half_a_head_is_waited_for_and_an_endless_one_is_not() {
        assert!(parse("POST / HTTP/1.1\r\nHost:").unwrap().is_none());
        let endless = format!("POST / HTTP/1.1\r\nx: {}", "y".repeat(MAX_HEAD));
        assert_eq!(parse(&endless).unwrap_err().status, 431);
    }

    #[test]
    fn garbage_gets_a_client_error() {
        for (text, status) in [
            ("\u{0}\u{1}\u{2}\r\n\r\n", 400),
            ("GET\r\n\r\n", 400),
            ("GET / HTTP/2.0\r\n\r\n", 505),
            ("GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
        ] {
            assert_eq!(parse(text).unwrap_err().status, status, "{text:?}");
        }
    }

    #[test]
    fn the_body_is_delimited_by_length_or_chunks_but_not_both() {
        let framing = |fields: &str| head(&format!("POST / HTTP/1.1\r\n{fields}\r\n")).framing();
        assert_eq!(framing("").unwrap(), Framing::Length(0));
        assert_eq!(framing("Content-Length: 12\r\n").unwrap(), Framing::Length(12));
        assert_eq!(
            framing("Transfer-Encoding: Chunked\r\n").unwrap(),
            Framing::Chunked
        );
        assert!(framing("Transfer-Encoding: chunked\r\nContent-Length: 1\r\n").is_err());
        assert!(framing("Content-Length: 1\r\nContent-Length: 2\r\n").is_err());
        assert!(framing("Content-Length: -1\r\n").is_err());
        assert!(framing("Content-Length: +1\r\n").is_err());
        assert!(framing("Transfer-Encoding: gzip\r\n").is_err());
    }

    #[test]
    fn connections_live_on_unless_told_otherwise() {
        assert!(head("GET / HTTP/1.1\r\n\r\n").keeps_alive());
        assert!(!head("GET / HTTP/1.1\r\nConnection: Foo, close\r\n\r\n").keeps_alive());
        assert!(!head("GET / HTTP/1.0\r\n\r\n").keeps_alive());
    }
}
