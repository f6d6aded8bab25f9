//! What can go wrong, and the exit status that says so.

use std::fmt;
use std::process::ExitCode;

use crate::mp4::{Mp4Error, Mp4ErrorKind};

/// The table of exit statuses, as `--help` prints it.
pub(crate) const EXIT_STATUS_HELP: &str = "\
Exit status:
    0  everything was delivered and, where it was read back, equal
    1  an unexpected failure
    2  wrong usage
    3  the input file is missing or can't be read
    4  the input is not an MP4 file, or a damaged one
    5  the input has no supported track
    6  the stream's name, or another argument, is not valid
    7  the credentials were refused
    8  the endpoint can't be reached
    9  the address to listen on is in use, or not ours
   10  the stream doesn't exist (see --create)
   11  not everything was delivered
   12  what was read back differs from what was sent
   13  no credentials were found
   14  the service refused for another reason
   15  a CA file, certificate or key can't be used, or the peer's certificate isn't trusted
   16  the spool directory can't be used, or holds damage
   17  what the mock's script expects did not happen
   18  the endpoint failed a case of the conformance check
  130  interrupted";

/// A class of failure; its number is the exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Failure {
    Unexpected = 1,
    InputMissing = 3,
    NotMedia = 4,
    NoSupportedTrack = 5,
    InvalidArgument = 6,
    CredentialsRefused = 7,
    Unreachable = 8,
    AddressUnavailable = 9,
    StreamNotFound = 10,
    NotDelivered = 11,
    Mismatch = 12,
    NoCredentials = 13,
    Refused = 14,
    Tls = 15,
    Spool = 16,
    Unmet = 17,
    NotConformant = 18,
    Interrupted = 130,
}

impl From<Failure> for ExitCode {
    fn from(failure: Failure) -> ExitCode {
        ExitCode::from(failure as u8)
    }
}

/// Why the command failed: its class, and one line for people.
#[derive(Debug)]
pub(crate) struct CliError {
    failure: Failure,
    message: String,
}

impl CliError {
    pub(crate) fn new(failure: Failure, message: impl fmt::Display) -> CliError {
        CliError {
            failure,
            message: message.to_string(),
        }
    }

    pub(crate) fn unexpected(error: impl fmt::Display) -> CliError {
        CliError::new(Failure::Unexpected, error)
    }

    pub(crate) fn failure(&self) -> Failure {
        self.failure
    }

    /// Whether it is a reason to end an upload before its time.
    pub(crate) fn is_early(&self) -> bool {
        matches!(self.failure, Failure::Interrupted | Failure::CredentialsRefused)
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Messages of peers and files may hold line ends; an error is one line.
        let mut words = self.message.split(['\r', '\n']).filter(|line| !line.is_empty());
        write!(f, "{}", words.next().unwrap_or("failed"))?;
        words.try_for_each(|line| write!(f, "; {}", line.trim()))
    }
}

impl std::error::Error for CliError {}

impl From<Mp4Error> for CliError {
    fn from(error: Mp4Error) -> CliError {
        let failure = match error.kind() {
            Mp4ErrorKind::Missing | Mp4ErrorKind::Unreadable(_) => Failure::InputMissing,
            Mp4ErrorKind::NotMedia(_) => Failure::NotMedia,
            Mp4ErrorKind::NoSupportedTrack(_) => Failure::NoSupportedTrack,
        };
        CliError::new(failure, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_line() {
        let error = CliError::unexpected("first\r\nsecond\n  third\n");
        assert_eq!(error.to_string(), "first; second; third");
    }
}
