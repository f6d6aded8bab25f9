//! The listening server: accepts connections and runs the service's timers.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::connection;
use super::host::Host;
use super::socket::Socket;
use crate::service::Service;

/// How long open connections have to end when the server is stopped.
const STOP_GRACE: Duration = Duration::from_millis(500);

/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Pause after a failed accept (out of file descriptors, say), so that it doesn't spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until told to stop.
pub(super) async fn run(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    host: Arc<Host>,
    stop: oneshot::Receiver<()>,
) {
    let mut connections = JoinSet::new();
    let timers = {
        let host = host.clone();
        tokio::spawn(async move { host.run_timers().await })
    };
    let mut stop = stop;
    loop {
        tokio::select! {
            // Told to stop, or whoever could tell is gone.
            _ = &mut stop => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(serve(stream, tls.clone(), host.clone()));
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection couldn't be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(ended) = connections.join_next() => {
                if let Err(error) = ended {
                    tracing::error!(%error, "a connection's task failed");
                }
            }
        }
    }
    drop(listener);
    host.with(Service::stop);
    let ended = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(STOP_GRACE, ended).await.is_err() {
        connections.abort_all();
    }
    timers.abort();
}

async fn serve(stream: TcpStream, tls: Option<TlsAcceptor>, host: Arc<Host>) {
    // Acknowledgements are small and must not wait for each other.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection was gone before it began");
        return;
    }
    let socket = match tls {
        None => Socket::Plain(stream),
        Some(acceptor) => match tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => Socket::Tls(Box::new(stream)),
            Ok(Err(error)) => {
                tracing::debug!(%error, "a TLS handshake failed");
                return;
            }
            Err(_) => return,
        },
    };
    connection::serve(socket, host).await;
}
