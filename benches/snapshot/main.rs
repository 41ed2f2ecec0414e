//! What it costs those who write that a large state is snapshotted and sent to a newcomer meanwhile, in time and in memory.
//!
//! `cargo bench --bench snapshot` runs three members over TCP with files, each a process of its own. All hold the state in
//! memory, in the store of `examples/kv`, and one of them leads and is written to at a fixed rate. In turn, nothing else
//! happens for a while; the same bytes move at the same rate, without us; and the leader takes a snapshot and sends it to a
//! newcomer, which ends with all of it in its memory. It prints the p99 of the writes in all three; how far the memory of the
//! sender grew, beside what was overwritten while the snapshot was being taken; and what the receiver took beyond the state.
//!
//! Only the leader takes snapshots, for the members of this cluster share one disk, as those of others do not. By default the
//! state has 64 MiB; the goal is about 1 GiB: `-- --mebibytes 1024 --rate 64 --rounds 3`. `--rate 0` sends as fast as it
//! goes, `--value` is how long a value is.

#[allow(dead_code, unreachable_pub, reason = "the store is all of it; what serves it is not")]
#[path = "../../examples/kv/command.rs"]
mod command;
mod courier;
#[allow(dead_code, unused_imports, unreachable_pub, reason = "as above")]
#[path = "../../examples/kv/expiry.rs"]
mod expiry;
#[allow(dead_code, unused_imports, unreachable_pub, reason = "as above")]
#[path = "../../examples/kv/glob.rs"]
mod glob;
#[allow(dead_code, unused_imports, unreachable_pub, reason = "as above")]
#[path = "../../examples/kv/integer.rs"]
mod integer;
#[allow(dead_code, unused_imports, unreachable_pub, reason = "as above")]
#[path = "../../examples/kv/keyspace.rs"]
mod keyspace;
mod load;
mod member;
#[path = "../../tests/ports/mod.rs"]
mod ports;
mod process;
#[allow(dead_code, unused_imports, unreachable_pub, reason = "as above")]
#[path = "../../examples/kv/snapshot.rs"]
mod snapshot;
mod state;
#[allow(dead_code, unused_imports, unreachable_pub, reason = "as above")]
#[path = "../../examples/kv/store.rs"]
mod store;
mod trial;

use std::error::Error;

use state::State;
use trial::{Cluster, Transfer};

pub(crate) type Failure = Box<dyn Error>;

/// What is asked for on the command line.
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) state: State,
    pub(crate) bytes_per_second: Option<u64>,
    pub(crate) rounds: u64,
    pub(crate) writes_per_second: u64,
}

impl Plan {
    fn parse(arguments: &[String]) -> Result<Self, Failure> {
        let number = |name: &str, default: u64| {
            let value = arguments.iter().skip_while(|argument| *argument != name).nth(1);
            value.map_or(Ok(default), |value| value.parse())
        };
        let rate = number("--rate", 32)?;
        Ok(Self {
            state: State::of_bytes(number("--mebibytes", 64)? << 20, number("--value", 256)?),
            bytes_per_second: (rate > 0).then_some(rate << 20),
            rounds: number("--rounds", 3)?.max(1),
            writes_per_second: number("--writes", 5_000)?,
        })
    }
}

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(at) = arguments.iter().position(|argument| argument == "--process") {
        return process::run(&arguments[at + 1..]);
    }
    measure(&Plan::parse(&arguments)?)
}

fn measure(plan: &Plan) -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let mut cluster = Cluster::start(plan, folder.path())?;
    let rate = plan.bytes_per_second.map_or("no limit".to_owned(), |rate| format!("{} MiB/s", rate >> 20));
    println!(
        "a state of {} keys, {} MiB as a snapshot and {} MiB in memory; {rate}; {} writes/s of {} bytes, files synced",
        plan.state.keys,
        plan.state.bytes() >> 20,
        cluster.state_bytes >> 20,
        plan.writes_per_second,
        plan.state.value_bytes
    );
    let (mut ratios, mut sender_most, mut receiver_most) = (Vec::new(), 0_i64, 0_i64);
    for round in 0..plan.rounds {
        let rest = cluster.rest()?;
        // Whoever goes second may find the disk busy with what is left of the first: they take turns.
        let (moving, transfer) = if round % 2 == 0 {
            let transfer = cluster.welcome(4 + round)?;
            (cluster.beside()?, transfer)
        } else {
            let moving = cluster.beside()?;
            (moving, cluster.welcome(4 + round)?)
        };
        println!(
            "p99 {rest:.2} ms at rest, {moving} beside the same bytes, {} beside the snapshot",
            transfer.p99
        );
        let Transfer { p99, sender_before, sender_grew, overwritten, receiver, .. } = transfer;
        println!(
            "    the sender had {} MiB and grew by {} MiB, of which {} MiB overwritten; the receiver had {} MiB at most",
            sender_before >> 20,
            sender_grew >> 20,
            overwritten >> 20,
            receiver >> 20
        );
        sender_most = sender_most.max(sender_grew.cast_signed() - overwritten.cast_signed());
        receiver_most = receiver_most.max(receiver.cast_signed() - cluster.state_bytes.cast_signed());
        ratios.push(p99.whole / moving.whole);
    }
    println!("ratios {ratios:.2?}, median {:.2} (at most 1.3 is the goal)", median(&mut ratios));
    println!(
        "memory beyond what the goal allows for: sender {} MiB, receiver {} MiB at most (64 MiB is the goal)",
        sender_most >> 20,
        receiver_most >> 20
    );
    let now = cluster.now()?;
    println!("generation {} before, {now} after; the same means that nobody was elected", cluster.generation);
    Ok(())
}

fn median(ratios: &mut [f64]) -> f64 {
    ratios.sort_by(f64::total_cmp);
    let middle = ratios.len() / 2;
    if ratios.len() % 2 == 1 { ratios[middle] } else { f64::midpoint(ratios[middle - 1], ratios[middle]) }
}
