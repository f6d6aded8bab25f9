//! Lines on stdout and stderr. A reader that went away is no error.

use std::fmt::Display;
use std::io::Write;

use crate::error::CliError;

/// Writes a line to stdout, at once.
pub(crate) fn line(text: impl Display) {
    let mut stdout = std::io::stdout().lock();
    let _ = writeln!(stdout, "{text}").and_then(|()| stdout.flush());
}

/// Writes what people should know, and scripts need not parse, to stderr.
pub(crate) fn note(text: impl Display) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Writes an error to stderr, as one line.
pub(crate) fn error(error: &CliError) {
    let _ = writeln!(std::io::stderr().lock(), "kvs: {error}");
}
