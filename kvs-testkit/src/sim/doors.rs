//! The doors of a machine, so that something can stand in them.

use std::time::Instant;

use kvs_actors::machine::{Input, Output, StreamMachine};

/// What the world drives: a machine, or a wrapper around one.
pub trait Doors {
    /// Takes what happened.
    fn handle(&mut self, input: Input, now: Instant);

    /// Takes the passing of time.
    fn handle_timeout(&mut self, now: Instant);

    /// Gives the next thing to be done.
    fn poll(&mut self) -> Option<Output>;

    /// When [`handle_timeout`](Doors::handle_timeout) wants to be called.
    fn next_timeout(&self) -> Option<Instant>;

    /// The machine behind, to look at.
    fn machine(&self) -> &StreamMachine;
}

impl Doors for StreamMachine {
    fn handle(&mut self, input: Input, now: Instant) {
        StreamMachine::handle(self, input, now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        StreamMachine::handle_timeout(self, now);
    }

    fn poll(&mut self) -> Option<Output> {
        StreamMachine::poll(self)
    }

    fn next_timeout(&self) -> Option<Instant> {
        StreamMachine::next_timeout(self)
    }

    fn machine(&self) -> &StreamMachine {
        self
    }
}
