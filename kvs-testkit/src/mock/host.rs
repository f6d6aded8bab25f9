//! The service model as the server's connections share it: behind a lock, with a clock, wake-ups and a timer.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Instant, SystemTime};

use kvs_auth::Verifier;
use kvs_mkv::Timestamp;
use tokio::sync::{Notify, watch};

use super::state_dir::StateDir;
use crate::service::{ConnectionId, Fault, FaultSink, Service};

/// What all connections of a server share.
#[derive(Debug)]
pub(super) struct Host {
    service: Mutex<Service>,
    clock: Clock,
    verifier: RwLock<Verifier>,
    connections: Mutex<HashMap<ConnectionId, Arc<Notify>>>,
    /// The service's next timeout became sooner.
    pub(super) timer: Notify,
    /// The ledger's change count.
    pub(super) changes: watch::Sender<u64>,
    pub(super) scheme: &'static str,
    /// Where raw PutMedia bodies are written.
    pub(super) capture: Option<PathBuf>,
    /// Written to under the service's lock, so that changes are saved in the order in which they were made.
    state: Option<StateDir>,
}

impl Host {
    pub(super) fn new(
        service: Service,
        verifier: Verifier,
        scheme: &'static str,
        capture: Option<PathBuf>,
        state: Option<StateDir>,
    ) -> Host {
        Host {
            service: Mutex::new(service),
            clock: Clock::start(),
            verifier: RwLock::new(verifier),
            connections: Mutex::new(HashMap::new()),
            timer: Notify::new(),
            changes: watch::Sender::new(0),
            scheme,
            capture,
            state,
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The time as signatures and dates have it.
    pub(super) fn system_time(&self) -> SystemTime {
        self.now().to_system_time().unwrap_or(SystemTime::UNIX_EPOCH)
    }

    /// Puts the clock ahead of the machine's by so many seconds, or behind it.
    pub(super) fn shift_clock(&self, seconds: i64) {
        self.clock
            .shift
            .store(seconds.saturating_mul(1_000_000_000), Ordering::Relaxed);
        self.timer.notify_one();
    }

    /// Runs `work` on the service, then passes on what it caused.
    pub(super) fn with<T>(&self, work: impl FnOnce(&mut Service, Timestamp) -> T) -> T {
        let mut service = lock(&self.service);
        let (changes, timeout) = (service.changes(), service.next_timeout());
        let result = work(&mut service, self.clock.now());
        if service.next_timeout() != timeout {
            self.timer.notify_one();
        }
        let mut woken = Vec::new();
        while let Some(id) = service.take_woken() {
            woken.push(id);
        }
        if let Some(state) = &self.state {
            while let Some(save) = service.take_save() {
                state.save(&save);
            }
        }
        let changed = (service.changes() != changes).then(|| service.changes());
        drop(service);
        if !woken.is_empty() {
            let connections = lock(&self.connections);
            for notify in woken.iter().filter_map(|id| connections.get(id)) {
                notify.notify_one();
            }
        }
        if let Some(changes) = changed {
            self.changes.send_replace(changes);
        }
        result
    }

    /// Has `id` woken through the returned handle from now on.
    pub(super) fn register(self: &Arc<Host>, id: ConnectionId) -> Registration {
        let notify = Arc::new(Notify::new());
        lock(&self.connections).insert(id, notify.clone());
        Registration {
            host: self.clone(),
            id,
            notify,
        }
    }

    pub(super) fn verifier(&self) -> std::sync::RwLockReadGuard<'_, Verifier> {
        self.verifier.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn change_verifier(&self, change: impl FnOnce(&mut Verifier)) {
        change(&mut self.verifier.write().unwrap_or_else(PoisonError::into_inner));
    }

    /// Does what falls due, for as long as the server runs.
    pub(super) async fn run_timers(&self) {
        loop {
            let next = self.with(|service, now| {
                service.advance(now);
                service.next_timeout()
            });
            let armed = self.timer.notified();
            match next {
                None => armed.await,
                Some(at) => {
                    let wait = u64::try_from(at.since(self.clock.now())).unwrap_or(0);
                    // A nanosecond early would spin; the timer's grain is a millisecond anyway.
                    let wait = std::time::Duration::from_nanos(wait.max(1));
                    tokio::select! {
                        () = armed => {}
                        () = tokio::time::sleep(wait) => {}
                    }
                }
            }
        }
    }
}

impl FaultSink for Host {
    fn add_fault(&self, fault: Fault) {
        self.with(|service, _| service.add_fault(fault));
    }
}

/// A lock that outlives a panic of whoever held it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A connection's place in the table of wake-ups; leaves it, and tells the service, when dropped.
pub(super) struct Registration {
    host: Arc<Host>,
    id: ConnectionId,
    notify: Arc<Notify>,
}

impl Registration {
    pub(super) fn id(&self) -> ConnectionId {
        self.id
    }

    pub(super) fn notify(&self) -> &Notify {
        &self.notify
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        lock(&self.host.connections).remove(&self.id);
        // Nothing if the session ended; a connection task that ends in any other way has lost it.
        self.host
            .with(|service, now| service.connection_lost(self.id, now));
    }
}

/// The service's clock: epoch time that never steps back, shifted at will.
#[derive(Debug)]
pub(super) struct Clock {
    epoch: Timestamp,
    started: Instant,
    shift: AtomicI64,
}

impl Clock {
    fn start() -> Clock {
        Clock {
            epoch: SystemTime::now().into(),
            started: Instant::now(),
            shift: AtomicI64::new(0),
        }
    }

    fn now(&self) -> Timestamp {
        let shifted = self.epoch.saturating_shift(self.shift.load(Ordering::Relaxed));
        shifted.saturating_add(self.started.elapsed())
    }
}
