//! The log beside what the disk itself can do, in the same run.
//!
//! `cargo bench -p quorate-storage-file --bench wal`, with `-- --seconds 1` for how long each row of a round takes and
//! `--dir` for where. Both sides take turns, and medians are told.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot go on panics")]

mod raw;
mod reopen;
mod writers;

use std::path::{Path, PathBuf};

use clap::Parser;

/// Measures the log in files.
#[derive(Parser)]
struct Arguments {
    /// Seconds for each row of each round.
    #[arg(long, default_value_t = 0.5)]
    seconds: f64,
    /// Rounds.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Entries in a batch of the one writer.
    #[arg(long, num_args = 1.., default_values_t = [1, 16, 256])]
    batches: Vec<u64>,
    /// Where to write; by default the folder for temporary files.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// MiB of the logs that are opened again; 0 leaves that out.
    #[arg(long, default_value_t = 1024)]
    reopened: u64,
    /// Leave out what writes.
    #[arg(long)]
    only_reopened: bool,
    /// Given by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() {
    let arguments = Arguments::parse();
    let dir = match &arguments.dir {
        Some(dir) => tempfile::tempdir_in(dir),
        None => tempfile::tempdir(),
    };
    let dir = dir.unwrap();
    if !arguments.only_reopened {
        one_writer(dir.path(), &arguments);
        many_writers(dir.path(), &arguments);
    }
    if arguments.reopened > 0 {
        println!(
            "\n| opened again | plain read, s | open, s | ratio | memory it keeps |\n|---|---|---|---|---|"
        );
        for payload in [16, 256] {
            reopen::measure(
                &dir.path().join("reopened"),
                payload,
                arguments.reopened << 20,
                arguments.rounds,
            );
        }
    }
}

fn one_writer(dir: &Path, arguments: &Arguments) {
    println!(
        "| one writer, 256 bytes | raw write + fdatasync per second | log, the writer waits, per second | ratio | \
         log, the next batch handed in meanwhile, per second | ratio |\n|---|---|---|---|---|---|"
    );
    for batch in arguments.batches.iter().copied() {
        let (mut raws, mut waitings, mut aheads) = (Vec::new(), Vec::new(), Vec::new());
        let bytes = writers::batch_bytes(batch as usize);
        let mut raw = raw::Raw::new(&dir.join(format!("raw-{batch}")), bytes);
        let mut log = writers::One::new(&dir.join(format!("log-{batch}")), batch);
        for _ in 0..arguments.rounds {
            // They take turns of a tenth each, so that a disk's bad moments hit all.
            let time = arguments.seconds / 10.0;
            let mut counts = [0.0; 3];
            for _ in 0..10 {
                counts[0] += raw.per_second(time);
                counts[1] += log.per_second(time, 1);
                counts[2] += log.per_second(time, 2);
            }
            for (column, count) in [&mut raws, &mut waitings, &mut aheads].into_iter().zip(counts) {
                column.push(count / 10.0);
            }
        }
        let ratio = |log: &[f64]| median(log.iter().zip(&raws).map(|(log, raw)| log / raw).collect());
        let (waiting, ahead) = (ratio(&waitings), ratio(&aheads));
        println!(
            "| batches of {batch} | {:.0} | {:.0} | {waiting:.2} | {:.0} | {ahead:.2} |",
            median(raws),
            median(waitings),
            median(aheads)
        );
    }
}

fn many_writers(dir: &Path, arguments: &Arguments) {
    println!(
        "\n| writers at once, 256 bytes | appends per second | syncs per second | appends per sync |\n|---|---|---|---|"
    );
    for count in [16, 64] {
        let (mut appends, mut syncs) = (Vec::new(), Vec::new());
        for round in 0..arguments.rounds {
            let path = dir.join(format!("many-{count}-{round}"));
            let (append, sync) = writers::many(&path, count, arguments.seconds);
            appends.push(append);
            syncs.push(sync);
        }
        let (appends, syncs) = (median(appends), median(syncs));
        println!("| {count} | {appends:.0} | {syncs:.0} | {:.1} |", appends / syncs);
    }
}

/// The middle one.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
