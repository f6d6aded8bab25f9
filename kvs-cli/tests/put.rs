//! `kvs put`, end to end over real sockets.

mod support;

use support::{MockProcess, put, run};

const KEYS: [&str; 11] = [
    "stream",
    "frames_in",
    "frames_dropped",
    "fragments_sent",
    "fragments_received",
    "fragments_persisted",
    "bytes",
    "sessions",
    "first_ack_ms",
    "first_persisted_ms",
    "seconds",
];

#[test]
fn the_clip_goes_up_to_the_embedded_mock_and_comes_back_equal() {
    let ended = run(put(&["--mock", "--json"]));
    assert_eq!(ended.status, 0, "{ended:?}");
    let json = ended.json();
    for key in KEYS {
        assert!(!json[key].is_null(), "{key}: {json}");
    }
    assert_eq!(json["frames_in"], 361);
    assert_eq!(json["frames_dropped"], 0);
    assert_eq!(json["fragments_sent"], 5);
    assert_eq!(json["fragments_received"], 5);
    assert_eq!(json["fragments_persisted"], 5);
    assert_eq!(json["sessions"], 1);
    assert_eq!(json["frames_verified"], 361);
}

#[test]
fn people_get_a_summary() {
    let ended = run(put(&["--mock"]));
    assert_eq!(ended.status, 0, "{ended:?}");
    for line in [
        "361 in, 361 delivered, 0 dropped",
        "5 sent, 5 received, 5 persisted",
        "equal byte for byte",
    ] {
        assert!(ended.stdout.contains(line), "{line:?} in {ended:?}");
    }
}

#[test]
fn repeated_passes_go_on_in_time_without_loss() {
    let ended = run(put(&["--mock", "--json", "--loop", "3"]));
    assert_eq!(ended.status, 0, "{ended:?}");
    let json = ended.json();
    assert_eq!(json["frames_verified"], 3 * 361);
    assert_eq!(json["fragments_persisted"], 15);
    assert_eq!(json["sessions"], 1);
}

#[test]
fn a_stream_that_keeps_nothing_is_delivered_when_it_is_received() {
    let ended = run(put(&["--mock", "--json", "--retention", "0"]));
    assert_eq!(ended.status, 0, "{ended:?}");
    let json = ended.json();
    assert_eq!(json["fragments_received"], 5);
    assert_eq!(json["fragments_persisted"], 0);
    assert!(json["first_persisted_ms"].is_null());
}

#[test]
fn the_clip_goes_up_to_a_server() {
    let mock = MockProcess::start(&[]);
    let ended = run(put(&[
        "--stream",
        "cam",
        "--create",
        "--verify",
        "--json",
        "--endpoint",
        mock.endpoint(),
    ]));
    assert_eq!(ended.status, 0, "{ended:?}");
    assert_eq!(ended.json()["frames_verified"], 361);
}

#[test]
fn a_second_upload_to_the_same_stream_is_told_from_the_first() {
    let mock = MockProcess::start(&[]);
    let args = [
        "--stream",
        "cam",
        "--create",
        "--verify",
        "--json",
        "--endpoint",
        mock.endpoint(),
    ];
    for _ in 0..2 {
        let ended = run(put(&args));
        assert_eq!(ended.status, 0, "{ended:?}");
        assert_eq!(ended.json()["frames_verified"], 361);
    }
}

#[test]
fn tls_works_with_the_ca_file_of_the_server() {
    let mock = MockProcess::start(&["--https"]);
    assert!(mock.endpoint().starts_with("https://"));
    let directory = tempfile::tempdir().unwrap();
    let ca = directory.path().join("ca.pem");
    std::fs::write(&ca, mock.facts["ca_pem"].as_str().unwrap()).unwrap();
    let args = [
        "--stream",
        "cam",
        "--create",
        "--verify",
        "--json",
        "--endpoint",
        mock.endpoint(),
    ];
    let mut command = put(&args);
    command.arg("--ca-file").arg(&ca);
    let ended = run(command);
    assert_eq!(ended.status, 0, "{ended:?}");
    assert_eq!(ended.json()["frames_verified"], 361);
}

#[test]
fn a_reset_connection_costs_nothing() {
    for fault in [
        ["--reset-after-fragments", "2"],
        ["--reset-after-bytes", "300000"],
    ] {
        let mock = MockProcess::start(&fault);
        let ended = run(put(&[
            "--stream",
            "cam",
            "--create",
            "--verify",
            "--json",
            "--endpoint",
            mock.endpoint(),
        ]));
        assert_eq!(ended.status, 0, "{ended:?}");
        let json = ended.json();
        assert_eq!(json["sessions"], 2, "{json}");
        assert_eq!(json["frames_verified"], 361, "{json}");
    }
}

#[test]
fn one_refusal_is_overcome() {
    let mock = MockProcess::start(&["--refuse-once"]);
    let ended = run(put(&[
        "--stream",
        "cam",
        "--create",
        "--verify",
        "--json",
        "--endpoint",
        mock.endpoint(),
    ]));
    assert_eq!(ended.status, 0, "{ended:?}");
}

#[test]
fn acknowledgements_may_come_byte_by_byte() {
    let mock = MockProcess::start(&["--split-acks"]);
    let ended = run(put(&[
        "--stream",
        "cam",
        "--create",
        "--json",
        "--endpoint",
        mock.endpoint(),
    ]));
    assert_eq!(ended.status, 0, "{ended:?}");
}

#[test]
fn a_fragment_that_is_refused_once_goes_up_again() {
    let mock = MockProcess::start(&["--error-at-fragment", "3:4006"]);
    let ended = run(put(&[
        "--stream",
        "cam",
        "--create",
        "--verify",
        "--json",
        "--endpoint",
        mock.endpoint(),
    ]));
    assert_eq!(ended.status, 0, "{ended:?}");
    assert_eq!(ended.json()["sessions"], 2);
    assert_eq!(ended.json()["frames_verified"], 361);
}
