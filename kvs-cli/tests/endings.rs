//! However an upload ends, it says what happened: the summary where a stream was opened, one line per error.

#![allow(clippy::unwrap_used)] // outside test functions too: a wrong set-up is a failed test

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Stdio;

use support::{Ended, MockProcess, clip, put, run};

/// Asks the mock something by its admin interface.
fn ask(mock: &MockProcess, command: &str, body: &str) -> String {
    let address = mock.endpoint().trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).unwrap();
    let length = body.len();
    let request = format!(
        "POST / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nX-Kvs-Mock-Command: {command}\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// A copy of the clip, changed.
fn changed_clip(path: &Path, change: impl FnOnce(&mut [u8])) {
    let mut bytes = std::fs::read(clip()).unwrap();
    change(&mut bytes);
    std::fs::write(path, bytes).unwrap();
}

fn put_file(path: &Path, args: &[&str]) -> Ended {
    let mut command = support::kvs(["put"]);
    command.arg(path).args(args);
    run(command)
}

#[cfg(unix)]
#[test]
fn an_interrupted_upload_tells_what_it_delivered() {
    let mock = MockProcess::start(&["--withhold-persisted"]);
    let endpoint = mock.endpoint();
    let args = ["--stream", "cam", "--create", "--json", "--endpoint", endpoint];
    let child = put(&args)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    while !ask(&mock, "ledger", "").contains("\"timecode\"") {
        std::thread::yield_now();
    }
    let pid = child.id().to_string();
    let sent = std::process::Command::new("kill").args(["-INT", &pid]).status();
    assert!(sent.unwrap().success());
    let output = child.wait_with_output().unwrap();
    let ended = Ended {
        status: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    };
    ended.assert_fails(130, &["interrupted"]);
    let json = ended.json();
    assert!(json["frames_in"].as_u64() > Some(0), "{json}");
    assert_eq!(json["frames_delivered"], 0, "{json}");
}

#[test]
fn a_file_that_turns_bad_half_way_tells_what_was_delivered_before() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("bad.mp4");
    changed_clip(&path, |bytes| {
        let (from, to) = (bytes.len() / 2, bytes.len() / 2 + 100_000);
        bytes[from..to].fill(0xff);
    });
    let ended = put_file(&path, &["--mock", "--json"]);
    ended.assert_fails(11, &["invalid frame"]);
    let json = ended.json();
    assert!(json["fragments_persisted"].as_u64() > Some(0), "{json}");
}

#[test]
fn a_stream_that_is_known_to_keep_nothing_is_not_verified() {
    let mock = MockProcess::start(&[]);
    let at = ["--stream", "cam", "--endpoint", mock.endpoint()];
    let made = run(put(&[&at[..], &["--create", "--retention", "0"]].concat()));
    assert_eq!(made.status, 0, "{made:?}");
    let ended = run(put(&[&at[..], &["--verify"]].concat()));
    ended.assert_fails(6, &["cam", "keeps nothing", "--verify"]);
}

#[test]
fn a_track_that_cannot_be_sent_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mp3.mp4");
    changed_clip(&path, |bytes| {
        let esds = bytes.windows(4).position(|window| window == b"esds").unwrap();
        // The object type of AAC and the stream type of audio, side by side in the decoder's configuration.
        let object_type = bytes[esds..]
            .windows(2)
            .position(|pair| pair == [0x40, 0x15])
            .unwrap();
        bytes[esds + object_type] = 0x6b;
    });
    let ended = put_file(&path, &["--mock", "--json"]);
    assert_eq!(ended.status, 0, "{ended:?}");
    assert_eq!(ended.json()["tracks_skipped"], 1);
    assert_eq!(ended.json()["frames_verified"], 125);
    assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
    for word in ["warning", "track 2", "mp3 audio", "not supported"] {
        assert!(ended.stderr.contains(word), "{word:?} in {ended:?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn output_that_cannot_be_written_is_an_error() {
    let full = || Stdio::from(std::fs::File::options().write(true).open("/dev/full").unwrap());
    let mut commands = [put(&["--mock", "--json"]), support::kvs(["mock"])];
    for command in &mut commands {
        let output = command.stdout(full()).stderr(Stdio::piped()).spawn().unwrap();
        let output = output.wait_with_output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(stderr.starts_with("kvs: can't write to stdout: "), "{stderr}");
    }
}

#[test]
fn what_was_received_and_never_persisted_is_said_so() {
    let mock = MockProcess::start(&["--withhold-persisted"]);
    let endpoint = mock.endpoint();
    let args = [
        "--stream",
        "cam",
        "--create",
        "--timeout",
        "0.3",
        "--endpoint",
        endpoint,
    ];
    run(put(&args)).assert_fails(11, &["361 frames", "received but never persisted"]);
}

#[test]
fn media_refused_for_good_ends_before_the_timeout() {
    let mock = MockProcess::start(&[]);
    let refusal =
        r#"{"faults": [{"effect": {"refuse": {"status": 403, "error_type": "AccessDeniedException"}}}]}"#;
    ask(&mock, "add-faults", refusal);
    let endpoint = mock.endpoint();
    let args = [
        "--stream",
        "cam",
        "--create",
        "--timeout",
        "3600",
        "--json",
        "--endpoint",
        endpoint,
    ];
    let ended = run(put(&args));
    ended.assert_fails(7, &["AccessDeniedException"]);
    assert_eq!(ended.json()["sessions"], 0);
}

#[test]
fn tls_and_plain_http_that_meet_are_a_broken_protocol() {
    let plain = MockProcess::start(&[]);
    let endpoint = plain.endpoint().replace("http://", "https://");
    run(put(&["--stream", "cam", "--endpoint", &endpoint])).assert_fails(14, &["does not speak tls"]);

    let secure = MockProcess::start(&["--https"]);
    let endpoint = secure.endpoint().replace("https://", "http://");
    run(put(&["--stream", "cam", "--endpoint", &endpoint])).assert_fails(14, &["protocol"]);
}
