//! The spool's two threads: one writes and syncs, one reads and recovers. Nothing blocks on a caller's thread.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::{oneshot, watch};

use super::disk::{Disk, DiskLock};
use super::load::Loader;
use super::options::{SpoolOptions, SyncPolicy};
use super::stream::{Gauge, Queued, Stream};
use super::writer::{Progress, StreamWriter};
use crate::{StoreError, StoreErrorKind};

/// Pause before a failing disk is tried again; doubled up to the longest.
const FIRST_RETRY: Duration = Duration::from_millis(100);
const LONGEST_RETRY: Duration = Duration::from_secs(5);

/// Work for a thread.
pub(crate) type Job = Box<dyn FnOnce() + Send>;

/// Streams whose disk fails now, and how.
pub type Failures = BTreeMap<String, StoreError>;

enum Command {
    Write(Arc<Stream>),
    Open(Arc<Stream>, Box<StreamWriter>),
    Job(Job),
}

/// What the stores and the spool's handle share. When the last of them is dropped, the threads finish and end.
pub(crate) struct Engine {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) root: PathBuf,
    pub(crate) options: SpoolOptions,
    pub(crate) gauge: Arc<Gauge>,
    pub(crate) failures: watch::Sender<Failures>,
    writer: Sender<Command>,
    reader: Sender<Job>,
    ended: Mutex<Vec<oneshot::Receiver<()>>>,
}

impl Engine {
    /// Starts the threads. The lock is held until both ended.
    pub(crate) fn start(
        disk: Arc<dyn Disk>,
        root: PathBuf,
        options: SpoolOptions,
        lock: Box<dyn DiskLock>,
    ) -> Result<Arc<Engine>, StoreError> {
        let (writer, commands) = mpsc::channel();
        let (reader, jobs) = mpsc::channel::<Job>();
        let gauge = Arc::new(Gauge::default());
        let failures = watch::Sender::new(Failures::new());
        let lock: Arc<dyn DiskLock> = Arc::from(lock);
        let writing = Writing {
            commands,
            policy: options.sync,
            memory: options.memory,
            gauge: Arc::clone(&gauge),
            failures: failures.clone(),
            streams: Vec::new(),
        };
        let writer_ended = spawn("kvs-spool-write", Arc::clone(&lock), move || writing.run())?;
        let reader_ended = spawn("kvs-spool-read", lock, move || jobs.iter().for_each(|job| job()))?;
        let ended = Mutex::new(vec![writer_ended, reader_ended]);
        Ok(Arc::new(Engine {
            disk,
            root,
            options,
            gauge,
            failures,
            writer,
            reader,
            ended,
        }))
    }

    /// Tells the writer that a stream has something to write.
    pub(crate) fn wake(&self, stream: &Arc<Stream>) {
        let already = std::mem::replace(&mut stream.state().queued, Queued::Yes);
        if already == Queued::No {
            // The thread ends only after the engine: there is always someone to hear it.
            let _ = self.writer.send(Command::Write(Arc::clone(stream)));
        }
    }

    pub(crate) fn register(&self, stream: &Arc<Stream>, writer: StreamWriter) {
        let _ = self
            .writer
            .send(Command::Open(Arc::clone(stream), Box::new(writer)));
    }

    /// Runs on the reading thread.
    pub(crate) async fn on_reader<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        let _ = self.reader.send(Box::new(move || drop(answer.send(work()))));
        answered
            .await
            .unwrap_or_else(|_| Err(StoreError::new(StoreErrorKind::Closed)))
    }

    /// Runs on the reading thread, and nobody waits for it.
    pub(crate) fn on_reader_soon(&self, work: impl FnOnce() + Send + 'static) {
        let _ = self.reader.send(Box::new(work));
    }

    /// Runs on the writing thread.
    pub(crate) async fn on_writer<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, answered) = oneshot::channel();
        let _ = self
            .writer
            .send(Command::Job(Box::new(move || drop(answer.send(work())))));
        answered
            .await
            .unwrap_or_else(|_| Err(StoreError::new(StoreErrorKind::Closed)))
    }

    /// What resolves when both threads ended.
    pub(crate) fn take_ended(&self) -> Vec<oneshot::Receiver<()>> {
        std::mem::take(&mut *self.ended.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn spawn(
    name: &str,
    lock: Arc<dyn DiskLock>,
    work: impl FnOnce() + Send + 'static,
) -> Result<oneshot::Receiver<()>, StoreError> {
    let (ended, receiver) = oneshot::channel();
    let run = move || {
        work();
        drop(lock);
        drop(ended);
    };
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(run)
        .map_err(StoreError::from_io)?;
    Ok(receiver)
}

/// The state of the writing thread.
struct Writing {
    commands: Receiver<Command>,
    policy: SyncPolicy,
    memory: u64,
    gauge: Arc<Gauge>,
    failures: watch::Sender<Failures>,
    streams: Vec<Writer>,
}

struct Writer {
    stream: Arc<Stream>,
    writer: StreamWriter,
    need: Need,
    unsynced_since: Option<Instant>,
    retry: Option<Retry>,
}

#[derive(Clone, Copy)]
struct Retry {
    at: Instant,
    pause: Duration,
}

/// What a stream has to do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Need {
    Nothing,
    Write,
}

/// Whether the threads go on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Life {
    Running,
    Ending,
}

impl Writing {
    fn run(mut self) {
        loop {
            let life = self.gather();
            // All streams write before the first sync: what comes in meanwhile shares the next round, and the file
            // system's journal commits once for many.
            self.streams.iter_mut().for_each(|writer| writer.write(life));
            let policy = self.policy;
            self.streams
                .iter_mut()
                .for_each(|writer| writer.sync_if_due(policy, life));
            self.report();
            self.trim_memory();
            self.streams.retain(|writer| !writer.is_abandoned());
            if life == Life::Ending {
                return;
            }
        }
    }

    /// Waits for something to do, and takes everything that waits.
    fn gather(&mut self) -> Life {
        let busy = self
            .streams
            .iter()
            .any(|writer| writer.need == Need::Write && writer.retry.is_none());
        let due = self
            .streams
            .iter()
            .filter_map(|writer| writer.due(self.policy))
            .min();
        let first = match (busy, due) {
            (true, _) => self.commands.try_recv().map_err(|error| match error {
                mpsc::TryRecvError::Empty => RecvTimeoutError::Timeout,
                mpsc::TryRecvError::Disconnected => RecvTimeoutError::Disconnected,
            }),
            (false, Some(due)) => self
                .commands
                .recv_timeout(due.saturating_duration_since(Instant::now())),
            (false, None) => self.commands.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match first {
            Ok(command) => self.take(command),
            Err(RecvTimeoutError::Timeout) => return Life::Running,
            Err(RecvTimeoutError::Disconnected) => return Life::Ending,
        }
        while let Ok(command) = self.commands.try_recv() {
            self.take(command);
        }
        Life::Running
    }

    fn take(&mut self, command: Command) {
        match command {
            Command::Job(job) => job(),
            Command::Open(stream, writer) => self.streams.push(Writer {
                stream,
                writer: *writer,
                // What recovery found useless can go.
                need: Need::Write,
                unsynced_since: None,
                retry: None,
            }),
            Command::Write(stream) => {
                stream.state().queued = Queued::No;
                if let Some(writer) = self
                    .streams
                    .iter_mut()
                    .find(|writer| Arc::ptr_eq(&writer.stream, &stream))
                {
                    writer.need = Need::Write;
                }
            }
        }
    }

    fn report(&self) {
        self.failures.send_if_modified(|failures| {
            let mut changed = false;
            for writer in &self.streams {
                let failure = writer.stream.state().failure.clone();
                let known = failures.get(&writer.stream.name).map(StoreError::kind);
                if failure.as_ref().map(StoreError::kind) == known {
                    continue;
                }
                changed = true;
                match failure {
                    Some(error) => drop(failures.insert(writer.stream.name.clone(), error)),
                    None => drop(failures.remove(&writer.stream.name)),
                }
            }
            changed
        });
    }

    fn trim_memory(&self) {
        if self.gauge.memory.load(std::sync::atomic::Ordering::Relaxed) > self.memory {
            self.streams.iter().for_each(|writer| writer.stream.trim_memory());
        }
    }
}

impl Writer {
    /// When there will be something to do without anyone asking.
    fn due(&self, policy: SyncPolicy) -> Option<Instant> {
        let retry = self.retry.map(|retry| retry.at);
        let interval = match (policy, self.unsynced_since) {
            (SyncPolicy::Interval(interval), Some(since)) if self.retry.is_none() => {
                since.checked_add(interval)
            }
            _ => None,
        };
        retry.into_iter().chain(interval).min()
    }

    /// Whether a failing disk may be tried now: when its pause is over, or someone flushes and wants to know.
    fn may_try(&self, life: Life) -> bool {
        let flushed = !self.stream.state().flush_waiters.is_empty();
        self.retry.is_none_or(|retry| retry.at <= Instant::now()) || flushed || life == Life::Ending
    }

    fn write(&mut self, life: Life) {
        let retry_due = self.retry.is_some_and(|retry| retry.at <= Instant::now());
        if (self.need == Need::Nothing && !retry_due && life == Life::Running) || !self.may_try(life) {
            return;
        }
        // A flush answers for what came before it, so it is looked at before the writing.
        let flushed = !self.stream.state().flush_waiters.is_empty();
        loop {
            match self.writer.write(&self.stream) {
                Ok(Progress::More) if flushed || life == Life::Ending => {}
                Ok(Progress::More) => {
                    self.need = Need::Write;
                    break;
                }
                Ok(Progress::Done) => {
                    self.need = Need::Nothing;
                    break;
                }
                Err(error) => return self.failed(&error),
            }
        }
        if self.stream.state().has_unsynced() {
            self.unsynced_since.get_or_insert_with(Instant::now);
        }
    }

    fn sync_if_due(&mut self, policy: SyncPolicy, life: Life) {
        if self.retry.is_some_and(|retry| retry.at > Instant::now()) && life == Life::Running {
            return;
        }
        let interval_over = matches!(policy, SyncPolicy::Interval(_))
            && self.due(policy).is_some_and(|due| due <= Instant::now());
        let ending = (life == Life::Ending || self.is_alone()) && self.stream.state().has_unsynced();
        if !(self.stream.state().needs_sync_now(policy) || interval_over || ending) {
            return;
        }
        // Who flushes from here on may have appended since the writing: the next round answers.
        let waiters = match self.need {
            Need::Nothing => std::mem::take(&mut self.stream.state().flush_waiters),
            Need::Write => Vec::new(),
        };
        let result = match self.writer.write(&self.stream) {
            // Releases and items that came since the round began go along.
            Ok(Progress::More) => {
                self.need = Need::Write;
                self.writer.sync(&self.stream)
            }
            Ok(Progress::Done) => self.writer.sync(&self.stream),
            Err(error) => Err(error),
        };
        let unfinished = self.need == Need::Write;
        for waiter in waiters {
            if unfinished && result.is_ok() {
                self.stream.state().flush_waiters.push(waiter);
                continue;
            }
            // Whoever stopped waiting needs no answer.
            let _ = waiter.send(result.clone());
        }
        match result {
            Ok(()) => {
                self.unsynced_since = None;
                self.retry = None;
            }
            Err(error) => self.failed(&error),
        }
    }

    fn failed(&mut self, error: &StoreError) {
        let pause = self
            .retry
            .map_or(FIRST_RETRY, |retry| (retry.pause * 2).min(LONGEST_RETRY));
        tracing::warn!(stream = %self.stream.name, %error, retry_in_ms = pause.as_millis(), "the spool can't write");
        self.need = Need::Write;
        self.unsynced_since = None;
        self.retry = Some(Retry {
            at: Instant::now() + pause,
            pause,
        });
    }

    fn is_alone(&self) -> bool {
        Arc::strong_count(&self.stream) == 1
    }

    /// Whether nobody else refers to the stream, and nothing is left to do for it.
    fn is_abandoned(&self) -> bool {
        self.is_alone() && self.need == Need::Nothing && !self.stream.state().has_unsynced()
    }
}

/// A stream's loader, used on the reading thread only.
pub(crate) type SharedLoader = Arc<Mutex<Loader>>;
