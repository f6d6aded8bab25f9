//! The way of a stream from its name to an endpoint: describe, create, tag, locate; and what each answer leads to.

use std::sync::Arc;
use std::time::Instant;

use kvs_client::{ClientError, ClientErrorKind, StreamInfo, StreamStatus};

use super::output::{Output, ServiceCall};
use super::retry::Urgency;
use super::timer::Timer;
use super::{CreatePolicy, StreamMachine};
use crate::error::{StreamError, StreamErrorKind};
use crate::events::StreamEvent;

/// What has to be asked next before a session can be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Step {
    Describe,
    Create,
    Tag,
    Locate,
    /// Nothing: the endpoint is known.
    Done,
}

/// How far the current step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// It may be taken now.
    Due,
    /// The call is under way.
    UnderWay,
    /// [`Timer::Retry`] has to fire first.
    Waiting,
}

impl StreamMachine {
    /// Takes the step that is due, if any.
    pub(super) fn take_step(&mut self) {
        if self.progress != Progress::Due || !self.is_alive() {
            return;
        }
        let call = match self.step {
            Step::Describe => ServiceCall::Describe,
            Step::Create => match &self.config.create {
                CreatePolicy::Create(stream) => ServiceCall::Create(stream.clone()),
                CreatePolicy::MustExist => return self.fail(self.stream_not_found()),
            },
            Step::Tag => match &self.arn {
                Some(arn) => ServiceCall::Tag {
                    arn: arn.clone(),
                    tags: self.config.tags.clone(),
                },
                None => {
                    self.step = Step::Describe;
                    ServiceCall::Describe
                }
            },
            Step::Locate => ServiceCall::Locate,
            Step::Done => return,
        };
        self.progress = Progress::UnderWay;
        self.push(Output::Call(call));
    }

    pub(super) fn described(&mut self, answer: Result<StreamInfo, ClientError>, now: Instant) {
        if !self.answers(Step::Describe) {
            return;
        }
        match answer {
            Ok(info) => {
                self.arn = Some(info.arn.clone());
                self.adopt_retention(info.retention_hours);
                match info.status {
                    StreamStatus::Active => self.proceed(self.after_creation()),
                    // The others pass; asking again shows what they became.
                    _ => self.wait_then(Step::Describe, Urgency::Failed, now),
                }
            }
            Err(error) if error.kind() == ClientErrorKind::NotFound => match self.config.create {
                CreatePolicy::Create(_) => self.proceed(Step::Create),
                CreatePolicy::MustExist => {
                    let failure = self.stream_not_found().with_source(error);
                    self.fail(failure);
                }
            },
            Err(error) => self.step_failed(&Arc::new(error), Step::Describe, now),
        }
    }

    pub(super) fn created(&mut self, answer: Result<String, ClientError>, now: Instant) {
        if !self.answers(Step::Create) {
            return;
        }
        match answer {
            Ok(arn) => {
                self.arn = Some(arn);
                // Creation is asynchronous: the stream may still be CREATING.
                self.proceed(Step::Describe);
            }
            // Somebody else created it meanwhile, or it is being deleted: look again.
            Err(error) if error.kind() == ClientErrorKind::ResourceInUse => {
                self.wait_then(Step::Describe, Urgency::Failed, now);
            }
            Err(error) => self.step_failed(&Arc::new(error), Step::Create, now),
        }
    }

    pub(super) fn tagged(&mut self, answer: Result<(), ClientError>, now: Instant) {
        if !self.answers(Step::Tag) {
            return;
        }
        match answer {
            Ok(()) => {
                self.is_tagged = true;
                self.proceed(Step::Locate);
            }
            Err(error) if error.is_retryable() || error.is_auth() => {
                self.step_failed(&Arc::new(error), Step::Tag, now);
            }
            // Media does not depend on tags: report and go on.
            Err(error) => {
                self.is_tagged = true;
                self.report(StreamError::service(&Arc::new(error)));
                self.proceed(Step::Locate);
            }
        }
    }

    pub(super) fn located(&mut self, answer: Result<kvs_client::Url, ClientError>, now: Instant) {
        if !self.answers(Step::Locate) {
            return;
        }
        match answer {
            Ok(endpoint) => {
                self.endpoint = Some(endpoint);
                self.proceed(Step::Done);
                if !self.was_ready {
                    self.was_ready = true;
                    self.push(Output::Event(StreamEvent::Ready));
                }
            }
            Err(error) => self.step_failed(&Arc::new(error), Step::Locate, now),
        }
    }

    /// A service call or a session failed: where that leads.
    pub(super) fn step_failed(&mut self, error: &Arc<ClientError>, again: Step, now: Instant) {
        let kind = error.kind();
        let urgency = if error.is_throttle() {
            Urgency::Throttled
        } else {
            Urgency::Failed
        };
        let next = match kind {
            ClientErrorKind::InvalidEndpoint => {
                self.endpoint = None;
                self.push(Output::ForgetEndpoint);
                Step::Locate
            }
            ClientErrorKind::NotFound | ClientErrorKind::ResourceInUse => Step::Describe,
            _ if error.is_auth() => {
                // The client fetches fresh credentials before it signs again.
                self.sessions_counters.auth_failures += 1;
                again
            }
            _ => again,
        };
        self.report(StreamError::service(error));
        self.wait_then(next, urgency, now);
    }

    /// What was asked of a driver that is gone is asked again.
    pub(super) fn driver_replaced(&mut self, now: Instant) {
        self.reset_connection(now);
        self.paging_in = None;
        if self.progress == Progress::UnderWay {
            self.progress = Progress::Due;
        }
    }

    /// Goes to a step at once.
    pub(super) fn proceed(&mut self, step: Step) {
        self.step = step;
        self.progress = Progress::Due;
        self.timers.cancel(Timer::Retry);
    }

    /// Goes to a step after a back-off.
    pub(super) fn wait_then(&mut self, step: Step, urgency: Urgency, now: Instant) {
        self.step = step;
        self.progress = Progress::Waiting;
        let wait = self.backoff.next_wait(urgency);
        self.timers.arm(Timer::Retry, now + wait);
    }

    /// Whether the answer to this step is the one awaited; answers to calls given up are passed over.
    fn answers(&mut self, step: Step) -> bool {
        let awaited = self.is_alive() && self.step == step && self.progress == Progress::UnderWay;
        if awaited {
            self.progress = Progress::Due;
        }
        awaited
    }

    fn after_creation(&self) -> Step {
        if !self.config.tags.is_empty() && !self.is_tagged {
            Step::Tag
        } else if self.endpoint.is_none() {
            Step::Locate
        } else {
            Step::Done
        }
    }

    fn stream_not_found(&self) -> StreamError {
        StreamError::new(
            StreamErrorKind::StreamNotFound,
            "the stream does not exist and may not be created",
        )
        .on_stream(&self.config.stream)
        .fatal()
    }
}
