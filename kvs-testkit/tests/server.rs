//! The server around the service: TLS, ports, hosts, expectations.

#![allow(
    clippy::unwrap_used,
    clippy::needless_pass_by_value,
    reason = "helpers of tests"
)]

mod common;

use std::time::Duration;

use common::{RawClient, media};
use kvs_testkit::service::{Delivery, SessionEnd};
use kvs_testkit::{MockErrorKind, MockKvs};
use serde_json::json;

const T: u64 = 1_700_000_000_000;

fn upload(kvs: &MockKvs, fragments: u64) {
    let mut client = RawClient::connect(kvs);
    assert_eq!(client.put_media(kvs, "cam").status, 200);
    client.send_chunk(media::header(&[1]));
    for n in 0..fragments {
        client.send_chunk(media::fragment(T + n * 1_000));
    }
    client.send_last_chunk();
    assert_eq!(client.read_acks_to_end().len(), 3 * fragments as usize);
}

#[tokio::test]
async fn everything_works_over_tls() {
    let kvs = MockKvs::builder()
        .https()
        .with_stream("cam", 1)
        .start()
        .await
        .unwrap();
    assert!(kvs.endpoint().starts_with("https://127.0.0.1:"));
    upload(&kvs, 3);
    let mut client = RawClient::connect(&kvs);
    let asked = json!({ "StreamName": "cam", "APIName": "PUT_MEDIA" });
    let endpoint = client.call(&kvs, "/getDataEndpoint", &asked).json();
    assert_eq!(endpoint["DataEndpoint"], kvs.endpoint());
}

#[tokio::test]
async fn a_reset_over_tls_is_a_reset() {
    let kvs = MockKvs::builder()
        .https()
        .with_stream("cam", 1)
        .start()
        .await
        .unwrap();
    kvs.stream("cam").after_fragment(1).reset_connection();
    let mut client = RawClient::connect(&kvs);
    client.put_media(&kvs, "cam");
    client.send_chunk([media::header(&[1]), media::fragment(T), media::end_of_fragment()].concat());
    for _ in 0..3 {
        client.read_ack();
    }
    assert!(client.is_reset());
}

#[tokio::test]
async fn plain_bytes_on_a_tls_port_harm_nothing() {
    use std::io::{Read, Write};
    let kvs = MockKvs::builder()
        .https()
        .with_stream("cam", 1)
        .start()
        .await
        .unwrap();
    let mut plain = std::net::TcpStream::connect(kvs.address()).unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer);
    upload(&kvs, 1);
}

#[tokio::test]
async fn a_port_in_use_is_a_typed_error() {
    let first = MockKvs::start().await;
    let error = MockKvs::builder()
        .listen(first.address())
        .start()
        .await
        .unwrap_err();
    assert_eq!(error.kind(), MockErrorKind::Bind);
    assert!(
        error
            .to_string()
            .starts_with(&format!("can't listen on {}", first.address())),
        "{error}"
    );
}

#[tokio::test]
async fn a_stopped_server_ends_its_sessions_and_frees_its_port() {
    let kvs = MockKvs::builder().with_stream("cam", 1).start().await.unwrap();
    let address = kvs.address();
    let mut client = RawClient::connect(&kvs);
    client.put_media(&kvs, "cam");
    client.send_chunk([media::header(&[1]), media::fragment(T)].concat());
    client.read_ack();
    kvs.stop().await;
    assert!(client.read_acks_to_end().is_empty());
    let again = MockKvs::builder().listen(address).start().await.unwrap();
    assert_eq!(again.address(), address);
}

#[test]
fn any_host_can_use_it_without_a_runtime_of_its_own() {
    // The futures need no reactor of the caller's: polling by hand is enough.
    let kvs = pollster(MockKvs::builder().with_stream("cam", 1).start()).unwrap();
    upload(&kvs, 2);
    pollster(kvs.stream("cam").expect_persisted(2));
}

/// A thread that parks until it is woken: the smallest host there is.
fn pollster<F: Future>(future: F) -> F::Output {
    use std::sync::Arc;
    use std::task::{Context, Poll, Wake, Waker};
    struct Unpark(std::thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}

#[tokio::test]
async fn expectations_wait_for_what_is_to_come() {
    let builder = MockKvs::builder()
        .with_stream("cam", 1)
        .persist_delay(Duration::from_millis(50));
    let kvs = builder.start().await.unwrap();
    let mut client = RawClient::connect(&kvs);
    client.put_media(&kvs, "cam");
    client.send_chunk([media::header(&[1]), media::fragment(T), media::end_of_fragment()].concat());
    kvs.stream("cam").expect_persisted(1).await;
    drop(client);
    kvs.stream("cam").expect_ended_sessions(1).await;
    assert_eq!(kvs.stream("cam").ledger().sessions[0].end, Some(SessionEnd::Lost));
}

#[tokio::test]
#[should_panic(expected = "put_media 1: ")]
async fn a_failed_expectation_says_what_was_received() {
    let builder = MockKvs::builder()
        .with_stream("cam", 1)
        .persist_delay(Duration::from_secs(3_600));
    let kvs = builder.start().await.unwrap();
    let mut client = RawClient::connect(&kvs);
    client.put_media(&kvs, "cam");
    client.send_chunk([media::header(&[1]), media::fragment(T)].concat());
    client.read_ack();
    let never = |ledger: &kvs_testkit::service::StreamLedger| ledger.totals.fragments_persisted > 0;
    kvs.stream("cam")
        .expect_within(Duration::from_millis(20), "a persisted fragment", never)
        .await;
}

#[tokio::test]
async fn a_producers_account_is_held_against_the_ledger() {
    let kvs = MockKvs::builder().with_stream("cam", 1).start().await.unwrap();
    upload(&kvs, 2);
    kvs.assert_conserved(Delivery {
        accepted: 8,
        delivered: 6,
        dropped: 2,
        ..Delivery::new("cam")
    });
}

#[tokio::test]
async fn raw_bodies_are_captured_in_files_and_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    let builder = MockKvs::builder()
        .with_stream("cam", 1)
        .capture(folder.path().join("bodies"));
    let kvs = builder
        .configure(|config| config.capture_limit = 1 << 20)
        .start()
        .await
        .unwrap();
    upload(&kvs, 2);
    let sent = [
        media::header(&[1]),
        media::fragment(T),
        media::fragment(T + 1_000),
    ]
    .concat();
    assert_eq!(
        std::fs::read(folder.path().join("bodies/cam-1.mkv")).unwrap(),
        sent
    );
    assert_eq!(kvs.stream("cam").captured_body(1).unwrap(), sent);
}

#[tokio::test]
async fn many_producers_at_once_keep_to_their_streams() {
    let kvs = MockKvs::start().await;
    for n in 0..100 {
        kvs.create_stream(&format!("cam{n}"), 1);
    }
    let mut clients: Vec<RawClient> = (0..100).map(|_| RawClient::connect(&kvs)).collect();
    for (n, client) in clients.iter_mut().enumerate() {
        assert_eq!(client.put_media(&kvs, &format!("cam{n}")).status, 200);
        client.send_chunk(media::header(&[1]));
    }
    for round in 0..3 {
        for client in &mut clients {
            client.send_chunk(media::fragment(T + round * 1_000));
        }
    }
    for client in &mut clients {
        client.send_last_chunk();
        assert_eq!(client.read_acks_to_end().len(), 9);
    }
    let ledger = kvs.ledger();
    assert!((0..100).all(|n| ledger.stream(&format!("cam{n}")).totals.fragments_persisted == 3));
}

#[tokio::test]
async fn a_script_file_sets_streams_faults_and_expectations() {
    let folder = tempfile::tempdir().unwrap();
    let toml = folder.path().join("script.toml");
    let text = r#"
        stream = [{ name = "cam" }]
        [[fault]]
        at = { on_fragment = 2 }
        effect = { error = 4006 }
        times = 1
        [[expect]]
        stream = "cam"
        persisted = 1
        refused = 1
    "#;
    std::fs::write(&toml, text).unwrap();
    let script = kvs_testkit::ScriptFile::read(&toml).unwrap();
    let json = folder.path().join("script.json");
    std::fs::write(&json, serde_json::to_string(&script).unwrap()).unwrap();
    assert_eq!(kvs_testkit::ScriptFile::read(&json).unwrap(), script);

    let kvs = MockKvs::builder().script(script).start().await.unwrap();
    let mut client = RawClient::connect(&kvs);
    client.put_media(&kvs, "cam");
    client.send_chunk(
        [
            media::header(&[1]),
            media::fragment(T),
            media::fragment(T + 1_000),
        ]
        .concat(),
    );
    assert_eq!(client.read_acks_to_end().last().unwrap(), "ERROR 4006");
    kvs.verify().unwrap();
}

#[test]
fn a_script_that_is_none_is_a_typed_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("script.toml");
    let missing = kvs_testkit::ScriptFile::read(&path).unwrap_err();
    assert_eq!(missing.kind(), MockErrorKind::File);
    std::fs::write(&path, "[[fault]]\neffect = \"explode\"\n").unwrap();
    let wrong = kvs_testkit::ScriptFile::read(&path).unwrap_err();
    assert_eq!(wrong.kind(), MockErrorKind::Setting);
    assert!(wrong.to_string().contains("explode"), "{wrong}");
}

#[tokio::test]
#[should_panic(expected = "expected at least 1 persisted fragments and not 0")]
async fn an_expectation_that_is_not_met_is_found_at_the_end() {
    use kvs_testkit::service::Expectation;
    let kvs = MockKvs::start().await;
    kvs.expect(Expectation {
        persisted: Some(1),
        ..Expectation::of("cam")
    });
}

#[tokio::test]
async fn a_server_on_every_address_names_one_that_can_be_connected_to() {
    let kvs = MockKvs::builder()
        .listen("0.0.0.0:0".parse().unwrap())
        .start()
        .await
        .unwrap();
    assert_eq!(
        kvs.endpoint(),
        format!("http://127.0.0.1:{}", kvs.address().port())
    );
}

#[tokio::test]
async fn data_endpoints_are_named_as_the_client_named_the_server() {
    let kvs = MockKvs::builder().with_stream("cam", 1).start().await.unwrap();
    let body = json!({ "StreamName": "cam", "APIName": "PUT_MEDIA" }).to_string();
    let port = kvs.address().port();
    for (host, endpoint) in [
        ("kvs.test", format!("http://kvs.test:{port}")),
        ("forwarded.test:9999", "http://forwarded.test:9999".to_owned()),
    ] {
        let mut client = RawClient::connect(&kvs);
        let head = common::Request::new("/getDataEndpoint")
            .header("content-length", body.len().to_string())
            .host(host);
        client.send(head.signed(&kvs, kvs_auth::PayloadHash::Body(body.as_bytes())));
        client.send(&body);
        assert_eq!(client.read_response().json()["DataEndpoint"], endpoint);
    }
}

#[tokio::test]
async fn an_outage_loses_connections_and_refuses_new_ones_for_a_while() {
    let kvs = MockKvs::builder().with_stream("cam", 1).start().await.unwrap();
    let mut client = RawClient::connect(&kvs);
    client.put_media(&kvs, "cam");
    client.send_chunk([media::header(&[1]), media::fragment(T)].concat());
    client.read_ack();
    kvs.outage(Duration::from_secs(3_600));
    kvs.stream("cam").expect_ended_sessions(1).await;
    assert_eq!(kvs.stream("cam").ledger().sessions[0].end, Some(SessionEnd::Lost));
    assert!(std::net::TcpStream::connect(kvs.address()).is_err());

    // A second outage replaces the first.
    kvs.outage(Duration::ZERO);
    while std::net::TcpStream::connect(kvs.address()).is_err() {
        std::thread::yield_now();
    }
    upload(&kvs, 1);
}

#[tokio::test]
async fn a_server_can_be_stopped_during_an_outage() {
    let kvs = MockKvs::start().await;
    kvs.outage(Duration::from_secs(3_600));
    kvs.stop().await;
}
