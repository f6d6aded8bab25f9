//! Limits on rates, in virtual time.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::time::Duration;

use common::media;
use kvs_mkv::Timestamp;
use kvs_testkit::service::{
    ConnectionId, GetMediaRequest, Operation, PutMediaRequest, Quotas, Service, ServiceConfig, StartSelector,
    StreamSelector, TimecodeType,
};

const T: u64 = 1_700_000_000_000;

fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis((T + millis) as i64)
}

fn service() -> Service {
    let mut config = ServiceConfig::default();
    config.quotas = Some(Quotas::default());
    let mut service = Service::new(config);
    service.ensure_stream("cam", 1, at(0));
    service
}

fn put(service: &mut Service, millis: u64) -> Result<ConnectionId, String> {
    let request = PutMediaRequest {
        stream: StreamSelector::Name("cam".into()),
        timecodes: TimecodeType::Absolute,
        start_timestamp: None,
        acks_required: true,
    };
    let opened = service.open_put_media(&request, at(millis));
    opened
        .map(|opened| opened.connection)
        .map_err(|error| error.type_name().to_owned())
}

#[test]
fn the_sixth_call_within_a_second_is_throttled() {
    let mut service = service();
    let describe = |service: &mut Service, millis| {
        service.call(
            Operation::DescribeStream,
            br#"{"StreamName":"cam"}"#,
            "",
            at(millis),
        )
    };
    for n in 0..5 {
        assert_eq!(describe(&mut service, n * 100).status, 200);
    }
    let throttled = describe(&mut service, 900);
    assert_eq!(
        throttled.error_type.as_deref(),
        Some("ClientLimitExceededException")
    );
    // Another operation has its own count, and time heals.
    let tags = service.call(
        Operation::ListTagsForStream,
        br#"{"StreamName":"cam"}"#,
        "",
        at(900),
    );
    assert_eq!(tags.status, 200);
    assert_eq!(describe(&mut service, 2_000).status, 200);
}

#[test]
fn put_media_requests_are_limited() {
    let mut service = service();
    for n in 0..5 {
        let id = put(&mut service, n).unwrap();
        service.connection_lost(id, at(n));
    }
    assert_eq!(
        put(&mut service, 10),
        Err("ClientLimitExceededException".to_owned())
    );
    assert!(put(&mut service, 1_100).is_ok());
}

#[test]
fn a_body_is_read_at_the_byte_rate() {
    let mut service = service();
    let id = put(&mut service, 0).unwrap();
    let mut read = 0;
    for step in 0..=100 {
        let now = at(step * 10);
        service.advance(now);
        let wanted = service.wants(id, now);
        read += wanted;
        if wanted > 0 {
            // A block that never ends, which stays within the fragment's 50 MB.
            let bytes = if step == 1 {
                endless_block(wanted)
            } else {
                vec![0; wanted]
            };
            service.put_media_data(id, bytes.into(), now);
        }
    }
    assert!(
        (12_000_000..=12_600_000).contains(&read),
        "{read} bytes in a second"
    );
}

/// The beginning of a session whose first frame has no end in sight.
fn endless_block(length: usize) -> Vec<u8> {
    let mut bytes = [media::header(&[1]), media::cluster(T)].concat();
    // SimpleBlock, 40 MB in a size of four bytes.
    bytes.extend_from_slice(&[0xa3]);
    bytes.extend_from_slice(&(0x1000_0000_u32 | 40_000_000).to_be_bytes());
    bytes.resize(length.max(bytes.len()), 0);
    bytes.truncate(length);
    bytes
}

#[test]
fn fragments_that_come_too_fast_are_read_later() {
    let mut service = service();
    let id = put(&mut service, 0).unwrap();
    service.put_media_data(id, media::header(&[1]).into(), at(0));
    for n in 0..5 {
        let now = at(100 + n * 10);
        assert!(service.wants(id, now) > 0);
        service.put_media_data(id, media::fragment(T + n * 1_000).into(), now);
    }
    let now = at(150);
    service.put_media_data(id, media::fragment(T + 5_000).into(), now);
    assert_eq!(service.wants(id, at(160)), 0);
    service.advance(at(1_100));
    assert!(service.wants(id, at(1_100)) > 0);
}

#[test]
fn a_fourth_reader_is_refused() {
    let mut service = service();
    let mut open = |millis| {
        let request = GetMediaRequest {
            stream: StreamSelector::Name("cam".into()),
            start: StartSelector::Now,
        };
        service
            .open_get_media(&request, at(millis))
            .map_err(|error| error.type_name().to_owned())
    };
    for n in 0..3 {
        assert!(open(n).is_ok());
    }
    assert_eq!(open(4), Err("ConnectionLimitExceededException".to_owned()));
}

#[test]
fn nothing_is_limited_unless_asked_for() {
    let mut service = Service::new(ServiceConfig::default());
    service.ensure_stream("cam", 1, at(0));
    for _ in 0..1_000 {
        let reply = service.call(Operation::DescribeStream, br#"{"StreamName":"cam"}"#, "", at(0));
        assert_eq!(reply.status, 200);
    }
    let id = put(&mut service, 0).unwrap();
    assert_eq!(service.wants(id, at(0)), usize::MAX);
    assert_eq!(
        service.next_timeout(),
        Some(at(0).saturating_add(Duration::from_secs(15)))
    );
}
