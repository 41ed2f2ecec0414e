//! A seed that fails: its property, a simpler schedule, what happened, and how to see it again.

use std::fmt::Write as _;

use quorate::Engine;
use testkit::simulator::{Plan, Violation, shrink};

use crate::{Arguments, options};

/// How many runs it may take to find a simpler schedule.
const RUNS_MAX: u64 = 300;
/// The end of the story, as far as it is printed.
const LINES_MAX: usize = 80;

pub(crate) fn tell<E: Engine>(arguments: &Arguments, seed: u64, violation: Violation) {
    println!("seed {seed} on {} violates: {}: {}", E::NAME, violation.property, violation.what);
    let plan = arguments.plan(seed);
    println!("  again:   {}", command::<E>(arguments, &plan, &[]));
    let fails =
        |plan: Plan| arguments.run(&plan).go_with::<E>(options::of::<E>(&plan)).err().map(|failed| failed.0);
    let shrunk = shrink(plan, violation, RUNS_MAX, fails);
    println!("  simpler: {}", command::<E>(arguments, &shrunk.plan, &shrunk.without));
    let (faults, runs) = (shrunk.plan.faults(), shrunk.runs);
    println!(
        "  found in {runs} runs: {} steps, {} nodes, {faults:?}",
        shrunk.plan.steps,
        shrunk.plan.nodes()
    );
    println!("  what happened there, towards its end:");
    let mut run = arguments.run(&shrunk.plan).telling();
    drop(run.go_with::<E>(options::of::<E>(&shrunk.plan)));
    let from = run.told.len().saturating_sub(LINES_MAX);
    run.told[from..].iter().for_each(|line| println!("    {line}"));
    println!("    violated: {}: {}", shrunk.violation.property, shrunk.violation.what);
}

/// The command that runs this plan.
fn command<E: Engine>(arguments: &Arguments, plan: &Plan, without: &[&str]) -> String {
    let mut command = format!(
        "cargo run --profile proof --all-features --example simulate -- --engine {} --from {} --seeds 1 --steps {}",
        E::NAME,
        plan.seed,
        plan.steps
    );
    let _ = write!(command, " --{}", if arguments.on_files(plan.seed) { "files" } else { "model" });
    if let Some(nodes) = plan.nodes {
        let _ = write!(command, " --nodes {nodes}");
    }
    let mut without: Vec<&str> =
        without.iter().copied().chain(arguments.without.iter().map(String::as_str)).collect();
    without.dedup();
    if !without.is_empty() {
        let _ = write!(command, " --without {}", without.join(","));
    }
    let skip = plan.faults().skip;
    if skip != 0 {
        let _ = write!(command, " --skip {skip}");
    }
    command
}
