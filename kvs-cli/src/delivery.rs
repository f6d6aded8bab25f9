//! A stream on its way to its end: it stops when everything is delivered, and sooner when nothing more will be.

use std::time::Duration;

use kvs_actors::{StopReport, StreamHandle};

use crate::error::{CliError, Failure};
use crate::signal::Interrupt;
use crate::watch::Watch;

/// How long a stream may take to end when the user doesn't want to wait, or waiting is of no use.
const BRIEFLY: Duration = Duration::from_secs(1);

/// What may end an upload before its time.
#[derive(Clone, Debug)]
pub(crate) struct Oversight {
    pub(crate) interrupt: Interrupt,
    pub(crate) watch: Watch,
}

impl Oversight {
    /// Does a part of an upload, unless the user asks for its end or the service is seen to refuse the credentials for good.
    ///
    /// # Errors
    /// The part's own, or why it was ended early.
    pub(crate) async fn guard<T>(
        &self,
        work: impl Future<Output = Result<T, CliError>>,
    ) -> Result<T, CliError> {
        let work = self.interrupt.guard(work);
        tokio::select! {
            biased;
            outcome = work => outcome,
            error = self.watch.credentials_refused() => Err(CliError::new(Failure::CredentialsRefused, error)),
        }
    }

    /// Stops a stream that was fed with this outcome. Whatever comes of it, there is a report.
    pub(crate) async fn stop<T>(
        &self,
        stream: &StreamHandle,
        patience: Duration,
        fed: Result<T, CliError>,
    ) -> (StopReport, Result<T, CliError>) {
        let stop = async |patience| stream.stop(patience).await.map_err(CliError::unexpected);
        let (stopped, fed) = match fed {
            Err(error) if error.is_early() => (stop(BRIEFLY.min(patience)).await, Err(error)),
            fed => match self.guard(stop(patience)).await {
                Err(error) if error.is_early() => (stop(BRIEFLY.min(patience)).await, fed.and(Err(error))),
                stopped => (stopped, fed),
            },
        };
        match stopped {
            Ok(report) => (report, fed),
            Err(error) => (last_known(stream), fed.and(Err(error))),
        }
    }
}

/// What a stream told last, where it gives no report.
fn last_known(stream: &StreamHandle) -> StopReport {
    let status = stream.status();
    let mut report = StopReport::default();
    report.stream = status.stream;
    report.frames = status.frames;
    report.sessions = status.sessions;
    report.failure = status.failure;
    report
}
