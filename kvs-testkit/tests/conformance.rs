//! The suites of the seams, called as a third party would: through this crate, against what the framework ships.
//!
//! The suite for control planes runs against the mock. The one for media transports plays the far end itself, in ways that
//! no service may (a body that is no Matroska, ACKs out of the air), so it runs over the loopback here and over real
//! sockets in `kvs-client`.

#![cfg(feature = "conformance")]
#![allow(clippy::unwrap_used)] // outside test functions too: a wrong set-up is a failed test

use kvs_client::{
    Ack, CachePolicy, CachedControlPlane, Client, ClientConfig, ClientError, ControlPlane, LocalFuture,
    LoopbackListener, LoopbackSession, LoopbackTransport, MediaEvent, MediaTransport, PutMediaRequest,
    TlsOptions,
};
use kvs_storage::MemoryStore;
use kvs_storage::spool::{Spool, SpoolOptions, SpoolStore, StreamIdentity};
use kvs_testkit::MockKvs;
use kvs_testkit::conformance::{
    MediaFixture, MediaPeer, StoreFixture, content_store, control_plane, media_transport,
};
use tempfile::TempDir;
use tokio::task::LocalSet;

fn client(kvs: &MockKvs) -> Client {
    let tls = kvs
        .ca_pem()
        .into_iter()
        .fold(TlsOptions::default(), TlsOptions::extra_ca_pem);
    ClientConfig::new(kvs.region(), kvs.credentials())
        .endpoint(kvs.endpoint().parse().unwrap())
        .tls(tls)
        .build()
        .unwrap()
}

/// Runs the suite, and drops the control plane, where its connections can spawn.
async fn on_one_thread(control: impl ControlPlane) {
    // Streams of the mock are active as soon as they are made.
    let at_once = async || {};
    let suite = async move { control_plane(&control, at_once).await };
    LocalSet::new().run_until(suite).await;
}

#[tokio::test]
async fn the_http_control_plane_conforms_plain_and_over_tls() {
    for builder in [MockKvs::builder(), MockKvs::builder().https()] {
        let kvs = builder.start().await.unwrap();
        on_one_thread(client(&kvs).control_plane()).await;
    }
}

#[tokio::test]
async fn a_control_plane_that_remembers_conforms_whatever_it_remembers() {
    for policy in [CachePolicy::None, CachePolicy::EndpointOnly, CachePolicy::All] {
        let kvs = MockKvs::start().await;
        on_one_thread(CachedControlPlane::new(client(&kvs).control_plane(), policy)).await;
    }
}

struct Memory;

impl StoreFixture for Memory {
    type Store = MemoryStore;

    async fn create(&mut self) -> MemoryStore {
        MemoryStore::new()
    }

    async fn reopen(&mut self, _: MemoryStore) -> Option<MemoryStore> {
        None
    }
}

#[tokio::test]
async fn the_store_in_memory_conforms() {
    content_store(&mut Memory).await;
}

struct OnDisk {
    dir: TempDir,
    spool: Option<Spool>,
    streams: u32,
}

impl OnDisk {
    async fn open(&mut self) -> SpoolStore {
        let dir = self.dir.path();
        let spool = self
            .spool
            .get_or_insert_with(|| Spool::open(dir, SpoolOptions::default()).unwrap());
        let name = format!("stream-{}", self.streams);
        spool
            .open_stream(&name, &StreamIdentity::new())
            .await
            .unwrap()
            .store
    }
}

impl StoreFixture for OnDisk {
    type Store = SpoolStore;

    async fn create(&mut self) -> SpoolStore {
        self.streams += 1;
        self.open().await
    }

    async fn reopen(&mut self, store: SpoolStore) -> Option<SpoolStore> {
        drop(store);
        self.spool.take().unwrap().close().await;
        Some(self.open().await)
    }
}

#[tokio::test]
async fn the_store_on_disk_conforms() {
    let mut fixture = OnDisk {
        dir: TempDir::new().unwrap(),
        spool: None,
        streams: 0,
    };
    content_store(&mut fixture).await;
}

struct Loopback {
    transport: LoopbackTransport,
    listener: LoopbackListener,
}

impl MediaFixture for Loopback {
    fn transport(&self) -> &dyn MediaTransport {
        &self.transport
    }

    fn request(&self) -> PutMediaRequest {
        PutMediaRequest::new("http://loopback".parse().unwrap(), "front-door")
    }

    fn accept(&self) -> LocalFuture<'_, Box<dyn MediaPeer>> {
        Box::pin(async {
            let session = self.listener.accept().await.unwrap();
            let unread = Vec::new();
            Box::new(Peer { session, unread }) as Box<dyn MediaPeer>
        })
    }
}

struct Peer {
    session: LoopbackSession,
    unread: Vec<u8>,
}

impl MediaPeer for Peer {
    fn request(&self) -> PutMediaRequest {
        self.session.request().clone()
    }

    fn read(&mut self, count: usize) -> LocalFuture<'_, Vec<u8>> {
        Box::pin(async move {
            while self.unread.len() < count
                && let Some(bytes) = self.session.read().await.unwrap()
            {
                self.unread.extend(bytes);
            }
            self.unread.drain(..count.min(self.unread.len())).collect()
        })
    }

    fn accept(&mut self) -> LocalFuture<'_, ()> {
        self.session.send(MediaEvent::Head { request_id: None });
        Box::pin(async {})
    }

    fn refuse<'a>(&'a mut self, status: u16, error_type: &'a str) -> LocalFuture<'a, ()> {
        self.session
            .refuse(ClientError::from_response(status, Some(error_type), ""));
        Box::pin(async {})
    }

    fn send_ack(&mut self, ack: Ack) -> LocalFuture<'_, ()> {
        self.session.send_ack(ack);
        Box::pin(async {})
    }

    fn end(&mut self) -> LocalFuture<'_, ()> {
        self.session.send(MediaEvent::End);
        Box::pin(async {})
    }

    fn reset(self: Box<Self>) {
        self.session.reset();
    }
}

#[tokio::test]
async fn the_loopback_transport_conforms() {
    let (transport, listener) = LoopbackTransport::new();
    media_transport(&Loopback { transport, listener }).await;
}
