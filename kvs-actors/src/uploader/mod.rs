//! [`UploaderActor`]: owns one `PutMedia` session.

mod session_io;

use std::rc::Rc;

use actix::prelude::*;
use kvs_client::{Ack, ClientError, ClientErrorKind, MediaTransport};
use kvs_mkv::SegmentInfo;
use kvs_storage::ContentStore;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tracing::Instrument;

use crate::error::StreamError;
use crate::machine::{SendOp, SessionId, SessionPlan};
use session_io::{Job, SessionIo};

/// What an uploader tells its stream.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct SessionReport {
    pub(crate) session: SessionId,
    pub(crate) news: SessionNews,
}

#[derive(Debug)]
pub(crate) enum SessionNews {
    /// The service accepted the session.
    Opened,
    /// All items up to this one are written.
    Written { seq: u64, bytes: u64 },
    /// An acknowledgement came.
    Acked(Ack),
    /// An item could not be read from the store or not be muxed; nothing more is written.
    Unsendable { seq: u64, error: StreamError },
    /// The session is over.
    Ended(Result<(), ClientError>),
}

/// Steps to send, in order. The stream's send window is the credit for them.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Transmit(pub(crate) Vec<SendOp>);

/// End the body in good order and go on reading.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct FinishBody;

/// Close the connection at once.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Abort;

/// Everything an uploader works with.
pub(crate) struct UploaderSetup {
    pub(crate) stream: String,
    pub(crate) plan: SessionPlan,
    pub(crate) segment: SegmentInfo,
    pub(crate) transport: Rc<dyn MediaTransport>,
    pub(crate) store: Rc<dyn ContentStore>,
    pub(crate) reports: Recipient<SessionReport>,
}

/// Owns one `PutMedia` session: takes steps from its stream, muxes and writes them as the connection drains, and
/// reports what was written and what the service says.
///
/// The actor only relays; the connection is served by a task of its own, so that a slow peer never holds up the mailbox.
/// It ends by itself when the session is over, and closes the connection when it is stopped.
pub struct UploaderActor {
    session: SessionId,
    setup: Option<UploaderSetup>,
    jobs: Option<mpsc::UnboundedSender<Job>>,
    connection: Option<AbortHandle>,
}

impl UploaderActor {
    pub(crate) fn new(setup: UploaderSetup) -> Self {
        UploaderActor {
            session: setup.plan.session,
            setup: Some(setup),
            jobs: None,
            connection: None,
        }
    }

    fn push(&self, job: Job) {
        if let Some(jobs) = &self.jobs {
            // A send fails only when the session is over, which its last report says.
            let _ = jobs.send(job);
        }
    }
}

impl Actor for UploaderActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        let Some(setup) = self.setup.take() else { return };
        let session = self.session;
        let (jobs, queue) = mpsc::unbounded_channel();
        self.jobs = Some(jobs);
        let span = tracing::info_span!("session", stream = %setup.stream, %session);
        let reports = setup.reports.clone();
        let connection = actix_rt::spawn(SessionIo::new(setup, queue).run().instrument(span));
        self.connection = Some(connection.abort_handle());
        let outcome = connection;
        ctx.spawn(outcome.into_actor(self).map(move |outcome, _, ctx| {
            let result = match outcome {
                Ok(result) => result,
                Err(stopped) if stopped.is_cancelled() => return,
                Err(panic) => {
                    Err(ClientError::new(ClientErrorKind::Other, "the uploader failed").with_source(panic))
                }
            };
            reports.do_send(SessionReport {
                session,
                news: SessionNews::Ended(result),
            });
            ctx.stop();
        }));
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        if let Some(connection) = &self.connection {
            connection.abort();
        }
    }
}

impl Handler<Transmit> for UploaderActor {
    type Result = ();

    fn handle(&mut self, Transmit(ops): Transmit, _: &mut Self::Context) {
        for op in ops {
            self.push(Job::Send(op));
        }
    }
}

impl Handler<FinishBody> for UploaderActor {
    type Result = ();

    fn handle(&mut self, FinishBody: FinishBody, _: &mut Self::Context) {
        self.push(Job::Finish);
    }
}

impl Handler<Abort> for UploaderActor {
    type Result = ();

    fn handle(&mut self, Abort: Abort, ctx: &mut Self::Context) {
        ctx.stop();
    }
}
