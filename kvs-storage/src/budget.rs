//! One byte budget over everything a producer buffers, shared fairly between its streams.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{oneshot, watch};

use crate::{StoreError, StoreErrorKind};

/// What an item costs besides its payload: its metadata in the window and the store, its `Bytes` handle, its charge, and
/// the allocator's rounding.
pub const ITEM_OVERHEAD: u64 = 256;

/// Whether memory runs short.
///
/// It turns `High` when usage reaches the upper threshold and `Normal` again only below the lower one, so it doesn't
/// flicker around a single value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Pressure {
    /// Enough room.
    #[default]
    Normal,
    /// Little room is left: shed load, or drain faster.
    High,
}

/// When pressure is reported, in percent of the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PressureThresholds {
    /// Usage at which pressure turns high. Default 95: the C producer reports at 5 % free.
    pub high_percent: u8,
    /// Usage below which it is normal again. Default 80. Never above `high_percent`; a larger value counts as that.
    pub normal_percent: u8,
}

impl Default for PressureThresholds {
    fn default() -> PressureThresholds {
        PressureThresholds {
            high_percent: 95,
            normal_percent: 80,
        }
    }
}

/// What one stream may take of a budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Share {
    /// Bytes set aside for this stream alone: however much others hold, it can always use these. Default 0.
    pub guaranteed: u64,
    /// The most this stream may hold. Default: the whole budget.
    pub max: Option<u64>,
}

/// A limit in bytes over queues, stores and write buffers of any number of streams, on any thread.
///
/// Clones share one limit. [`reserve`](ByteBudget::reserve) waits in line: while anyone waits in a share, later requests of
/// the same share wait behind, so a large request is never starved by small ones; between shares the line goes round robin,
/// so a stream with many waiting frames doesn't push the others back. Dropping the future leaves the line; dropping the
/// [`Reservation`] gives the bytes back.
///
/// ```
/// use kvs_storage::ByteBudget;
///
/// let budget = ByteBudget::new(1_000);
/// let held = budget.try_reserve(600).ok_or("full")?;
/// assert!(budget.try_reserve(600).is_none());
/// drop(held);
/// assert_eq!(budget.available(), 1_000);
/// # Ok::<(), &str>(())
/// ```
#[derive(Debug, Clone)]
pub struct ByteBudget {
    share: Arc<ShareHandle>,
}

/// Keeps a share registered as long as a budget handle or a reservation refers to it.
#[derive(Debug)]
struct ShareHandle {
    ledger: Arc<Ledger>,
    index: usize,
}

#[derive(Debug)]
struct Ledger {
    limit: u64,
    thresholds: PressureThresholds,
    state: Mutex<LedgerState>,
    pressure: watch::Sender<Pressure>,
}

#[derive(Debug, Default)]
struct LedgerState {
    /// Bytes held by everyone.
    used: u64,
    /// Bytes held beyond what the holder's share guarantees.
    common_used: u64,
    /// Bytes set aside by all shares together.
    guaranteed: u64,
    shares: Vec<Option<ShareState>>,
    /// Shares in which someone waits, in the order in which they are served.
    turn: VecDeque<usize>,
    next_ticket: u64,
}

#[derive(Debug)]
struct ShareState {
    guaranteed: u64,
    max: u64,
    used: u64,
    line: VecDeque<Waiter>,
}

#[derive(Debug)]
struct Waiter {
    ticket: u64,
    bytes: u64,
    share: Arc<ShareHandle>,
    grant: oneshot::Sender<Reservation>,
}

impl ByteBudget {
    /// A budget of `limit` bytes with the default pressure thresholds.
    #[must_use]
    pub fn new(limit: u64) -> ByteBudget {
        ByteBudget::with_thresholds(limit, PressureThresholds::default())
    }

    /// A budget of `limit` bytes.
    #[must_use]
    pub fn with_thresholds(limit: u64, thresholds: PressureThresholds) -> ByteBudget {
        let whole = ShareState {
            guaranteed: 0,
            max: limit,
            used: 0,
            line: VecDeque::new(),
        };
        let state = LedgerState {
            shares: vec![Some(whole)],
            ..LedgerState::default()
        };
        let ledger = Ledger {
            limit,
            thresholds,
            state: Mutex::new(state),
            pressure: watch::Sender::new(Pressure::Normal),
        };
        ByteBudget {
            share: Arc::new(ShareHandle {
                ledger: Arc::new(ledger),
                index: 0,
            }),
        }
    }

    /// A handle on the same budget for one stream: what is reserved through it counts against that stream's share and
    /// waits in that stream's line. The share ends when its last handle and reservation are dropped.
    ///
    /// # Errors
    /// `Full` if `guaranteed` isn't left to set aside, `InvalidArgument` if it exceeds `max`.
    pub fn share(&self, share: Share) -> Result<ByteBudget, StoreError> {
        let ledger = &self.share.ledger;
        let max = share.max.unwrap_or(ledger.limit).min(ledger.limit);
        if share.guaranteed > max {
            return Err(
                StoreError::new(StoreErrorKind::InvalidArgument).with_detail(format!(
                    "guaranteed share of {} bytes above its maximum of {max}",
                    share.guaranteed
                )),
            );
        }
        let mut state = ledger.state();
        let left = ledger.limit - state.guaranteed - state.common_used;
        if share.guaranteed > left {
            return Err(StoreError::new(StoreErrorKind::Full).with_detail(format!(
                "{} bytes to be guaranteed, {left} of {} are left to set aside",
                share.guaranteed, ledger.limit
            )));
        }
        state.guaranteed += share.guaranteed;
        if let Some(waiting) = state.first_out_of_reach(ledger.limit) {
            state.guaranteed -= share.guaranteed;
            return Err(StoreError::new(StoreErrorKind::Full).with_detail(format!(
                "a request for {waiting} bytes is waiting and could never be served"
            )));
        }
        let entry = ShareState {
            guaranteed: share.guaranteed,
            max,
            used: 0,
            line: VecDeque::new(),
        };
        let index = match state.shares.iter().position(Option::is_none) {
            Some(free) => {
                state.shares[free] = Some(entry);
                free
            }
            None => {
                state.shares.push(Some(entry));
                state.shares.len() - 1
            }
        };
        drop(state);
        Ok(ByteBudget {
            share: Arc::new(ShareHandle {
                ledger: Arc::clone(ledger),
                index,
            }),
        })
    }

    /// The whole budget's limit in bytes.
    #[must_use]
    pub fn limit(&self) -> u64 {
        self.share.ledger.limit
    }

    /// Bytes held now by all shares together.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.share.ledger.state().used
    }

    /// Bytes held now through this share.
    #[must_use]
    pub fn share_used(&self) -> u64 {
        self.share
            .ledger
            .state()
            .share(self.share.index)
            .map_or(0, |share| share.used)
    }

    /// Bytes this share could take now if nobody waited.
    #[must_use]
    pub fn available(&self) -> u64 {
        let ledger = &self.share.ledger;
        let state = ledger.state();
        let Some(share) = state.share(self.share.index) else {
            return 0;
        };
        let own = share.guaranteed.saturating_sub(share.used);
        let common = ledger.limit - state.guaranteed - state.common_used;
        (own + common).min(share.max - share.used)
    }

    /// Whether memory runs short now.
    #[must_use]
    pub fn pressure(&self) -> Pressure {
        *self.share.ledger.pressure.borrow()
    }

    /// Follows the pressure: a receiver that wakes at each change.
    #[must_use]
    pub fn watch_pressure(&self) -> watch::Receiver<Pressure> {
        self.share.ledger.pressure.subscribe()
    }

    /// Takes `bytes` if they are free and nobody waits for them. Never waits.
    #[must_use]
    pub fn try_reserve(&self, bytes: u64) -> Option<Reservation> {
        let ledger = &self.share.ledger;
        let mut state = ledger.state();
        let index = self.share.index;
        let line_is_empty = state.share(index).is_some_and(|share| share.line.is_empty());
        if !line_is_empty || !state.may_take(index, bytes, ledger.limit, Contest::Respect) {
            return None;
        }
        state.take(index, bytes);
        ledger.update_pressure(&state);
        Some(Reservation {
            share: Arc::clone(&self.share),
            bytes,
        })
    }

    /// Takes `bytes`, waiting in line for them. The future is `Send` and cancel-safe.
    ///
    /// # Errors
    /// `TooLarge` at once if the share could never hold so much.
    pub async fn reserve(&self, bytes: u64) -> Result<Reservation, StoreError> {
        if let Some(reservation) = self.try_reserve(bytes) {
            return Ok(reservation);
        }
        let (place, granted) = self.join_line(bytes)?;
        let reservation = granted.await;
        drop(place);
        // The sender lives in the line until it grants, and the place keeps the line alive.
        reservation.map_err(|_| StoreError::new(StoreErrorKind::Closed))
    }

    fn join_line(&self, bytes: u64) -> Result<(PlaceInLine, oneshot::Receiver<Reservation>), StoreError> {
        let ledger = &self.share.ledger;
        let index = self.share.index;
        let mut state = ledger.state();
        let reachable = state.reachable(index, ledger.limit);
        if bytes > reachable {
            return Err(StoreError::new(StoreErrorKind::TooLarge).with_detail(format!(
                "{bytes} bytes with overhead, at most {reachable} can ever be reserved"
            )));
        }
        let ticket = state.next_ticket;
        state.next_ticket += 1;
        let (grant, granted) = oneshot::channel();
        if let Some(share) = state.share_mut(index) {
            share.line.push_back(Waiter {
                ticket,
                bytes,
                share: Arc::clone(&self.share),
                grant,
            });
        }
        if !state.turn.contains(&index) {
            state.turn.push_back(index);
        }
        drop(state);
        let place = PlaceInLine {
            share: Arc::clone(&self.share),
            ticket,
        };
        // Room may have come between the failed attempt and joining the line.
        ledger.serve();
        Ok((place, granted))
    }
}

/// Leaves the line when the waiting future is dropped, and lets the next in line have its turn.
struct PlaceInLine {
    share: Arc<ShareHandle>,
    ticket: u64,
}

impl Drop for PlaceInLine {
    fn drop(&mut self) {
        let ledger = &self.share.ledger;
        let mut state = ledger.state();
        let Some(share) = state.share_mut(self.share.index) else {
            return;
        };
        let Some(place) = share.line.iter().position(|waiter| waiter.ticket == self.ticket) else {
            return;
        };
        let left = share.line.remove(place);
        drop(state);
        drop(left);
        ledger.serve();
    }
}

/// Whether a request yields to those who wait for the common part.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Contest {
    Respect,
    Ignore,
}

impl LedgerState {
    fn share(&self, index: usize) -> Option<&ShareState> {
        self.shares.get(index)?.as_ref()
    }

    fn share_mut(&mut self, index: usize) -> Option<&mut ShareState> {
        self.shares.get_mut(index)?.as_mut()
    }

    /// The most a share could hold if every other share gave back what it may.
    fn reachable(&self, index: usize, limit: u64) -> u64 {
        self.share(index).map_or(0, |share| {
            (limit - self.guaranteed + share.guaranteed).min(share.max)
        })
    }

    /// A waiting request that the present guarantees make impossible.
    fn first_out_of_reach(&self, limit: u64) -> Option<u64> {
        self.turn.iter().find_map(|index| {
            let reachable = self.reachable(*index, limit);
            self.share(*index)?
                .line
                .iter()
                .map(|waiter| waiter.bytes)
                .find(|bytes| *bytes > reachable)
        })
    }

    /// What a request would draw from the common part.
    fn common_need(&self, index: usize, bytes: u64) -> u64 {
        let own = self
            .share(index)
            .map_or(0, |share| share.guaranteed.saturating_sub(share.used));
        bytes.saturating_sub(own)
    }

    fn may_take(&self, index: usize, bytes: u64, limit: u64, contest: Contest) -> bool {
        let Some(share) = self.share(index) else {
            return false;
        };
        if bytes > share.max - share.used {
            return false;
        }
        let common_need = self.common_need(index, bytes);
        if common_need == 0 {
            return true;
        }
        let contested = contest == Contest::Respect && self.common_is_awaited();
        !contested && common_need <= limit - self.guaranteed - self.common_used
    }

    /// Whether someone waits for the common part, rather than for room below the own maximum.
    fn common_is_awaited(&self) -> bool {
        self.turn.iter().any(|index| {
            let Some(share) = self.share(*index) else {
                return false;
            };
            share.line.front().is_some_and(|waiter| {
                waiter.bytes <= share.max - share.used && self.common_need(*index, waiter.bytes) > 0
            })
        })
    }

    fn take(&mut self, index: usize, bytes: u64) {
        let common = self.common_need(index, bytes);
        self.used += bytes;
        self.common_used += common;
        if let Some(share) = self.share_mut(index) {
            share.used += bytes;
        }
    }

    fn give_back(&mut self, index: usize, bytes: u64) {
        let Some(share) = self.share_mut(index) else {
            return;
        };
        let beyond_before = share.used.saturating_sub(share.guaranteed);
        share.used -= bytes;
        let beyond_after = share.used.saturating_sub(share.guaranteed);
        self.used -= bytes;
        self.common_used -= beyond_before - beyond_after;
    }

    /// Takes the next waiter who can be served out of the line, round robin over the shares.
    ///
    /// The share whose turn it is keeps it until its first waiter fits: otherwise requests that are easier to serve would
    /// pass it for ever. Those behind may meanwhile use what is guaranteed to them. A share that is held up by its own
    /// maximum waits for nothing but itself, so it holds nobody else up.
    fn next_grant(&mut self, limit: u64) -> Option<(usize, Waiter)> {
        let mut common_is_contested = false;
        for place in 0..self.turn.len() {
            let index = *self.turn.get(place)?;
            let Some(share) = self.share(index) else { continue };
            let Some(bytes) = share.line.front().map(|waiter| waiter.bytes) else {
                continue;
            };
            let below_max = bytes <= share.max - share.used;
            let uses_common = self.common_need(index, bytes) > 0;
            if self.may_take(index, bytes, limit, Contest::Ignore) && !(uses_common && common_is_contested) {
                self.turn.remove(place);
                let share = self.share_mut(index)?;
                let waiter = share.line.pop_front()?;
                if !share.line.is_empty() {
                    self.turn.push_back(index);
                }
                return Some((index, waiter));
            }
            common_is_contested |= below_max && uses_common;
        }
        None
    }

    fn forget_empty_lines(&mut self) {
        let shares = &self.shares;
        self.turn.retain(|index| {
            shares
                .get(*index)
                .and_then(Option::as_ref)
                .is_some_and(|share| !share.line.is_empty())
        });
    }
}

impl Ledger {
    fn state(&self) -> MutexGuard<'_, LedgerState> {
        // Nothing panics while the lock is held, so a poisoned state is a whole one.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn update_pressure(&self, state: &LedgerState) {
        let percent_of_limit = |percent: u8| u128::from(self.limit) * u128::from(percent.min(100)) / 100;
        let high = percent_of_limit(self.thresholds.high_percent);
        let normal = percent_of_limit(self.thresholds.normal_percent).min(high);
        let used = u128::from(state.used);
        self.pressure.send_if_modified(|pressure| {
            let next = match *pressure {
                Pressure::Normal if used >= high => Pressure::High,
                Pressure::High if used < normal => Pressure::Normal,
                same => same,
            };
            let changed = next != *pressure;
            *pressure = next;
            changed
        });
    }

    /// Grants what can be granted, then reports the pressure.
    fn serve(&self) {
        let mut state = self.state();
        state.forget_empty_lines();
        while let Some((index, waiter)) = state.next_grant(self.limit) {
            state.take(index, waiter.bytes);
            let reservation = Reservation {
                share: waiter.share,
                bytes: waiter.bytes,
            };
            let refused = waiter.grant.send(reservation);
            drop(state);
            // The one who waited left meanwhile: dropping the reservation gives the bytes back.
            drop(refused);
            state = self.state();
            state.forget_empty_lines();
        }
        self.update_pressure(&state);
    }
}

impl Drop for ShareHandle {
    fn drop(&mut self) {
        // The whole budget is no one's share, and ends with the ledger itself.
        if self.index == 0 {
            return;
        }
        let mut state = self.ledger.state();
        if let Some(share) = state.shares.get_mut(self.index).and_then(Option::take) {
            state.guaranteed -= share.guaranteed;
        }
        drop(state);
        self.ledger.serve();
    }
}

/// Bytes taken out of a [`ByteBudget`], given back on drop.
#[derive(Debug)]
#[must_use = "dropping a reservation gives its bytes back at once"]
pub struct Reservation {
    share: Arc<ShareHandle>,
    bytes: u64,
}

impl Reservation {
    /// Bytes held.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Takes `bytes` out into a reservation of their own; `None` if fewer are held.
    #[must_use]
    pub fn split(&mut self, bytes: u64) -> Option<Reservation> {
        self.bytes = self.bytes.checked_sub(bytes)?;
        Some(Reservation {
            share: Arc::clone(&self.share),
            bytes,
        })
    }

    /// Puts `other`'s bytes into this one.
    ///
    /// # Errors
    /// Gives `other` back if it belongs to another budget or share.
    pub fn merge(&mut self, mut other: Reservation) -> Result<(), Reservation> {
        if !Arc::ptr_eq(&self.share, &other.share) {
            return Err(other);
        }
        self.bytes += std::mem::take(&mut other.bytes);
        Ok(())
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if self.bytes == 0 {
            return;
        }
        let ledger = &self.share.ledger;
        ledger.state().give_back(self.share.index, self.bytes);
        ledger.serve();
    }
}

#[cfg(test)]
mod tests;
