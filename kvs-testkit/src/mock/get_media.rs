//! GetMedia and GetMediaForFragmentList on a socket.

use std::io;

use super::connection::{Connection, Outcome, after};
use super::head::Head;
use super::response::{self, After};
use crate::service::{Action, Operation};

/// Serves a request whose response is media.
pub(super) async fn serve(
    mut connection: Connection,
    head: &Head,
    operation: Operation,
    body: &[u8],
) -> io::Result<Outcome> {
    let opened = connection
        .host
        .with(|service, now| service.call_media(operation, body, now));
    let after = after(head);
    let opened = match opened {
        Ok(opened) => opened,
        Err(error) => {
            let reply = connection.host.with(|service, _| service.refusal(&error));
            return connection.reply(&reply, after).await;
        }
    };
    let registration = connection.host.register(opened.connection);
    let head = response::streaming(
        &opened.request_id,
        "video/webm",
        after,
        connection.host.system_time(),
    );
    connection.socket.send(&head).await?;
    loop {
        let action = connection
            .host
            .with(|service, now| service.poll(opened.connection, now));
        match action {
            Some(Action::Send(bytes)) => connection.socket.send(&response::chunk(&bytes)).await?,
            Some(Action::End) => {
                connection.socket.send(&response::LAST_CHUNK).await?;
                break;
            }
            Some(Action::Reset) => {
                connection.socket.reset();
                return Ok(Outcome::Closed);
            }
            None => {
                // A reader that went away is noticed by what it sends last: nothing.
                tokio::select! {
                    () = registration.notify().notified() => {}
                    read = connection.socket.read(&mut connection.buffer), if connection.buffer.is_empty() => {
                        if read? == 0 {
                            return Ok(Outcome::Closed);
                        }
                    }
                }
            }
        }
    }
    drop(registration);
    match after {
        After::KeepAlive => Ok(Outcome::Reusable(connection)),
        After::Close => {
            connection.socket.close().await;
            Ok(Outcome::Closed)
        }
    }
}
