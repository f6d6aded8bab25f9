//! Reading media back over a raw socket.

#![allow(
    clippy::unwrap_used,
    clippy::needless_pass_by_value,
    reason = "helpers of tests"
)]

mod common;

use std::time::Duration;

use common::media;
use common::{RawClient, Request};
use kvs_auth::PayloadHash;
use kvs_mkv::{DemuxLimits, Demuxer, MkvEvent};
use kvs_testkit::MockKvs;
use serde_json::json;

const T: u64 = 1_700_000_000_000;

/// One fragment as a reader gets it.
#[derive(Debug, Default, PartialEq)]
struct Read {
    timecode: u64,
    frames: Vec<(u64, i64, Vec<u8>)>,
    tags: Vec<(String, String)>,
}

impl Read {
    fn tag(&self, name: &str) -> &str {
        let name = format!("AWS_KINESISVIDEO_{name}");
        self.tags
            .iter()
            .find(|tag| tag.0 == name)
            .map_or("", |tag| tag.1.as_str())
    }
}

/// Takes a body apart; every fragment has to come with an EBML header and tracks of its own.
fn read(body: Vec<u8>) -> Vec<Read> {
    let mut demuxer = Demuxer::new(DemuxLimits::default());
    demuxer.push(body.into());
    let mut fragments: Vec<Read> = Vec::new();
    let mut documents = 0;
    while let Some(event) = demuxer.poll().unwrap() {
        match event {
            MkvEvent::EbmlHeader(_) => {
                documents += 1;
                fragments.push(Read::default());
            }
            MkvEvent::Tags(tags) => {
                let tags = tags.into_iter().map(|tag| (tag.name, tag.value));
                fragments.last_mut().unwrap().tags.extend(tags);
            }
            MkvEvent::ClusterTimecode(timecode) => fragments.last_mut().unwrap().timecode = timecode,
            MkvEvent::Block(block) => {
                let frame = (block.track, block.timecode, block.data.to_vec());
                fragments.last_mut().unwrap().frames.push(frame);
            }
            _ => {}
        }
    }
    demuxer.finish().unwrap();
    assert_eq!(documents, fragments.len());
    fragments
}

async fn start() -> MockKvs {
    let builder = MockKvs::builder()
        .with_stream("cam", 1)
        .reader_idle(Duration::from_millis(100));
    builder.start().await.unwrap()
}

fn upload(kvs: &MockKvs, first: u64, count: u64) {
    let mut client = RawClient::connect(kvs);
    assert_eq!(client.put_media(kvs, "cam").status, 200);
    client.send_chunk(media::header(&[1]));
    for n in 0..count {
        client.send_chunk(media::fragment(T + (first + n) * 1_000));
        client.send_chunk(media::tags(&[("n", &n.to_string())]));
    }
    client.send_last_chunk();
    client.read_to_end();
}

fn get(kvs: &MockKvs, path: &str, body: &serde_json::Value) -> RawClient {
    let mut client = RawClient::connect(kvs);
    let body = body.to_string();
    let head = Request::new(path).header("content-length", body.len().to_string());
    client.send(head.signed(kvs, PayloadHash::Body(body.as_bytes())));
    client.send(&body);
    client
}

fn get_media(kvs: &MockKvs, selector: serde_json::Value) -> Vec<Read> {
    let mut client = get(
        kvs,
        "/getMedia",
        &json!({ "StreamName": "cam", "StartSelector": selector }),
    );
    let head = client.read_head();
    assert_eq!(head.status, 200);
    assert_eq!(head.header("content-type"), Some("video/webm"));
    read(client.read_to_end())
}

fn times(fragments: &[Read]) -> Vec<u64> {
    fragments
        .iter()
        .map(|fragment| (fragment.timecode - T) / 1_000)
        .collect()
}

#[tokio::test]
async fn everything_kept_is_read_back_byte_for_byte() {
    let kvs = start().await;
    upload(&kvs, 0, 3);
    let fragments = get_media(&kvs, json!({ "StartSelectorType": "EARLIEST" }));
    assert_eq!(times(&fragments), [0, 1, 2]);
    let ledger = kvs.ledger();
    for (fragment, sent) in fragments.iter().zip(ledger.stream("cam").fragments()) {
        let payloads: Vec<&[u8]> = fragment.frames.iter().map(|frame| frame.2.as_slice()).collect();
        let expected: Vec<String> = (0..3)
            .map(|i| format!("frame {}+{i}", fragment.timecode))
            .collect();
        assert_eq!(
            payloads,
            expected.iter().map(String::as_bytes).collect::<Vec<_>>()
        );
        assert_eq!(fragment.tag("FRAGMENT_NUMBER"), sent.number);
        assert_eq!(
            fragment.tag("PRODUCER_TIMESTAMP"),
            format!("{}.000", fragment.timecode / 1_000)
        );
        assert!(fragment.tag("SERVER_TIMESTAMP").contains('.'));
        // The producer's own tag comes along.
        assert_eq!(fragment.tags.last().unwrap().0, "n");
    }
    assert_eq!(fragments[2].tag("MILLIS_BEHIND_NOW"), "0");
}

#[tokio::test]
async fn every_selector_begins_where_it_says() {
    let kvs = start().await;
    upload(&kvs, 0, 4);
    let ledger = kvs.ledger();
    let numbers: Vec<&str> = ledger
        .stream("cam")
        .fragments()
        .map(|f| f.number.as_str())
        .collect();
    let second = (T + 1_000) as f64 / 1e3;
    for (selector, expected) in [
        (
            json!({ "StartSelectorType": "FRAGMENT_NUMBER", "AfterFragmentNumber": numbers[1] }),
            vec![2, 3],
        ),
        (
            json!({ "StartSelectorType": "CONTINUATION_TOKEN", "ContinuationToken": numbers[2] }),
            vec![3],
        ),
        (
            json!({ "StartSelectorType": "PRODUCER_TIMESTAMP", "StartTimestamp": second }),
            vec![1, 2, 3],
        ),
        (
            json!({ "StartSelectorType": "SERVER_TIMESTAMP", "StartTimestamp": 0 }),
            vec![0, 1, 2, 3],
        ),
        (json!({ "StartSelectorType": "NOW" }), vec![]),
    ] {
        assert_eq!(times(&get_media(&kvs, selector.clone())), expected, "{selector}");
    }
}

#[tokio::test]
async fn a_continuation_token_goes_on_without_a_gap() {
    let kvs = start().await;
    upload(&kvs, 0, 2);
    let first = get_media(&kvs, json!({ "StartSelectorType": "EARLIEST" }));
    let token = first.last().unwrap().tag("CONTINUATION_TOKEN").to_owned();
    upload(&kvs, 2, 2);
    let rest = get_media(
        &kvs,
        json!({ "StartSelectorType": "CONTINUATION_TOKEN", "ContinuationToken": token }),
    );
    assert_eq!(times(&rest), [2, 3]);
}

#[tokio::test]
async fn an_unknown_fragment_number_gets_an_error_tag() {
    let kvs = start().await;
    upload(&kvs, 0, 1);
    let selector = json!({ "StartSelectorType": "FRAGMENT_NUMBER", "AfterFragmentNumber": "42" });
    let answer = get_media(&kvs, selector);
    assert_eq!(answer.len(), 1);
    assert_eq!(answer[0].tag("ERROR_ID"), "4000");
}

#[tokio::test]
async fn a_live_reader_gets_fragments_as_they_become_whole() {
    let kvs = MockKvs::builder().with_stream("cam", 1).start().await.unwrap();
    let selector = json!({ "StreamName": "cam", "StartSelector": { "StartSelectorType": "NOW" } });
    let mut reader = get(&kvs, "/getMedia", &selector);
    assert_eq!(reader.read_head().status, 200);

    let mut producer = RawClient::connect(&kvs);
    producer.put_media(&kvs, "cam");
    producer.send_chunk([media::header(&[1]), media::fragment(T)].concat());
    producer.send_chunk(media::fragment(T + 1_000));
    assert_eq!(times(&read(reader.read_chunk().unwrap())), [0]);
    producer.send_chunk(media::end_of_fragment());
    assert_eq!(times(&read(reader.read_chunk().unwrap())), [1]);
}

#[tokio::test]
async fn media_past_the_cap_is_dropped_oldest_first_and_the_ledger_stays() {
    let builder = MockKvs::builder().with_stream("cam", 1).media_cap(800);
    let kvs = builder
        .reader_idle(Duration::from_millis(100))
        .start()
        .await
        .unwrap();
    upload(&kvs, 0, 10);
    let kept = times(&get_media(&kvs, json!({ "StartSelectorType": "EARLIEST" })));
    assert!(!kept.is_empty() && kept.len() < 10, "{kept:?}");
    assert_eq!(kept.last(), Some(&9));
    assert_eq!(kvs.ledger().stream("cam").fragments().count(), 10);
}

#[tokio::test]
async fn fragments_are_listed_in_pages_and_by_time() {
    let kvs = start().await;
    upload(&kvs, 0, 5);
    let mut client = RawClient::connect(&kvs);
    let mut listed = Vec::new();
    let mut asked = json!({ "StreamName": "cam", "MaxResults": 2 });
    loop {
        let page = client.call(&kvs, "/listFragments", &asked).json();
        listed.extend(page["Fragments"].as_array().unwrap().clone());
        match page["NextToken"].as_str() {
            Some(token) => asked["NextToken"] = token.into(),
            None => break,
        }
    }
    assert_eq!(listed.len(), 5);
    assert_eq!(
        listed[1]["ProducerTimestamp"].as_f64(),
        Some((T + 1_000) as f64 / 1e3)
    );
    assert_eq!(listed[1]["FragmentLengthInMilliseconds"], 200);
    assert!(listed[1]["FragmentSizeInBytes"].as_u64().unwrap() > 60);

    let range = json!({ "StartTimestamp": (T / 1_000) + 1, "EndTimestamp": (T / 1_000) + 3 });
    let selector = json!({ "FragmentSelectorType": "PRODUCER_TIMESTAMP", "TimestampRange": range });
    let asked = json!({ "StreamName": "cam", "FragmentSelector": selector });
    let page = client.call(&kvs, "/listFragments", &asked).json();
    assert_eq!(page["Fragments"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn a_list_of_fragments_is_read_in_the_order_asked_for() {
    let kvs = start().await;
    upload(&kvs, 0, 3);
    let ledger = kvs.ledger();
    let numbers: Vec<&str> = ledger
        .stream("cam")
        .fragments()
        .map(|f| f.number.as_str())
        .collect();
    let unknown = format!(
        "{}{}",
        &numbers[0][..46],
        (numbers[0].as_bytes()[46] - b'0' + 1) % 10
    );
    let asked = json!({ "StreamName": "cam", "Fragments": [numbers[2], numbers[0], unknown] });
    let mut client = get(&kvs, "/getMediaForFragmentList", &asked);
    assert_eq!(client.read_head().status, 200);
    let fragments = read(client.read_to_end());
    assert_eq!(times(&fragments[..2]), [2, 0]);
    assert_eq!(fragments[0].tag("FRAGMENT_NUMBER"), numbers[2]);
    assert!(!fragments[0].tag("PRODUCER_SIDE_TIMESTAMP").is_empty());
    assert_eq!(fragments[2].tag("FRAGMENT_NUMBER"), unknown);
    assert!(!fragments[2].tag("EXCEPTION_MESSAGE").is_empty());
}

#[tokio::test]
async fn wrong_requests_are_refused_with_their_exception() {
    let kvs = start().await;
    let mut client = RawClient::connect(&kvs);
    for (path, body, error) in [
        (
            "/getMedia",
            json!({ "StreamName": "cam" }),
            "InvalidArgumentException",
        ),
        (
            "/getMedia",
            json!({ "StreamName": "cam", "StartSelector": { "StartSelectorType": "LATEST" } }),
            "InvalidArgumentException",
        ),
        (
            "/getMedia",
            json!({ "StreamName": "cam", "StartSelector": { "StartSelectorType": "FRAGMENT_NUMBER" } }),
            "InvalidArgumentException",
        ),
        (
            "/getMedia",
            json!({ "StreamName": "none", "StartSelector": { "StartSelectorType": "NOW" } }),
            "ResourceNotFoundException",
        ),
        (
            "/listFragments",
            json!({ "StreamName": "cam", "MaxResults": 1_001 }),
            "InvalidArgumentException",
        ),
        (
            "/getMediaForFragmentList",
            json!({ "StreamName": "cam", "Fragments": [] }),
            "InvalidArgumentException",
        ),
        (
            "/getMediaForFragmentList",
            json!({ "StreamName": "cam", "Fragments": ["x"] }),
            "InvalidArgumentException",
        ),
    ] {
        let refused = client.call(&kvs, path, &body);
        assert_eq!(refused.header("x-amzn-errortype"), Some(error), "{path} {body}");
    }
}
