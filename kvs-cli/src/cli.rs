//! The command line as types.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::credentials::KeyPair;
use crate::error::EXIT_STATUS_HELP;

/// Sends media to Amazon Kinesis Video Streams, or to a mock of it.
#[derive(Debug, Parser)]
#[command(name = "kvs", version, after_long_help = EXIT_STATUS_HELP)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Uploads an MP4 file (H.264 or H.265, with or without AAC) and waits until it is stored
    #[command(after_long_help = EXIT_STATUS_HELP)]
    Put(PutArgs),
    /// Puts many streams of made-up video to an endpoint and tells what that costs
    ///
    /// Streams are created where they don't exist. Client-side rate limits are off; flat out, the loop is closed by
    /// acknowledgements.
    #[command(after_long_help = EXIT_STATUS_HELP)]
    Load(LoadArgs),
    /// Looks into a spool directory
    #[command(subcommand, after_long_help = EXIT_STATUS_HELP)]
    Spool(SpoolCommand),
    /// Serves a mock of the service until interrupted
    ///
    /// The first line on stdout is one JSON object that says where it listens and which credentials it takes.
    #[command(after_long_help = EXIT_STATUS_HELP)]
    Mock(MockArgs),
    /// Checks an endpoint, case by case, against what the service is known to do
    ///
    /// It makes one stream, sends it less than a megabyte, right and wrong, and deletes it at the end, interrupted or not.
    #[command(after_long_help = EXIT_STATUS_HELP)]
    Doctor(DoctorArgs),
}

/// `kvs put`
#[derive(Debug, Args)]
pub(crate) struct PutArgs {
    /// The MP4 file to upload
    #[arg(required_unless_present = "resume")]
    pub(crate) file: Option<PathBuf>,

    /// Upload to a mock of the service inside this process, then read the stream back and compare
    #[arg(long, conflicts_with_all = ["endpoint", "profile", "ca_file"])]
    pub(crate) mock: bool,

    /// Name of the stream: 1 to 256 of the characters a-z A-Z 0-9 _ . -
    #[arg(long, value_name = "NAME", required_unless_present_any = ["mock", "resume"])]
    pub(crate) stream: Option<String>,

    /// Use this endpoint (http or https) instead of the region's own
    #[arg(long, value_name = "URL")]
    pub(crate) endpoint: Option<String>,

    #[command(flatten)]
    pub(crate) region: RegionArg,

    /// Take credentials from this AWS profile instead of the environment
    #[arg(long, value_name = "NAME")]
    pub(crate) profile: Option<String>,

    /// Create the stream if it doesn't exist (the mock's always is)
    #[arg(long)]
    pub(crate) create: bool,

    /// Hours a newly created stream keeps its media; 0 keeps nothing
    #[arg(long, value_name = "HOURS", default_value_t = 24, value_parser = clap::value_parser!(u32).range(0..=87_600))]
    pub(crate) retention: u32,

    /// Upload the file this many times over, with time going on
    #[arg(long = "loop", value_name = "N", default_value = "1")]
    pub(crate) passes: NonZeroU32,

    /// Keep media in this directory until it is delivered, so that it survives the process and the power
    ///
    /// What an earlier run left there for the stream is delivered first.
    #[arg(long, value_name = "DIR")]
    pub(crate) spool: Option<PathBuf>,

    /// Deliver what earlier runs left in this spool directory, for all its streams or the one that --stream names
    #[arg(long, value_name = "DIR", conflicts_with_all = ["file", "spool", "mock", "verify", "passes", "pace"])]
    pub(crate) resume: Option<PathBuf>,

    /// How fast frames are sent
    #[arg(long, value_enum, default_value_t = Pace::Quota)]
    pub(crate) pace: Pace,

    /// Read the stream back through GetMedia and compare every frame, byte by byte
    ///
    /// Only the fragments that this upload made are compared. With --mock this is always done.
    #[arg(long)]
    pub(crate) verify: bool,

    /// Trust the certificates in this PEM file too
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,

    /// Seconds to wait, after the last frame, for what is still to be confirmed
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    pub(crate) timeout: Duration,

    /// Print the summary as one JSON object, the last line on stdout
    #[arg(long)]
    pub(crate) json: bool,
}

/// How fast frames are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Pace {
    /// As fast as the service's quotas allow: 5 fragments and 12.5 MB per second
    Quota,
    /// As fast as they would be played
    Realtime,
}

/// `kvs load`
#[derive(Debug, Args)]
pub(crate) struct LoadArgs {
    /// Use this endpoint (http or https) instead of the region's own
    #[arg(long, value_name = "URL")]
    pub(crate) endpoint: Option<String>,

    #[command(flatten)]
    pub(crate) region: RegionArg,

    /// Take credentials from this AWS profile instead of the environment
    #[arg(long, value_name = "NAME")]
    pub(crate) profile: Option<String>,

    /// Trust the certificates in this PEM file too
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,

    /// How many streams
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = positive)]
    pub(crate) streams: usize,

    /// What the streams' names start with
    #[arg(long, value_name = "NAME", default_value = "load")]
    pub(crate) prefix: String,

    /// Frames per second of each stream; 0 is flat out
    #[arg(long, value_name = "F", default_value_t = 25.0, value_parser = frame_rate)]
    pub(crate) fps: f64,

    /// Payload bytes of a frame, about
    #[arg(long, value_name = "B", default_value_t = 5_000, value_parser = frame_bytes)]
    pub(crate) frame_bytes: usize,

    /// For how long
    #[arg(long, value_name = "S", default_value_t = 10.0, value_parser = run_time)]
    pub(crate) seconds: f64,

    /// Frames in Annex-B form, to be adapted; without it they come as AVCC
    #[arg(long)]
    pub(crate) annexb: bool,

    /// Threads that streams are spread over
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = positive)]
    pub(crate) arbiters: usize,

    /// The byte budget over all streams, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 128, value_parser = clap::value_parser!(u64).range(1..=65_536))]
    pub(crate) buffer_mb: u64,

    /// Print the figures as one JSON object, the last line on stdout
    #[arg(long)]
    pub(crate) json: bool,
}

fn positive(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|n| (1..=100_000).contains(n))
        .ok_or_else(|| "allowed: 1 to 100000".to_owned())
}

fn frame_rate(text: &str) -> Result<f64, String> {
    within(text, 0.0..=1_000.0).ok_or_else(|| "allowed: 0 to 1000 frames per second".to_owned())
}

fn run_time(text: &str) -> Result<f64, String> {
    within(text, 0.1..=86_400.0).ok_or_else(|| "allowed: 0.1 to 86400 seconds".to_owned())
}

fn frame_bytes(text: &str) -> Result<usize, String> {
    let bytes = text
        .parse()
        .ok()
        .filter(|bytes| (64..=16_000_000).contains(bytes));
    bytes.ok_or_else(|| "allowed: 64 to 16000000 bytes".to_owned())
}

fn within(text: &str, range: std::ops::RangeInclusive<f64>) -> Option<f64> {
    text.parse().ok().filter(|number| range.contains(number))
}

/// `kvs spool`
#[derive(Debug, Subcommand)]
pub(crate) enum SpoolCommand {
    /// Lists the streams, and what is left to deliver of each
    Ls {
        /// The spool directory
        dir: PathBuf,
        /// Print one JSON object for each stream
        #[arg(long)]
        json: bool,
    },
    /// Reads every byte and tells what is damaged
    Verify {
        /// The spool directory
        dir: PathBuf,
        /// Print one JSON object for each stream
        #[arg(long)]
        json: bool,
    },
    /// Writes what is left to deliver of a stream as a Matroska file that plays
    Export {
        /// The spool directory
        dir: PathBuf,
        /// The stream
        #[arg(long, value_name = "NAME")]
        stream: String,
        /// The file to write; where the format changes, further ones get a number before their ending
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
}

/// `kvs mock`
#[derive(Debug, Args)]
pub(crate) struct MockArgs {
    /// Address to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    pub(crate) listen: SocketAddr,

    /// Accept requests signed with these credentials; may be given several times
    ///
    /// Without it: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY of the environment, else AKIAKVSMOCKEXAMPLE00:kvs/mock/secret/access/key/EXAMPLE000000.
    #[arg(long, value_name = "ID:SECRET")]
    pub(crate) credentials: Vec<KeyPair>,

    #[command(flatten)]
    pub(crate) region: RegionArg,

    /// Serve TLS with a self-signed certificate, printed as `ca_pem` in the first line
    #[arg(long)]
    pub(crate) https: bool,

    /// Serve TLS with the certificate chain in this PEM file, leaf first
    #[arg(long, value_name = "FILE", requires = "key", conflicts_with = "https")]
    pub(crate) cert: Option<PathBuf>,

    /// The certificate's private key, in this PEM file
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub(crate) key: Option<PathBuf>,

    /// Take streams, faults and expectations from this file: JSON if its name ends in .json, else TOML
    ///
    /// Expectations are checked when the mock ends; where one isn't met, what took place is on stderr and the exit status is 17.
    #[arg(long, value_name = "FILE")]
    pub(crate) script: Option<PathBuf>,

    /// Keep to the service's limits on rates too: calls, connects, bytes and fragments per second
    #[arg(long)]
    pub(crate) quotas: bool,

    /// Keep streams and stored fragments in this directory, and begin with those it holds
    #[arg(long, value_name = "DIR")]
    pub(crate) state_dir: Option<PathBuf>,

    /// Write each PutMedia body to STREAM-N.mkv in this directory
    #[arg(long, value_name = "DIR")]
    pub(crate) capture: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) faults: FaultArgs,
}

/// What goes wrong on purpose.
#[derive(Debug, Args)]
#[command(next_help_heading = "Faults")]
pub(crate) struct FaultArgs {
    /// Reset the connection after this many bytes of the PutMedia body
    #[arg(long, value_name = "N")]
    pub(crate) reset_after_bytes: Option<u64>,

    /// Reset the connection after this many fragments
    #[arg(long, value_name = "N")]
    pub(crate) reset_after_fragments: Option<u32>,

    /// Answer the N-th fragment with an ERROR acknowledgement, such as 3:4006
    #[arg(long, value_name = "N:CODE", value_parser = fragment_error)]
    pub(crate) error_at_fragment: Option<(u32, u32)>,

    /// Send no PERSISTED acknowledgements
    #[arg(long)]
    pub(crate) withhold_persisted: bool,

    /// Send acknowledgements byte by byte
    #[arg(long)]
    pub(crate) split_acks: bool,

    /// Refuse the first PutMedia request with status 403
    #[arg(long)]
    pub(crate) refuse_once: bool,
}

/// `kvs doctor`
#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// Run every case of the conformance check
    #[arg(long, required = true)]
    pub(crate) conformance: bool,

    /// Check this endpoint (http or https); without it and without --live, a mock inside this process
    #[arg(long, value_name = "URL")]
    pub(crate) endpoint: Option<String>,

    /// Check the real service, at the region's own endpoint or at --endpoint; this costs money, less than a cent
    #[arg(long)]
    pub(crate) live: bool,

    #[command(flatten)]
    pub(crate) region: RegionArg,

    /// Take credentials from this AWS profile instead of the environment
    #[arg(long, value_name = "NAME")]
    pub(crate) profile: Option<String>,

    /// Trust the certificates in this PEM file too
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,

    /// Print one JSON object with every case, the last line on stdout, instead of a line for each
    #[arg(long)]
    pub(crate) json: bool,
}

/// The region option all commands share.
#[derive(Debug, Args)]
pub(crate) struct RegionArg {
    /// AWS region
    #[arg(
        long = "region",
        value_name = "REGION",
        env = "AWS_REGION",
        default_value = "us-west-2"
    )]
    pub(crate) name: String,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_string())?;
    Duration::try_from_secs_f64(seconds).map_err(|_| "out of range".to_string())
}

fn fragment_error(text: &str) -> Result<(u32, u32), String> {
    let parse = || {
        let (fragment, code) = text.split_once(':')?;
        Some((fragment.parse().ok()?, code.parse().ok()?))
    };
    parse().ok_or_else(|| "expected a fragment's number and an error code, such as 3:4006".to_string())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_stream_is_needed_without_the_mock() {
        assert!(Cli::try_parse_from(["kvs", "put", "clip.mp4"]).is_err());
        assert!(Cli::try_parse_from(["kvs", "put", "clip.mp4", "--mock"]).is_ok());
        assert!(Cli::try_parse_from(["kvs", "put", "clip.mp4", "--stream", "cam"]).is_ok());
    }

    #[test]
    fn an_error_fault_names_fragment_and_code() {
        assert_eq!(fragment_error("3:4006"), Ok((3, 4006)));
        for wrong in ["", "3", "3:", ":4006", "a:b"] {
            assert!(fragment_error(wrong).is_err(), "{wrong}");
        }
    }
}
