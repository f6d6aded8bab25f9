//! One connection: requests one after another, each handed to what answers it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kvs_auth::{VerifyBody, VerifyRequest};

use super::body::{BodyDecoder, Piece};
use super::head::{BadRequest, Framing, Head};
use super::host::Host;
use super::response::{self, After};
use super::socket::Socket;
use super::{admin, get_media, put_media};
use crate::service::{Operation, ServiceError};

/// Bytes a JSON request's body may have; the largest one the API allows (1,000 fragment numbers of 128 digits)
/// is a tenth of this.
const MAX_JSON_BODY: usize = 2 * 1024 * 1024;

/// How long a request may take to arrive, media aside.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a connection may be unused between requests.
const KEEP_ALIVE: Duration = Duration::from_secs(120);

/// A connection between requests.
pub(super) struct Connection {
    pub(super) socket: Socket,
    /// Received and not yet taken.
    pub(super) buffer: BytesMut,
    pub(super) host: Arc<Host>,
}

/// What became of a connection after a request.
pub(super) enum Outcome {
    /// It may serve another.
    Reusable(Connection),
    /// It is closed.
    Closed,
}

/// Serves a connection until it ends.
pub(super) async fn serve(socket: Socket, host: Arc<Host>) {
    let mut connection = Connection {
        socket,
        buffer: BytesMut::new(),
        host,
    };
    loop {
        match connection.serve_request().await {
            Ok(Outcome::Reusable(next)) => connection = next,
            Ok(Outcome::Closed) => return,
            Err(error) => {
                tracing::debug!(%error, "a connection ended");
                return;
            }
        }
    }
}

impl Connection {
    async fn serve_request(mut self) -> io::Result<Outcome> {
        let head = match self.read_head().await? {
            Ok(Some(head)) => head,
            Ok(None) => return Ok(Outcome::Closed),
            Err(bad) => return self.refuse_bad(&bad).await,
        };
        let framing = match head.framing() {
            Ok(framing) => framing,
            Err(bad) => return self.refuse_bad(&bad).await,
        };
        tracing::trace!(method = %head.method, target = head.target, "request");
        if let Some(request) = admin::AdminRequest::of(&head) {
            return self.serve_admin(&head, framing, request).await;
        }
        let operation = match self.host.with(|service, _| service.route(head.path())) {
            Ok(operation) => operation,
            Err(error) => return self.refuse_unread(&head, &error).await,
        };
        if head.method != http::Method::POST {
            let error = ServiceError::with_status(405, "UnknownOperationException", "operations are POSTed");
            return self.refuse_unread(&head, &error).await;
        }
        if operation == Operation::PutMedia {
            return put_media::serve(self, head, framing).await;
        }
        let body = match self.read_body(&head, framing).await? {
            Ok(body) => body,
            Err(bad) => return self.refuse_bad(&bad).await,
        };
        let after = after(&head);
        if let Err(error) = self.verify(&head, VerifyBody::Bytes(&body)) {
            let reply = self.host.with(|service, _| service.refusal(&error));
            return self.reply(&reply, after).await;
        }
        if matches!(
            operation,
            Operation::GetMedia | Operation::GetMediaForFragmentList
        ) {
            return get_media::serve(self, &head, operation, &body).await;
        }
        let base_url = self.base_url(&head);
        let reply = self
            .host
            .with(|service, now| service.call(operation, &body, &base_url, now));
        self.reply(&reply, after).await
    }

    async fn serve_admin(
        mut self,
        head: &Head,
        framing: Framing,
        request: admin::AdminRequest,
    ) -> io::Result<Outcome> {
        let body = match self.read_body(head, framing).await? {
            Ok(body) => body,
            Err(bad) => return self.refuse_bad(&bad).await,
        };
        let reply = request.answer(&self.host, &body);
        self.reply(&reply, after(head)).await
    }

    /// Checks the request's signature.
    pub(super) fn verify(&self, head: &Head, body: VerifyBody<'_>) -> Result<(), ServiceError> {
        let request = VerifyRequest {
            method: &head.method,
            target: &head.target,
            headers: &head.headers,
            body,
        };
        let verdict = self.host.verifier().verify(&request, self.host.system_time());
        match verdict {
            Ok(_) => Ok(()),
            Err(error) => Err(ServiceError::with_status(
                error.status(),
                error.error_type(),
                error.to_string(),
            )),
        }
    }

    /// Where the client reaches this server: by the name and port of its `Host`, which may be those of a
    /// forwarding. Some clients leave the port out; then it is the one we are bound to.
    fn base_url(&self, head: &Head) -> String {
        let local = self.socket.local_addr();
        let named = head
            .text("host")
            .and_then(|host| host.parse::<http::uri::Authority>().ok());
        let port = named
            .as_ref()
            .and_then(http::uri::Authority::port_u16)
            .unwrap_or(local.port());
        let host = named.map_or_else(|| local.ip().to_string(), |authority| authority.host().to_owned());
        format!("{}://{host}:{port}", self.host.scheme)
    }

    /// The next request's head; `None` when the peer closed between requests or waited too long.
    async fn read_head(&mut self) -> io::Result<Result<Option<Head>, BadRequest>> {
        loop {
            match Head::parse(&mut self.buffer) {
                Ok(Some(head)) => return Ok(Ok(Some(head))),
                Ok(None) => {}
                Err(bad) => return Ok(Err(bad)),
            }
            let idle = self.buffer.is_empty();
            let limit = if idle { KEEP_ALIVE } else { REQUEST_TIMEOUT };
            match tokio::time::timeout(limit, self.socket.read(&mut self.buffer)).await {
                Ok(Ok(0)) if idle => return Ok(Ok(None)),
                Ok(Ok(0)) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return Err(error),
                Err(_) if idle => return Ok(Ok(None)),
                Err(_) => return Ok(Err(BadRequest::new(408, "the request took too long"))),
            }
        }
    }

    /// Sends the 100 a client waits for before its body.
    pub(super) async fn send_continue(&mut self, head: &Head) -> io::Result<()> {
        if head.expects_continue() {
            self.socket.send(response::CONTINUE).await
        } else {
            Ok(())
        }
    }

    async fn read_body(&mut self, head: &Head, framing: Framing) -> io::Result<Result<Bytes, BadRequest>> {
        let too_large = BadRequest::new(413, "the request body is too large");
        if matches!(framing, Framing::Length(length) if length > MAX_JSON_BODY as u64) {
            return Ok(Err(too_large));
        }
        self.send_continue(head).await?;
        let mut decoder = BodyDecoder::new(framing);
        let mut body = BytesMut::new();
        loop {
            match decoder.next(&mut self.buffer, usize::MAX) {
                Ok(Piece::End) => return Ok(Ok(body.freeze())),
                Ok(Piece::Data(data)) if body.len() + data.len() > MAX_JSON_BODY => {
                    return Ok(Err(too_large));
                }
                Ok(Piece::Data(data)) => body.extend_from_slice(&data),
                Ok(Piece::NeedMore) => {
                    let read = self.socket.read(&mut self.buffer);
                    match tokio::time::timeout(REQUEST_TIMEOUT, read).await {
                        Ok(Ok(0)) => return Err(io::ErrorKind::UnexpectedEof.into()),
                        Ok(result) => result.map(drop)?,
                        Err(_) => return Ok(Err(BadRequest::new(408, "the request took too long"))),
                    }
                }
                Err(bad) => return Ok(Err(bad)),
            }
        }
    }

    pub(super) async fn reply(mut self, reply: &crate::service::Reply, after: After) -> io::Result<Outcome> {
        let now = self.host.system_time();
        self.socket.send(&response::json(reply, after, now)).await?;
        match after {
            After::KeepAlive => Ok(Outcome::Reusable(self)),
            After::Close => {
                self.socket.close().await;
                Ok(Outcome::Closed)
            }
        }
    }

    /// Refuses a request whose body isn't read, so the connection can't be used again.
    pub(super) async fn refuse_unread(self, head: &Head, error: &ServiceError) -> io::Result<Outcome> {
        let reply = self.host.with(|service, _| service.refusal(error));
        let has_body = head.framing().is_ok_and(|framing| framing != Framing::Length(0));
        let after = if has_body { After::Close } else { after(head) };
        self.reply(&reply, after).await
    }

    async fn refuse_bad(self, bad: &BadRequest) -> io::Result<Outcome> {
        let error = ServiceError::with_status(bad.status, "BadRequestException", bad.message);
        let reply = self.host.with(|service, _| service.refusal(&error));
        self.reply(&reply, After::Close).await
    }
}

pub(super) fn after(head: &Head) -> After {
    if head.keeps_alive() {
        After::KeepAlive
    } else {
        After::Close
    }
}
