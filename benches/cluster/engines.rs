//! Raft and Multi-Paxos beside each other: the same cluster on either engine, in turns.

use std::time::Duration;

use quorate::{MultiPaxos, Raft};

use crate::clusters::{Cluster, Failure, PAYLOAD_BYTES, options};
use crate::report::median;

const CLIENTS: [usize; 4] = [1, 64, 256, 1024];

/// Writes in memory, and over TCP with files. In every round each engine is measured once, the other one first the next time.
pub(crate) async fn in_turns(rounds: usize, time: Duration) -> Result<(), Failure> {
    let in_memory = [Cluster::in_memory_on::<Raft>(3).await?, Cluster::in_memory_on::<MultiPaxos>(3).await?];
    compare("in memory", &in_memory, rounds, time).await?;
    stop(in_memory).await;
    let durable = [
        Cluster::durable_with::<Raft>(3, options()).await?,
        Cluster::durable_with::<MultiPaxos>(3, options()).await?,
    ];
    compare("TCP and files", &durable, rounds, time).await?;
    stop(durable).await;
    Ok(())
}

/// Medians of the rates, and of the ratios within a round.
async fn compare(place: &str, clusters: &[Cluster; 2], rounds: usize, time: Duration) -> Result<(), Failure> {
    println!(
        "\n| writes, {place}: clients | Raft per second | Multi-Paxos per second | ratio |\n|---|---|---|---|"
    );
    for clients in CLIENTS {
        let (mut rates, mut ratios) = ([Vec::new(), Vec::new()], Vec::new());
        for round in 0..rounds {
            for at in [round % 2, 1 - round % 2] {
                let outcome = clusters[at].writes(clients, 1, PAYLOAD_BYTES, time).await?;
                rates[at].push(outcome.per_second);
            }
            ratios.push(rates[1][round] / rates[0][round]);
        }
        let [raft, multi_paxos] = rates.map(median);
        println!("| {clients} | {raft:.0} | {multi_paxos:.0} | {:.2} |", median(ratios));
    }
    Ok(())
}

async fn stop(clusters: [Cluster; 2]) {
    for cluster in clusters {
        cluster.stop().await;
    }
}
