//! The clusters that are measured, and what is asked of them.

use std::error::Error;
use std::time::Duration;

use quorate::{
    Applied, ApplyOn, DefaultEngine, Engine, FileLog, LocalNetwork, MemoryLog, Node, Options, Payload, Raw,
    StateMachine, Tcp, snapshot_with_serde,
};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use crate::load::{Outcome, closed_loop, open_loop};
use crate::slow_disk::{SlowDisk, Slowness};

/// Counts commands, and keeps none.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct Sink(u64);

impl Sink {
    /// So many commands came so far.
    pub(crate) fn count(&self) -> u64 {
        self.0
    }
}

impl StateMachine for Sink {
    type Command = Raw;
    type Response = u64;

    fn apply(&mut self, _at: Applied, _command: Raw) -> u64 {
        self.0 += 1;
        self.0
    }

    snapshot_with_serde!();
}

pub(crate) type Failure = Box<dyn Error>;

/// The bytes of a command, where nothing else is said.
pub(crate) const PAYLOAD_BYTES: usize = 256;

/// Running nodes, and which of them leads.
pub(crate) struct Cluster {
    nodes: Vec<Node<Sink>>,
    leader: usize,
    disks: Vec<Slowness>,
    _dir: TempDir,
}

/// What all of them have in common.
pub(crate) fn options() -> Options {
    Options { apply_on: ApplyOn::Inline, ..Options::default() }
}

impl Cluster {
    /// So many nodes in this process, in memory.
    pub(crate) async fn in_memory(count: u64) -> Result<Self, Failure> {
        Self::in_memory_on::<DefaultEngine>(count).await
    }

    /// The same, on this engine.
    pub(crate) async fn in_memory_on<E: Engine>(count: u64) -> Result<Self, Failure> {
        let network = LocalNetwork::new();
        let started: Result<Vec<_>, _> = (1..=count)
            .map(|id| {
                Node::builder("bench", id, 1..=count, Sink::default())
                    .storage(MemoryLog::new())
                    .transport(network.transport(id))
                    .engine::<E>()
                    .options(options())
                    .start()
            })
            .collect();
        Self::led(started?, Vec::new(), tempfile::tempdir()?).await
    }

    /// So many nodes over TCP on the loopback with files, each batch synced; all on one disk.
    pub(crate) async fn durable(count: u64) -> Result<Self, Failure> {
        Self::durable_with::<DefaultEngine>(count, options()).await
    }

    /// The same, on this engine, with these options.
    pub(crate) async fn durable_with<E: Engine>(count: u64, options: Options) -> Result<Self, Failure> {
        let dir = tempfile::tempdir()?;
        let mut listeners = Vec::new();
        for _ in 0..count {
            listeners.push(Tcp::listen("127.0.0.1:0").await?);
        }
        let peers: Vec<_> = (1..).zip(&listeners).map(|(id, it)| (id, it.local_addr().to_string())).collect();
        let (mut nodes, mut disks) = (Vec::new(), Vec::new());
        for (id, listener) in (1_u64..).zip(listeners) {
            let disk = Slowness::default();
            let log = FileLog::open(dir.path().join(id.to_string()))?;
            let node = Node::builder("bench", id, 1..=count, Sink::default())
                .storage(SlowDisk::new(log, disk.clone()))
                .transport(listener.with_peers(id, peers.clone()))
                .engine::<E>()
                .options(options.clone());
            nodes.push(node.start()?);
            disks.push(disk);
        }
        Self::led(nodes, disks, dir).await
    }

    async fn led(nodes: Vec<Node<Sink>>, disks: Vec<Slowness>, dir: TempDir) -> Result<Self, Failure> {
        let leader = nodes[0].leader().await?;
        let leader = nodes.iter().position(|node| node.id() == leader).ok_or("the leader is one of them")?;
        nodes[leader].propose(command(PAYLOAD_BYTES)?).await?;
        Ok(Self { nodes, leader, disks, _dir: dir })
    }

    pub(crate) fn leader(&self) -> &Node<Sink> {
        &self.nodes[self.leader]
    }

    pub(crate) fn leaders_disk(&self) -> &Slowness {
        &self.disks[self.leader]
    }

    pub(crate) fn a_followers_disk(&self) -> &Slowness {
        &self.disks[(self.leader + 1) % self.disks.len()]
    }

    /// Closed-loop writes at the leader; each client hands over `batch` commands at once.
    pub(crate) async fn writes(
        &self,
        clients: usize,
        batch: usize,
        bytes: usize,
        time: Duration,
    ) -> Result<Outcome, Failure> {
        let (leader, command) = (self.leader().clone(), command(bytes)?);
        let mut outcome = if batch == 1 {
            closed_loop(clients, time, move || {
                let written = leader.propose(command.clone());
                async move { written.await.map(drop) }
            })
            .await?
        } else {
            closed_loop(clients, time, move || {
                let written = leader.propose_batch(std::iter::repeat_n(command.clone(), batch));
                async move { written.await.map(drop) }
            })
            .await?
        };
        #[allow(clippy::cast_precision_loss)] // a rate, for people
        let commands = batch as f64;
        outcome.per_second *= commands;
        Ok(outcome)
    }

    /// Writes at the leader that come at this rate.
    pub(crate) async fn writes_at(&self, rate: f64, time: Duration) -> Result<Outcome, Failure> {
        let (leader, command) = (self.leader().clone(), command(PAYLOAD_BYTES)?);
        let outcome = open_loop(rate, time, move || {
            let written = leader.propose(command.clone());
            async move { written.await.map(drop) }
        });
        Ok(outcome.await?)
    }

    /// Closed-loop linearizable reads at the leader.
    pub(crate) async fn reads(&self, clients: usize, time: Duration) -> Result<Outcome, Failure> {
        let leader = self.leader().clone();
        let outcome = closed_loop(clients, time, move || {
            let read = leader.read(Sink::count);
            async move { read.await.map(drop) }
        });
        Ok(outcome.await?)
    }

    pub(crate) async fn stop(self) {
        for node in &self.nodes {
            node.shutdown().await;
        }
    }
}

pub(crate) fn command(bytes: usize) -> Result<Raw, Failure> {
    Ok(Raw::decode(vec![7; bytes].into())?)
}
