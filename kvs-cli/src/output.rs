//! Lines on stdout and stderr.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};

use crate::error::CliError;

/// Writes a line to stdout, at once. A reader that went away has seen what it wanted, and is no error.
///
/// # Errors
/// Where it can't be written for another reason, such as a full disk.
pub(crate) fn line(text: impl Display) -> Result<(), CliError> {
    match write(&text) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(unwritable(&error)),
        _ => Ok(()),
    }
}

/// Writes a line to stdout that somebody has to read, at once.
///
/// # Errors
/// Where it can't be written, for whatever reason.
pub(crate) fn announce(text: impl Display) -> Result<(), CliError> {
    write(&text).map_err(|error| unwritable(&error))
}

fn write(text: &dyn Display) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{text}").and_then(|()| stdout.flush())
}

fn unwritable(error: &io::Error) -> CliError {
    CliError::unexpected(format!("can't write to stdout: {error}"))
}

/// Writes a warning to stderr, as one line.
pub(crate) fn warning(text: impl Display) {
    let _ = writeln!(io::stderr().lock(), "kvs: warning: {text}");
}

/// Writes what people should know, and scripts need not parse, to stderr.
pub(crate) fn note(text: impl Display) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Writes an error to stderr, as one line.
pub(crate) fn error(error: &CliError) {
    let _ = writeln!(io::stderr().lock(), "kvs: {error}");
}
