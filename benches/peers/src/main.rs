//! One command per table: `cargo run --release -- cluster`, `-- engines`, `-- wal`, `-- damage`.

use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use quorate_peers::load::Failure;
use quorate_peers::{cluster, engines, wal};

/// quorate beside its peers: prints tables in Markdown.
#[derive(Parser)]
struct Options {
    #[command(subcommand)]
    table: Table,
}

#[derive(Args, Clone, Copy)]
struct Effort {
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// Rounds; everybody is measured once in each.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
}

impl Effort {
    fn time(self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }
}

#[derive(Subcommand)]
enum Table {
    /// Three nodes in one process, in memory: writes per second.
    Cluster {
        #[command(flatten)]
        effort: Effort,
        /// How many clients at once.
        #[arg(long, value_delimiter = ',', default_values_t = [1, 64, 1024, 4096])]
        clients: Vec<usize>,
        /// Bytes of a command.
        #[arg(long, default_value_t = 256)]
        payload: usize,
        /// Clients on a runtime of their own.
        #[arg(long)]
        apart: bool,
    },
    /// Durable logs, one writer: synced batches per second.
    Wal {
        #[command(flatten)]
        effort: Effort,
    },
    /// Durable logs: what a damaged file costs.
    Damage {
        /// Flip a bit and cut the file at each byte of this number; 1 tries them all.
        #[arg(long, default_value_t = 61)]
        step: u64,
    },
    /// Engines bare, three nodes in one thread: commands per second of processor time.
    Engines {
        #[command(flatten)]
        effort: Effort,
    },
}

fn main() -> Result<(), Failure> {
    match Options::parse().table {
        Table::Cluster { effort, clients, payload, apart } => {
            let plan = cluster::Plan { rounds: effort.rounds, time: effort.time(), payload, apart };
            cluster::table(plan, &clients)
        }
        Table::Wal { effort } => wal::table(effort.rounds, effort.time()),
        Table::Damage { step } => wal::damage::table(step),
        Table::Engines { effort } => engines::table(effort.rounds, effort.time()),
    }
}
