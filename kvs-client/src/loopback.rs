//! A PutMedia connection without a network: both ends in one process.

use std::{
    cell::RefCell,
    collections::VecDeque,
    future::{Future, poll_fn},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;

use crate::{
    Ack, ClientError, ClientErrorKind, LocalFuture, MediaConnection, MediaEvent, MediaReader, MediaTransport,
    MediaWriter, PutMediaRequest,
};

/// How many bytes a session holds that the far end hasn't read, unless set.
const CAPACITY: usize = 256 * 1024;

/// Opens sessions whose far end is a [`LoopbackListener`]: for tests, and for services that consume media in
/// process.
///
/// Bytes aren't copied; writers wait while the far end has more than the capacity to read.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use bytes::Bytes;
/// use kvs_client::{Ack, AckEvent, LoopbackTransport, MediaEvent, MediaTransport, PutMediaRequest};
///
/// let (transport, listener) = LoopbackTransport::new();
/// let mut near = transport.open(PutMediaRequest::new("http://loopback".parse()?, "front-door")).await?;
/// let mut far = listener.accept().await.expect("a session is open");
///
/// near.writer.write(&mut vec![Bytes::from_static(b"cluster")]).await?;
/// assert_eq!(far.read().await?.as_deref(), Some(&b"cluster"[..]));
/// far.send(MediaEvent::Ack(Ack::new(AckEvent::Received).timecode(0)));
/// assert!(matches!(near.reader.next().await?, MediaEvent::Ack(_)));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct LoopbackTransport {
    sessions: Rc<RefCell<Sessions>>,
    capacity: usize,
}

/// Takes the sessions that a [`LoopbackTransport`] opens.
#[derive(Debug)]
pub struct LoopbackListener {
    sessions: Rc<RefCell<Sessions>>,
}

#[derive(Debug, Default)]
struct Sessions {
    waiting: VecDeque<LoopbackSession>,
    acceptor: Option<Waker>,
    closed: bool,
}

impl LoopbackTransport {
    /// A transport and its far end, with room for 256 KiB per session.
    pub fn new() -> (Self, LoopbackListener) {
        let sessions = Rc::default();
        (
            Self {
                sessions: Rc::clone(&sessions),
                capacity: CAPACITY,
            },
            LoopbackListener { sessions },
        )
    }

    /// Sets how many unread bytes make writers wait.
    #[must_use]
    pub fn capacity(mut self, bytes: usize) -> Self {
        self.capacity = bytes;
        self
    }
}

impl MediaTransport for LoopbackTransport {
    fn open(&self, request: PutMediaRequest) -> LocalFuture<'_, Result<MediaConnection, ClientError>> {
        Box::pin(async move {
            let mut sessions = self.sessions.borrow_mut();
            if sessions.closed {
                return Err(ClientError::new(ClientErrorKind::Connect, "the listener is gone"));
            }
            let pipe = Rc::new(RefCell::new(Pipe::new(self.capacity)));
            sessions.waiting.push_back(LoopbackSession {
                request,
                pipe: Rc::clone(&pipe),
            });
            wake(&mut sessions.acceptor);
            let (writer, reader) = (
                Writer {
                    pipe: Rc::clone(&pipe),
                },
                Reader { pipe },
            );
            Ok(MediaConnection {
                writer: Box::new(writer),
                reader: Box::new(reader),
            })
        })
    }
}

impl LoopbackListener {
    /// The next session; `None` once the transport is gone.
    pub fn accept(&self) -> impl Future<Output = Option<LoopbackSession>> + '_ {
        poll_fn(|context| {
            let mut sessions = self.sessions.borrow_mut();
            if let Some(session) = sessions.waiting.pop_front() {
                return Poll::Ready(Some(session));
            }
            if Rc::strong_count(&self.sessions) == 1 {
                return Poll::Ready(None);
            }
            sessions.acceptor = Some(context.waker().clone());
            Poll::Pending
        })
    }
}

impl Drop for LoopbackListener {
    fn drop(&mut self) {
        let mut sessions = self.sessions.borrow_mut();
        sessions.closed = true;
        sessions.waiting.clear();
    }
}

impl Drop for LoopbackTransport {
    fn drop(&mut self) {
        wake(&mut self.sessions.borrow_mut().acceptor);
    }
}

/// The far end of a session: the service's side.
#[derive(Debug)]
pub struct LoopbackSession {
    request: PutMediaRequest,
    pipe: Rc<RefCell<Pipe>>,
}

impl LoopbackSession {
    /// What the session is about.
    pub fn request(&self) -> &PutMediaRequest {
        &self.request
    }

    /// The next bytes of the body, as they were written; `None` once the body has ended cleanly.
    ///
    /// # Errors
    ///
    /// [`ConnectionLost`](ClientErrorKind::ConnectionLost) if the near end was aborted or dropped inside the
    /// body.
    pub fn read(&mut self) -> impl Future<Output = Result<Option<Bytes>, ClientError>> + '_ {
        poll_fn(|context| self.pipe.borrow_mut().poll_read(context))
    }

    /// Sends an event. After [`MediaEvent::End`] nothing more is heard.
    pub fn send(&mut self, event: MediaEvent) {
        self.pipe.borrow_mut().send(Ok(event));
    }

    /// Sends an ACK.
    pub fn send_ack(&mut self, ack: Ack) {
        self.send(MediaEvent::Ack(ack));
    }

    /// Refuses the session with an error, after which the response has ended.
    pub fn refuse(&mut self, error: ClientError) {
        let mut pipe = self.pipe.borrow_mut();
        pipe.send(Err(error));
        pipe.send(Ok(MediaEvent::End));
    }

    /// Breaks the connection off: what was sent before is still read, then the near end hears that it is
    /// lost.
    pub fn reset(self) {}
}

impl Drop for LoopbackSession {
    fn drop(&mut self) {
        self.pipe.borrow_mut().lose();
    }
}

/// What is under way in both directions.
#[derive(Debug)]
struct Pipe {
    capacity: usize,
    chunks: VecDeque<Bytes>,
    unread: usize,
    body: Body,
    events: VecDeque<Result<MediaEvent, ClientError>>,
    ended: bool,
    lost: bool,
    writer: Option<Waker>,
    far_reader: Option<Waker>,
    near_reader: Option<Waker>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Body {
    Open,
    Finished,
    Aborted,
}

impl Pipe {
    fn new(capacity: usize) -> Self {
        Self {
            capacity,
            chunks: VecDeque::new(),
            unread: 0,
            body: Body::Open,
            events: VecDeque::new(),
            ended: false,
            lost: false,
            writer: None,
            far_reader: None,
            near_reader: None,
        }
    }

    /// Queues the whole batch at once, then waits for room.
    fn queue(&mut self, chunks: &mut Vec<Bytes>) {
        if self.body == Body::Open && !self.lost {
            self.unread += chunks.iter().map(Bytes::len).sum::<usize>();
            self.chunks
                .extend(chunks.drain(..).filter(|chunk| !chunk.is_empty()));
            wake(&mut self.far_reader);
        }
        chunks.clear();
    }

    fn poll_room(&mut self, context: &Context<'_>) -> Poll<Result<(), ClientError>> {
        if self.lost {
            return Poll::Ready(Err(connection_lost()));
        }
        if self.unread <= self.capacity {
            return Poll::Ready(Ok(()));
        }
        self.writer = Some(context.waker().clone());
        Poll::Pending
    }

    fn poll_read(&mut self, context: &Context<'_>) -> Poll<Result<Option<Bytes>, ClientError>> {
        if let Some(chunk) = self.chunks.pop_front() {
            self.unread -= chunk.len();
            wake(&mut self.writer);
            return Poll::Ready(Ok(Some(chunk)));
        }
        match self.body {
            Body::Finished => Poll::Ready(Ok(None)),
            Body::Aborted => Poll::Ready(Err(connection_lost())),
            Body::Open => {
                self.far_reader = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }

    fn poll_event(&mut self, context: &Context<'_>) -> Poll<Result<MediaEvent, ClientError>> {
        match self.events.pop_front() {
            Some(Ok(MediaEvent::End)) => self.ended = true,
            Some(event) => return Poll::Ready(event),
            None => {}
        }
        if self.ended {
            return Poll::Ready(Ok(MediaEvent::End));
        }
        if self.lost {
            return Poll::Ready(Err(connection_lost()));
        }
        self.near_reader = Some(context.waker().clone());
        Poll::Pending
    }

    fn send(&mut self, event: Result<MediaEvent, ClientError>) {
        self.events.push_back(event);
        wake(&mut self.near_reader);
    }

    fn lose(&mut self) {
        self.lost = true;
        wake(&mut self.near_reader);
        wake(&mut self.writer);
    }

    fn end_body(&mut self, body: Body) {
        if self.body == Body::Open {
            self.body = body;
            wake(&mut self.far_reader);
        }
    }
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}

fn connection_lost() -> ClientError {
    ClientError::new(ClientErrorKind::ConnectionLost, "")
}

struct Writer {
    pipe: Rc<RefCell<Pipe>>,
}

impl MediaWriter for Writer {
    fn write<'a>(&'a mut self, chunks: &'a mut Vec<Bytes>) -> LocalFuture<'a, Result<(), ClientError>> {
        Box::pin(async move {
            self.pipe.borrow_mut().queue(chunks);
            poll_fn(|context| self.pipe.borrow_mut().poll_room(context)).await
        })
    }

    fn finish(&mut self) -> LocalFuture<'_, Result<(), ClientError>> {
        self.pipe.borrow_mut().end_body(Body::Finished);
        let lost = self.pipe.borrow().lost;
        Box::pin(async move { if lost { Err(connection_lost()) } else { Ok(()) } })
    }

    fn abort(self: Box<Self>) {}
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.pipe.borrow_mut().end_body(Body::Aborted);
    }
}

struct Reader {
    pipe: Rc<RefCell<Pipe>>,
}

impl MediaReader for Reader {
    fn next(&mut self) -> LocalFuture<'_, Result<MediaEvent, ClientError>> {
        Box::pin(Next(&self.pipe))
    }
}

struct Next<'a>(&'a RefCell<Pipe>);

impl Future for Next<'_> {
    type Output = Result<MediaEvent, ClientError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.borrow_mut().poll_event(context)
    }
}
