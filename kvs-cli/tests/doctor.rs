//! `kvs doctor --conformance`.

mod support;

use support::{Ended, KEY, MockProcess, SECRET, kvs, run};

/// A check of a mock in a process of its own.
fn doctor(mock: &MockProcess, args: &[&str]) -> Ended {
    let mut command = kvs(["doctor", "--conformance", "--endpoint", mock.endpoint()]);
    command
        .args(args)
        .env("AWS_ACCESS_KEY_ID", KEY)
        .env("AWS_SECRET_ACCESS_KEY", SECRET);
    run(command)
}

#[test]
fn the_embedded_mock_passes_every_case() {
    let ended = run(kvs(["doctor", "--conformance"]));
    assert_eq!(ended.status, 0, "{ended:?}");
    let lines: Vec<&str> = ended.stdout.lines().collect();
    let (last, cases) = lines.split_last().expect("lines");
    assert!(cases.len() > 20, "{ended:?}");
    assert!(cases.iter().all(|line| line.starts_with("pass  ")), "{ended:?}");
    let sentence = "pass  timecode_order: a cluster before the last one is refused with 4004 (PutMedia)";
    assert!(cases.contains(&sentence), "{ended:?}");
    assert!(
        last.starts_with(&format!("{} passed, 0 failed", cases.len())),
        "{last}"
    );
}

#[test]
fn a_case_that_fails_is_named_and_decides_the_exit_status() {
    let mock = MockProcess::start(&["--withhold-persisted"]);
    let ended = doctor(&mock, &["--json"]);
    ended.assert_fails(18, &["2 of ", " cases failed"]);
    let json = ended.json();
    assert_eq!(json["failed"], 2);
    let failed: Vec<&serde_json::Value> = json["cases"]
        .as_array()
        .expect("cases")
        .iter()
        .filter(|case| case["passed"] == false)
        .collect();
    assert_eq!(failed.len(), 2);
    assert_eq!(failed[0]["name"], "ack_order");
    assert!(failed[0]["instead"].is_string(), "{json}");
}

#[test]
fn the_stream_it_made_is_deleted() {
    let mock = MockProcess::start(&[]);
    let ended = doctor(&mock, &["--json"]);
    assert_eq!(ended.status, 0, "{ended:?}");
    let json = ended.json();
    let last = json["cases"].as_array().and_then(|cases| cases.last());
    assert_eq!(last.expect("cases")["name"], "delete_stream");
    let stream = json["stream"].as_str().expect("a name");
    let put = support::put(&["--stream", stream, "--endpoint", mock.endpoint()]);
    run(put).assert_fails(10, &["no such stream"]);
}

#[test]
fn the_real_service_is_not_checked_without_being_asked_for() {
    let endpoint = "https://kinesisvideo.us-west-2.amazonaws.com";
    run(kvs(["doctor", "--conformance", "--endpoint", endpoint])).assert_fails(6, &["--live"]);
}

#[test]
fn an_endpoint_that_is_not_there_is_no_matter_of_conformance() {
    let mut command = kvs(["doctor", "--conformance", "--endpoint", "http://127.0.0.1:1"]);
    command
        .env("AWS_ACCESS_KEY_ID", KEY)
        .env("AWS_SECRET_ACCESS_KEY", SECRET);
    run(command).assert_fails(8, &[]);
}

#[test]
fn credentials_that_are_refused_are_no_matter_of_conformance() {
    let mock = MockProcess::start(&[]);
    let mut command = kvs(["doctor", "--conformance", "--endpoint", mock.endpoint()]);
    command
        .env("AWS_ACCESS_KEY_ID", KEY)
        .env("AWS_SECRET_ACCESS_KEY", "another");
    run(command).assert_fails(7, &[]);
}

#[test]
fn what_to_check_has_to_be_said() {
    let ended = run(kvs(["doctor"]));
    assert_eq!(ended.status, 2, "{ended:?}");
    assert!(ended.stderr.contains("--conformance"), "{ended:?}");
}

#[cfg(unix)]
#[test]
fn an_interrupted_check_deletes_its_stream_too() {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};

    let mock = MockProcess::start(&[]);
    // At the pace for the real service the check is far from its end when the first case is out.
    let mut check = kvs(["doctor", "--conformance", "--live", "--endpoint", mock.endpoint()])
        .env("AWS_ACCESS_KEY_ID", KEY)
        .env("AWS_SECRET_ACCESS_KEY", SECRET)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("kvs starts");
    let mut lines = BufReader::new(check.stdout.take().expect("piped")).lines();
    let first = lines.next().expect("a case").expect("text");
    assert!(first.starts_with("pass  create_stream"), "{first}");

    let sent = Command::new("kill")
        .args(["-TERM", &check.id().to_string()])
        .status();
    assert!(sent.expect("kill runs").success());
    let rest: Vec<String> = lines.map(|line| line.expect("text")).collect();
    assert_eq!(check.wait().expect("it ends").code(), Some(130));
    assert!(rest.len() < 20, "{rest:?}");
    assert!(
        rest.iter().any(|line| line.starts_with("pass  delete_stream")),
        "{rest:?}"
    );
}
