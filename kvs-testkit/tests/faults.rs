//! Fault scripts, as a client sees them.

#![allow(
    clippy::unwrap_used,
    clippy::needless_pass_by_value,
    reason = "helpers of tests"
)]

mod common;

use std::time::Duration;

use common::media;
use common::{RawClient, put_media_head};
use kvs_auth::PayloadHash;
use kvs_testkit::MockKvs;
use kvs_testkit::service::{AckForm, FragmentState, Operation, ServiceError, SessionEnd};

const T: u64 = 1_700_000_000_000;

async fn start() -> MockKvs {
    MockKvs::builder().with_stream("cam", 1).start().await.unwrap()
}

/// Begins a session and sends n fragments, one second apart.
fn upload(kvs: &MockKvs, fragments: u64) -> RawClient {
    let mut client = RawClient::connect(kvs);
    assert_eq!(client.put_media(kvs, "cam").status, 200);
    client.send_chunk(media::header(&[1]));
    for n in 0..fragments {
        client.send_chunk(media::fragment(T + n * 1_000));
    }
    client
}

#[tokio::test]
async fn the_second_put_media_is_reset_after_its_third_fragment() {
    let kvs = start().await;
    kvs.stream("cam")
        .on_put_media(2)
        .after_fragment(3)
        .reset_connection();

    let mut first = upload(&kvs, 4);
    first.send_last_chunk();
    assert_eq!(first.read_acks_to_end().len(), 12);

    let mut second = upload(&kvs, 4);
    // Three fragments are acknowledged in full, the fourth has only begun.
    for _ in 0..9 {
        second.read_ack();
    }
    assert!(second.is_reset());
    let ledger = kvs.ledger();
    let session = &ledger.stream("cam").sessions[1];
    assert_eq!(session.end, Some(SessionEnd::ResetByScript));
    let states: Vec<FragmentState> = session.fragments.iter().map(|fragment| fragment.state).collect();
    assert_eq!(states, [FragmentState::Persisted; 3]);

    let mut third = upload(&kvs, 4);
    third.send_last_chunk();
    assert_eq!(third.read_acks_to_end().len(), 12);
}

#[tokio::test]
async fn a_reset_after_n_bytes_is_exact() {
    let kvs = start().await;
    let cut = media::header(&[1]).len() as u64 + 50;
    kvs.stream("cam").after_bytes(cut).reset_connection();
    let mut client = upload(&kvs, 1);
    assert!(client.is_reset());
    let ledger = kvs.ledger();
    let session = &ledger.stream("cam").sessions[0];
    assert_eq!(
        (session.body_bytes, &session.end),
        (cut, &Some(SessionEnd::ResetByScript))
    );
    assert_eq!(session.fragments[0].state, FragmentState::Discarded);
}

#[tokio::test]
async fn a_reset_after_no_bytes_comes_before_any_media() {
    let kvs = start().await;
    kvs.stream("cam").after_bytes(0).reset_connection();
    let mut client = RawClient::connect(&kvs);
    assert_eq!(client.put_media(&kvs, "cam").status, 200);
    assert!(client.is_reset());
    let ledger = kvs.ledger();
    let session = &ledger.stream("cam").sessions[0];
    assert_eq!(
        (session.body_bytes, &session.end),
        (0, &Some(SessionEnd::ResetByScript))
    );

    let mut again = upload(&kvs, 1);
    again.send_last_chunk();
    assert_eq!(again.read_acks_to_end().len(), 3);
}

#[tokio::test]
async fn an_error_at_a_fragment_refuses_it_and_ends_the_session_once() {
    let kvs = start().await;
    kvs.stream("cam").on_fragment(2).error(4006);
    let mut client = upload(&kvs, 3);
    let acks = client.read_acks_to_end();
    assert_eq!(
        acks[3..],
        [format!("BUFFERING {}", T + 1_000), "ERROR 4006".to_owned()]
    );
    let ledger = kvs.ledger();
    assert_eq!(
        ledger.stream("cam").sessions[0].fragments[1].state,
        FragmentState::Refused
    );

    let mut again = upload(&kvs, 3);
    again.send_last_chunk();
    assert_eq!(again.read_acks_to_end().len(), 9);
}

#[tokio::test]
async fn an_earlier_fragments_persisted_comes_even_after_an_error() {
    let builder = MockKvs::builder()
        .with_stream("cam", 1)
        .persist_delay(Duration::from_millis(50));
    let kvs = builder.start().await.unwrap();
    kvs.stream("cam").on_fragment(2).error(5000);
    let mut client = upload(&kvs, 2);
    let acks = client.read_acks_to_end();
    assert_eq!(
        acks[2..],
        [
            format!("BUFFERING {}", T + 1_000),
            "ERROR 5000".into(),
            format!("PERSISTED {T}")
        ]
    );
}

#[tokio::test]
async fn persisted_is_withheld_and_the_fragment_stored() {
    let kvs = start().await;
    kvs.stream("cam").withhold_persisted();
    let mut client = upload(&kvs, 1);
    client.send_last_chunk();
    assert_eq!(
        client.read_acks_to_end(),
        [format!("BUFFERING {T}"), format!("RECEIVED {T}")]
    );
    assert_eq!(kvs.ledger().stream("cam").totals.fragments_persisted, 1);
}

#[tokio::test]
async fn acknowledgements_go_out_byte_by_byte() {
    let kvs = start().await;
    kvs.stream("cam").split_acks();
    let mut client = upload(&kvs, 1);
    client.send_last_chunk();
    let mut line = Vec::new();
    loop {
        let chunk = client.read_chunk().unwrap();
        if chunk.is_empty() {
            break;
        }
        assert_eq!(chunk.len(), 1);
        line.extend_from_slice(&chunk);
    }
    assert_eq!(String::from_utf8(line).unwrap().lines().count(), 3);
}

#[tokio::test]
async fn other_forms_of_acknowledgements_are_valid_json() {
    let kvs = start().await;
    kvs.stream("cam").ack_form(AckForm::Nested);
    let mut client = upload(&kvs, 1);
    assert_eq!(client.read_ack()["Acknowledgement"]["EventType"], "BUFFERING");
}

#[tokio::test]
async fn half_an_acknowledgement_is_followed_by_a_reset() {
    let kvs = start().await;
    kvs.stream("cam").on_fragment(1).cut_ack();
    let mut client = upload(&kvs, 2);
    assert_eq!(common::ack_text(&client.read_ack()), format!("BUFFERING {T}"));
    let half = client.read_chunk().unwrap();
    assert!(half.starts_with(b"{\"EventType\":\"RECEIVED\""));
    assert!(serde_json::from_slice::<serde_json::Value>(&half).is_err());
    assert!(client.is_reset());
    assert_eq!(
        kvs.ledger().stream("cam").sessions[0].end,
        Some(SessionEnd::ResetByScript)
    );
}

#[tokio::test]
async fn the_next_request_is_refused_once() {
    let kvs = start().await;
    kvs.stream("cam").refuse_once(403);
    let mut client = RawClient::connect(&kvs);
    client.send(put_media_head("cam").signed(&kvs, PayloadHash::Empty));
    let refused = client.read_response();
    assert_eq!(refused.status, 403);
    assert_eq!(refused.header("x-amzn-errortype"), Some("AccessDeniedException"));
    assert!(refused.json()["Message"].is_string());

    let mut client = RawClient::connect(&kvs);
    assert_eq!(client.put_media(&kvs, "cam").status, 200);
    let ledger = kvs.ledger();
    assert_eq!(
        ledger.stream("cam").sessions[0].end,
        Some(SessionEnd::Refused {
            status: 403,
            error_type: "AccessDeniedException".into()
        })
    );
}

#[tokio::test]
async fn a_stall_sends_nothing_and_then_goes_on() {
    let kvs = start().await;
    kvs.stream("cam").on_fragment(1).stall(Duration::from_millis(200));
    let started = std::time::Instant::now();
    let mut client = upload(&kvs, 2);
    client.send_last_chunk();
    assert_eq!(common::ack_text(&client.read_ack()), format!("BUFFERING {T}"));
    assert_eq!(client.read_acks_to_end().len(), 5);
    // Not how long it took, but that it wasn't sooner.
    assert!(started.elapsed() >= Duration::from_millis(200));
}

#[tokio::test]
async fn a_closed_response_ends_cleanly() {
    let kvs = start().await;
    kvs.stream("cam").after_fragment(1).close();
    let mut client = upload(&kvs, 2);
    assert_eq!(client.read_acks_to_end().len(), 3);
    assert!(client.is_closed());
    assert_eq!(
        kvs.ledger().stream("cam").sessions[0].end,
        Some(SessionEnd::ClosedByScript)
    );
}

#[tokio::test]
async fn withheld_acknowledgements_leave_a_silent_session() {
    let kvs = start().await;
    kvs.stream("cam").withhold_acks();
    let mut client = upload(&kvs, 2);
    client.send_last_chunk();
    assert!(client.read_acks_to_end().is_empty());
    assert_eq!(kvs.ledger().stream("cam").totals.fragments_persisted, 2);
}

#[tokio::test]
async fn a_slow_reader_takes_everything_in_its_time() {
    let kvs = start().await;
    kvs.stream("cam").on_put_media(1).slow_read(2_000);
    let mut client = upload(&kvs, 2);
    client.send_last_chunk();
    assert_eq!(client.read_acks_to_end().len(), 6);
}

#[tokio::test]
async fn an_idle_session_gets_idle_and_is_ended_with_its_half_fragment_discarded() {
    let builder = MockKvs::builder()
        .with_stream("cam", 1)
        .idle(Duration::from_millis(400), Duration::from_millis(1_000));
    let kvs = builder.start().await.unwrap();
    let mut client = upload(&kvs, 1);
    let acks = client.read_acks_to_end();
    assert_eq!(acks, [format!("BUFFERING {T}"), "IDLE".into(), "IDLE".into()]);
    assert!(client.is_closed());
    let ledger = kvs.ledger();
    let session = &ledger.stream("cam").sessions[0];
    assert_eq!(session.end, Some(SessionEnd::Idle));
    assert_eq!(session.fragments[0].state, FragmentState::Discarded);
}

#[tokio::test]
async fn control_calls_can_be_throttled() {
    let kvs = start().await;
    let throttled = ServiceError::of_status(400);
    kvs.stream("cam")
        .on_call(Operation::DescribeStream)
        .times(2)
        .refuse(&throttled);
    let mut client = RawClient::connect(&kvs);
    let asked = serde_json::json!({ "StreamName": "cam" });
    for _ in 0..2 {
        let refused = client.call(&kvs, "/describeStream", &asked);
        assert_eq!(
            refused.header("x-amzn-errortype"),
            Some("ClientLimitExceededException")
        );
    }
    assert_eq!(client.call(&kvs, "/describeStream", &asked).status, 200);
}

#[tokio::test]
async fn stale_endpoints_are_refused_until_asked_for_again() {
    let kvs = start().await;
    let mut client = RawClient::connect(&kvs);
    let asked = serde_json::json!({ "StreamName": "cam", "APIName": "PUT_MEDIA" });
    let endpoint = |client: &mut RawClient| {
        let reply = client.call(&kvs, "/getDataEndpoint", &asked);
        reply.json()["DataEndpoint"].as_str().unwrap().to_owned()
    };
    assert_eq!(endpoint(&mut client), kvs.endpoint());
    kvs.expire_endpoints();
    client.send(put_media_head("cam").signed(&kvs, PayloadHash::Empty));
    let refused = client.read_response();
    assert_eq!(refused.status, 400);
    assert_eq!(
        refused.header("x-amzn-errortype"),
        Some("InvalidEndpointException")
    );

    let mut client = RawClient::connect(&kvs);
    let fresh = endpoint(&mut client);
    let path = fresh.strip_prefix(&kvs.endpoint()).unwrap();
    client.send(
        put_media_head("cam")
            .target(&format!("{path}/putMedia"))
            .signed(&kvs, PayloadHash::Empty),
    );
    assert_eq!(client.read_head().status, 200);
}

#[tokio::test]
async fn the_admin_api_scripts_and_reads_the_ledger() {
    let kvs = MockKvs::start().await;
    let mut client = RawClient::connect(&kvs);
    let mut command = |name: &str, body: serde_json::Value| {
        let body = body.to_string();
        client.send(format!(
            "POST / HTTP/1.1\r\nHost: x\r\nX-Kvs-Mock-Command: {name}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ));
        client.read_response()
    };
    assert_eq!(
        command(
            "create-stream",
            serde_json::json!({"stream": "cam", "retention_hours": 1})
        )
        .status,
        200
    );
    let faults = serde_json::json!({ "faults": [
        { "stream": "cam", "at": { "on_fragment": 1 }, "effect": { "error": 4006 }, "times": 1 },
    ]});
    assert_eq!(command("add-faults", faults.clone()).status, 200);
    assert_eq!(
        command("faults", serde_json::json!({})).json()[0]["effect"],
        faults["faults"][0]["effect"]
    );
    assert_eq!(
        upload(&kvs, 1).read_acks_to_end(),
        [format!("BUFFERING {T}"), "ERROR 4006".into()]
    );
    let ledger = command("ledger", serde_json::json!({})).json();
    assert_eq!(
        ledger["streams"]["cam"]["sessions"][0]["fragments"][0]["state"],
        "refused"
    );
    assert_eq!(command("nonsense", serde_json::json!({})).status, 404);
    assert_eq!(
        command("add-faults", serde_json::json!({"faults": [{}]})).status,
        400
    );
}
