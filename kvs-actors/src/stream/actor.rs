//! [`StreamActor`]: drives one stream's machine.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use actix::prelude::*;
use kvs_client::ApiName;
use kvs_mkv::SegmentInfo;
use tokio::sync::oneshot;

use super::messages::{Flush, FlushUntil, Observe, ResetConnection, ResetStream, Stop};
use super::slot::{StreamExit, StreamSlot};
use crate::error::StreamError;
use crate::events::{StreamEvent, StreamState};
use crate::machine::{Input, Output, SendOp, ServiceCall, SessionId, SessionPlan, Tally};
use crate::report::{StopReport, StreamStatus};
use crate::uploader::{
    Abort, FinishBody, SessionNews, SessionReport, Transmit, UploaderActor, UploaderSetup,
};

/// Drives the machine of one stream: brings it what happened and does what it says.
///
/// It decides nothing. Frames reach it through the stream's intake, where the byte budget is the credit for them; sessions
/// are the matter of [`UploaderActor`](crate::UploaderActor)s.
pub struct StreamActor {
    pub(super) slot: Rc<StreamSlot>,
    exit: Option<oneshot::Sender<StreamExit>>,
    timer: Option<(Instant, SpawnHandle)>,
    transmissions: HashMap<SessionId, Vec<SendOp>>,
    flushing: Vec<oneshot::Sender<Result<(), StreamError>>>,
    told: Option<StreamState>,
    has_news: bool,
}

impl StreamActor {
    pub(super) fn new(slot: Rc<StreamSlot>, exit: oneshot::Sender<StreamExit>) -> Self {
        StreamActor {
            slot,
            exit: Some(exit),
            timer: None,
            transmissions: HashMap::new(),
            flushing: Vec::new(),
            told: None,
            has_news: true,
        }
    }

    pub(super) fn handle_input(&self, input: Input) {
        let now = self.slot.shared.clock.now();
        self.slot.machine.borrow_mut().handle(input, now);
    }

    fn input(&mut self, input: Input, ctx: &mut Context<Self>) {
        self.handle_input(input);
        self.drive(ctx);
    }

    /// Comes back whenever the intake calls.
    fn listen(&mut self, ctx: &mut Context<Self>) {
        let shared = Arc::clone(&self.slot.shared);
        let called = async move { shared.wake.notified().await };
        ctx.spawn(called.into_actor(self).map(|(), actor, ctx| {
            actor.attend(ctx);
            actor.listen(ctx);
        }));
    }

    /// Takes over what is ready in the intake, and makes room there.
    pub(super) fn attend(&mut self, ctx: &mut Context<Self>) {
        self.take_append_answer(ctx);
        self.take_over(ctx);
        self.make_room();
        self.drive(ctx);
    }

    /// Has the machine make room if a frame lacks it.
    fn make_room(&self) {
        let lacking = self.slot.shared.lacking_room();
        if lacking > 0 {
            self.handle_input(Input::MakeRoom { bytes: lacking });
        }
    }

    /// Does what the machine says until it says nothing more.
    pub(super) fn drive(&mut self, ctx: &mut Context<Self>) {
        loop {
            if self.slot.appending.borrow().is_idle()
                && let Some(deadline) = self.slot.stop_at.take()
            {
                self.handle_input(Input::Stop { deadline });
            }
            let output = self.slot.machine.borrow_mut().poll();
            match output {
                Some(output) => self.perform(output, ctx),
                None => break,
            }
        }
        for (session, ops) in self.transmissions.drain() {
            if let Some(uploader) = self.slot.uploaders.borrow().get(&session) {
                // The send window is the credit for these.
                uploader.do_send(Transmit(ops));
            }
        }
        self.set_timer(ctx);
        self.answer_flushes();
        self.publish();
    }

    fn perform(&mut self, output: Output, ctx: &mut Context<Self>) {
        match output {
            Output::Call(call) => self.call(call, ctx),
            Output::Open(plan) => self.open(plan, ctx),
            Output::Send { session, op } => self.transmissions.entry(session).or_default().push(op),
            Output::Finish(session) => {
                if let Some(uploader) = self.slot.uploaders.borrow().get(&session) {
                    uploader.do_send(Transmit(self.transmissions.remove(&session).unwrap_or_default()));
                    uploader.do_send(FinishBody);
                }
            }
            Output::Abort(session) => {
                self.transmissions.remove(&session);
                if let Some(uploader) = self.slot.uploaders.borrow_mut().remove(&session) {
                    uploader.do_send(Abort);
                }
            }
            Output::PageIn { seqs } => self.page_in(seqs, ctx),
            Output::Release { seqs } => self.release(seqs),
            Output::CloseFragment => {
                self.slot.shared.intake().close_idle_fragment();
                self.take_over(ctx);
            }
            Output::ForgetEndpoint => self
                .slot
                .services
                .control
                .endpoint_failed(self.slot.name(), ApiName::PutMedia),
            Output::Event(event) => {
                if matches!(&event, StreamEvent::Error(error) if error.is_fatal()) {
                    self.slot.shared.intake().close();
                }
                self.has_news = true;
                self.slot.tell(event);
            }
            Output::Stopped => self.stopped_for_good(ctx),
        }
    }

    fn call(&mut self, call: ServiceCall, ctx: &mut Context<Self>) {
        let control = Rc::clone(&self.slot.services.control);
        let name = self.slot.name().to_owned();
        let answer = async move {
            match call {
                ServiceCall::Describe => Input::Described(control.describe_stream(&name).await),
                ServiceCall::Create(stream) => Input::Created(control.create_stream(stream).await),
                ServiceCall::Tag { arn, tags } => Input::Tagged(control.tag_stream(&arn, &tags).await),
                ServiceCall::Locate => {
                    Input::Located(control.get_data_endpoint(&name, ApiName::PutMedia).await)
                }
            }
        };
        ctx.spawn(
            answer
                .into_actor(self)
                .map(|input, actor, ctx| actor.input(input, ctx)),
        );
    }

    fn open(&mut self, plan: SessionPlan, ctx: &mut Context<Self>) {
        let session = plan.session;
        let setup = UploaderSetup {
            stream: self.slot.name().to_owned(),
            segment: SegmentInfo {
                scale: self.slot.shared.config.timecode_scale,
                ..SegmentInfo::new(self.slot.segment_uid)
            },
            plan,
            transport: Rc::clone(&self.slot.services.transport),
            store: Rc::clone(&self.slot.store),
            reports: ctx.address().recipient(),
        };
        self.slot
            .uploaders
            .borrow_mut()
            .insert(session, UploaderActor::new(setup).start());
    }

    fn set_timer(&mut self, ctx: &mut Context<Self>) {
        let Some(due) = self.slot.machine.borrow().next_timeout() else {
            return;
        };
        // A timer that fires too early only looks again, so it is moved only where it would fire too late.
        if self.timer.is_some_and(|(set, _)| set <= due) {
            return;
        }
        if let Some((_, handle)) = self.timer.take() {
            ctx.cancel_future(handle);
        }
        let wait = due.saturating_duration_since(self.slot.shared.clock.now());
        let handle = ctx.run_later(wait, |actor, ctx| {
            actor.timer = None;
            let now = actor.slot.shared.clock.now();
            actor.slot.machine.borrow_mut().handle_timeout(now);
            actor.drive(ctx);
        });
        self.timer = Some((due, handle));
    }

    fn answer_flushes(&mut self) {
        if self.flushing.is_empty() || self.slot.machine.borrow().frames().buffered.frames > 0 {
            return;
        }
        if self.queued().frames == 0 {
            for waiting in self.flushing.drain(..) {
                let _ = waiting.send(Ok(()));
            }
        }
    }

    /// Accepted frames that the machine doesn't know of yet.
    fn queued(&self) -> Tally {
        let mut queued = self.slot.shared.intake().queued();
        queued.add(self.slot.appending.borrow().held());
        queued
    }

    fn status(&self) -> StreamStatus {
        StreamStatus::of(self.slot.name(), &self.slot.machine.borrow(), self.queued())
    }

    /// Shows the status to whoever watches, when there is something new in it.
    fn publish(&mut self) {
        let state = self.slot.machine.borrow().state();
        if self.told == Some(state) && !std::mem::take(&mut self.has_news) {
            return;
        }
        self.told = Some(state);
        let status = self.status();
        self.slot.shared.status.send_replace(status);
    }

    fn stopped_for_good(&mut self, ctx: &mut Context<Self>) {
        let report = StopReport::of(self.slot.name(), &self.slot.machine.borrow(), self.queued());
        self.has_news = true;
        self.publish();
        for waiting in self.slot.stopping.borrow_mut().drain(..) {
            let _ = waiting.send(Ok(report.clone()));
        }
        for (_, uploader) in self.slot.uploaders.borrow_mut().drain() {
            uploader.do_send(Abort);
        }
        ctx.stop();
    }
}

impl Actor for StreamActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.listen(ctx);
        self.slot.appending.borrow_mut().resume();
        self.handle_input(Input::Start);
        self.attend(ctx);
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        // A panic drops the actor through here too; then the silence tells the supervisor.
        if !std::thread::panicking()
            && let Some(exit) = self.exit.take()
        {
            let _ = exit.send(StreamExit::Stopped);
        }
    }
}

impl Handler<SessionReport> for StreamActor {
    type Result = ();

    fn handle(&mut self, SessionReport { session, news }: SessionReport, ctx: &mut Self::Context) {
        let input = match news {
            SessionNews::Opened => Input::SessionOpened(session),
            SessionNews::Written { seq, bytes } => {
                self.handle_input(Input::Written { session, seq, bytes });
                // What was on its way may go now, if a frame waits for room.
                self.make_room();
                return self.drive(ctx);
            }
            SessionNews::Acked(ack) => Input::Acked { session, ack },
            SessionNews::Unsendable { seq, error } => Input::Unsendable { session, seq, error },
            SessionNews::Ended(result) => {
                self.slot.uploaders.borrow_mut().remove(&session);
                Input::SessionEnded { session, result }
            }
        };
        self.input(input, ctx);
    }
}

impl Handler<Stop> for StreamActor {
    type Result = ResponseFuture<Result<StopReport, StreamError>>;

    fn handle(&mut self, Stop { timeout }: Stop, ctx: &mut Self::Context) -> Self::Result {
        let (answer, report) = oneshot::channel();
        self.slot.stopping.borrow_mut().push(answer);
        self.slot.shared.intake().close();
        let deadline = self.slot.shared.clock.now() + timeout;
        self.slot.stop_at.set(Some(deadline));
        // A store that doesn't answer must not hold up the deadline.
        ctx.run_later(timeout, move |actor, ctx| {
            actor.input(Input::Stop { deadline }, ctx);
        });
        self.attend(ctx);
        let gone = self.slot.shared.stopped();
        Box::pin(async move { report.await.unwrap_or(Err(gone)) })
    }
}

impl Handler<Flush> for StreamActor {
    type Result = ResponseFuture<Result<(), StreamError>>;

    fn handle(&mut self, Flush { until }: Flush, ctx: &mut Self::Context) -> Self::Result {
        let gone = self.slot.shared.stopped();
        let (answer, done) = oneshot::channel();
        match until {
            // It goes the way of the frames before it, which may still wait for room in the store.
            FlushUntil::Durable => self.slot.shared.intake().flush(answer),
            FlushUntil::Delivered => {
                self.flushing.push(answer);
                self.slot.shared.intake().close_fragment();
            }
        }
        self.attend(ctx);
        Box::pin(async move { done.await.unwrap_or(Err(gone)) })
    }
}

impl Handler<ResetConnection> for StreamActor {
    type Result = ();

    fn handle(&mut self, ResetConnection: ResetConnection, ctx: &mut Self::Context) {
        self.input(Input::ResetConnection, ctx);
    }
}

impl Handler<ResetStream> for StreamActor {
    type Result = ();

    fn handle(&mut self, ResetStream: ResetStream, ctx: &mut Self::Context) {
        self.slot.shared.intake().close_fragment();
        self.take_over(ctx);
        self.input(Input::ResetStream, ctx);
    }
}

impl Handler<Observe> for StreamActor {
    type Result = MessageResult<Observe>;

    fn handle(&mut self, Observe: Observe, _: &mut Self::Context) -> Self::Result {
        MessageResult(self.status())
    }
}
