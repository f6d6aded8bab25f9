//! Where the media of streams lives: the content store as a seam of the producer.

use std::path::Path;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kvs_client::LocalFuture;
use kvs_storage::spool::{Spool, SpoolOptions, StreamIdentity};
use kvs_storage::{ContentStore, MemoryStore};

use crate::error::{StreamError, StreamErrorKind};
use crate::machine::Paging;

/// A stream's content store, opened.
pub struct OpenedStore {
    /// The store. What it holds from an earlier run is delivered first.
    pub store: Rc<dyn ContentStore>,
    /// Whether the metadata of items far from being sent is left to the store.
    pub paging: Paging,
}

/// Opens the content stores of a producer's streams, on the thread that each stream lives on.
pub trait ContentStores: Send + Sync + 'static {
    /// Opens the store of one stream.
    ///
    /// # Errors
    /// [`StreamErrorKind::Store`], with what stands in the way.
    fn open<'a>(&'a self, stream: &'a str) -> LocalFuture<'a, Result<OpenedStore, StreamError>>;

    /// Ends what the stores share, when the last of them is closed. Default: there is nothing to end.
    fn close(&self) -> LocalFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// Media in memory: it ends with the process.
#[derive(Debug, Clone, Copy, Default)]
pub struct MemoryStores;

impl ContentStores for MemoryStores {
    fn open<'a>(&'a self, _: &'a str) -> LocalFuture<'a, Result<OpenedStore, StreamError>> {
        let opened = OpenedStore {
            store: Rc::new(MemoryStore::new()),
            paging: Paging::Off,
        };
        Box::pin(std::future::ready(Ok(opened)))
    }
}

/// Media in a durable spool: what is not delivered when the process ends is delivered when it runs again.
pub struct SpoolStores {
    /// `None` once it was closed.
    spool: Mutex<Option<Arc<Spool>>>,
    identity: StreamIdentity,
}

impl SpoolStores {
    /// Opens a spool directory, making it if it isn't there. Its streams belong to whom `identity` says; media of one
    /// account or region is never delivered to another.
    ///
    /// # Errors
    /// [`StreamErrorKind::Store`] where another process has the directory open, or the disk fails.
    pub fn open(
        dir: impl AsRef<Path>,
        options: SpoolOptions,
        identity: StreamIdentity,
    ) -> Result<Self, StreamError> {
        let spool = Spool::open(dir, options).map_err(|error| {
            StreamError::new(StreamErrorKind::Store, error.to_string()).with_source(error)
        })?;
        Ok(SpoolStores {
            spool: Mutex::new(Some(Arc::new(spool))),
            identity,
        })
    }
}

impl SpoolStores {
    fn spool(&self) -> MutexGuard<'_, Option<Arc<Spool>>> {
        self.spool.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ContentStores for SpoolStores {
    fn open<'a>(&'a self, stream: &'a str) -> LocalFuture<'a, Result<OpenedStore, StreamError>> {
        Box::pin(async move {
            let Some(spool) = self.spool().clone() else {
                let text = "the spool was closed";
                return Err(StreamError::new(StreamErrorKind::Stopped, text).on_stream(stream));
            };
            let opened = spool.open_stream(stream, &self.identity).await.map_err(|error| {
                StreamError::new(StreamErrorKind::Store, error.to_string())
                    .with_source(error)
                    .on_stream(stream)
            })?;
            Ok(OpenedStore {
                store: Rc::new(opened.store),
                paging: Paging::On,
            })
        })
    }

    fn close(&self) -> LocalFuture<'_, ()> {
        Box::pin(async move {
            let spool = self.spool().take();
            // Whoever still opens a stream in it keeps it open.
            if let Some(spool) = spool.and_then(Arc::into_inner) {
                spool.close().await;
            }
        })
    }
}
