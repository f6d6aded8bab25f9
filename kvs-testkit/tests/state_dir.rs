//! A mock that is started again with the same state.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::path::Path;
use std::time::Duration;

use common::{RawClient, Request, media};
use kvs_auth::PayloadHash;
use kvs_mkv::{Demuxer, MkvEvent};
use kvs_testkit::MockKvs;
use serde_json::{Value, json};

const T: u64 = 1_700_000_000_000;

async fn start(state: &Path) -> MockKvs {
    let builder = MockKvs::builder()
        .state_dir(state)
        .reader_idle(Duration::from_millis(50));
    builder.start().await.unwrap()
}

fn upload(kvs: &MockKvs, stream: &str, times: std::ops::Range<u64>) {
    let mut client = RawClient::connect(kvs);
    assert_eq!(client.put_media(kvs, stream).status, 200);
    client.send_chunk(media::header(&[1]));
    for n in times {
        client.send_chunk(media::fragment(T + n * 1_000));
        client.send_chunk(media::tags(&[("n", &n.to_string())]));
    }
    client.send_last_chunk();
    client.read_to_end();
}

fn read(kvs: &MockKvs, stream: &str) -> Vec<u8> {
    let body =
        json!({ "StreamName": stream, "StartSelector": { "StartSelectorType": "EARLIEST" } }).to_string();
    let mut client = RawClient::connect(kvs);
    let head = Request::new("/getMedia").header("content-length", body.len().to_string());
    client.send(head.signed(kvs, PayloadHash::Body(body.as_bytes())));
    client.send(&body);
    assert_eq!(client.read_head().status, 200);
    client.read_to_end()
}

fn call(kvs: &MockKvs, path: &str, body: &Value) -> Value {
    RawClient::connect(kvs).call(kvs, path, body).json()
}

/// Everything in a body but the tag that says how far behind its reader was.
fn without_lag(body: &[u8]) -> Vec<MkvEvent> {
    let mut demuxer = Demuxer::default();
    demuxer.push(bytes::Bytes::copy_from_slice(body));
    let mut events = Vec::new();
    while let Some(mut event) = demuxer.poll().unwrap() {
        if let MkvEvent::Tags(tags) = &mut event {
            tags.retain(|tag| tag.name != "AWS_KINESISVIDEO_MILLIS_BEHIND_NOW");
        }
        events.push(event);
    }
    demuxer.finish().unwrap();
    events
}

#[tokio::test]
async fn streams_and_fragments_are_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let kvs = start(folder.path()).await;
    let created = json!({ "StreamName": "..", "DataRetentionInHours": 24, "Tags": { "a": "b" } });
    call(&kvs, "/createStream", &created);
    upload(&kvs, "..", 0..3);
    let (described, body) = (
        call(&kvs, "/describeStream", &json!({ "StreamName": ".." })),
        read(&kvs, ".."),
    );
    let listed = call(&kvs, "/listFragments", &json!({ "StreamName": ".." }));
    kvs.stop().await;

    let kvs = start(folder.path()).await;
    assert_eq!(
        call(&kvs, "/describeStream", &json!({ "StreamName": ".." })),
        described
    );
    assert_eq!(
        call(&kvs, "/listTagsForStream", &json!({ "StreamName": ".." }))["Tags"],
        json!({ "a": "b" })
    );
    assert_eq!(
        call(&kvs, "/listFragments", &json!({ "StreamName": ".." })),
        listed
    );
    assert_eq!(without_lag(&read(&kvs, "..")), without_lag(&body));

    // Numbers go on rising, and what came before the restart is known to be a repeat.
    upload(&kvs, "..", 2..4);
    let ledger = kvs.ledger();
    let fragments: Vec<_> = ledger.stream("..").fragments().collect();
    let last = listed["Fragments"][2]["FragmentNumber"].as_str().unwrap();
    assert!(fragments[0].number.as_str() > last);
    assert_eq!(fragments[0].repeat_of.as_deref(), Some(last));
    assert_eq!(fragments[1].repeat_of, None);
}

#[tokio::test]
async fn what_is_let_go_leaves_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let kvs = start(folder.path()).await;
    kvs.create_stream("cam", 1);
    upload(&kvs, "cam", 0..2);
    let arn =
        call(&kvs, "/describeStream", &json!({ "StreamName": "cam" }))["StreamInfo"]["StreamARN"].clone();
    call(&kvs, "/deleteStream", &json!({ "StreamARN": arn }));
    kvs.stop().await;
    let mut files = 0;
    for stream in std::fs::read_dir(folder.path().join("fragments")).unwrap() {
        files += std::fs::read_dir(stream.unwrap().path()).unwrap().count();
    }
    assert_eq!(files, 0);
}

#[tokio::test]
async fn a_torn_file_costs_its_fragment_only() {
    let folder = tempfile::tempdir().unwrap();
    let kvs = start(folder.path()).await;
    kvs.create_stream("cam", 1);
    upload(&kvs, "cam", 0..3);
    kvs.stop().await;
    let stream = std::fs::read_dir(folder.path().join("fragments"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let mut files: Vec<_> = std::fs::read_dir(stream)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let whole = std::fs::read(&files[1]).unwrap();
    std::fs::write(&files[1], &whole[..whole.len() - 20]).unwrap();

    let kvs = start(folder.path()).await;
    let listed = call(&kvs, "/listFragments", &json!({ "StreamName": "cam" }));
    assert_eq!(listed["Fragments"].as_array().unwrap().len(), 2);
}
