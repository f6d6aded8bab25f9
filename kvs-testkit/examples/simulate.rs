//! Runs the simulator over a range of seeds and prints what came of it.
//!
//! `cargo run --release -p kvs-testkit --example simulate -- [FIRST SEED] [SEEDS] [VIRTUAL HOURS EACH]`; defaults: 1, 20, 0.5.
//! Ends with exit code 1 where a run found something.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use kvs_testkit::sim::{Coverage, FaultKind, Simulation};

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let first: u64 = args.next().and_then(|text| text.parse().ok()).unwrap_or(1);
    let seeds: u64 = args.next().and_then(|text| text.parse().ok()).unwrap_or(20);
    let hours: f64 = args.next().and_then(|text| text.parse().ok()).unwrap_or(0.5);
    let duration = Duration::from_secs_f64(hours.max(0.0) * 3_600.0);
    let mut out = std::io::stdout().lock();
    let mut print = |line: &str| {
        // Nobody may be reading.
        let _ = writeln!(out, "{line}");
    };

    let started = std::time::Instant::now();
    let (mut found, mut accepted, mut delivered, mut dropped, mut other, mut connects, mut recoveries) =
        (0_u64, 0, 0, 0, 0, 0, 0);
    let mut faults: BTreeMap<FaultKind, (u64, u64)> = BTreeMap::new();
    let mut coverage = Coverage::default();
    for seed in first..first + seeds {
        let verdict = Simulation::new(seed).run(duration);
        if !verdict.is_sound() {
            found += 1;
            print(&verdict.to_string());
        }
        accepted += verdict.frames.accepted.frames;
        delivered += verdict.frames.delivered.frames;
        dropped += verdict.frames.dropped_total().frames;
        other += verdict.frames.refused.frames + verdict.frames.unconfirmed.frames;
        connects += verdict.sessions.connects;
        recoveries += verdict.recoveries;
        for (kind, times) in &verdict.faults {
            let entry = faults.entry(*kind).or_default();
            entry.0 += 1;
            entry.1 += times;
        }
        coverage.merge(&verdict.coverage);
    }

    print(&format!(
        "runs {seeds}, virtual hours {:.1}, seconds {:.1}, runs with a finding {found}",
        hours * seeds as f64,
        started.elapsed().as_secs_f64(),
    ));
    print(&format!(
        "frames {accepted}: delivered {delivered}, dropped and reported {dropped}, refused or unconfirmed {other}; connects \
         {connects}, recoveries seen {recoveries}"
    ));
    print("faults: kind, share of runs, times");
    for kind in FaultKind::ALL {
        let (runs, times) = faults.get(kind).copied().unwrap_or_default();
        print(&format!(
            "  {:<18} {:>5.1} % {times:>9}",
            kind.name(),
            100.0 * runs as f64 / seeds.max(1) as f64
        ));
    }
    let mut by_state: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (state, input, times) in coverage.pairs() {
        by_state
            .entry(state)
            .or_default()
            .push(format!("{input:?} {times}"));
    }
    print(&format!(
        "pairs of state and input met: {}",
        coverage.pairs().count()
    ));
    for (state, inputs) in by_state {
        print(&format!("  {state}: {}", inputs.join(", ")));
    }
    if found == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
