//! A machine behind doors that somebody meddles with.

use std::collections::VecDeque;
use std::time::Instant;

use kvs_actors::machine::{Input, MachineConfig, Output, StreamMachine};
use kvs_testkit::sim::Doors;

/// What somebody does to the doors of a machine. Each method passes on what it is given unless it is told otherwise.
pub(super) trait Meddler {
    /// What the machine hears instead of an input.
    fn hears(&mut self, input: Input, _machine: &StreamMachine) -> Vec<Input> {
        vec![input]
    }

    /// What the world sees instead of an output.
    fn says(&mut self, output: Output) -> Vec<Output> {
        vec![output]
    }

    /// Whether the machine hears that its time has come.
    fn wakes(&mut self, _machine: &StreamMachine) -> bool {
        true
    }
}

/// A machine with a meddler in its doors.
pub(super) struct Meddled<M> {
    machine: StreamMachine,
    meddler: M,
    outputs: VecDeque<Output>,
    /// A timer that the meddler lets pass.
    slept_through: Option<Instant>,
}

impl<M> Meddled<M> {
    pub(super) fn new(config: MachineConfig, meddler: M) -> Self {
        Meddled {
            machine: StreamMachine::new(config),
            meddler,
            outputs: VecDeque::new(),
            slept_through: None,
        }
    }
}

impl<M: Meddler> Doors for Meddled<M> {
    fn handle(&mut self, input: Input, now: Instant) {
        for input in self.meddler.hears(input, &self.machine) {
            self.machine.handle(input, now);
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        if self.meddler.wakes(&self.machine) {
            self.machine.handle_timeout(now);
        } else {
            self.slept_through = self.machine.next_timeout();
        }
    }

    fn poll(&mut self) -> Option<Output> {
        while self.outputs.is_empty() {
            let output = self.machine.poll()?;
            self.outputs.extend(self.meddler.says(output));
        }
        self.outputs.pop_front()
    }

    fn next_timeout(&self) -> Option<Instant> {
        self.machine
            .next_timeout()
            .filter(|due| self.slept_through.is_none_or(|slept| *due > slept))
    }

    fn machine(&self) -> &StreamMachine {
        &self.machine
    }
}
