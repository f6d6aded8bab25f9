//! The listening server: accepts connections and runs the service's timers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
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

/// What a running server is told.
#[derive(Debug)]
pub(super) enum Command {
    /// Lose every connection and refuse new ones for this long.
    Outage(Duration),
    /// End.
    Stop,
}

/// Serves until told to stop.
pub(super) async fn run(
    mut listener: TcpListener,
    address: SocketAddr,
    tls: Option<TlsAcceptor>,
    host: Arc<Host>,
    mut commands: mpsc::UnboundedReceiver<Command>,
) {
    let timers = {
        let host = host.clone();
        tokio::spawn(async move { host.run_timers().await })
    };
    loop {
        let mut connections = JoinSet::new();
        let outage = accept(&listener, tls.as_ref(), &host, &mut commands, &mut connections).await;
        drop(listener);
        let Some(outage) = outage else {
            host.with(Service::stop);
            let ended = async { while connections.join_next().await.is_some() {} };
            if tokio::time::timeout(STOP_GRACE, ended).await.is_err() {
                connections.abort_all();
            }
            break;
        };
        connections.shutdown().await;
        match come_back(address, outage, &mut commands).await {
            Some(again) => listener = again,
            None => break,
        }
    }
    timers.abort();
}

/// Takes connections until told otherwise; gives how long an outage lasts, or `None` for the end.
async fn accept(
    listener: &TcpListener,
    tls: Option<&TlsAcceptor>,
    host: &Arc<Host>,
    commands: &mut mpsc::UnboundedReceiver<Command>,
    connections: &mut JoinSet<()>,
) -> Option<Duration> {
    loop {
        tokio::select! {
            command = commands.recv() => match command {
                Some(Command::Outage(length)) => return Some(length),
                // Whoever could tell is gone.
                Some(Command::Stop) | None => return None,
            },
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(serve(stream, tls.cloned(), host.clone()));
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
}

/// Listens again after an outage; `None` when told to stop meanwhile.
async fn come_back(
    address: SocketAddr,
    outage: Duration,
    commands: &mut mpsc::UnboundedReceiver<Command>,
) -> Option<TcpListener> {
    let mut length = outage;
    loop {
        tokio::select! {
            command = commands.recv() => match command {
                Some(Command::Outage(longer)) => length = longer,
                Some(Command::Stop) | None => return None,
            },
            () = tokio::time::sleep(length) => match TcpListener::bind(address).await {
                Ok(listener) => return Some(listener),
                Err(error) => {
                    // Somebody else may hold the port for a moment.
                    tracing::warn!(%error, "the mock can't listen again yet");
                    length = ACCEPT_PAUSE;
                }
            },
        }
    }
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
