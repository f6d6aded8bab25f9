//! The figures of a load.

use std::fmt;
use std::time::{Duration, Instant};

use cpu_time::ProcessTime;
use kvs_actors::StopReport;
use serde::Serialize;

use super::meter::Meter;
use crate::cli::LoadArgs;

/// The figures of a run, one JSON object.
#[derive(Debug, Serialize)]
pub(super) struct LoadReport {
    streams: usize,
    frames: u64,
    bytes: u64,
    persisted_fragments: u64,
    pub(super) dropped_frames: u64,
    seconds: f64,
    mb_per_s: f64,
    cpu_s: f64,
    generator_cpu_s: f64,
    cpu_s_per_gb: f64,
    cpu_s_per_stream_min: f64,
    put_p50_us: f64,
    put_p99_us: f64,
    wire_p50_ms: f64,
    wire_p99_ms: f64,
    ack_p50_ms: f64,
    ack_p99_ms: f64,
    rss_mb: Option<f64>,
    rss_kb_per_stream: Option<f64>,
    threads: Option<u64>,
    first_persisted_ms: Option<f64>,
}

/// What was spent besides the meter's figures.
pub(super) struct Spent {
    pub(super) began: Instant,
    pub(super) before: Duration,
    pub(super) generator_cpu: Duration,
    pub(super) rss_before: Option<u64>,
    pub(super) rss: Option<u64>,
    pub(super) threads: Option<u64>,
}

impl LoadReport {
    pub(super) fn new(args: &LoadArgs, reports: &[StopReport], meter: &Meter, spent: &Spent) -> LoadReport {
        let sum = |of: fn(&StopReport) -> u64| reports.iter().map(of).sum::<u64>();
        let bytes = sum(|report| report.frames.delivered.bytes);
        let frames = sum(|report| report.frames.accepted.frames);
        let seconds = spent.began.elapsed().as_secs_f64();
        let cpu = ProcessTime::now().as_duration().as_secs_f64();
        let own = (cpu - spent.generator_cpu.as_secs_f64()).max(0.0);
        let grown =
            |(after, before): (u64, u64)| after.saturating_sub(before) as f64 / 1024.0 / args.streams as f64;
        LoadReport {
            streams: args.streams,
            frames,
            bytes,
            persisted_fragments: sum(|report| report.sessions.fragments_persisted),
            dropped_frames: frames - sum(|report| report.frames.delivered.frames),
            seconds,
            mb_per_s: bytes as f64 / 1e6 / seconds,
            cpu_s: cpu,
            generator_cpu_s: spent.generator_cpu.as_secs_f64(),
            cpu_s_per_gb: own / (bytes as f64 / 1e9),
            cpu_s_per_stream_min: own / (args.streams as f64 * seconds / 60.0),
            put_p50_us: meter.put_us(0.5),
            put_p99_us: meter.put_us(0.99),
            wire_p50_ms: meter.wire_ms(0.5),
            wire_p99_ms: meter.wire_ms(0.99),
            ack_p50_ms: meter.ack_ms(0.5),
            ack_p99_ms: meter.ack_ms(0.99),
            rss_mb: spent.rss.map(|bytes| bytes as f64 / 1_048_576.0),
            rss_kb_per_stream: spent.rss.zip(spent.rss_before).map(grown),
            threads: spent.threads,
            first_persisted_ms: meter
                .first_persisted()
                .map(|after| (spent.before + after).as_secs_f64() * 1_000.0),
        }
    }

    /// The object as one line.
    pub(super) fn to_json(&self) -> String {
        // Strings and numbers can always be written.
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl fmt::Display for LoadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let memory = self
            .rss_mb
            .map_or_else(|| "unknown".to_owned(), |mb| format!("{mb:.1} MiB"));
        writeln!(f, "streams     {} for {:.1} s", self.streams, self.seconds)?;
        writeln!(
            f,
            "frames      {} put, {} not delivered",
            self.frames, self.dropped_frames
        )?;
        writeln!(
            f,
            "rate        {:.1} MB/s, {} fragments persisted",
            self.mb_per_s, self.persisted_fragments
        )?;
        writeln!(
            f,
            "cpu         {:.3} s per GB, {:.4} s per stream and minute",
            self.cpu_s_per_gb, self.cpu_s_per_stream_min
        )?;
        writeln!(
            f,
            "put         {:.1} µs median, {:.1} µs p99",
            self.put_p50_us, self.put_p99_us
        )?;
        writeln!(
            f,
            "put → wire  {:.2} ms median, {:.2} ms p99",
            self.wire_p50_ms, self.wire_p99_ms
        )?;
        writeln!(
            f,
            "end → ack   {:.2} ms median, {:.2} ms p99",
            self.ack_p50_ms, self.ack_p99_ms
        )?;
        write!(f, "memory      {memory}")
    }
}
