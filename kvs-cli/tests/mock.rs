//! `kvs mock` as a server.

mod support;

use support::{KEY, MockProcess, put, run};

#[test]
fn the_first_line_says_where_it_is_and_whom_it_trusts() {
    let mock = MockProcess::start(&["--region", "eu-central-1"]);
    assert!(mock.endpoint().starts_with("http://127.0.0.1:"), "{}", mock.facts);
    assert_eq!(mock.facts["region"], "eu-central-1");
    assert_eq!(mock.facts["access_key_id"], KEY);
    assert!(!mock.facts.to_string().contains(support::SECRET));
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
