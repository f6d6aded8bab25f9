//! The `kvs` command: sends media to Amazon Kinesis Video Streams, and mocks the service.
//!
//! Thin: the work is done by the workspace's libraries. What is here is the command line ([`cli`]), MP4 files as frames
//! ([`mp4`]), and what people and scripts see: a progress bar, a summary, one line per error, and an exit status
//! ([`error`]).

mod cause;
mod cli;
mod credentials;
mod delivery;
mod doctor;
mod error;
mod load;
mod mock;
mod mp4;
mod output;
mod pace;
mod progress;
mod put;
mod readback;
mod resume;
mod service;
mod signal;
mod spool;
mod summary;
mod target;
mod verify;
mod watch;

use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

use cli::{Cli, Command};
use error::CliError;
use summary::ProcessStart;

/// What to log, to stderr, in the syntax of `tracing`'s filters; nothing without it.
const LOG_VARIABLE: &str = "KVS_LOG";

fn main() -> ExitCode {
    let start = ProcessStart::now();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version come this way too, with status 0. A closed stream is no reason to fail.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    if let Ok(filter) = EnvFilter::try_from_env(LOG_VARIABLE) {
        tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(std::io::stderr)
            .init();
    }
    match run(cli, start) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::error(&error);
            error.failure().into()
        }
    }
}

fn run(cli: Cli, start: ProcessStart) -> Result<(), CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(CliError::unexpected)?;
    let system = actix_rt::System::with_tokio_rt(move || runtime);
    match cli.command {
        Command::Put(args) => system.block_on(put::run(args, start)),
        Command::Load(args) => system.block_on(load::run(args, start)),
        Command::Spool(command) => spool::run(&command),
        Command::Mock(args) => system.block_on(mock::run(args)),
        Command::Doctor(args) => system.block_on(doctor::run(args)),
    }
}
