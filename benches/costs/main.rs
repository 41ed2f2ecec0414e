//! What a write costs besides time: allocations and system calls. A benchmark of its own, because counting costs time.
//!
//! `cargo bench --bench costs` prints both tables. System calls are counted by `perf`, where it is installed and allowed to.

#[path = "../cluster/clusters.rs"]
#[allow(dead_code)] // the other benchmark asks more of it
mod clusters;
#[path = "../cluster/load.rs"]
#[allow(dead_code)]
mod load;
#[path = "../cluster/slow_disk.rs"]
#[allow(dead_code)]
mod slow_disk;

use std::alloc::System;
use std::process;
use std::time::Duration;

use clap::Parser;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tokio::process::Command;
use tokio::time::sleep;

use clusters::{Cluster, Failure, PAYLOAD_BYTES, Sink};

#[global_allocator]
static COUNTING: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Counts allocations and system calls of clusters in this process; clients included, which ask at the leader.
#[derive(Parser)]
struct Options {
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// What `cargo bench` says to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

const BATCH: usize = 64;

fn main() -> Result<(), Failure> {
    let time = Duration::try_from_secs_f64(Options::parse().seconds)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        allocations(time).await?;
        system_calls(time).await
    })
}

/// 64 commands that come together in each of both ways.
const TOGETHER: [(&str, usize, usize); 2] =
    [("64 clients, a command each", BATCH, 1), ("a client, propose_batch of 64", 1, BATCH)];

#[allow(clippy::cast_precision_loss)] // ratios, for people
async fn allocations(time: Duration) -> Result<(), Failure> {
    println!(
        "| allocations per 64 commands of {PAYLOAD_BYTES} bytes | one node, in memory | three nodes, in memory | three nodes, TCP and files |"
    );
    println!("|---|---|---|---|");
    let clusters = [Cluster::in_memory(1).await?, Cluster::in_memory(3).await?, Cluster::durable(3).await?];
    for (name, clients, batch) in TOGETHER {
        let mut cells = Vec::new();
        for cluster in &clusters {
            let commands = || cluster.leader().read(Sink::count);
            // Buffers grow to their size.
            cluster.writes(clients, batch, PAYLOAD_BYTES, time).await?;
            let before = commands().await?;
            let region = Region::new(COUNTING);
            cluster.writes(clients, batch, PAYLOAD_BYTES, time).await?;
            let change = region.change();
            let batches = (commands().await? - before) as f64 / BATCH as f64;
            cells.push(format!("{:.1}", (change.allocations + change.reallocations) as f64 / batches));
        }
        println!("| {name} | {} |", cells.join(" | "));
    }
    for cluster in clusters {
        cluster.stop().await;
    }
    Ok(())
}

/// All, and those that are most of them.
const CALLS: [&str; 8] = [
    "raw_syscalls:sys_enter",
    "syscalls:sys_enter_fdatasync",
    "syscalls:sys_enter_pwrite64",
    "syscalls:sys_enter_writev",
    "syscalls:sys_enter_sendto",
    "syscalls:sys_enter_recvfrom",
    "syscalls:sys_enter_epoll_wait",
    "syscalls:sys_enter_futex",
];
/// Until `perf` has attached itself.
const ATTACH: Duration = Duration::from_millis(500);

#[allow(clippy::cast_precision_loss)] // ratios, for people
async fn system_calls(time: Duration) -> Result<(), Failure> {
    let names = CALLS.map(|event| event.rsplit("sys_enter_").next().unwrap_or(event));
    println!(
        "\n| system calls per write, three nodes, TCP and files, and clients | clients | all | {} |",
        names[1..].join(" | ")
    );
    println!("|---|---|{}", "---|".repeat(CALLS.len()));
    let cluster = Cluster::durable(3).await?;
    for (name, clients, batch) in [
        ("one at a time", 1, 1),
        ("one at a time", 64, 1),
        ("one at a time", 1024, 1),
        ("64 at once", 64, 64),
    ] {
        let commands = || cluster.leader().read(Sink::count);
        let before = commands().await?;
        let mut perf = Command::new("perf");
        perf.args(["stat", "-x", ",", "-e", &CALLS.join(","), "-p", &process::id().to_string()]);
        perf.args(["sleep", &(2 * ATTACH + 2 * time).as_secs_f64().to_string()]);
        let (counted, written) = tokio::join!(perf.output(), async {
            sleep(ATTACH).await;
            cluster.writes(clients, batch, PAYLOAD_BYTES, time).await
        });
        written?;
        let writes = commands().await? - before;
        // Without perf there is nothing to tell.
        let counted =
            counted.map(|output| String::from_utf8_lossy(&output.stderr).into_owned()).unwrap_or_default();
        let cells = CALLS.map(|event| {
            let calls = calls_of(&counted, event);
            calls.map_or("-".to_owned(), |calls| format!("{:.3}", calls as f64 / writes as f64))
        });
        println!("| {name} | {clients} | {} |", cells.join(" | "));
    }
    cluster.stop().await;
    Ok(())
}

/// The count of one event in what `perf stat -x ,` prints.
fn calls_of(counted: &str, event: &str) -> Option<u64> {
    let line = counted.lines().find(|line| line.split(',').any(|field| field == event))?;
    line.split(',').next()?.parse().ok()
}
