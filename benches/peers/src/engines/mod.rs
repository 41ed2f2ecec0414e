//! Engines bare: three nodes in one thread, messages in a queue, logs in memory, nothing between them.

pub mod omni;
pub mod ours;
pub mod raft_rs;

use std::time::Duration;

use bytes::Bytes;
use rustix::time::{ClockId, clock_gettime};

use crate::load::Failure;
use crate::rounds::{Rounds, rate};

/// Three engines and what carries their messages.
pub trait Trio: Sized {
    /// Three nodes, one of which leads.
    fn start(in_flight: usize) -> Result<Self, Failure>;
    /// Hands these commands to the leader, and lets all three run until nothing is left to do.
    fn round(&mut self, command: &Bytes, count: usize) -> Result<(), Failure>;
    /// So many commands are committed, as the leader sees it.
    fn committed(&self) -> u64;
}

/// Processor time of this thread.
fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Commands committed per second of processor time.
fn measure<T: Trio>(in_flight: usize, time: Duration) -> Result<f64, Failure> {
    let command = Bytes::from(vec![7; PAYLOAD]);
    let mut trio = T::start(in_flight)?;
    for _ in 0..1000_usize.div_ceil(in_flight) {
        trio.round(&command, in_flight)?;
    }
    let (before, begin) = (trio.committed(), thread_time());
    let mut proposed = 0;
    loop {
        for _ in 0..256_usize.div_ceil(in_flight) {
            trio.round(&command, in_flight)?;
            proposed += in_flight as u64;
        }
        let taken = thread_time() - begin;
        if taken >= time {
            let committed = trio.committed() - before;
            if committed != proposed {
                return Err(format!("{proposed} commands were proposed, {committed} committed").into());
            }
            return Ok(committed as f64 / taken.as_secs_f64());
        }
    }
}

/// Runs so many commands through, and says what `count` counted meanwhile, per command.
fn counted<T: Trio>(in_flight: usize, count: fn() -> usize) -> Result<f64, Failure> {
    const COMMANDS: usize = 1 << 16;
    let command = Bytes::from(vec![7; PAYLOAD]);
    let mut trio = T::start(in_flight)?;
    for _ in 0..10_000_usize.div_ceil(in_flight) {
        trio.round(&command, in_flight)?;
    }
    let before = count();
    for _ in 0..COMMANDS.div_ceil(in_flight) {
        trio.round(&command, in_flight)?;
    }
    Ok((count() - before) as f64 / COMMANDS.next_multiple_of(in_flight) as f64)
}

const PAYLOAD: usize = 256;
const IN_FLIGHT: [usize; 3] = [1, 64, 1024];

struct Contestant {
    name: &'static str,
    measure: fn(usize, Duration) -> Result<f64, Failure>,
    counted: fn(usize, fn() -> usize) -> Result<f64, Failure>,
}

const fn contestant<T: Trio>(name: &'static str) -> Contestant {
    Contestant { name, measure: measure::<T>, counted: counted::<T> }
}

const CONTESTANTS: [Contestant; 9] = [
    contestant::<raft_rs::Trio<{ raft_rs::PROPOSE }>>("raft-rs 0.7.0, propose"),
    contestant::<raft_rs::Trio<{ raft_rs::BATCH_APPEND }>>("raft-rs 0.7.0, batch_append"),
    contestant::<raft_rs::Trio<{ raft_rs::ONE_MESSAGE }>>("raft-rs 0.7.0, one message with all"),
    contestant::<omni::Trio<false>>("omnipaxos 0.2.4, batch 1"),
    contestant::<omni::Trio<true>>("omnipaxos 0.2.4, full batch"),
    contestant::<ours::Trio<raft::Raft, false>>("quorate raft, an entry per command"),
    contestant::<ours::Trio<raft::Raft, true>>("quorate raft, one entry with all (as `node` does)"),
    contestant::<ours::Trio<paxos::MultiPaxos, false>>("quorate multi-paxos, an entry per command"),
    contestant::<ours::Trio<paxos::MultiPaxos, true>>(
        "quorate multi-paxos, one entry with all (as `node` does)",
    ),
];
const RAFT_RS: [usize; 3] = [0, 1, 2];
const OMNIPAXOS: [usize; 2] = [3, 4];
const OURS: [usize; 4] = [5, 6, 7, 8];

/// Prints commands per second of processor time, and the ratios to the peers' best.
pub fn table(rounds: usize, time: Duration) -> Result<(), Failure> {
    println!(
        "\nCommands per second of processor time: engines bare, three nodes in one thread, in memory, {PAYLOAD} \
         bytes; median of {rounds} rounds of {time:?}\n"
    );
    println!("| engine | 1 in flight | 64 | 1024 |\n|---|---|---|---|");
    let names = CONTESTANTS.map(|contestant| contestant.name);
    let columns = IN_FLIGHT.map(|in_flight| {
        Rounds::run(&names, rounds, |contestant| (CONTESTANTS[contestant].measure)(in_flight, time))
    });
    let [one, some, many] = columns;
    let columns = [one?, some?, many?];
    for (contestant, name) in names.iter().enumerate() {
        let cells = columns.iter().map(|column| rate(column.median(contestant)));
        println!("| {name} | {} |", cells.collect::<Vec<_>>().join(" | "));
    }
    for ours in OURS {
        for (theirs, peer) in [(&RAFT_RS[..], "raft-rs"), (&OMNIPAXOS[..], "omnipaxos")] {
            let cells = columns.iter().map(|column| format!("{:.2}", column.ratio(ours, theirs)));
            let cells = cells.collect::<Vec<_>>().join(" | ");
            println!("| ratio: {} / {peer}'s best | {cells} |", names[ours]);
        }
    }
    Ok(())
}

/// Prints allocations per command, all three nodes together. `count` tells how many there were so far.
pub fn allocations(count: fn() -> usize) -> Result<(), Failure> {
    println!("\nAllocations per command, three nodes together, {PAYLOAD} bytes\n");
    println!("| engine | 1 in flight | 64 | 1024 |\n|---|---|---|---|");
    for contestant in &CONTESTANTS {
        let cells: Result<Vec<_>, Failure> = IN_FLIGHT
            .iter()
            .map(|in_flight| Ok(format!("{:.2}", (contestant.counted)(*in_flight, count)?)))
            .collect();
        println!("| {} | {} |", contestant.name, cells?.join(" | "));
    }
    Ok(())
}
