//! Media in a spool: what one run leaves, `kvs spool` shows and `kvs put --resume` delivers.

mod support;

use support::{KEY, MockProcess, SECRET, kvs, put, run};

#[test]
fn what_a_run_leaves_is_listed_verified_exported_and_delivered_by_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let spool = dir.path().join("spool");
    let spool = spool.to_str().unwrap();

    let silent = MockProcess::start(&["--withhold-persisted"]);
    let at = ["--stream", "cam", "--create", "--endpoint", silent.endpoint()];
    let ended = run(put(
        &[&at[..], &["--spool", spool, "--timeout", "1", "--json"]].concat()
    ));
    assert_eq!(ended.status, 11, "{ended:?}");
    drop(silent);

    let listed = run(kvs(["spool", "ls", spool, "--json"]));
    assert_eq!(listed.status, 0, "{listed:?}");
    assert_eq!(listed.json()["stream"], "cam");
    assert_eq!(listed.json()["frames"], 361);
    assert_eq!(listed.json()["fragments"], 5);
    let verified = run(kvs(["spool", "verify", spool, "--json"]));
    assert_eq!(verified.status, 0, "{verified:?}");
    assert_eq!(verified.json()["whole_frames"], 361);
    let file = dir.path().join("left.mkv");
    let exported = run(kvs([
        "spool",
        "export",
        spool,
        "--stream",
        "cam",
        "--out",
        file.to_str().unwrap(),
    ]));
    assert_eq!(exported.status, 0, "{exported:?}");
    assert!(std::fs::metadata(&file).unwrap().len() > 500_000);
    let unknown = run(kvs([
        "spool", "export", spool, "--stream", "other", "--out", "x.mkv",
    ]));
    unknown.assert_fails(10, &["other"]);

    let mock = MockProcess::start(&[]);
    let mut resume = kvs([
        "put",
        "--resume",
        spool,
        "--create",
        "--endpoint",
        mock.endpoint(),
        "--json",
    ]);
    resume
        .env("AWS_ACCESS_KEY_ID", KEY)
        .env("AWS_SECRET_ACCESS_KEY", SECRET);
    let resumed = run(resume);
    assert_eq!(resumed.status, 0, "{resumed:?}");
    let json = resumed.json();
    assert_eq!(json["stream"], "cam");
    assert_eq!(json["frames_in"], 361);
    assert_eq!(json["fragments_persisted"], 5);
    let empty = run(kvs(["spool", "ls", spool, "--json"]));
    assert_eq!(empty.json()["fragments"], 0, "{empty:?}");
}

#[test]
fn a_spool_that_is_no_directory_is_one_clear_line() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let ended = run(kvs(["spool", "ls", file.path().to_str().unwrap()]));
    ended.assert_fails(16, &[]);
}
