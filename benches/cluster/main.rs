//! What a cluster of three does on this machine, beside what the machine itself can do in the same run.
//!
//! `cargo bench --bench cluster` prints all tables; `-- --only durable --seconds 5` one of them, with more time for each
//! measurement; `-- --plots benches/plots` also draws them.

mod ceiling;
mod clusters;
#[cfg(all(feature = "raft", feature = "multi-paxos"))]
mod engines;
mod faults;
mod limits;
mod load;
mod plots;
mod report;
mod scaling;
mod slow_disk;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};

use ceiling::Ceiling;
use clusters::{Cluster, Failure, PAYLOAD_BYTES};
use load::closed_loop;
use plots::{Plot, Plots};
use report::{header, median, median_of, row};

/// Measures clusters in this process. Payload 256 bytes unless said; clients ask at the leader; nodes and clients share one
/// current-thread runtime, besides each log's own threads.
#[derive(Parser)]
struct Options {
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Rounds, of which medians are printed; the durable cluster and its ceiling take turns.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Only these tables.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Table>,
    /// How long the log becomes, in the table of lengths.
    #[arg(long, default_value_t = 10_000_000)]
    entries: u64,
    /// Draws what is measured over clients, nodes, payloads and lengths of the log as SVG into this folder.
    #[arg(long)]
    plots: Option<PathBuf>,
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
    LogLength,
    /// Raft beside Multi-Paxos; wants the feature `multi-paxos`.
    #[cfg(all(feature = "raft", feature = "multi-paxos"))]
    Engines,
}

const CLIENTS: [usize; 7] = [1, 4, 16, 64, 256, 1024, 4096];
/// Commands that a client hands over at once, where batches are measured.
const BATCH: usize = 64;

fn main() -> Result<(), Failure> {
    let options = Options::parse();
    let (rounds, time) = (options.rounds, Duration::try_from_secs_f64(options.seconds)?);
    let wanted = |table: &Table| options.only.is_empty() || options.only.contains(table);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut plots = Plots::default();
    println!("each measurement takes {time:?}; payload {PAYLOAD_BYTES} bytes; one current-thread runtime");
    for table in Table::value_variants().iter().filter(|table| wanted(table)) {
        runtime.block_on(async {
            match table {
                Table::Limits => limits(time),
                Table::Memory => memory(rounds, time, &mut plots).await,
                Table::Durable => durable(rounds, time, &mut plots).await,
                Table::Open => open(time).await,
                Table::Reads => reads(rounds, time).await,
                Table::Faults => {
                    faults::slow_leader(time).await?;
                    faults::stalls(time).await
                }
                Table::Nodes => scaling::nodes(rounds, time, &mut plots).await,
                Table::Payload => scaling::payload(rounds, time, &mut plots).await,
                Table::LogLength => scaling::log_length(options.entries, time, &mut plots).await,
                #[cfg(all(feature = "raft", feature = "multi-paxos"))]
                Table::Engines => engines::in_turns(rounds, time).await,
            }
        })?;
    }
    options.plots.map_or(Ok(()), |dir| plots.draw(&dir))
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

#[allow(clippy::cast_precision_loss)] // a plot, for people
async fn memory(rounds: usize, time: Duration, plots: &mut Plots) -> Result<(), Failure> {
    let cluster = Cluster::in_memory(3).await?;
    let writes = async |clients, batch| {
        median_of(rounds, async || cluster.writes(clients, batch, PAYLOAD_BYTES, time).await).await
    };
    header("writes, in memory");
    let mut points = Vec::new();
    for clients in CLIENTS {
        let figures = writes(clients, 1).await?;
        points.push((clients as f64, figures.per_second));
        row("one at a time", clients, figures);
    }
    for clients in [1, 64] {
        row("64 at once", clients, writes(clients, BATCH).await?);
    }
    cluster.stop().await;
    plots.series(Plot::Clients, "in memory", points);
    Ok(())
}

/// The durable cluster and its ceiling, in turns, and the sync alone.
#[allow(clippy::cast_precision_loss)] // a plot, for people
async fn durable(rounds: usize, time: Duration, plots: &mut Plots) -> Result<(), Failure> {
    let dir = tempfile::tempdir()?;
    let cluster = Cluster::durable(3).await?;
    let ceiling = std::rc::Rc::new(Ceiling::start(dir.path()).await?);
    println!(
        "\n| writes, TCP and files: clients | per second | p50 | p99 | p99.9 ms | p50 / sync | ceiling per second | share of it |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    let wanted = CLIENTS.map(|clients| (clients, 1)).into_iter().chain([(64, BATCH)]);
    let (mut ours_over_clients, mut ceiling_over_clients) = (Vec::new(), Vec::new());
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
        if batch == 1 {
            ours_over_clients.push((clients as f64, rate));
            ceiling_over_clients.push((clients as f64, top));
        }
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
    plots.series(Plot::Clients, "TCP and files", ours_over_clients);
    plots.series(Plot::Clients, "ceiling (TCP, files)", ceiling_over_clients);
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

async fn reads(rounds: usize, time: Duration) -> Result<(), Failure> {
    let cluster = Cluster::durable(3).await?;
    header("linearizable reads, TCP and files");
    for clients in [1, 64, 1024] {
        row("idle", clients, median_of(rounds, async || cluster.reads(clients, time).await).await?);
    }
    for clients in [1, 64] {
        let (reads, writes) =
            tokio::join!(cluster.reads(clients, time), cluster.writes(64, 1, PAYLOAD_BYTES, time));
        row("while 64 clients write, one run", clients, &reads?);
        row("these writes", 64, &writes?);
    }
    cluster.stop().await;
    Ok(())
}
