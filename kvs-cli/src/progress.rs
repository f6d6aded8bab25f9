//! The progress bar. It moves as the service confirms fragments, not as they are sent.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use indicatif::{ProgressBar, ProgressStyle};

/// A bar on stderr; nothing is drawn where stderr is no terminal. Clones share one bar.
#[derive(Clone, Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
    received: Arc<AtomicU64>,
    persisted: Arc<AtomicU64>,
}

impl Progress {
    /// A bar that is full when so many fragments are confirmed.
    pub(crate) fn new(fragments: u64) -> Progress {
        let bar = ProgressBar::new(fragments);
        if let Ok(style) =
            ProgressStyle::with_template("{elapsed:>4} [{bar:40}] {pos}/{len} fragments received{msg}")
        {
            bar.set_style(style.progress_chars("=> "));
        }
        Progress {
            bar,
            received: Arc::default(),
            persisted: Arc::default(),
        }
    }

    /// One more fragment was received. On a stream that keeps nothing no more will come.
    pub(crate) fn received(&self) {
        self.bar
            .set_position(self.received.fetch_add(1, Ordering::Relaxed) + 1);
    }

    /// One more fragment was persisted.
    pub(crate) fn persisted(&self) {
        let persisted = self.persisted.fetch_add(1, Ordering::Relaxed) + 1;
        self.bar.set_message(format!(", {persisted} persisted"));
    }

    /// Leaves the bar as it is.
    pub(crate) fn finish(&self) {
        self.bar.abandon();
    }
}
