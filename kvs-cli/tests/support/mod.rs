//! Runs the real binary and, where a test needs one, a real `kvs mock` beside it.

#![allow(dead_code, reason = "each test file uses its own part")]

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

/// The credentials that mocks in these tests take.
pub(crate) const KEY: &str = "AKIDTEST";
/// The secret that belongs to [`KEY`].
pub(crate) const SECRET: &str = "test-secret";

/// The clip of the repository.
pub(crate) fn clip() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../examples/media/big-buck-bunny.mp4")
}

/// `kvs` with these arguments, and nothing of the user's own AWS settings.
pub(crate) fn kvs<I: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = I>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kvs"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("AWS_") || name == "KVS_LOG" {
            command.env_remove(name);
        }
    }
    command.env("AWS_CONFIG_FILE", "/nonexistent/config");
    command.env("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent/credentials");
    command.args(args).stdin(Stdio::null());
    command
}

/// `kvs put CLIP` with these arguments and the credentials that mocks take.
pub(crate) fn put(args: &[&str]) -> Command {
    let mut command = kvs(["put"]);
    command
        .arg(clip())
        .args(args)
        .env("AWS_ACCESS_KEY_ID", KEY)
        .env("AWS_SECRET_ACCESS_KEY", SECRET);
    command
}

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs a command to its end.
pub(crate) fn run(mut command: Command) -> Ended {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().expect("kvs starts");
    Ended {
        status: status.code().expect("kvs ends by itself"),
        stdout: String::from_utf8(stdout).expect("text"),
        stderr: String::from_utf8(stderr).expect("text"),
    }
}

impl Ended {
    /// The object in the last line of stdout.
    pub(crate) fn json(&self) -> Value {
        let last = self
            .stdout
            .lines()
            .last()
            .unwrap_or_else(|| panic!("no output: {self:?}"));
        serde_json::from_str(last).unwrap_or_else(|_| panic!("no json: {self:?}"))
    }

    /// Asserts that the run failed with this status and one clear line that holds `words`.
    pub(crate) fn assert_fails(&self, status: i32, words: &[&str]) {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.stderr.lines().count(), 1, "one line: {self:?}");
        assert!(self.stderr.starts_with("kvs: "), "{self:?}");
        for word in words {
            assert!(self.stderr.contains(word), "{word:?} in {self:?}");
        }
    }
}

/// A `kvs mock` that ends with the test.
#[derive(Debug)]
pub(crate) struct MockProcess {
    child: Child,
    stdout: BufReader<std::process::ChildStdout>,
    pub(crate) facts: Value,
}

impl MockProcess {
    /// Starts `kvs mock` on a free port.
    pub(crate) fn start(args: &[&str]) -> MockProcess {
        let mut command = kvs([
            "mock",
            "--listen",
            "127.0.0.1:0",
            "--credentials",
            &format!("{KEY}:{SECRET}"),
        ]);
        let mut child = command
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("kvs mock starts");
        let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
        let mut line = String::new();
        stdout.read_line(&mut line).expect("a first line");
        let facts = serde_json::from_str(&line).unwrap_or_else(|_| panic!("a json object: {line:?}"));
        MockProcess { child, stdout, facts }
    }

    pub(crate) fn endpoint(&self) -> &str {
        self.facts["endpoint"].as_str().expect("an endpoint")
    }

    /// Asks it to end, as a service manager does, and gives its exit status.
    #[cfg(unix)]
    pub(crate) fn terminate(self) -> i32 {
        self.end().0
    }

    /// As [`terminate`](MockProcess::terminate), with what it said on stderr, where that was taken.
    #[cfg(unix)]
    pub(crate) fn end(mut self) -> (i32, String) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill")
            .args(["-TERM", &pid])
            .status()
            .expect("kill runs");
        assert!(sent.success());
        let mut said = String::new();
        if let Some(mut stderr) = self.child.stderr.take() {
            stderr.read_to_string(&mut said).expect("text");
        }
        let status = self.child.wait().expect("it ends");
        (status.code().expect("it ends by itself"), said)
    }
}

impl Drop for MockProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
