//! How a spool behaves.

use std::time::Duration;

/// When what was written is forced to the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum SyncPolicy {
    /// Whenever a fragment is complete: a power cut costs at most the fragment that was being made. The default.
    #[default]
    EachFragment,
    /// At most this long after it was written.
    Interval(Duration),
    /// Only when a segment is complete, or when asked to by a flush. Receipts are reached as soon as data is handed to the
    /// operating system: a crash of the process loses nothing, a power cut whatever had not been written by then.
    Never,
}

/// Settings of a [`Spool`](super::Spool).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SpoolOptions {
    /// When what was written is forced to the disk. Default: with each fragment.
    pub sync: SyncPolicy,
    /// Most bytes of segment files per stream. Default 1 GiB, least 1 MiB.
    pub max_bytes_per_stream: u64,
    /// Most bytes of segment files over all streams. Default: no limit.
    pub max_bytes_total: Option<u64>,
    /// Longest time from a stream's oldest item on disk to its newest. Default: no limit.
    pub max_duration: Option<Duration>,
    /// Bytes of items kept in memory over all streams: what isn't durable yet, and the newest of what is. Default 64 MiB.
    /// Keep it below the byte budget of the producer.
    pub memory: u64,
    /// Bytes read from disk ahead of need per stream with a backlog. Default 1 MiB, least 64 KiB.
    pub read_ahead: usize,
    /// Length at which a segment is complete and the next one is begun; files are removed as a whole. Default 16 MiB,
    /// capped at a sixteenth of `max_bytes_per_stream`, least 64 KiB.
    pub segment_bytes: u64,
}

impl Default for SpoolOptions {
    fn default() -> SpoolOptions {
        SpoolOptions {
            sync: SyncPolicy::default(),
            max_bytes_per_stream: 1 << 30,
            max_bytes_total: None,
            max_duration: None,
            memory: 64 << 20,
            read_ahead: 1 << 20,
            segment_bytes: 16 << 20,
        }
    }
}

impl SpoolOptions {
    /// Sets when what was written is forced to the disk.
    #[must_use]
    pub fn sync(mut self, sync: SyncPolicy) -> SpoolOptions {
        self.sync = sync;
        self
    }

    /// Sets the most bytes of segment files per stream.
    #[must_use]
    pub fn max_bytes_per_stream(mut self, bytes: u64) -> SpoolOptions {
        self.max_bytes_per_stream = bytes;
        self
    }

    /// Sets the most bytes of segment files over all streams.
    #[must_use]
    pub fn max_bytes_total(mut self, bytes: u64) -> SpoolOptions {
        self.max_bytes_total = Some(bytes);
        self
    }

    /// Sets the longest time on disk per stream.
    #[must_use]
    pub fn max_duration(mut self, duration: Duration) -> SpoolOptions {
        self.max_duration = Some(duration);
        self
    }

    /// Sets the bytes of items kept in memory over all streams.
    #[must_use]
    pub fn memory(mut self, bytes: u64) -> SpoolOptions {
        self.memory = bytes;
        self
    }

    /// Sets the bytes read ahead per stream.
    #[must_use]
    pub fn read_ahead(mut self, bytes: usize) -> SpoolOptions {
        self.read_ahead = bytes;
        self
    }

    /// Sets the length of a segment.
    #[must_use]
    pub fn segment_bytes(mut self, bytes: u64) -> SpoolOptions {
        self.segment_bytes = bytes;
        self
    }

    /// The settings with every value inside its limits.
    pub(crate) fn clamped(mut self) -> SpoolOptions {
        self.max_bytes_per_stream = self.max_bytes_per_stream.max(1 << 20);
        self.segment_bytes = self
            .segment_bytes
            .min(self.max_bytes_per_stream / 16)
            .max(64 << 10);
        self.read_ahead = self.read_ahead.max(64 << 10);
        self
    }
}
