//! Keys kept until shortly before they expire.

use std::{
    fmt,
    sync::{PoisonError, RwLock},
    time::{Duration, SystemTime},
};

use aws_credential_types::{
    Credentials,
    provider::{self, ProvideCredentials, future},
};
use tokio::sync::Mutex;

/// How long before expiry a refresh starts, at most.
const REFRESH_BEFORE: Duration = Duration::from_secs(60);

/// Short-lived keys are refreshed when a third of their life is left, so that the window doesn't swallow all
/// of it.
const SHORTEST_LIFE_FRACTION: u32 = 3;

/// How soon a failed refresh of keys that are still good is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Keeps what another provider gave until shortly before it expires; callers that come together share one
/// refresh.
///
/// A refresh starts 60 seconds before expiry (see [`refresh_before`](Self::refresh_before)), or when a third
/// of the keys' life is left, whichever is later. While the old keys are still good, a failed refresh yields
/// them and is tried again no sooner than 5 seconds later. Keys without expiry are kept until
/// [`reject`](Self::reject)ed, or until [`max_age`](Self::max_age).
///
/// Time is an argument, so that tests and clocks that are known to be wrong need no special care.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), kvs_auth::CredentialsError> {
/// use std::time::SystemTime;
/// use kvs_auth::{CachingCredentials, StaticCredentials};
///
/// let cache = CachingCredentials::new(StaticCredentials::new("AKIDEXAMPLE", "not-a-real-secret"));
/// let credentials = cache.get(SystemTime::now()).await?;
/// assert_eq!(credentials.access_key_id(), "AKIDEXAMPLE");
/// # Ok(())
/// # }
/// ```
pub struct CachingCredentials<P> {
    provider: P,
    refresh_before: Duration,
    max_age: Option<Duration>,
    cached: RwLock<Option<Cached>>,
    /// Held by whoever refreshes; the others wait here and then find the result in `cached`.
    refreshing: Mutex<()>,
}

#[derive(Clone)]
struct Cached {
    credentials: Credentials,
    /// When the next refresh is due.
    stale_at: Option<SystemTime>,
}

impl Cached {
    fn is_fresh(&self, now: SystemTime) -> bool {
        self.stale_at.is_none_or(|stale_at| now < stale_at)
    }

    fn is_alive(&self, now: SystemTime) -> bool {
        self.credentials.expiry().is_none_or(|expiry| now < expiry)
    }
}

impl<P: ProvideCredentials> CachingCredentials<P> {
    /// A cache over `provider`, empty at first.
    pub fn new(provider: P) -> Self {
        Self {
            provider,
            refresh_before: REFRESH_BEFORE,
            max_age: None,
            cached: RwLock::new(None),
            refreshing: Mutex::new(()),
        }
    }

    /// How long before expiry a refresh starts: 60 seconds unless set.
    #[must_use]
    pub fn refresh_before(mut self, refresh_before: Duration) -> Self {
        self.refresh_before = refresh_before;
        self
    }

    /// Refreshes keys after this time even if they don't expire; unlimited unless set.
    #[must_use]
    pub fn max_age(mut self, max_age: Duration) -> Self {
        self.max_age = Some(max_age);
        self
    }

    /// The keys to use at the time `now`.
    ///
    /// # Errors
    ///
    /// The provider's, if there are no keys that are still good.
    pub async fn get(&self, now: SystemTime) -> provider::Result {
        if let Some(credentials) = self.fresh(now) {
            return Ok(credentials);
        }
        let _turn = self.refreshing.lock().await;
        match self.fresh(now) {
            Some(credentials) => Ok(credentials),
            None => self.refresh(now).await,
        }
    }

    /// Asks the provider even if the cached keys look good.
    ///
    /// # Errors
    ///
    /// The provider's, if there are no keys that are still good.
    pub async fn force_refresh(&self, now: SystemTime) -> provider::Result {
        let _turn = self.refreshing.lock().await;
        self.refresh(now).await
    }

    /// Reports that the service refused `used`: the next [`get`](Self::get) asks the provider again. Does
    /// nothing if the cache already holds other keys, so that many streams that were refused together cause
    /// one refresh.
    pub fn reject(&self, used: &Credentials) {
        let mut cached = self.cached.write().unwrap_or_else(PoisonError::into_inner);
        if cached.as_ref().is_some_and(|cached| cached.credentials == *used) {
            *cached = None;
        }
    }

    fn fresh(&self, now: SystemTime) -> Option<Credentials> {
        let cached = self.cached.read().unwrap_or_else(PoisonError::into_inner);
        cached
            .as_ref()
            .filter(|cached| cached.is_fresh(now))
            .map(|cached| cached.credentials.clone())
    }

    async fn refresh(&self, now: SystemTime) -> provider::Result {
        let loaded = self.provider.provide_credentials().await;
        let mut cached = self.cached.write().unwrap_or_else(PoisonError::into_inner);
        match loaded {
            Ok(credentials) => {
                let stale_at = self.stale_at(&credentials, now);
                *cached = Some(Cached {
                    credentials: credentials.clone(),
                    stale_at,
                });
                Ok(credentials)
            }
            Err(error) => match cached.as_mut().filter(|cached| cached.is_alive(now)) {
                Some(cached) => {
                    tracing::warn!(%error, "credential refresh failed, the old ones are still good");
                    cached.stale_at = Some(now + RETRY_AFTER);
                    Ok(cached.credentials.clone())
                }
                None => Err(error),
            },
        }
    }

    fn stale_at(&self, credentials: &Credentials, now: SystemTime) -> Option<SystemTime> {
        let by_expiry = credentials.expiry().map(|expiry| {
            let life = expiry.duration_since(now).unwrap_or_default();
            let window = self.refresh_before.min(life / SHORTEST_LIFE_FRACTION);
            expiry - window
        });
        let by_age = self.max_age.and_then(|max_age| now.checked_add(max_age));
        match (by_expiry, by_age) {
            (Some(expiry), Some(age)) => Some(expiry.min(age)),
            (either, other) => either.or(other),
        }
    }
}

impl<P: fmt::Debug> fmt::Debug for CachingCredentials<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CachingCredentials")
            .field("provider", &self.provider)
            .field("refresh_before", &self.refresh_before)
            .field("max_age", &self.max_age)
            .finish_non_exhaustive()
    }
}

impl<P: ProvideCredentials> ProvideCredentials for CachingCredentials<P> {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.get(SystemTime::now()))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use aws_credential_types::provider::error::CredentialsError;
    use tokio::sync::Semaphore;

    use super::*;

    const START: SystemTime = SystemTime::UNIX_EPOCH;

    fn at(seconds: u64) -> SystemTime {
        START + Duration::from_secs(seconds)
    }

    /// Gives numbered keys, each good until `life` after the one before; call `failing` fails.
    #[derive(Debug, Clone)]
    struct Numbered {
        calls: Arc<AtomicUsize>,
        life: Option<u64>,
        failing: Option<usize>,
        gate: Arc<Semaphore>,
    }

    impl Numbered {
        fn living(life: Option<u64>) -> Self {
            Self {
                calls: Arc::default(),
                life,
                failing: None,
                gate: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)),
            }
        }

        fn calls(&self) -> usize {
            self.calls.load(Ordering::SeqCst)
        }
    }

    impl ProvideCredentials for Numbered {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            future::ProvideCredentials::new(async {
                let call = self.calls.fetch_add(1, Ordering::SeqCst);
                let _permit = self.gate.acquire().await.map_err(CredentialsError::unhandled)?;
                if self.failing == Some(call) {
                    return Err(CredentialsError::provider_error("down"));
                }
                let expiry = self.life.map(|life| at(life * (call as u64 + 1)));
                Ok(Credentials::new(format!("key-{call}"), "s", None, expiry, "test"))
            })
        }
    }

    #[tokio::test]
    async fn keys_are_refreshed_before_they_expire() {
        let provider = Numbered::living(Some(3600));
        let cache = CachingCredentials::new(provider.clone());

        let mut ids = Vec::new();
        for second in [0, 3539, 3540, 3600] {
            ids.push(
                cache
                    .get(at(second))
                    .await
                    .expect("gives")
                    .access_key_id()
                    .to_owned(),
            );
        }

        assert_eq!(ids, ["key-0", "key-0", "key-1", "key-1"]);
    }

    #[tokio::test]
    async fn short_lived_keys_are_used_for_two_thirds_of_their_life() {
        let provider = Numbered::living(Some(90));
        let cache = CachingCredentials::new(provider.clone());

        cache.get(at(0)).await.expect("gives");
        cache.get(at(59)).await.expect("gives");
        assert_eq!(provider.calls(), 1);
        cache.get(at(60)).await.expect("gives");
        assert_eq!(provider.calls(), 2);
    }

    #[tokio::test]
    async fn keys_without_expiry_are_kept_until_their_maximum_age() {
        let provider = Numbered::living(None);
        let cache = CachingCredentials::new(provider.clone()).max_age(Duration::from_secs(100));

        for second in [0, 99, 100] {
            cache.get(at(second)).await.expect("gives");
        }

        assert_eq!(provider.calls(), 2);
    }

    #[tokio::test]
    async fn a_failed_refresh_yields_the_old_keys_while_they_live() {
        let provider = Numbered {
            failing: Some(1),
            ..Numbered::living(Some(100))
        };
        let cache = CachingCredentials::new(provider.clone());
        cache.get(at(0)).await.expect("gives");

        assert_eq!(cache.get(at(70)).await.expect("gives").access_key_id(), "key-0");
        assert_eq!(cache.get(at(72)).await.expect("gives").access_key_id(), "key-0");
        assert_eq!(provider.calls(), 2);
        assert_eq!(cache.get(at(75)).await.expect("gives").access_key_id(), "key-2");
    }

    #[tokio::test]
    async fn a_failed_refresh_of_expired_keys_is_an_error() {
        let provider = Numbered {
            failing: Some(1),
            ..Numbered::living(Some(100))
        };
        let cache = CachingCredentials::new(provider);
        cache.get(at(0)).await.expect("gives");

        cache.get(at(100)).await.expect_err("fails");
    }

    #[tokio::test]
    async fn callers_that_come_together_share_one_refresh() {
        let provider = Numbered {
            gate: Arc::new(Semaphore::new(0)),
            ..Numbered::living(None)
        };
        let cache = Arc::new(CachingCredentials::new(provider.clone()));
        let callers: Vec<_> = (0..10)
            .map(|_| {
                let cache = Arc::clone(&cache);
                tokio::spawn(async move { cache.get(START).await })
            })
            .collect();
        tokio::task::yield_now().await;

        provider.gate.add_permits(10);
        for caller in callers {
            caller.await.expect("joins").expect("gives");
        }

        assert_eq!(provider.calls(), 1);
    }

    #[tokio::test]
    async fn a_caller_that_gives_up_lets_the_next_one_refresh() {
        let provider = Numbered {
            gate: Arc::new(Semaphore::new(0)),
            ..Numbered::living(None)
        };
        let cache = Arc::new(CachingCredentials::new(provider.clone()));
        let impatient = tokio::spawn({
            let cache = Arc::clone(&cache);
            async move { cache.get(START).await }
        });
        tokio::task::yield_now().await;

        impatient.abort();
        impatient.await.expect_err("aborted");
        provider.gate.add_permits(1);

        cache.get(START).await.expect("gives");
    }

    #[tokio::test]
    async fn rejected_keys_are_refreshed_once_however_many_streams_used_them() {
        let provider = Numbered::living(None);
        let cache = CachingCredentials::new(provider.clone());
        let used = cache.get(START).await.expect("gives");

        for _ in 0..10 {
            cache.reject(&used);
            cache.get(START).await.expect("gives");
        }

        assert_eq!(provider.calls(), 2);
    }

    #[tokio::test]
    async fn a_forced_refresh_asks_the_provider() {
        let provider = Numbered::living(None);
        let cache = CachingCredentials::new(provider.clone());
        cache.get(START).await.expect("gives");

        assert_eq!(
            cache.force_refresh(START).await.expect("gives").access_key_id(),
            "key-1"
        );
        assert_eq!(cache.get(START).await.expect("gives").access_key_id(), "key-1");
    }
}
