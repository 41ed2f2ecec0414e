//! `quorate-log`: looks at the log of a node that does not run.
//!
//! ```text
//! quorate-log verify FOLDER            whether a node would start from it, and what it would say
//! quorate-log inspect FOLDER           its segments; --batches and --records for more, --json for programs
//! quorate-log export FOLDER            the entries that count, one JSON object a line
//! ```
//!
//! It changes nothing. It ends with 0 if the log is sound, with 1 if it is refused, with 2 if it cannot be looked at.

mod report;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use consensus_api::StorageError;
use indicatif::{ProgressBar, ProgressStyle};
use quorate_storage_file::inspect::{Inspection, Verdict};

/// Looks at the log of a node that does not run. Changes nothing.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Says whether a node would start from the log in this folder, and what it would say.
    Verify {
        /// The folder of the log.
        folder: PathBuf,
        /// One JSON object instead of words.
        #[arg(long)]
        json: bool,
    },
    /// Shows what the log consists of.
    Inspect {
        /// The folder of the log.
        folder: PathBuf,
        /// Each batch, too.
        #[arg(long)]
        batches: bool,
        /// Each batch and each record in it, too.
        #[arg(long)]
        records: bool,
        /// One JSON object a line instead of words.
        #[arg(long)]
        json: bool,
    },
    /// Writes the entries that count, one JSON object a line, their bodies in hexadecimal digits.
    Export {
        /// The folder of the log.
        folder: PathBuf,
    },
}

fn main() -> ExitCode {
    let ended = match Arguments::parse().command {
        Command::Verify { folder, json } => verify(&folder, json),
        Command::Inspect { folder, batches, records, json } => {
            inspect(&folder, batches || records, records, json)
        }
        Command::Export { folder } => export(&folder),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("quorate-log: {error}");
            let refused = matches!(error, StorageError::Corrupt { .. } | StorageError::Foreign { .. });
            ExitCode::from(if refused { 1 } else { 2 })
        }
    }
}

/// Reads everything, with a bar on a terminal.
fn read(log: &Inspection) -> Result<Verdict, StorageError> {
    let bar = ProgressBar::new(log.bytes()?);
    let style =
        ProgressStyle::with_template("{bar:40} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let verdict = log.verify(|bytes| bar.inc(bytes));
    bar.finish_and_clear();
    verdict
}

fn verify(folder: &PathBuf, json: bool) -> Result<(), StorageError> {
    let log = Inspection::open(folder)?;
    let verdict = read(&log)?;
    print(&report::verdict(log.store(), &verdict, json))
}

fn inspect(folder: &PathBuf, batches: bool, records: bool, json: bool) -> Result<(), StorageError> {
    let log = Inspection::open(folder)?;
    let mut failed = Ok(());
    let mut told = Ok(());
    log.walk(
        |segment| {
            if told.is_ok() {
                told = print(&report::segment(&segment, json));
            }
        },
        |batch| {
            if batches && failed.is_ok() {
                failed = print(&report::batch(&batch, json));
            }
            if records && failed.is_ok() {
                failed = batch.ops.iter().try_for_each(|op| print(&report::record(op, json)));
            }
        },
    )?;
    told.and(failed)
}

fn export(folder: &PathBuf) -> Result<(), StorageError> {
    let log = Inspection::open(folder)?;
    let verdict = read(&log)?;
    log.entries(&verdict, |entry| print(&report::entry(&entry)))
}

fn print(line: &str) -> Result<(), StorageError> {
    writeln!(io::stdout().lock(), "{line}")
        .map_err(StorageError::io("cannot write to", "the standard output"))
}
