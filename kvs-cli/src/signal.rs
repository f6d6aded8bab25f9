//! The ways in which a user asks the command to end.

use tokio::sync::watch;

use crate::error::{CliError, Failure};

/// Whether the user has asked the command to end. Clones share the answer.
#[derive(Clone, Debug)]
pub(crate) struct Interrupt {
    asked: watch::Receiver<bool>,
}

impl Interrupt {
    /// Listens from now on. Needs a runtime.
    pub(crate) fn listen() -> Interrupt {
        let (ask, asked) = watch::channel(false);
        tokio::spawn(async move {
            end_requested().await;
            // Nobody waits for it any more when this fails.
            let _ = ask.send(true);
        });
        Interrupt { asked }
    }

    /// Does some work, unless the command is asked to end before it is done.
    ///
    /// # Errors
    /// The work's own, or that it was interrupted.
    pub(crate) async fn guard<T>(
        &self,
        work: impl Future<Output = Result<T, CliError>>,
    ) -> Result<T, CliError> {
        tokio::select! {
            outcome = work => outcome,
            () = self.requested() => Err(CliError::new(Failure::Interrupted, "interrupted")),
        }
    }

    async fn requested(&self) {
        if self.asked.clone().wait_for(|asked| *asked).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Resolves when the process is asked to end: Ctrl-C everywhere, SIGTERM too on Unix.
pub(crate) async fn end_requested() {
    tokio::select! {
        () = interrupt() => {}
        () = terminate() => {}
    }
}

async fn interrupt() {
    if tokio::signal::ctrl_c().await.is_err() {
        // Without a handler the system's own behaviour, to end the process, stays in force.
        std::future::pending::<()>().await;
    }
}

#[cfg(unix)]
async fn terminate() {
    use tokio::signal::unix::{SignalKind, signal};

    match signal(SignalKind::terminate()) {
        Ok(mut stream) => {
            stream.recv().await;
        }
        Err(_) => std::future::pending().await,
    }
}

#[cfg(not(unix))]
async fn terminate() {
    std::future::pending().await
}
