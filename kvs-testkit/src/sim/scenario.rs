//! What a seed chooses before a run begins: the settings of the stream, of the service and of the device.

use std::time::Duration;

use kvs_actors::machine::{CreatePolicy, MachineConfig, Paging, SendWindow};
use kvs_actors::{FragmentTimes, Handover, RollbackPolicy};
use kvs_client::{AckMode, CreateStream};
use kvs_mkv::TimecodeScale;
use kvs_storage::OverflowPolicy;

use super::fault::{self, Episode, FaultKind};
use super::seed::Dice;
use crate::service::ServiceConfig;

/// The stream's name in every run.
pub(super) const STREAM: &str = "cam";

/// What is settled before the run.
#[derive(Debug)]
pub(super) struct Scenario {
    pub(super) machine: MachineConfig,
    pub(super) service: ServiceConfig,
    /// Whether the stream exists from the start.
    pub(super) exists: bool,
    pub(super) retention_hours: u32,
    /// Bytes of the byte budget.
    pub(super) budget: u64,
    /// The service cuts connections earlier than the machine reckons with.
    pub(super) has_session_cap: bool,
    pub(super) episodes: Vec<Episode>,
    /// Whether faults go on while the stream is being stopped.
    pub(super) stops_in_trouble: bool,
}

impl Scenario {
    pub(super) fn new(seed: u64, duration: Duration) -> Self {
        let mut dice = Dice::new(seed, 1);
        let retention_hours = if dice.percent(15) { 0 } else { 24 };
        let has_session_cap = dice.percent(20);
        let create = if dice.percent(70) {
            CreatePolicy::Create(CreateStream::new(STREAM).retention_hours(retention_hours))
        } else {
            CreatePolicy::MustExist
        };
        let exists = create == CreatePolicy::MustExist || dice.percent(50);
        let mut episodes = fault::plan(duration, &mut Dice::new(seed, 2));
        if create == CreatePolicy::MustExist {
            episodes.retain(|episode| episode.kind != FaultKind::Deleted);
        }
        Scenario {
            machine: machine(seed, &mut dice, create),
            service: service(seed, &mut dice, has_session_cap),
            exists,
            retention_hours,
            budget: dice.number(200_000, 4_000_000),
            has_session_cap,
            episodes,
            stops_in_trouble: dice.percent(40),
        }
    }
}

fn machine(seed: u64, dice: &mut Dice, create: CreatePolicy) -> MachineConfig {
    let mut config = MachineConfig::new(STREAM);
    config.create = create;
    config.seed = seed;
    if dice.percent(30) {
        config.tags = [("site".to_owned(), "north".to_owned())].into();
    }
    if dice.percent(35) {
        config.times = FragmentTimes::Relative;
    }
    if dice.percent(8) {
        config.acks = AckMode::Off;
    }
    if dice.percent(20) {
        // Also a unit that no whole millisecond divides into.
        let nanos = dice.pick(&[200_000, 700_000, 10_000_000]);
        config.scale = TimecodeScale::new(nanos).unwrap_or_default();
    }
    config.rollback = match dice.number(0, 9) {
        0 => RollbackPolicy::AfterReceived,
        1 => RollbackPolicy::Replay(Duration::from_secs(40)),
        _ => RollbackPolicy::Unpersisted,
    };
    if dice.percent(70) {
        config.buffer_duration = Some(dice.seconds(30, 180));
    }
    if dice.percent(30) {
        config.overflow = OverflowPolicy::Refuse;
    }
    if dice.percent(30) {
        config.window = SendWindow {
            items: u32::try_from(dice.number(1, 16)).unwrap_or(1),
            bytes: dice.number(200, 20_000),
        };
    }
    if dice.percent(30) {
        config.session_duration = dice.seconds(60, 2_400);
    }
    if dice.percent(20) {
        config.idle_timeout = None;
    }
    if dice.percent(20) {
        config.handover = Handover::Overlap;
    }
    if dice.percent(30) {
        config.paging = Paging::On;
    }
    if dice.percent(30) {
        config.max_latency = Some(dice.seconds(2, 60));
    }
    config.received_limit = match dice.number(0, 2) {
        0 => None,
        1 => Some(dice.seconds(5, 30)),
        _ => config.received_limit,
    };
    config
}

fn service(seed: u64, dice: &mut Dice, has_session_cap: bool) -> ServiceConfig {
    let mut config = ServiceConfig {
        seed,
        media_cap: 1 << 20,
        ..ServiceConfig::default()
    };
    if dice.percent(60) {
        config.persist_delay = dice.millis(10, 1_500);
    }
    if dice.percent(50) {
        config.status_delay = dice.millis(100, 2_000);
    }
    if has_session_cap {
        config.limits.connection = dice.seconds(20, 600);
    }
    config
}
