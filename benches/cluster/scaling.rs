//! What a write costs with more nodes, larger commands, a longer log.

use std::fs;
use std::time::Duration;

use quorate::{CompactionPolicy, DefaultEngine, Options};

use crate::clusters::{Cluster, Failure, PAYLOAD_BYTES, options};
use crate::plots::{Plot, Plots};
use crate::report::{header, median, median_of, row};

const MEDIA: [&str; 2] = ["in memory", "TCP and files"];

async fn start(medium: &str, count: u64) -> Result<Cluster, Failure> {
    if medium == MEDIA[0] { Cluster::in_memory(count).await } else { Cluster::durable(count).await }
}

/// 64 clients, and more and more nodes.
#[allow(clippy::cast_precision_loss)] // a plot, for people
pub(crate) async fn nodes(rounds: usize, time: Duration, plots: &mut Plots) -> Result<(), Failure> {
    header("writes, by number of nodes");
    for medium in MEDIA {
        let mut points = Vec::new();
        for count in [1, 3, 5, 7] {
            let cluster = start(medium, count).await?;
            let figures =
                median_of(rounds, async || cluster.writes(64, 1, PAYLOAD_BYTES, time).await).await?;
            points.push((count as f64, figures.per_second));
            row(&format!("{count} nodes, {medium}"), 64, figures);
            cluster.stop().await;
        }
        plots.series(Plot::Nodes, medium, points);
    }
    Ok(())
}

/// Larger and larger commands; fewer clients with the largest, so that what is under way stays within the budget.
#[allow(clippy::cast_precision_loss)] // megabytes, for people
pub(crate) async fn payload(rounds: usize, time: Duration, plots: &mut Plots) -> Result<(), Failure> {
    header("writes, by payload");
    let sizes = [(16, 256), (256, 256), (1 << 10, 256), (4 << 10, 256), (16 << 10, 64), (64 << 10, 16)];
    let sizes = sizes.into_iter().chain([(256 << 10, 8), (1 << 20, 4)]);
    for medium in MEDIA {
        let cluster = start(medium, 3).await?;
        let mut points = Vec::new();
        for (bytes, clients) in sizes.clone() {
            let figures = median_of(rounds, async || cluster.writes(clients, 1, bytes, time).await).await?;
            let megabytes = figures.per_second * bytes as f64 / 1e6;
            points.push((bytes as f64, megabytes));
            row(&format!("{bytes} bytes, {medium}: {megabytes:.1} MB/s"), clients, figures);
        }
        cluster.stop().await;
        plots.series(Plot::Payload, medium, points);
    }
    Ok(())
}

/// So many clients fill the log.
const FILLERS: usize = 1024;
const SHORT_BYTES: usize = 16;

/// A log that is never compacted grows to so many entries, each of a single short command. Each row is the median of what
/// was measured since the row before.
#[allow(clippy::cast_precision_loss)] // a plot, for people
pub(crate) async fn log_length(entries: u64, time: Duration, plots: &mut Plots) -> Result<(), Failure> {
    let compaction = CompactionPolicy {
        snapshot_every_bytes: 0,
        snapshot_every_entries: u64::MAX,
        ..CompactionPolicy::default()
    };
    let cluster =
        Cluster::durable_with::<DefaultEngine>(3, Options { entry_bytes_max: 1, compaction, ..options() })
            .await?;
    println!(
        "\n| entries of {SHORT_BYTES} bytes in the log, TCP and files, {FILLERS} clients | us per entry | all three nodes' memory, MiB |"
    );
    println!("|---|---|---|");
    let mut points = Vec::new();
    let decades = (4..).map(|exponent| 10_u64.pow(exponent));
    let lengths = decades.flat_map(|decade| [decade, 3 * decade]).take_while(|length| *length < entries);
    for length in lengths.chain([entries]) {
        let mut costs = Vec::new();
        while cluster.leader().status().last.0 < length {
            let outcome = cluster.writes(FILLERS, 1, SHORT_BYTES, time / 20).await?;
            if outcome.per_second > 0.0 {
                costs.push(1e6 / outcome.per_second);
            }
        }
        if !costs.is_empty() {
            let cost = median(costs);
            points.push((length as f64, cost));
            println!("| {length} | {cost:.2} | {} |", memory_mib().unwrap_or_else(|| "-".into()));
        }
    }
    cluster.stop().await;
    plots.series(Plot::LogLength, "per entry", points);
    Ok(())
}

/// What this process holds in memory, where the system tells.
fn memory_mib() -> Option<String> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let held = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = held.split_whitespace().next()?.parse().ok()?;
    Some((kib >> 10).to_string())
}
