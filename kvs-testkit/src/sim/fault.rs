//! What can go wrong, and when it does.

use std::fmt;
use std::time::Duration;

use super::seed::Dice;

macro_rules! fault_kinds {
    ($($(#[$doc:meta])* $name:ident,)+) => {
        /// Everything that goes wrong in the world, or at least upsets it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum FaultKind {
            $($(#[$doc])* $name,)+
        }

        impl FaultKind {
            /// All of them.
            pub const ALL: &'static [FaultKind] = &[$(FaultKind::$name),+];

            /// Its name.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(FaultKind::$name => stringify!($name),)+
                }
            }
        }
    };
}

fault_kinds! {
    /// Everything takes up to a second to arrive.
    Latency,
    /// Everything takes another time to arrive, up to half a second.
    Jitter,
    /// What the device sends on its connection is held up; new connections work.
    Stall,
    /// The connection is reset after so many more bytes of body.
    Cut,
    /// Connects are refused.
    Refused,
    /// Nothing passes in either direction, connects included.
    BlackHole,
    /// Acknowledgements come seconds later.
    LateAcks,
    /// Some acknowledgements never come.
    LostAcks,
    /// Acknowledgements come twice.
    RepeatedAcks,
    /// No acknowledgement is sent any more on the session.
    WithheldAcks,
    /// PERSISTED isn't sent any more on the session.
    WithheldPersisted,
    /// Acknowledgements come byte by byte.
    SplitAcks,
    /// Acknowledgements come in another form of JSON.
    AckForm,
    /// A connection is reset within an acknowledgement.
    CutAck,
    /// The service refuses a fragment, with any code that isn't the end of the stream.
    ErrorAck,
    /// The service refuses the stream's tracks, which ends it.
    FatalErrorAck,
    /// The service ends a response for no reason.
    Close,
    /// The service neither reads nor writes.
    ServiceStall,
    /// The service reads slowly.
    SlowRead,
    /// Requests are answered with `ClientLimitExceededException` or its like.
    Throttle,
    /// Requests are answered with a failure of the service.
    Unavailable,
    /// Requests are answered as with expired credentials.
    ExpiredCredentials,
    /// The endpoint in use is no longer one, and the connection goes.
    StaleEndpoint,
    /// The service restarts: connections end, and none can be made for a while.
    Restart,
    /// A connection lives shorter than the machine believes; the service cuts it with 4003.
    SessionCap,
    /// The stream is deleted.
    Deleted,
    /// Items can't be read from the store.
    ReadFailure,
    /// The store can't keep new items.
    AppendFailure,
    /// Others take nearly all of the byte budget.
    Pressure,
    /// The wall clock jumps forward, and the media's time with it.
    ClockForward,
    /// The wall clock jumps back, and the media's time with it.
    ClockBack,
    /// The wall clock is so far off that signatures are refused.
    ClockSkew,
    /// The camera gives nothing for a while.
    Silence,
    /// The camera gives recorded media many times faster than it was made.
    Burst,
    /// The camera changes its format.
    FormatChange,
    /// The application has the connection replaced.
    ResetConnection,
    /// The application drops all media and begins anew.
    ResetStream,
}

impl FaultKind {
    /// Whether a session that lives while it lasts can be left with acknowledgements that never come, or come long after it.
    pub(super) fn damages_sessions(self) -> bool {
        matches!(
            self,
            FaultKind::LostAcks
                | FaultKind::WithheldAcks
                | FaultKind::WithheldPersisted
                | FaultKind::SlowRead
        )
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One fault at its time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Episode {
    pub(super) kind: FaultKind,
    pub(super) begins: Duration,
    pub(super) ends: Duration,
}

/// The share of runs in which a kind is among those that may happen, in percent.
fn share(kind: FaultKind) -> u32 {
    match kind {
        // It ends the run, so it stays rare.
        FaultKind::FatalErrorAck => 8,
        _ => 35,
    }
}

/// The faults of a run, in the order in which they begin.
///
/// A run has its own choice of kinds. Between two bouts of faults lies mostly enough calm for the stream to be seen
/// recovering; some bouts overlap.
pub(super) fn plan(duration: Duration, dice: &mut Dice) -> Vec<Episode> {
    let mut kinds: Vec<FaultKind> = FaultKind::ALL
        .iter()
        .copied()
        .filter(|kind| dice.percent(share(*kind)))
        .collect();
    let is_fatal = kinds.contains(&FaultKind::FatalErrorAck);
    kinds.retain(|kind| !matches!(kind, FaultKind::FatalErrorAck | FaultKind::SessionCap));
    let mut episodes = Vec::new();
    let mut at = dice.seconds(1, 60);
    // Each kind that was chosen comes at least once, if the run is long enough.
    let mut first_round = kinds.clone();
    while at < duration && !kinds.is_empty() {
        let kind = match first_round.len() {
            0 => dice.pick(&kinds),
            left => first_round.swap_remove(usize::try_from(dice.number(0, left as u64 - 1)).unwrap_or(0)),
        };
        let ends = at + length(kind, dice);
        episodes.push(Episode {
            kind,
            begins: at,
            ends,
        });
        at = if dice.percent(30) {
            at + dice.seconds(0, 20)
        } else {
            ends + dice.seconds(45, 150)
        };
    }
    if is_fatal {
        let begins = duration.mul_f64(0.8);
        episodes.push(Episode {
            kind: FaultKind::FatalErrorAck,
            begins,
            ends: begins + Duration::from_secs(30),
        });
    }
    episodes.sort_by_key(|episode| episode.begins);
    episodes
}

/// How long a fault lasts.
fn length(kind: FaultKind, dice: &mut Dice) -> Duration {
    use FaultKind as K;
    match kind {
        K::Stall | K::BlackHole | K::Refused if dice.percent(10) => dice.seconds(60, 600),
        // Back-off and the changes of the stream's status are part of it.
        K::Deleted => Duration::from_secs(45),
        K::Silence if dice.percent(50) => dice.seconds(2, 20),
        K::Silence => dice.seconds(20, 300),
        K::FormatChange
        | K::ResetConnection
        | K::ResetStream
        | K::ClockForward
        | K::ClockBack
        | K::ClockSkew => Duration::ZERO,
        K::Restart => dice.seconds(1, 30),
        K::SlowRead => dice.seconds(1, 10),
        K::Stall | K::ServiceStall => dice.seconds(1, 60),
        _ => dice.seconds(1, 45),
    }
}
