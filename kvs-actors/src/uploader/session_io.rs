//! The two halves of a session's connection: one writes what it is handed, the other reads what the service says.

use std::rc::Rc;
use std::time::Duration;

use actix::Recipient;
use bytes::Bytes;
use futures_util::future::{Either, select};
use kvs_client::{
    ClientError, ClientErrorKind, MediaEvent, MediaReader, MediaTransport, MediaWriter, PutMediaRequest,
    TimecodeType,
};
use kvs_mkv::{FragmentTimecodes, Muxer};
use kvs_storage::{ContentStore, ItemMeta};
use tokio::sync::mpsc;

use super::{SessionNews, SessionReport, UploaderSetup};
use crate::error::{StreamError, StreamErrorKind};
use crate::machine::{SendOp, SessionId, SessionPlan};
use crate::stored::stored_frame;

/// How many steps are taken up into one vectored write, if so many are ready.
const BATCH: usize = 64;

/// How long the reader is heard after a write failed: it may still hold acknowledgements and the service's reason.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// One step for the writer.
#[derive(Debug)]
pub(super) enum Job {
    Send(SendOp),
    Finish,
}

pub(super) struct SessionIo {
    stream: String,
    plan: SessionPlan,
    segment: kvs_mkv::SegmentInfo,
    transport: Rc<dyn MediaTransport>,
    store: Rc<dyn ContentStore>,
    reports: Reports,
    queue: mpsc::UnboundedReceiver<Job>,
}

/// The way of the reports, by the session they are of.
#[derive(Clone)]
struct Reports {
    session: SessionId,
    recipient: Recipient<SessionReport>,
}

impl Reports {
    fn tell(&self, news: SessionNews) {
        // Few and small: one for each batch written and for each acknowledgement.
        self.recipient.do_send(SessionReport {
            session: self.session,
            news,
        });
    }
}

impl SessionIo {
    pub(super) fn new(setup: UploaderSetup, queue: mpsc::UnboundedReceiver<Job>) -> Self {
        let reports = Reports {
            session: setup.plan.session,
            recipient: setup.reports,
        };
        SessionIo {
            stream: setup.stream,
            plan: setup.plan,
            segment: setup.segment,
            transport: setup.transport,
            store: setup.store,
            reports,
            queue,
        }
    }

    /// Serves the session to its end. `Ok` means that the response ended in good order.
    pub(super) async fn run(self) -> Result<(), ClientError> {
        let muxer = Muxer::new(self.segment, &self.plan.tracks, self.plan.timecodes).map_err(mux_failure)?;
        let relative = matches!(self.plan.timecodes, FragmentTimecodes::Relative { .. });
        let mut request = PutMediaRequest::new(self.plan.endpoint, self.stream).acks(self.plan.acks);
        request.timecodes = if relative {
            TimecodeType::Relative
        } else {
            TimecodeType::Absolute
        };
        request.start_timestamp = self.plan.start.to_system_time();
        let connection = self.transport.open(request).await?;
        let mut reader = connection.reader;
        let mut writing = Writing {
            writer: connection.writer,
            muxer,
            store: self.store,
            reports: self.reports.clone(),
        };
        let write = std::pin::pin!(writing.run(self.queue));
        let read = std::pin::pin!(listen(reader.as_mut(), &self.reports));
        match select(read, write).await {
            Either::Left((verdict, _)) => verdict,
            // The body is ended: all that is left is to listen.
            Either::Right((Ok(()), read)) => read.await,
            Either::Right((Err(error), read)) => match tokio::time::timeout(LAST_WORDS, read).await {
                Ok(Err(verdict)) => Err(verdict),
                Ok(Ok(())) | Err(_) => Err(error),
            },
        }
    }
}

/// Passes on what the service says until it ends the response.
async fn listen(reader: &mut dyn MediaReader, reports: &Reports) -> Result<(), ClientError> {
    loop {
        match reader.next().await? {
            MediaEvent::Head { .. } => reports.tell(SessionNews::Opened),
            MediaEvent::Ack(ack) => reports.tell(SessionNews::Acked(ack)),
            MediaEvent::End => return Ok(()),
            _ => {}
        }
    }
}

struct Writing {
    writer: Box<dyn MediaWriter>,
    muxer: Muxer,
    store: Rc<dyn ContentStore>,
    reports: Reports,
}

impl Writing {
    /// Writes what is handed over until the body is ended.
    async fn run(&mut self, mut queue: mpsc::UnboundedReceiver<Job>) -> Result<(), ClientError> {
        let mut jobs = Vec::with_capacity(BATCH);
        let mut chunks: Vec<Bytes> = Vec::with_capacity(4 * BATCH);
        self.muxer.header(&mut chunks);
        while queue.recv_many(&mut jobs, BATCH).await > 0 {
            let mut finish = false;
            let mut last = None;
            let mut bytes = 0;
            for job in jobs.drain(..) {
                match job {
                    Job::Finish => finish = true,
                    Job::Send(SendOp::Item { meta }) => {
                        if let Err(error) = self.item(&meta, &mut chunks).await {
                            self.reports
                                .tell(SessionNews::Unsendable { seq: meta.seq, error });
                            // The stream closes this session; the cluster under way is never completed.
                            return std::future::pending().await;
                        }
                        last = Some(meta.seq);
                        bytes += u64::from(meta.len);
                    }
                    Job::Send(SendOp::Fragment { timecode }) => {
                        self.muxer
                            .start_fragment(timecode, &mut chunks)
                            .map_err(mux_failure)?;
                    }
                    Job::Send(SendOp::Tags(tags)) => {
                        self.muxer.tags(&tags, &mut chunks).map_err(mux_failure)?;
                    }
                    Job::Send(SendOp::EndOfFragment) => self.muxer.end_of_fragment(&mut chunks),
                }
            }
            self.writer.write(&mut chunks).await?;
            chunks.clear();
            if let Some(seq) = last {
                self.reports.tell(SessionNews::Written { seq, bytes });
            }
            if finish {
                return self.writer.finish().await;
            }
        }
        // The actor is gone; it takes this task with it.
        std::future::pending().await
    }

    async fn item(&mut self, meta: &ItemMeta, chunks: &mut Vec<Bytes>) -> Result<(), StreamError> {
        let read = match self.store.read(meta.seq).try_now() {
            Ok(answer) => answer,
            Err(waiting) => waiting.await,
        };
        let payload = read.map_err(|error| {
            StreamError::new(StreamErrorKind::Store, error.to_string()).with_source(error)
        })?;
        self.muxer
            .block(&stored_frame(meta, payload), chunks)
            .map_err(|error| StreamError::new(StreamErrorKind::Mux, error.to_string()).with_source(error))
    }
}

fn mux_failure(error: kvs_mkv::MkvError) -> ClientError {
    ClientError::new(ClientErrorKind::Other, "media could not be muxed").with_source(error)
}
