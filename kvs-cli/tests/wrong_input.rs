//! Every wrong input: one clear line, an exit status of its own, no panic.

mod support;

use std::net::TcpListener;
use std::path::Path;

use support::{MockProcess, clip, kvs, put, run};

/// An address at which nothing listens.
fn dead_endpoint() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    format!("http://{}", listener.local_addr().expect("its address"))
}

fn put_file(path: &Path) -> support::Ended {
    let mut command = kvs(["put", "--mock"]);
    command.arg(path);
    run(command)
}

#[test]
fn a_missing_file() {
    put_file(Path::new("/nonexistent/clip.mp4")).assert_fails(3, &["no such file", "/nonexistent/clip.mp4"]);
}

#[test]
fn a_file_that_is_no_media() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notes.mp4");
    for content in ["", "these are only words, and quite a few of them"] {
        std::fs::write(&path, content).unwrap();
        put_file(&path).assert_fails(4, &["not an mp4 file", "notes.mp4"]);
    }
    put_file(directory.path()).assert_fails(4, &["it is a directory"]);
}

#[test]
fn a_file_that_is_cut_off() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("half.mp4");
    let bytes = std::fs::read(clip()).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    put_file(&path).assert_fails(4, &["cut off"]);
}

#[test]
fn a_file_without_a_supported_track() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("other.mp4");
    let mut bytes = std::fs::read(clip()).unwrap();
    let at = bytes
        .windows(8)
        .position(|w| &w[4..] == b"avc1" && w[0] == 0)
        .expect("a sample entry");
    bytes[at + 4..at + 8].copy_from_slice(b"vp09");
    std::fs::write(&path, bytes).unwrap();
    put_file(&path).assert_fails(5, &["no supported track", "vp09 video"]);
}

#[test]
fn a_stream_name_with_wrong_characters() {
    let too_long = "x".repeat(257);
    for name in ["front door", "a/b", "", &too_long] {
        run(put(&["--stream", name, "--endpoint", &dead_endpoint()])).assert_fails(6, &["name", "a-z"]);
        run(put(&["--stream", name, "--mock"])).assert_fails(6, &["name", "a-z"]);
    }
}

#[test]
fn an_endpoint_that_is_no_url() {
    for endpoint in ["not a url", "ftp://127.0.0.1:1", "127.0.0.1:1"] {
        run(put(&["--stream", "cam", "--endpoint", endpoint])).assert_fails(6, &["endpoint"]);
    }
}

#[test]
fn credentials_that_the_service_refuses() {
    let mock = MockProcess::start(&[]);
    let mut command = put(&["--stream", "cam", "--create", "--endpoint", mock.endpoint()]);
    command.env("AWS_SECRET_ACCESS_KEY", "wrong");
    run(command).assert_fails(7, &["403"]);
}

#[test]
fn an_endpoint_where_nothing_listens() {
    let endpoint = dead_endpoint();
    run(put(&["--stream", "cam", "--endpoint", &endpoint])).assert_fails(8, &["connect"]);
}

#[test]
fn a_port_that_is_in_use() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    run(kvs(["mock", "--listen", &address])).assert_fails(9, &[&address, "in use"]);
}

#[test]
fn a_stream_that_does_not_exist() {
    let mock = MockProcess::start(&[]);
    run(put(&["--stream", "cam", "--endpoint", mock.endpoint()])).assert_fails(10, &["cam", "--create"]);
}

#[test]
fn media_that_is_never_persisted() {
    let mock = MockProcess::start(&["--withhold-persisted"]);
    let args = [
        "--stream",
        "cam",
        "--create",
        "--timeout",
        "0.3",
        "--endpoint",
        mock.endpoint(),
    ];
    run(put(&args)).assert_fails(11, &["361 frames"]);
}

#[test]
fn no_credentials_at_all() {
    let mut command = put(&["--stream", "cam", "--endpoint", &dead_endpoint()]);
    command
        .env_remove("AWS_ACCESS_KEY_ID")
        .env_remove("AWS_SECRET_ACCESS_KEY");
    run(command).assert_fails(13, &["credentials"]);
}

#[test]
fn a_profile_that_does_not_exist() {
    run(put(&[
        "--stream",
        "cam",
        "--profile",
        "nobody",
        "--endpoint",
        &dead_endpoint(),
    ]))
    .assert_fails(13, &["nobody"]);
}

#[test]
fn a_ca_file_that_is_missing_or_holds_no_certificate() {
    let directory = tempfile::tempdir().unwrap();
    let empty = directory.path().join("empty.pem");
    std::fs::write(&empty, "no certificate").unwrap();
    for path in ["/nonexistent/ca.pem", empty.to_str().unwrap()] {
        run(put(&[
            "--stream",
            "cam",
            "--endpoint",
            "https://127.0.0.1:1",
            "--ca-file",
            path,
        ]))
        .assert_fails(15, &[path]);
    }
}

#[test]
fn a_certificate_that_is_not_trusted() {
    let mock = MockProcess::start(&["--https"]);
    run(put(&[
        "--stream",
        "cam",
        "--create",
        "--endpoint",
        mock.endpoint(),
    ]))
    .assert_fails(15, &["tls"]);
}

#[test]
fn wrong_usage_is_explained() {
    for args in [
        &["put"][..],
        &["put", "x.mp4"],
        &["put", "x.mp4", "--mock", "--loop", "0"],
        &["mock", "--listen", "x"],
        &["fly"],
    ] {
        let ended = run(kvs(args));
        assert_eq!(ended.status, 2, "{ended:?}");
        assert!(ended.stderr.starts_with("error: "), "{ended:?}");
    }
}

#[test]
fn help_lists_the_exit_statuses() {
    for args in [&["--help"][..], &["put", "--help"], &["mock", "--help"]] {
        let ended = run(kvs(args));
        assert_eq!(ended.status, 0, "{ended:?}");
        assert!(ended.stdout.contains("Exit status:"), "{ended:?}");
    }
}
