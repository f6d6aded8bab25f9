//! `kvs mock` as a server.

mod support;

use support::{KEY, MockProcess, SECRET, kvs, put, run};

#[test]
fn the_first_line_says_where_it_is_and_whom_it_trusts() {
    let mock = MockProcess::start(&["--region", "eu-central-1"]);
    assert!(mock.endpoint().starts_with("http://127.0.0.1:"), "{}", mock.facts);
    assert_eq!(mock.facts["region"], "eu-central-1");
    assert_eq!(mock.facts["access_key_id"], KEY);
    assert!(!mock.facts.to_string().contains(SECRET));
}

#[test]
fn several_pairs_of_credentials_are_taken() {
    let mock = MockProcess::start(&["--credentials", "AKIDOTHER:other:secret"]);
    let mut command = put(&["--stream", "cam", "--create", "--endpoint", mock.endpoint()]);
    command
        .env("AWS_ACCESS_KEY_ID", "AKIDOTHER")
        .env("AWS_SECRET_ACCESS_KEY", "other:secret");
    let ended = run(command);
    assert_eq!(ended.status, 0, "{ended:?}");
}

#[cfg(unix)]
#[test]
fn it_ends_in_good_order_when_asked() {
    assert_eq!(MockProcess::start(&[]).terminate(), 0);
}

/// The arguments of an upload of the clip to this mock.
fn upload(mock: &MockProcess) -> support::Ended {
    run(put(&["--stream", "cam", "--endpoint", mock.endpoint(), "--json"]))
}

#[cfg(unix)]
mod script {
    use super::*;

    /// A mock that follows a script.
    fn scripted(folder: &tempfile::TempDir, file: &str, script: &str) -> MockProcess {
        let path = folder.path().join(file);
        std::fs::write(&path, script).expect("a file");
        MockProcess::start(&["--script", path.to_str().expect("text")])
    }

    const RESET: &str = r#"
        [[stream]]
        name = "cam"

        [[fault]]
        stream = "cam"
        nth = 1
        at = { after_fragment = 2 }
        effect = "reset"
        times = 1

        [[expect]]
        stream = "cam"
        sessions = 2
        persisted = 5
    "#;

    #[test]
    fn a_script_brings_streams_and_faults_and_is_met() {
        let folder = tempfile::tempdir().expect("a folder");
        let mock = scripted(&folder, "reset.toml", RESET);
        let ended = upload(&mock);
        assert_eq!(ended.status, 0, "{ended:?}");
        assert_eq!(ended.json()["sessions"], 2);
        assert_eq!(mock.end(), (0, String::new()));
    }

    #[test]
    fn expectations_that_are_not_met_have_an_exit_status_and_show_what_took_place() {
        let folder = tempfile::tempdir().expect("a folder");
        let script = r#"{"stream": [{"name": "cam"}], "expect": [{"stream": "cam", "refused": 1}]}"#;
        let mock = scripted(&folder, "refusal.JSON", script);
        let ended = upload(&mock);
        assert_eq!(ended.status, 0, "{ended:?}");
        let (status, said) = mock.end();
        assert_eq!(status, 17, "{said}");
        assert!(said.contains("expected 1 refused fragments and not 0"), "{said}");
        assert!(said.lines().count() > 5, "the conversation: {said}");
        let last = "kvs: what the script expects did not happen";
        assert_eq!(said.lines().last(), Some(last));
    }
}

#[test]
fn a_script_that_is_none_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("wrong.toml");
    std::fs::write(&path, "[[fault]]\neffect = \"explode\"\n").expect("a file");
    for file in [path.as_os_str(), "/nonexistent/script.toml".as_ref()] {
        let mut command = kvs(["mock", "--script"]);
        command.arg(file);
        run(command).assert_fails(6, &[&file.to_string_lossy()]);
    }
}

#[cfg(unix)]
#[test]
fn streams_outlive_the_process_in_a_state_directory() {
    let folder = tempfile::tempdir().expect("a folder");
    let directory = folder.path().to_str().expect("text");
    let first = MockProcess::start(&["--state-dir", directory]);
    let ended = run(put(&[
        "--stream",
        "cam",
        "--create",
        "--endpoint",
        first.endpoint(),
    ]));
    assert_eq!(ended.status, 0, "{ended:?}");
    assert_eq!(first.terminate(), 0);

    let second = MockProcess::start(&["--state-dir", directory]);
    // Without --create: the stream is there.
    let ended = upload(&second);
    assert_eq!(ended.status, 0, "{ended:?}");
}

#[test]
fn quotas_are_kept_where_they_are_asked_for() {
    // 100 frames per second make fragments that last less than the second that the service asks for.
    let dropped = |mock: &MockProcess| {
        let mut command = kvs(["load", "--endpoint", mock.endpoint(), "--fps", "100"]);
        command
            .args(["--frame-bytes", "500", "--seconds", "1", "--json"])
            .env("AWS_ACCESS_KEY_ID", KEY)
            .env("AWS_SECRET_ACCESS_KEY", SECRET);
        run(command).json()["dropped_frames"].clone()
    };
    assert_eq!(dropped(&MockProcess::start(&[])), 0);
    assert_ne!(dropped(&MockProcess::start(&["--quotas"])), 0);
}

#[test]
fn a_certificate_of_ones_own_is_served() {
    let folder = tempfile::tempdir().expect("a folder");
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
    let (cert, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    std::fs::write(&cert, made.cert.pem()).expect("a file");
    std::fs::write(&key, made.signing_key.serialize_pem()).expect("a file");
    let (cert, key) = (cert.to_str().expect("text"), key.to_str().expect("text"));

    let mock = MockProcess::start(&["--cert", cert, "--key", key]);
    assert!(mock.endpoint().starts_with("https://"), "{}", mock.facts);
    let to_it = ["--stream", "cam", "--create", "--endpoint", mock.endpoint()];
    let ended = run(put(&[&to_it[..], &["--ca-file", cert]].concat()));
    assert_eq!(ended.status, 0, "{ended:?}");
    run(put(&to_it)).assert_fails(15, &[]);

    run(kvs(["mock", "--cert", key, "--key", cert])).assert_fails(15, &["key.pem"]);
}
