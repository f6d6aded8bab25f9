//! A control plane that remembers.

use std::{
    cell::RefCell,
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use tokio::time::Instant;
use url::Url;

use crate::{ApiName, ClientError, ControlPlane, CreateStream, LocalFuture, StreamInfo, StreamStatus};

/// How long an answer is good. The service moves endpoints about every 45 minutes.
const MAX_AGE: Duration = Duration::from_secs(40 * 60);

/// What is remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum CachePolicy {
    /// Nothing.
    None,
    /// Data endpoints.
    #[default]
    EndpointOnly,
    /// Data endpoints, and the descriptions of active streams.
    All,
}

/// Wraps a control plane and answers from memory what it was asked before, so that a reconnect costs no call.
///
/// An answer is good for 40 minutes, and until [`endpoint_failed`](ControlPlane::endpoint_failed) is called
/// for its stream or the stream is changed through this value. Errors are never remembered.
#[derive(Debug)]
pub struct CachedControlPlane<C> {
    inner: C,
    policy: CachePolicy,
    endpoints: RefCell<HashMap<(String, ApiName), Remembered<Url>>>,
    streams: RefCell<HashMap<String, Remembered<StreamInfo>>>,
}

#[derive(Debug)]
struct Remembered<T> {
    value: T,
    since: Instant,
}

impl<T: Clone> Remembered<T> {
    fn new(value: T) -> Self {
        Self {
            value,
            since: Instant::now(),
        }
    }

    fn get(&self) -> Option<T> {
        (self.since.elapsed() < MAX_AGE).then(|| self.value.clone())
    }
}

impl<C: ControlPlane> CachedControlPlane<C> {
    /// Wraps `inner`.
    pub fn new(inner: C, policy: CachePolicy) -> Self {
        Self {
            inner,
            policy,
            endpoints: RefCell::default(),
            streams: RefCell::default(),
        }
    }

    /// The wrapped control plane.
    pub fn inner(&self) -> &C {
        &self.inner
    }

    fn forget_stream(&self, name: &str) {
        self.streams.borrow_mut().remove(name);
    }
}

impl<C: ControlPlane> ControlPlane for CachedControlPlane<C> {
    fn describe_stream<'a>(&'a self, name: &'a str) -> LocalFuture<'a, Result<StreamInfo, ClientError>> {
        Box::pin(async move {
            if let Some(known) = self.streams.borrow().get(name).and_then(Remembered::get) {
                return Ok(known);
            }
            let info = self.inner.describe_stream(name).await?;
            if self.policy == CachePolicy::All && info.status == StreamStatus::Active {
                self.streams
                    .borrow_mut()
                    .insert(name.to_owned(), Remembered::new(info.clone()));
            }
            Ok(info)
        })
    }

    fn create_stream(&self, stream: CreateStream) -> LocalFuture<'_, Result<String, ClientError>> {
        self.forget_stream(&stream.name);
        self.inner.create_stream(stream)
    }

    fn get_data_endpoint<'a>(
        &'a self,
        name: &'a str,
        api: ApiName,
    ) -> LocalFuture<'a, Result<Url, ClientError>> {
        Box::pin(async move {
            let key = (name.to_owned(), api);
            if let Some(known) = self.endpoints.borrow().get(&key).and_then(Remembered::get) {
                return Ok(known);
            }
            let endpoint = self.inner.get_data_endpoint(name, api).await?;
            if self.policy != CachePolicy::None {
                self.endpoints
                    .borrow_mut()
                    .insert(key, Remembered::new(endpoint.clone()));
            }
            Ok(endpoint)
        })
    }

    fn tag_stream<'a>(
        &'a self,
        arn: &'a str,
        tags: &'a BTreeMap<String, String>,
    ) -> LocalFuture<'a, Result<(), ClientError>> {
        // Tagging gives the stream a new version.
        self.streams
            .borrow_mut()
            .retain(|_, known| known.value.arn != arn);
        self.inner.tag_stream(arn, tags)
    }

    fn endpoint_failed(&self, name: &str, api: ApiName) {
        self.endpoints.borrow_mut().remove(&(name.to_owned(), api));
        self.forget_stream(name);
        self.inner.endpoint_failed(name, api);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// Counts calls, and gives a new endpoint each time.
    #[derive(Default)]
    struct Counting {
        calls: Cell<u32>,
        status: RefCell<Option<StreamStatus>>,
    }

    impl Counting {
        fn count(&self) -> u32 {
            self.calls.set(self.calls.get() + 1);
            self.calls.get()
        }
    }

    impl ControlPlane for Counting {
        fn describe_stream<'a>(&'a self, name: &'a str) -> LocalFuture<'a, Result<StreamInfo, ClientError>> {
            self.count();
            let mut info = StreamInfo::new(name, format!("arn:{name}"));
            info.status = self.status.borrow().clone().unwrap_or(StreamStatus::Active);
            Box::pin(async { Ok(info) })
        }

        fn create_stream(&self, _: CreateStream) -> LocalFuture<'_, Result<String, ClientError>> {
            self.count();
            Box::pin(async { Ok("arn".into()) })
        }

        fn get_data_endpoint<'a>(
            &'a self,
            _: &'a str,
            _: ApiName,
        ) -> LocalFuture<'a, Result<Url, ClientError>> {
            let url = format!("https://s-{}.example.com", self.count()).parse();
            Box::pin(async { Ok(url.expect("is a url")) })
        }

        fn tag_stream<'a>(
            &'a self,
            _: &'a str,
            _: &'a BTreeMap<String, String>,
        ) -> LocalFuture<'a, Result<(), ClientError>> {
            self.count();
            Box::pin(async { Ok(()) })
        }
    }

    async fn ask_twice(policy: CachePolicy) -> u32 {
        let cached = CachedControlPlane::new(Counting::default(), policy);
        for _ in 0..2 {
            cached.describe_stream("a").await.expect("answers");
            cached
                .get_data_endpoint("a", ApiName::PutMedia)
                .await
                .expect("answers");
        }
        cached.inner().calls.get()
    }

    #[tokio::test]
    async fn each_policy_remembers_what_it_says() {
        assert_eq!(ask_twice(CachePolicy::None).await, 4);
        assert_eq!(ask_twice(CachePolicy::EndpointOnly).await, 3);
        assert_eq!(ask_twice(CachePolicy::All).await, 2);
    }

    #[tokio::test]
    async fn a_failed_endpoint_is_asked_for_again() {
        let cached = CachedControlPlane::new(Counting::default(), CachePolicy::EndpointOnly);
        let first = cached
            .get_data_endpoint("a", ApiName::PutMedia)
            .await
            .expect("answers");

        cached.endpoint_failed("a", ApiName::PutMedia);

        assert_ne!(
            cached
                .get_data_endpoint("a", ApiName::PutMedia)
                .await
                .expect("answers"),
            first
        );
    }

    #[tokio::test(start_paused = true)]
    async fn an_old_endpoint_is_asked_for_again() {
        let cached = CachedControlPlane::new(Counting::default(), CachePolicy::EndpointOnly);
        let first = cached
            .get_data_endpoint("a", ApiName::PutMedia)
            .await
            .expect("answers");

        tokio::time::advance(MAX_AGE).await;

        assert_ne!(
            cached
                .get_data_endpoint("a", ApiName::PutMedia)
                .await
                .expect("answers"),
            first
        );
    }

    #[tokio::test]
    async fn a_stream_that_is_not_active_yet_is_not_remembered() {
        let counting = Counting::default();
        *counting.status.borrow_mut() = Some(StreamStatus::Creating);
        let cached = CachedControlPlane::new(counting, CachePolicy::All);
        cached.describe_stream("a").await.expect("answers");
        *cached.inner().status.borrow_mut() = None;

        assert_eq!(
            cached.describe_stream("a").await.expect("answers").status,
            StreamStatus::Active
        );
    }

    #[tokio::test]
    async fn a_changed_stream_is_described_again() {
        let cached = CachedControlPlane::new(Counting::default(), CachePolicy::All);
        cached.describe_stream("a").await.expect("answers");
        cached
            .tag_stream("arn:a", &BTreeMap::new())
            .await
            .expect("answers");

        cached.describe_stream("a").await.expect("answers");

        assert_eq!(cached.inner().calls.get(), 3);
    }
}
