//! The state machine of these tests, and clusters of it.

use std::path::Path;
use std::time::Duration;

use quorate::{
    Applied, Engine, FileLog, LocalNetwork, LogStorage, MemoryLog, Node, Options, StateMachine, Tcp,
    TcpListener, snapshot_with_serde,
};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use crate::engines::{Needs, can_take};
use crate::ports::free_ports;

/// Appends numbers; a few of them do more.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct Ledger(pub Vec<u64>);

/// Applying this takes longer than the longest election timeout of the default options.
pub(crate) const SLOW: u64 = 1_000_001;
/// Applying this panics.
pub(crate) const FATAL: u64 = 1_000_002;

impl StateMachine for Ledger {
    type Command = (u64, Vec<u8>);
    type Response = u64;

    fn apply(&mut self, _at: Applied, (number, _padding): (u64, Vec<u8>)) -> u64 {
        if number == SLOW {
            std::thread::sleep(Duration::from_millis(2200));
        }
        assert!(number != FATAL, "this number is fatal");
        self.0.push(number);
        self.0.len() as u64
    }

    snapshot_with_serde!();
}

/// Runs a test on an engine that can take it, within a runtime and three minutes; says which engine.
pub(crate) fn on_engine<E: Engine>(name: &str, needs: Needs, test: impl AsyncFnOnce()) {
    if !can_take::<E>(name, needs) {
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        timeout(Duration::from_secs(180), test()).await.expect("the test ends within three minutes");
    });
}

/// A write of a number.
pub(crate) fn number(number: u64) -> (u64, Vec<u8>) {
    (number, Vec::new())
}

/// Three nodes in memory.
pub(crate) fn in_memory<E: Engine>(options: &Options) -> [Node<Ledger>; 3] {
    on_network::<E>(&LocalNetwork::new(), options)
}

/// Three nodes in memory, on a network that can be cut.
pub(crate) fn on_network<E: Engine>(network: &LocalNetwork, options: &Options) -> [Node<Ledger>; 3] {
    [1, 2, 3].map(|id| member::<E, _>(network, id, MemoryLog::new(), options))
}

/// One of three nodes in memory, on a storage of one's own.
pub(crate) fn member<E: Engine, L: LogStorage>(
    network: &LocalNetwork,
    id: u64,
    log: L,
    options: &Options,
) -> Node<Ledger> {
    let node = Node::builder("ledger", id, [1, 2, 3], Ledger::default())
        .storage(log)
        .transport(network.transport(id))
        .engine::<E>()
        .options(options.clone())
        .start()
        .unwrap();
    assert_eq!(node.status().engine, E::NAME);
    node
}

/// Three nodes over TCP with files, and their addresses.
pub(crate) struct OnDisk {
    pub(crate) peers: Vec<(u64, String)>,
    pub(crate) nodes: Vec<Option<Node<Ledger>>>,
}

impl OnDisk {
    pub(crate) async fn start<E: Engine>(dir: &Path, options: &Options) -> Self {
        let mut listeners = Vec::new();
        for port in free_ports::<3>() {
            listeners.push(Tcp::listen(format!("127.0.0.1:{port}")).await.unwrap());
        }
        let addresses = listeners.iter().map(|listener| listener.local_addr().to_string());
        let peers: Vec<_> = (1..).zip(addresses).collect();
        let mut cluster = Self { peers, nodes: vec![None, None, None] };
        for (id, listener) in (1..).zip(listeners) {
            cluster.run::<E>(dir, id, listener, options);
        }
        cluster
    }

    fn run<E: Engine>(&mut self, dir: &Path, id: u64, listener: TcpListener, options: &Options) {
        let node = Node::builder("ledger", id, [1, 2, 3], Ledger::default())
            .storage(FileLog::open(dir.join(id.to_string())).unwrap())
            .transport(listener.with_peers(id, self.peers.clone()))
            .engine::<E>()
            .options(options.clone())
            .start()
            .unwrap();
        assert_eq!(node.status().engine, E::NAME);
        self.nodes[id as usize - 1] = Some(node);
    }

    pub(crate) async fn restart<E: Engine>(&mut self, dir: &Path, id: u64, options: &Options) {
        let listener = Tcp::listen(self.peers[id as usize - 1].1.as_str()).await.unwrap();
        self.run::<E>(dir, id, listener, options);
    }

    pub(crate) async fn stop(&mut self, id: u64) {
        if let Some(node) = self.nodes[id as usize - 1].take() {
            node.shutdown().await;
        }
    }

    pub(crate) async fn stop_all(&mut self) {
        for id in 1..=3 {
            self.stop(id).await;
        }
    }

    /// The leader's id, and a follower's.
    pub(crate) async fn leader_and_follower(&self) -> (u64, u64) {
        let leader = self.node(1).leader().await.unwrap().0;
        (leader, leader % 3 + 1)
    }

    pub(crate) fn node(&self, id: u64) -> &Node<Ledger> {
        self.nodes[id as usize - 1].as_ref().expect("the node runs")
    }
}

/// The leader among these nodes, once it can do something.
pub(crate) async fn leader(nodes: &[Node<Ledger>]) -> Node<Ledger> {
    let id = nodes[0].leader().await.unwrap();
    let leader = nodes.iter().find(|node| node.id() == id).unwrap().clone();
    leader.propose(number(0)).await.unwrap();
    leader
}
