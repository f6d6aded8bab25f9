//! `kvs load`, against a mock of its own.

mod support;

use support::{KEY, MockProcess, SECRET, kvs, run};

const KEYS: [&str; 18] = [
    "streams",
    "frames",
    "bytes",
    "persisted_fragments",
    "dropped_frames",
    "mb_per_s",
    "cpu_s",
    "generator_cpu_s",
    "cpu_s_per_gb",
    "cpu_s_per_stream_min",
    "put_p50_us",
    "put_p99_us",
    "wire_p50_ms",
    "wire_p99_ms",
    "ack_p50_ms",
    "ack_p99_ms",
    "rss_mb",
    "first_persisted_ms",
];

fn load(mock: &MockProcess, args: &[&str]) -> support::Ended {
    let mut command = kvs(["load", "--endpoint", mock.endpoint(), "--seconds", "1", "--json"]);
    command
        .args(args)
        .env("AWS_ACCESS_KEY_ID", KEY)
        .env("AWS_SECRET_ACCESS_KEY", SECRET);
    run(command)
}

#[test]
fn paced_streams_deliver_every_frame_and_tell_what_it_cost() {
    let mock = MockProcess::start(&[]);
    let ended = load(
        &mock,
        &[
            "--streams",
            "4",
            "--fps",
            "50",
            "--frame-bytes",
            "1000",
            "--annexb",
        ],
    );
    assert_eq!(ended.status, 0, "{ended:?}");
    let json = ended.json();
    for key in KEYS {
        assert!(json[key].is_number(), "{key}: {json}");
    }
    assert_eq!(json["streams"], 4);
    assert_eq!(json["dropped_frames"], 0);
    assert!(json["frames"].as_u64().is_some_and(|frames| frames > 4), "{json}");
    assert!(
        json["persisted_fragments"]
            .as_u64()
            .is_some_and(|fragments| fragments >= 4),
        "{json}"
    );
}

#[test]
fn flat_out_is_bounded_by_acknowledgements() {
    let mock = MockProcess::start(&[]);
    let ended = load(
        &mock,
        &["--fps", "0", "--frame-bytes", "20000", "--buffer-mb", "8"],
    );
    assert_eq!(ended.status, 0, "{ended:?}");
    assert_eq!(ended.json()["dropped_frames"], 0);
}
