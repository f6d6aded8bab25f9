//! Which inputs met the machine in which state.

use std::collections::BTreeMap;

use kvs_actors::StreamState;
use kvs_actors::machine::Input;
use kvs_client::AckEvent;

/// The inputs of a machine, results told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
#[allow(missing_docs, reason = "named after the inputs")]
pub enum InputKind {
    Start,
    Backlog,
    PagedIn,
    PageInFailed,
    FragmentStart,
    Item,
    FragmentEnd,
    FragmentClosed,
    Dropped,
    MakeRoom,
    Unsendable,
    Described,
    DescribeFailed,
    Created,
    CreateFailed,
    Tagged,
    TagFailed,
    Located,
    LocateFailed,
    SessionOpened,
    Written,
    Buffering,
    Received,
    Persisted,
    ErrorAck,
    IdleAck,
    UnknownAck,
    SessionEnded,
    SessionFailed,
    ResetConnection,
    ResetStream,
    Stop,
    Timeout,
    Other,
}

impl InputKind {
    /// The kind of an input.
    #[must_use]
    pub fn of(input: &Input) -> Self {
        let result = |is_ok: bool, ok, failed| if is_ok { ok } else { failed };
        match input {
            Input::Start => Self::Start,
            Input::Backlog { .. } => Self::Backlog,
            Input::PagedIn { items, .. } => result(items.is_ok(), Self::PagedIn, Self::PageInFailed),
            Input::FragmentStart { .. } => Self::FragmentStart,
            Input::Item(_) => Self::Item,
            Input::FragmentEnd { .. } => Self::FragmentEnd,
            Input::FragmentClosed => Self::FragmentClosed,
            Input::Dropped { .. } => Self::Dropped,
            Input::MakeRoom { .. } => Self::MakeRoom,
            Input::Unsendable { .. } => Self::Unsendable,
            Input::Described(answer) => result(answer.is_ok(), Self::Described, Self::DescribeFailed),
            Input::Created(answer) => result(answer.is_ok(), Self::Created, Self::CreateFailed),
            Input::Tagged(answer) => result(answer.is_ok(), Self::Tagged, Self::TagFailed),
            Input::Located(answer) => result(answer.is_ok(), Self::Located, Self::LocateFailed),
            Input::SessionOpened(_) => Self::SessionOpened,
            Input::Written { .. } => Self::Written,
            Input::Acked { ack, .. } => match ack.event {
                AckEvent::Buffering => Self::Buffering,
                AckEvent::Received => Self::Received,
                AckEvent::Persisted => Self::Persisted,
                AckEvent::Error => Self::ErrorAck,
                AckEvent::Idle => Self::IdleAck,
                _ => Self::UnknownAck,
            },
            Input::SessionEnded { result: end, .. } => {
                result(end.is_ok(), Self::SessionEnded, Self::SessionFailed)
            }
            Input::ResetConnection => Self::ResetConnection,
            Input::ResetStream => Self::ResetStream,
            Input::Stop { .. } => Self::Stop,
            _ => Self::Other,
        }
    }
}

/// How often each kind of input came in each state of the stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coverage {
    met: BTreeMap<(&'static str, InputKind), u64>,
}

impl Coverage {
    pub(super) fn note(&mut self, state: StreamState, input: InputKind) {
        *self.met.entry((state_name(state), input)).or_default() += 1;
    }

    /// Adds another run's.
    pub fn merge(&mut self, other: &Coverage) {
        for (pair, times) in &other.met {
            *self.met.entry(*pair).or_default() += times;
        }
    }

    /// How often each pair was met.
    pub fn pairs(&self) -> impl Iterator<Item = (&'static str, InputKind, u64)> + '_ {
        self.met
            .iter()
            .map(|((state, input), times)| (*state, *input, *times))
    }
}

fn state_name(state: StreamState) -> &'static str {
    match state {
        StreamState::New => "New",
        StreamState::Preparing => "Preparing",
        StreamState::Ready => "Ready",
        StreamState::Connecting => "Connecting",
        StreamState::Streaming => "Streaming",
        StreamState::Draining => "Draining",
        StreamState::Stopped => "Stopped",
        _ => "Other",
    }
}
