//! The clusters that are measured.

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use quorate::{
    Applied, ApplyOn, DefaultEngine, FileLog, Node, Options, Payload, Raw, StateMachine, Tcp, local,
    snapshot_with_serde,
};
use serde::{Deserialize, Serialize};
use tokio::runtime::{Builder, Runtime};

use crate::load::{Outcome, closed_loop};

/// Counts commands, and keeps none.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Sink(u64);

impl StateMachine for Sink {
    type Command = Raw;
    type Response = u64;

    fn apply(&mut self, _at: Applied, _command: Raw) -> u64 {
        self.0 += 1;
        self.0
    }

    snapshot_with_serde!();
}

/// Where the logs are, and how the nodes talk.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Durability {
    /// In memory, in one process.
    Memory,
    /// In files, each batch synced; over TCP on the loopback; all three on one disk.
    Files,
}

impl Durability {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Memory => "in memory, one process",
            Self::Files => "TCP and files, one disk",
        }
    }
}

fn runtime() -> std::io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

fn options() -> Options {
    Options { apply_on: ApplyOn::Inline, ..Options::default() }
}

/// Writes of 256 bytes, spread over the three nodes' clients at the leader.
pub(crate) fn writes(
    durability: Durability,
    clients: usize,
    time: Duration,
) -> Result<Outcome, Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    runtime()?.block_on(async {
        let nodes = start(durability, dir.path()).await?;
        let leader = leader(&nodes).await?;
        let payload = payload()?;
        let outcome = closed_loop(clients, time, move |_| {
            let written = leader.propose(payload.clone());
            async move { written.await.map(drop) }
        })
        .await?;
        stop(&nodes).await;
        Ok(outcome)
    })
}

/// Linearizable reads at the leader, with nothing being written.
pub(crate) fn reads(clients: usize, time: Duration) -> Result<Outcome, Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    runtime()?.block_on(async {
        let nodes = start(Durability::Files, dir.path()).await?;
        let leader = leader(&nodes).await?;
        let outcome = closed_loop(clients, time, move |_| {
            let read = leader.read(|sink| sink.0);
            async move { read.await.map(drop) }
        })
        .await?;
        stop(&nodes).await;
        Ok(outcome)
    })
}

fn payload() -> Result<Raw, Box<dyn Error>> {
    Ok(Raw::decode(vec![7; 256].into())?)
}

async fn start(durability: Durability, dir: &Path) -> Result<[Node<Sink>; 3], Box<dyn Error>> {
    match durability {
        Durability::Memory => Ok(local::cluster_with::<DefaultEngine, _, 3>(Sink::default, &options())?),
        Durability::Files => {
            let mut listeners = Vec::new();
            for _ in 0..3 {
                listeners.push(Tcp::listen("127.0.0.1:0").await?);
            }
            let peers: Vec<_> =
                (1..).zip(&listeners).map(|(id, it)| (id, it.local_addr().to_string())).collect();
            let started: Result<Vec<_>, Box<dyn Error>> = (1..)
                .zip(listeners)
                .map(|(id, listener): (u64, _)| {
                    let node = Node::builder("bench", id, 1..=3, Sink::default())
                        .storage(FileLog::open(dir.join(id.to_string()))?)
                        .transport(listener.with_peers(id, peers.clone()))
                        .options(options());
                    Ok(node.start()?)
                })
                .collect();
            Ok(started?.try_into().map_err(|_| "three nodes were started")?)
        }
    }
}

async fn leader(nodes: &[Node<Sink>; 3]) -> Result<Node<Sink>, Box<dyn Error>> {
    let leader = nodes[0].leader().await?;
    // The first write waits out the election everywhere.
    nodes[0].propose(payload()?).await?;
    Ok(nodes.iter().find(|node| node.id() == leader).ok_or("the leader is one of them")?.clone())
}

async fn stop(nodes: &[Node<Sink>; 3]) {
    for node in nodes {
        node.shutdown().await;
    }
}
