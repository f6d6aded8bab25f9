//! The truth check: what an endpoint of the service has to do, case by case.
//!
//! The same cases run against the mock, which has to pass them all, and against the real service, by anyone
//! with an account: where the two differ, the mock is wrong. Each case says what it expects and why.
//!
//! A run makes one stream with a name of its own, and deletes it at the end whatever happened. Against the
//! real service it ingests and stores less than a megabyte and reads it once, which costs less than a cent;
//! it takes a minute or two, most of it waiting for the stream to become active and for responses to end.
//!
//! ```no_run
//! # async fn doc(client: kvs_client::Client) {
//! use kvs_testkit::truth::TruthCheck;
//!
//! let outcomes = TruthCheck::new(client).run(|outcome| println!("{outcome}")).await;
//! assert!(outcomes.iter().all(|outcome| outcome.result.is_ok()));
//! # }
//! ```

use std::fmt;
use std::time::{Duration, SystemTime};

use kvs_client::{
    ApiName, Client, ClientError, ClientErrorKind, ControlPlane, CreateStream, HttpControlPlane, LocalFuture,
    StreamStatus, api,
};

mod body;
mod cases;
mod session;

/// How long a stream may take to become active.
const ACTIVE: Duration = Duration::from_secs(60);

/// Between two questions about a stream's status; the service allows 5 per second.
const POLL: Duration = Duration::from_millis(500);

/// What came of one case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The case's name.
    pub name: &'static str,
    /// What the endpoint has to do.
    pub expects: &'static str,
    /// Where that is said.
    pub source: &'static str,
    /// What it did instead.
    pub result: Result<(), String>,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.result {
            Ok(()) => write!(f, "pass  {}: {}", self.name, self.expects),
            Err(reason) => write!(
                f,
                "FAIL  {}: {}, but {reason} ({})",
                self.name, self.expects, self.source
            ),
        }
    }
}

/// A run of the truth check against one endpoint.
#[derive(Debug)]
pub struct TruthCheck {
    client: Client,
    control: HttpControlPlane,
    stream: String,
    pause: Duration,
}

/// A case: what it is called, what it expects, who says so, and how it is found out.
struct Case {
    name: &'static str,
    expects: &'static str,
    source: &'static str,
    check: for<'a> fn(&'a TruthCheck) -> LocalFuture<'a, Result<(), String>>,
}

impl TruthCheck {
    /// A check through a client, with a new name for its stream.
    pub fn new(client: Client) -> TruthCheck {
        let since = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let stream = format!("kvs-truth-check-{}-{}", since.as_millis(), std::process::id());
        let control = client.control_plane();
        TruthCheck {
            client,
            control,
            stream,
            pause: Duration::ZERO,
        }
    }

    /// Waits between sessions, to stay inside the real service's limit of 5 connects per second. Default: 0.
    pub fn pause(mut self, pause: Duration) -> TruthCheck {
        self.pause = pause;
        self
    }

    /// The name of the stream it makes and deletes.
    pub fn stream(&self) -> &str {
        &self.stream
    }

    /// Runs every case, giving each outcome to `report` as it is known. Needs a tokio `LocalSet` or an actix
    /// system.
    pub async fn run(self, report: impl FnMut(&Outcome)) -> Vec<Outcome> {
        self.run_until(std::future::pending(), report).await
    }

    /// As [`run`](TruthCheck::run), but leaves out what remains once `stop` is there. The stream is deleted all the
    /// same.
    pub async fn run_until(
        self,
        stop: impl Future<Output = ()>,
        mut report: impl FnMut(&Outcome),
    ) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        let mut note = |outcome: Outcome| {
            report(&outcome);
            outcomes.push(outcome);
        };
        tokio::select! {
            () = self.run_cases(&mut note) => {}
            () = stop => {}
        }
        note(Outcome {
            name: "delete_stream",
            expects: "a deleted stream can't be found, or is being deleted",
            source: "DeleteStream",
            result: self.delete_stream().await,
        });
        outcomes
    }

    async fn run_cases(&self, note: &mut impl FnMut(Outcome)) {
        let made = self.make_stream().await;
        let goes_on = made.is_ok();
        note(Outcome {
            name: "create_stream",
            expects: "a created stream becomes active",
            source: "CreateStream, DescribeStream",
            result: made,
        });
        if !goes_on {
            return;
        }
        for case in cases::ALL {
            let result = (case.check)(self).await;
            note(Outcome {
                name: case.name,
                expects: case.expects,
                source: case.source,
                result,
            });
            tokio::time::sleep(self.pause).await;
        }
    }

    async fn make_stream(&self) -> Result<(), String> {
        let stream = CreateStream::new(&self.stream)
            .retention_hours(1)
            .media_type("video/h264");
        self.control.create_stream(stream).await.map_err(text)?;
        let active = async {
            loop {
                let info = self.control.describe_stream(&self.stream).await.map_err(text)?;
                if info.status == StreamStatus::Active {
                    return Ok(());
                }
                tokio::time::sleep(POLL).await;
            }
        };
        tokio::time::timeout(ACTIVE, active)
            .await
            .unwrap_or_else(|_| Err("it stayed inactive".to_owned()))
    }

    async fn delete_stream(&self) -> Result<(), String> {
        let info = match self.control.describe_stream(&self.stream).await {
            Ok(info) => info,
            Err(error) if error.kind() == ClientErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(text(error)),
        };
        let delete = api::DeleteStream {
            stream_arn: info.arn,
            current_version: None,
        };
        self.control.call(&delete).await.map_err(text)?;
        match self.control.describe_stream(&self.stream).await {
            Err(error) if error.kind() == ClientErrorKind::NotFound => Ok(()),
            Ok(info) if info.status == StreamStatus::Deleting => Ok(()),
            Ok(info) => Err(format!("its status was {}", info.status)),
            Err(error) => Err(text(error)),
        }
    }

    /// The endpoint of an API for the stream.
    async fn endpoint(&self, api: ApiName) -> Result<url::Url, String> {
        self.control
            .get_data_endpoint(&self.stream, api)
            .await
            .map_err(text)
    }
}

// By value, as `map_err` gives it.
#[allow(clippy::needless_pass_by_value)]
fn text(error: ClientError) -> String {
    format!("the answer was: {error}")
}
