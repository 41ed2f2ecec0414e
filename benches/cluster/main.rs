//! What a cluster of three does on this machine, beside what the machine itself can do in the same run.
//!
//! `cargo bench --bench cluster` prints all tables; `-- --only durable --seconds 5` one of them, with more time for each
//! measurement.

mod ceiling;
mod clusters;
#[cfg(all(feature = "raft", feature = "multi-paxos"))]
mod engines;
mod faults;
mod limits;
mod load;
mod report;
mod slow_disk;

use std::time::Duration;

use clap::{Parser, ValueEnum};

use ceiling::Ceiling;
use clusters::{Cluster, Failure, PAYLOAD_BYTES};
use load::closed_loop;
use report::{header, median, row};

/// Measures clusters in this process. Payload 256 bytes unless said; clients ask at the leader; nodes and clients share one
/// current-thread runtime, besides each log's own threads.
#[derive(Parser)]
struct Options {
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Rounds in which the durable cluster and its ceiling take turns; medians are printed.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Only these tables.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Table>,
    /// What `cargo bench` says to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Table {
    Limits,
    Memory,
    Durable,
    Open,
    Reads,
    Faults,
    Nodes,
    Payload,
    /// Raft beside Multi-Paxos; wants the feature `multi-paxos`.
    #[cfg(all(feature = "raft", feature = "multi-paxos"))]
    Engines,
}

const CLIENTS: [usize; 5] = [1, 64, 256, 1024, 4096];
/// Commands that a client hands over at once, where batches are measured.
const BATCH: usize = 64;

fn main() -> Result<(), Failure> {
    let options = Options::parse();
    let time = Duration::try_from_secs_f64(options.seconds)?;
    let wanted = |table: &Table| options.only.is_empty() || options.only.contains(table);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    println!("each measurement takes {time:?}; payload {PAYLOAD_BYTES} bytes; one current-thread runtime");
    for table in Table::value_variants().iter().filter(|table| wanted(table)) {
        runtime.block_on(async {
            match table {
                Table::Limits => limits(time),
                Table::Memory => memory(time).await,
                Table::Durable => durable(options.rounds, time).await,
                Table::Open => open(time).await,
                Table::Reads => reads(time).await,
                Table::Faults => {
                    faults::slow_leader(time).await?;
                    faults::stalls(time).await
                }
                Table::Nodes => nodes(time).await,
                Table::Payload => payload(time).await,
                #[cfg(all(feature = "raft", feature = "multi-paxos"))]
                Table::Engines => engines::in_turns(options.rounds, time).await,
            }
        })?;
    }
    Ok(())
}

/// The disk's and the loopback's own.
fn limits(time: Duration) -> Result<(), Failure> {
    let dir = tempfile::tempdir()?;
    println!("\n| limit of the machine | p50 ms | p99 ms |\n|---|---|---|");
    let sync = limits::sync_latency(dir.path(), time)?;
    let trip = limits::loopback_round_trip(time)?;
    for (name, it) in
        [("write + fdatasync, 512 bytes, zero-filled file", sync), ("loopback round trip, 64 bytes", trip)]
    {
        println!("| {name} | {:.3} | {:.3} |", it.ms_at(0.5), it.ms_at(0.99));
    }
    Ok(())
}

async fn memory(time: Duration) -> Result<(), Failure> {
    let cluster = Cluster::in_memory(3).await?;
    header("writes, in memory");
    for clients in CLIENTS {
        row("one at a time", clients, &cluster.writes(clients, 1, PAYLOAD_BYTES, time).await?);
    }
    for clients in [1, 64] {
        row("64 at once", clients, &cluster.writes(clients, BATCH, PAYLOAD_BYTES, time).await?);
    }
    cluster.stop().await;
    Ok(())
}

/// The durable cluster and its ceiling, in turns, and the sync alone.
async fn durable(rounds: usize, time: Duration) -> Result<(), Failure> {
    let dir = tempfile::tempdir()?;
    let cluster = Cluster::durable(3).await?;
    let ceiling = std::rc::Rc::new(Ceiling::start(dir.path()).await?);
    println!(
        "\n| writes, TCP and files: clients | per second | p50 | p99 | p99.9 ms | p50 / sync | ceiling per second | share of it |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    let wanted = CLIENTS.map(|clients| (clients, 1)).into_iter().chain([(64, BATCH)]);
    for (clients, batch) in wanted {
        let mut figures: [Vec<f64>; 7] = Default::default();
        for _ in 0..rounds {
            let sync = limits::sync_latency(tempfile::tempdir()?.path(), time / 4)?;
            let ours = cluster.writes(clients, batch, PAYLOAD_BYTES, time).await?;
            let top = {
                let ceiling = ceiling.clone();
                closed_loop(clients * batch, time, move || ceiling.write(vec![7; PAYLOAD_BYTES])).await?
            };
            let at = |quantile| ours.latency.ms_at(quantile);
            let round = [
                ours.per_second,
                at(0.5),
                at(0.99),
                at(0.999),
                at(0.5) / sync.ms_at(0.5),
                top.per_second,
                ours.per_second / top.per_second,
            ];
            figures.iter_mut().zip(round).for_each(|(figures, figure)| figures.push(figure));
        }
        let [rate, p50, p99, p999, syncs, top, share] = figures.map(median);
        let name = if batch == 1 { clients.to_string() } else { format!("{clients}, {batch} at once") };
        println!(
            "| {name} | {rate:.0} | {p50:.3} | {p99:.3} | {p999:.3} | {syncs:.1} | {top:.0} | {:.0} % |",
            100.0 * share
        );
    }
    cluster.stop().await;
    if let Some(ceiling) = std::rc::Rc::into_inner(ceiling) {
        ceiling.stop();
    }
    Ok(())
}

async fn open(time: Duration) -> Result<(), Failure> {
    let cluster = Cluster::durable(3).await?;
    let most = cluster.writes(256, 1, PAYLOAD_BYTES, time).await?.per_second;
    header("writes, TCP and files, open loop: share of the rate of 256 closed-loop clients");
    for share in [0.1, 0.5, 0.8] {
        row(&format!("{:.0} %", 100.0 * share), 0, &cluster.writes_at(most * share, time).await?);
    }
    cluster.stop().await;
    Ok(())
}

async fn reads(time: Duration) -> Result<(), Failure> {
    let cluster = Cluster::durable(3).await?;
    header("linearizable reads, TCP and files");
    for clients in [1, 64, 1024] {
        row("idle", clients, &cluster.reads(clients, time).await?);
    }
    for clients in [1, 64] {
        let (reads, writes) =
            tokio::join!(cluster.reads(clients, time), cluster.writes(64, 1, PAYLOAD_BYTES, time));
        row("while 64 clients write", clients, &reads?);
        row("these writes", 64, &writes?);
    }
    cluster.stop().await;
    Ok(())
}

async fn nodes(time: Duration) -> Result<(), Failure> {
    header("writes, by number of nodes");
    for count in [1, 3, 5, 7] {
        for durable in [false, true] {
            let cluster =
                if durable { Cluster::durable(count).await? } else { Cluster::in_memory(count).await? };
            let name = format!("{count} nodes, {}", if durable { "TCP and files" } else { "in memory" });
            row(&name, 64, &cluster.writes(64, 1, PAYLOAD_BYTES, time).await?);
            cluster.stop().await;
        }
    }
    Ok(())
}

async fn payload(time: Duration) -> Result<(), Failure> {
    header("writes, TCP and files, by payload");
    let cluster = Cluster::durable(3).await?;
    for (bytes, clients) in
        [(16, 256), (256, 256), (1 << 10, 256), (16 << 10, 64), (64 << 10, 16), (1 << 20, 4)]
    {
        let outcome = cluster.writes(clients, 1, bytes, time).await?;
        #[allow(clippy::cast_precision_loss)] // megabytes, for people
        let megabytes = outcome.per_second * bytes as f64 / 1e6;
        row(&format!("{bytes} bytes: {megabytes:.1} MB/s"), clients, &outcome);
    }
    cluster.stop().await;
    Ok(())
}
