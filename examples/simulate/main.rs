//! Runs simulations: whole clusters in imagined time, on networks, disks and clocks that go wrong.
//!
//! `cargo run --release --example simulate -- --engine raft --seeds 1000 --steps 20000` runs seeds 0 to 999 on all cores
//! and sums up what happened. A violation prints its seed, the property, a simpler schedule that still fails, what
//! happened in it, and the command that runs it again.

mod campaign;
mod failure;
#[path = "../../tests/simulation/files.rs"]
mod files;
#[path = "../../tests/simulation/options.rs"]
mod options;

use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use quorate::{DefaultEngine, Engine};
use testkit::simulator::{FAULT_KINDS, Plan, Run};

/// Simulates clusters that go wrong in every way, and checks every step.
#[derive(Parser, Clone)]
#[allow(clippy::struct_excessive_bools)] // switches of a command
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
    /// Put the real log of files on the simulated disks, in every run; otherwise every other seed has it.
    #[arg(long, conflicts_with = "model")]
    files: bool,
    /// Never put the real log on the disks.
    #[arg(long)]
    model: bool,
    /// Kinds of fault to leave out.
    #[arg(long, value_delimiter = ',', value_parser = FAULT_KINDS)]
    without: Vec<String>,
    /// Single fault events to leave out, as bits by their number.
    #[arg(long, default_value_t = 0)]
    skip: u64,
    /// Print what happened, also where nothing failed.
    #[arg(long)]
    tell: bool,
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

impl Arguments {
    fn plan(&self, seed: u64) -> Plan {
        let mut plan = Plan { seed, steps: self.steps, nodes: self.nodes, faults: None };
        if self.skip != 0 || !self.without.is_empty() {
            let mut faults = self.without.iter().fold(plan.faults(), |faults, kind| faults.without(kind));
            faults.skip = self.skip;
            plan.faults = Some(faults);
        }
        plan
    }

    /// Whether this seed's disks hold the real log.
    fn on_files(&self, seed: u64) -> bool {
        self.files || (!self.model && seed % 2 == 1)
    }

    fn run(&self, plan: &Plan) -> Run {
        if self.on_files(plan.seed) {
            return Run::of(*plan).on(|_, seed| files::Files::new(seed));
        }
        Run::of(*plan)
    }
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
    // A violation is told in our own words.
    std::panic::set_hook(Box::new(|_| {}));
    if campaign::run::<E>(arguments) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
