//! A media transport that notes when each frame has been written.

use std::sync::Arc;

use bytes::Bytes;
use kvs_client::{ClientError, LocalFuture, MediaConnection, MediaTransport, MediaWriter, PutMediaRequest};

use super::media::stamped;
use super::meter::Meter;

pub(super) struct MeteredTransport<T> {
    pub(super) inner: T,
    pub(super) meter: Arc<Meter>,
}

impl<T: MediaTransport> MediaTransport for MeteredTransport<T> {
    fn open(&self, request: PutMediaRequest) -> LocalFuture<'_, Result<MediaConnection, ClientError>> {
        Box::pin(async move {
            let mut connection = self.inner.open(request).await?;
            connection.writer = Box::new(MeteredWriter {
                inner: connection.writer,
                meter: Arc::clone(&self.meter),
                stamps: Vec::new(),
            });
            Ok(connection)
        })
    }
}

struct MeteredWriter {
    inner: Box<dyn MediaWriter>,
    meter: Arc<Meter>,
    stamps: Vec<std::time::Duration>,
}

impl MediaWriter for MeteredWriter {
    fn write<'a>(&'a mut self, chunks: &'a mut Vec<Bytes>) -> LocalFuture<'a, Result<(), ClientError>> {
        self.stamps
            .extend(chunks.iter().filter_map(|chunk| stamped(chunk)));
        Box::pin(async move {
            self.inner.write(chunks).await?;
            self.meter.written(&mut self.stamps);
            Ok(())
        })
    }

    fn finish(&mut self) -> LocalFuture<'_, Result<(), ClientError>> {
        self.inner.finish()
    }

    fn abort(self: Box<Self>) {
        self.inner.abort();
    }
}
