//! Runs simulations: whole clusters in imagined time, on networks, disks and clocks that go wrong.
//!
//! `cargo run --release --example simulate -- --seeds 1000 --steps 20000` runs seeds 0 to 999 on all cores and sums up
//! what happened. A violation prints its seed, the property, and the command that runs that seed again.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};
use quorate::{DefaultEngine, Engine};
use testkit::simulator::{Plan, Report, Violation, run};

/// Simulates clusters that go wrong in every way, and checks every step.
#[derive(Parser)]
struct Arguments {
    /// How many seeds to run.
    #[arg(long, default_value_t = 100)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Events per seed before faults stop.
    #[arg(long, default_value_t = 20_000)]
    steps: u64,
    /// Stop taking new seeds after so many seconds.
    #[arg(long)]
    seconds: Option<u64>,
    /// How many nodes; drawn from the seed unless given.
    #[arg(long)]
    nodes: Option<u64>,
    /// The engine; the default one of the features enabled unless given.
    #[arg(long, value_enum)]
    engine: Option<EngineChoice>,
    /// Run every seed twice, and compare the traces.
    #[arg(long)]
    twice: bool,
}

/// The engines there are in this build.
#[derive(Clone, Copy, ValueEnum)]
enum EngineChoice {
    #[cfg(feature = "raft")]
    Raft,
    #[cfg(feature = "multi-paxos")]
    MultiPaxos,
    #[cfg(feature = "paxos")]
    Paxos,
}

/// What all seeds together did.
#[derive(Default)]
struct Sum {
    seeds: u64,
    steps: u64,
    checks: u64,
    simulated: Duration,
    counts: BTreeMap<&'static str, u64>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match arguments.engine {
        None => simulate::<DefaultEngine>(&arguments),
        #[cfg(feature = "raft")]
        Some(EngineChoice::Raft) => simulate::<quorate::Raft>(&arguments),
        #[cfg(feature = "multi-paxos")]
        Some(EngineChoice::MultiPaxos) => simulate::<quorate::MultiPaxos>(&arguments),
        #[cfg(feature = "paxos")]
        Some(EngineChoice::Paxos) => simulate::<quorate::Paxos>(&arguments),
    }
}

fn simulate<E: Engine>(arguments: &Arguments) -> ExitCode {
    let begin = Instant::now();
    let (next, failed, sum) =
        (AtomicU64::new(arguments.from), AtomicBool::new(false), Mutex::new(Sum::default()));
    let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                while !failed.load(Ordering::Relaxed) && arguments.seconds.is_none_or(|max| begin.elapsed().as_secs() < max) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= arguments.from + arguments.seeds {
                        break;
                    }
                    match one::<E>(arguments, seed) {
                        Ok(report) => add(&sum, &report),
                        Err(violation) => {
                            failed.store(true, Ordering::Relaxed);
                            println!("seed {seed} violates: {}\n  {}", violation.property, violation.what);
                            println!(
                                "  again: cargo run --release --example simulate --all-features -- --engine {} --from {seed} --seeds 1 --steps {}",
                                E::NAME, arguments.steps
                            );
                        }
                    }
                }
            });
        }
    });
    print::<E>(&sum.into_inner().unwrap_or_default(), begin.elapsed());
    if failed.into_inner() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn one<E: Engine>(arguments: &Arguments, seed: u64) -> Result<Report, Violation> {
    let plan = Plan { seed, steps: arguments.steps, nodes: arguments.nodes, faults: None };
    let report = run::<E>(plan).map_err(|failed| failed.0)?;
    if arguments.twice {
        let again = run::<E>(plan).map_err(|failed| failed.0)?;
        if (again.trace, again.steps) != (report.trace, report.steps) {
            let what = format!("{:x} and {:x}", report.trace, again.trace);
            return Err(Violation { property: "the same seed gives the same run", what });
        }
    }
    Ok(report)
}

fn add(sum: &Mutex<Sum>, report: &Report) {
    let Ok(mut sum) = sum.lock() else { return };
    sum.seeds += 1;
    sum.steps += report.steps;
    sum.checks += report.checks;
    sum.simulated += report.simulated;
    let network = report.network;
    let frames = [
        ("frames sent", network.sent),
        ("frames lost", network.lost),
        ("frames twice", network.duplicated),
        ("frames late", network.delayed),
        ("frames into a cut", network.cut),
        ("partitions", network.partitions),
    ];
    for (what, count) in frames.into_iter().chain(report.counts.iter().map(|(what, count)| (*what, *count))) {
        *sum.counts.entry(what).or_default() += count;
    }
}

#[allow(clippy::cast_precision_loss)] // rates, for people
fn print<E: Engine>(sum: &Sum, took: Duration) {
    println!(
        "engine {}: {} seeds, {} steps, {:.1} h simulated, {} invariants evaluated, in {:.1} s ({:.0} steps/s)",
        E::NAME,
        sum.seeds,
        sum.steps,
        sum.simulated.as_secs_f64() / 3600.0,
        sum.checks,
        took.as_secs_f64(),
        sum.steps as f64 / took.as_secs_f64(),
    );
    for (what, count) in &sum.counts {
        println!("  {what:<28} {count:>12}");
    }
}
