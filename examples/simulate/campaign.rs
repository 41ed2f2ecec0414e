//! Many seeds on all cores, and what they did together.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use quorate::Engine;
use testkit::simulator::{Report, Violation, absent};

use crate::{Arguments, failure, options};

/// What all seeds together did.
#[derive(Default)]
struct Sum {
    seeds: u64,
    on_files: u64,
    steps: u64,
    checks: u64,
    simulated: Duration,
    led_after_max: Duration,
    counts: BTreeMap<&'static str, u64>,
}

/// With so many seeds every kind of event must have happened.
const SEEDS_FOR_COVERAGE: u64 = 100;

/// Runs the seeds asked for. Whether all held what they must.
pub(crate) fn run<E: Engine>(arguments: &Arguments) -> bool {
    let begin = Instant::now();
    let next = AtomicU64::new(arguments.from);
    let (failed, sum) = (AtomicBool::new(false), Mutex::new(Sum::default()));
    let bar = ProgressBar::new(arguments.seeds);
    let style = "{bar:40} {pos} of {len} seeds, {elapsed} gone, {eta} to go";
    bar.set_style(ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()));
    let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                let has_time = || arguments.seconds.is_none_or(|max| begin.elapsed().as_secs() < max);
                while !failed.load(Ordering::Relaxed) && has_time() {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= arguments.from + arguments.seeds {
                        break;
                    }
                    match one::<E>(arguments, seed) {
                        Ok(report) => add(&sum, &report, arguments.on_files(seed)),
                        Err(violation) => {
                            // The first one speaks.
                            if !failed.swap(true, Ordering::Relaxed) {
                                bar.suspend(|| failure::tell::<E>(arguments, seed, violation));
                            }
                        }
                    }
                    bar.inc(1);
                }
            });
        }
    });
    bar.finish_and_clear();
    let sum = sum.into_inner().unwrap_or_default();
    print::<E>(&sum, begin.elapsed());
    let absent = absent(&sum.counts, E::CAPABILITIES, sum.on_files > 0);
    let must_cover =
        sum.seeds >= SEEDS_FOR_COVERAGE && arguments.without.is_empty() && !failed.load(Ordering::Relaxed);
    if must_cover && !absent.is_empty() {
        println!("never happened, so nothing was shown of it: {absent:?}");
    }
    !failed.into_inner() && (!must_cover || absent.is_empty())
}

fn one<E: Engine>(arguments: &Arguments, seed: u64) -> Result<Report, Violation> {
    let plan = arguments.plan(seed);
    let mut run = arguments.run(&plan);
    if arguments.tell {
        run = run.telling();
    }
    let report = run.go_with::<E>(options::of::<E>(&plan)).map_err(|failed| failed.0)?;
    run.told.iter().for_each(|line| println!("{line}"));
    if arguments.twice {
        let again = arguments.run(&plan).go_with::<E>(options::of::<E>(&plan)).map_err(|failed| failed.0)?;
        if (again.trace, again.steps) != (report.trace, report.steps) {
            let what = format!("{:x} and {:x}", report.trace, again.trace);
            return Err(Violation { property: "the same seed gives the same run", what });
        }
    }
    Ok(report)
}

fn add(sum: &Mutex<Sum>, report: &Report, on_files: bool) {
    let Ok(mut sum) = sum.lock() else { return };
    sum.seeds += 1;
    sum.on_files += u64::from(on_files);
    sum.steps += report.steps;
    sum.checks += report.checks;
    sum.simulated += report.simulated;
    sum.led_after_max = sum.led_after_max.max(report.led_after.unwrap_or_default());
    let network = report.network;
    let frames = [
        ("frames sent", network.sent),
        ("frames lost", network.lost),
        ("frames twice", network.duplicated),
        ("frames late", network.delayed),
        ("frames into a cut", network.cut),
        ("frames over the queue", network.overflowed),
        ("frames lost with the link", network.broken),
    ];
    for (what, count) in frames.into_iter().chain(report.counts.iter().map(|(what, count)| (*what, *count))) {
        *sum.counts.entry(what).or_default() += count;
    }
}

#[allow(clippy::cast_precision_loss)] // rates, for people
fn print<E: Engine>(sum: &Sum, took: Duration) {
    println!(
        "engine {}: {} seeds ({} on files), {} steps, {:.1} h simulated, {} properties and invariants evaluated, in {:.1} s ({:.0} steps/s)",
        E::NAME,
        sum.seeds,
        sum.on_files,
        sum.steps,
        sum.simulated.as_secs_f64() / 3600.0,
        sum.checks,
        took.as_secs_f64(),
        sum.steps as f64 / took.as_secs_f64(),
    );
    println!("  once faults stopped, there was a leader after {:?} at most", sum.led_after_max);
    for (what, count) in &sum.counts {
        println!("  {what:<28} {count:>12}");
    }
}
