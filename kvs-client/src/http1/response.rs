//! The receiving half: heads and bodies.

use std::{cell::Cell, io, rc::Rc};

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::body::{BodyDecoder, Decoded};
use crate::{ClientError, ClientErrorKind};

/// The longest response head taken.
const MAX_HEAD: usize = 64 * 1024;

/// The most headers taken.
const MAX_HEADERS: usize = 100;

/// The most interim heads before the final one. A service sends one at most; a peer that never stops would keep us busy.
const MAX_INTERIM_HEADS: u8 = 16;

/// How much is read at a time: ACKs are small, media comes in many reads anyway.
const READ_SIZE: usize = 16 * 1024;

/// The head of a response.
#[derive(Debug)]
pub(crate) struct ResponseHead {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
}

impl ResponseHead {
    pub(crate) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// A header's value, if it is text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// Takes the final head out of what has come: interim ones (1xx, RFC 9110 §15.2) are passed over, up to a limit.
#[derive(Debug, Default)]
pub(crate) struct HeadParser {
    interim: u8,
}

impl HeadParser {
    /// The final head, if it is complete. What belongs to it and what precedes it is taken out of `buffer`.
    pub(crate) fn parse(&mut self, buffer: &mut BytesMut) -> Result<Option<ResponseHead>, ClientError> {
        let wrong = |text| ClientError::new(ClientErrorKind::Protocol, text);
        loop {
            match parse_head(buffer)? {
                Some(head) if (100..200).contains(&head.status) => {
                    self.interim = self.interim.saturating_add(1);
                }
                None if buffer.len() >= MAX_HEAD => return Err(wrong("the response head is too long")),
                other => return Ok(other),
            }
            if self.interim > MAX_INTERIM_HEADS {
                return Err(wrong("interim responses without end"));
            }
        }
    }
}

/// Reads one response. Every method may be dropped and called again without loss.
pub(crate) struct ResponseReader {
    io: Box<dyn AsyncRead + Unpin>,
    buffer: BytesMut,
    head: HeadParser,
    body: Option<BodyDecoder>,
    lost: Rc<Cell<bool>>,
}

impl ResponseReader {
    pub(crate) fn new(io: Box<dyn AsyncRead + Unpin>, lost: Rc<Cell<bool>>) -> Self {
        Self {
            io,
            buffer: BytesMut::new(),
            head: HeadParser::default(),
            body: None,
            lost,
        }
    }

    /// The final head.
    pub(crate) async fn head(&mut self) -> Result<ResponseHead, ClientError> {
        loop {
            if let Some(head) = self.head.parse(&mut self.buffer)? {
                self.body = Some(BodyDecoder::of_response(head.status, &head.headers)?);
                return Ok(head);
            }
            if self.read().await? == 0 {
                return Err(ClientError::from_io(io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }

    /// The next piece of the body, `None` at its end.
    pub(crate) async fn data(&mut self) -> Result<Option<Bytes>, ClientError> {
        loop {
            let Some(body) = self.body.as_mut() else {
                return Err(ClientError::new(
                    ClientErrorKind::Protocol,
                    "a body before its head",
                ));
            };
            match body.decode(&mut self.buffer)? {
                Decoded::Data(data) => return Ok(Some(data)),
                Decoded::End => return Ok(None),
                Decoded::NeedMore => {}
            }
            let may_end = body.may_end();
            if self.read().await? > 0 {
                continue;
            }
            if !may_end || self.lost.get() {
                return Err(ClientError::from_io(io::ErrorKind::UnexpectedEof.into()));
            }
            self.body = Some(BodyDecoder::Done);
        }
    }

    async fn read(&mut self) -> Result<usize, ClientError> {
        self.buffer.reserve(READ_SIZE);
        self.io.read_buf(&mut self.buffer).await.map_err(|error| {
            self.lost.set(true);
            ClientError::from_io(error)
        })
    }
}

fn parse_head(buffer: &mut BytesMut) -> Result<Option<ResponseHead>, ClientError> {
    let wrong = |source: httparse::Error| {
        ClientError::new(ClientErrorKind::Protocol, "the response is not http/1.1").with_source(source)
    };
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let length = match response.parse(buffer).map_err(wrong)? {
        httparse::Status::Partial => return Ok(None),
        httparse::Status::Complete(length) => length,
    };
    let status = response.code.ok_or_else(|| wrong(httparse::Error::Status))?;
    let mut parsed = HeaderMap::with_capacity(response.headers.len());
    for header in response.headers.iter() {
        let name =
            HeaderName::from_bytes(header.name.as_bytes()).map_err(|_| wrong(httparse::Error::HeaderName))?;
        let value = HeaderValue::from_bytes(header.value).map_err(|_| wrong(httparse::Error::HeaderValue))?;
        parsed.append(name, value);
    }
    buffer.advance(length);
    Ok(Some(ResponseHead {
        status,
        headers: parsed,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(text: &'static [u8]) -> ResponseReader {
        ResponseReader::new(Box::new(text), Rc::default())
    }

    async fn rest(reader: &mut ResponseReader) -> Result<Vec<u8>, ClientError> {
        let mut all = Vec::new();
        while let Some(data) = reader.data().await? {
            all.extend_from_slice(&data);
        }
        Ok(all)
    }

    #[tokio::test]
    async fn interim_heads_are_passed_over() {
        let mut reader = reader(
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
        );

        let head = reader.head().await.expect("reads");

        assert_eq!(head.status, 200);
        assert_eq!(rest(&mut reader).await.expect("reads"), b"ok");
    }

    #[tokio::test]
    async fn interim_heads_without_end_are_refused_however_they_are_split() {
        let interim = "HTTP/1.1 100 Continue\r\n\r\n";
        let taken = interim.repeat(MAX_INTERIM_HEADS.into()) + "HTTP/1.1 200 OK\r\n\r\n";
        let refused = interim.repeat(usize::from(MAX_INTERIM_HEADS) + 1) + "HTTP/1.1 200 OK\r\n\r\n";
        for step in [1, 7, usize::MAX] {
            let parse = |text: &str| {
                let (mut parser, mut buffer) = (HeadParser::default(), BytesMut::new());
                for piece in text.as_bytes().chunks(step.min(text.len())) {
                    buffer.extend_from_slice(piece);
                    if let Some(head) = parser.parse(&mut buffer)? {
                        return Ok(head.status);
                    }
                }
                Err(ClientError::new(ClientErrorKind::Other, "no head"))
            };

            assert_eq!(parse(&taken).expect("reads"), 200);
            let error = parse(&refused).expect_err("fails");
            assert_eq!(error.kind(), ClientErrorKind::Protocol);
        }
    }

    #[tokio::test]
    async fn an_end_inside_a_framed_body_is_a_lost_connection() {
        for text in [
            &b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok"[..],
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n",
        ] {
            let mut reader = reader(text);
            reader.head().await.expect("reads");

            assert!(rest(&mut reader).await.expect_err("fails").is_connection_lost());
        }
    }

    #[tokio::test]
    async fn a_body_until_close_ends_with_the_connection_unless_the_other_half_broke() {
        let text = b"HTTP/1.1 200 OK\r\n\r\nok";
        let mut clean = reader(text);
        clean.head().await.expect("reads");
        assert_eq!(rest(&mut clean).await.expect("reads"), b"ok");

        let mut broken = reader(text);
        broken.lost.set(true);
        broken.head().await.expect("reads");
        assert!(rest(&mut broken).await.expect_err("fails").is_connection_lost());
    }

    #[tokio::test]
    async fn what_is_not_http_or_never_ends_is_refused() {
        let endless: &'static [u8] = Box::leak(
            [&b"HTTP/1.1 200 OK\r\nx: "[..], &[b'a'; 2 * MAX_HEAD]]
                .concat()
                .into(),
        );
        for text in [&b"SSH-2.0-OpenSSH\r\n"[..], endless] {
            let error = reader(text).head().await.expect_err("fails");

            assert_eq!(error.kind(), ClientErrorKind::Protocol);
        }
    }

    #[tokio::test]
    async fn an_end_before_the_head_is_a_lost_connection() {
        assert!(
            reader(b"HTTP/1.1 2")
                .head()
                .await
                .expect_err("fails")
                .is_connection_lost()
        );
    }
}
