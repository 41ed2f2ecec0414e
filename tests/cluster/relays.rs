//! Who sends snapshots: followers in their leader's stead, and nobody to those who are only a little behind. And what becomes
//! of them when the receiver goes away midway.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use quorate::{
    Applied, Arrival, CompactionPolicy, Engine, FileLog, Frame, Identity, Index, Lane, LocalNetwork,
    LocalTransport, Node, NodeId, Options, SendError, SnapshotSource, StateMachine, Transport,
    TransportError, snapshot_with_serde,
};
use serde::{Deserialize, Serialize};

/// Counts, and weighs three pieces of a snapshot.
#[derive(Clone, Serialize, Deserialize)]
struct Heavy {
    count: u64,
    weight: String,
}

impl StateMachine for Heavy {
    type Command = u64;
    type Response = u64;

    fn apply(&mut self, _at: Applied, add: u64) -> u64 {
        self.count += add;
        self.count
    }

    snapshot_with_serde!();
}

/// Counts the pieces of snapshots that a node sends, and cuts a node off after so many.
struct Counted {
    inner: LocalTransport,
    network: LocalNetwork,
    node: NodeId,
    pieces: Arc<AtomicUsize>,
    pieces_max: Arc<AtomicUsize>,
    /// Who is cut off; by itself the sender.
    cut: Arc<AtomicU64>,
}

impl Transport for Counted {
    fn attach(&mut self, identity: &Identity) -> Result<(), TransportError> {
        self.node = identity.node;
        self.inner.attach(identity)
    }

    fn send(&mut self, to: NodeId, lane: Lane, frame: Frame) -> Result<(), SendError> {
        if lane == Lane::Bulk
            && self.pieces.fetch_add(1, Ordering::SeqCst) >= self.pieces_max.load(Ordering::SeqCst)
        {
            let cut = self.cut.load(Ordering::SeqCst);
            self.network.isolate(if cut == 0 { self.node } else { NodeId(cut) });
        }
        self.inner.send(to, lane, frame)
    }

    fn poll_arrival(&mut self, cx: &mut Context<'_>) -> Poll<Arrival> {
        self.inner.poll_arrival(cx)
    }

    fn frame_bytes_max(&self) -> usize {
        self.inner.frame_bytes_max()
    }
}

/// Three nodes, of which followers are to send snapshots.
struct Cluster {
    dir: tempfile::TempDir,
    network: LocalNetwork,
    pieces: [Arc<AtomicUsize>; 3],
    pieces_max: [Arc<AtomicUsize>; 3],
    cut: Arc<AtomicU64>,
    nodes: [Option<Node<Heavy>>; 3],
    /// So much log is kept behind a snapshot.
    keep_bytes: u64,
}

impl Cluster {
    fn start<E: Engine>() -> Self {
        Self::keeping::<E>(0)
    }

    fn keeping<E: Engine>(keep_bytes: u64) -> Self {
        let mut cluster = Self {
            keep_bytes,
            dir: tempfile::tempdir().unwrap(),
            network: LocalNetwork::new(),
            pieces: Default::default(),
            pieces_max: [(); 3].map(|()| Arc::new(AtomicUsize::new(usize::MAX))),
            cut: Arc::default(),
            nodes: [None, None, None],
        };
        (1..=3).for_each(|id| cluster.start_node::<E>(id));
        cluster
    }

    fn start_node<E: Engine>(&mut self, id: u64) {
        let (snapshot_every_entries, keep_bytes) = (30, self.keep_bytes);
        let compaction =
            CompactionPolicy { snapshot_every_entries, keep_bytes, ..CompactionPolicy::default() };
        let options = Options { compaction, snapshot_source: SnapshotSource::Follower, ..Options::default() };
        let at = id as usize - 1;
        let transport = Counted {
            inner: self.network.transport(id),
            network: self.network.clone(),
            node: NodeId(id),
            pieces: self.pieces[at].clone(),
            pieces_max: self.pieces_max[at].clone(),
            cut: self.cut.clone(),
        };
        let folder: &Path = self.dir.path();
        let machine = Heavy { count: 0, weight: "x".repeat(5 << 19) };
        let node = Node::builder("heavy", id, [1, 2, 3], machine)
            .storage(FileLog::open(folder.join(id.to_string())).unwrap())
            .transport(transport)
            .engine::<E>()
            .options(options);
        self.nodes[at] = Some(node.start().unwrap());
    }

    fn node(&self, id: u64) -> &Node<Heavy> {
        self.nodes[id as usize - 1].as_ref().unwrap()
    }

    fn sent(&self, id: u64) -> usize {
        self.pieces[id as usize - 1].load(Ordering::SeqCst)
    }

    /// A member is away for so long that it needs a snapshot. The leader, and the follower that has one; and the third.
    async fn leave_one_behind(&mut self) -> (u64, u64, u64) {
        self.node(1).propose(1).await.unwrap();
        let leader = self.node(1).leader().await.unwrap().0;
        let (follower, away) = (leader % 3 + 1, (leader + 1) % 3 + 1);
        if let Some(node) = self.nodes[away as usize - 1].take() {
            node.shutdown().await;
        }
        for _ in 0..100 {
            self.node(leader).propose(1).await.unwrap();
        }
        for id in [leader, follower] {
            while self.node(id).take_snapshot().await.unwrap() < Index(80) {}
        }
        assert_eq!(self.node(follower).leader().await.unwrap().0, leader, "it leads all the time");
        (leader, follower, away)
    }
}

pub(crate) async fn whoever_is_a_little_behind_is_sent_no_snapshot<E: Engine>() {
    let cluster = Cluster::keeping::<E>(256 << 10);
    cluster.node(1).propose(1).await.unwrap();
    let leads = |id: u64| cluster.node(id).status().leader == Some(NodeId(id));
    let behind = (1..=3).find(|id| !leads(*id)).unwrap_or(3); // without a leader each leads itself
    let writer = cluster.node(behind % 3 + 1);
    cluster.network.isolate(NodeId(behind));
    for _ in 0..100 {
        writer.propose(1).await.unwrap();
    }
    // The others compact, time and again; what it lacks stands behind their snapshots.
    for id in (1..=3).filter(|id| *id != behind) {
        while cluster.node(id).take_snapshot().await.unwrap() < Index(80) {}
    }
    cluster.network.heal();
    while cluster.node(behind).read(|heavy| heavy.count).await != Ok(101) {}
    assert_eq!([1, 2, 3].map(|id| cluster.sent(id)), [0, 0, 0]);
}

pub(crate) async fn a_follower_sends_a_snapshot_and_the_leader_none<E: Engine>() {
    let mut cluster = Cluster::start::<E>();
    let (leader, follower, away) = cluster.leave_one_behind().await;
    cluster.start_node::<E>(away);
    assert_eq!(cluster.node(away).read(|heavy| (heavy.count, heavy.weight.len())).await, Ok((101, 5 << 19)));
    assert!(cluster.sent(follower) >= 3, "the follower sent {} pieces", cluster.sent(follower));
    assert_eq!(cluster.sent(leader), 0, "the leader sent pieces");
    cluster.node(away).propose(1).await.unwrap();
}

/// The snapshot of the one takes the place of what the other had sent a part of: two members' snapshots of one entry need
/// not be the same bytes, so what is there of the one is of no use for the other.
pub(crate) async fn the_leader_sends_when_its_follower_is_gone_midway<E: Engine>() {
    let mut cluster = Cluster::start::<E>();
    let (leader, follower, away) = cluster.leave_one_behind().await;
    cluster.pieces_max[follower as usize - 1].store(1, Ordering::SeqCst);
    cluster.start_node::<E>(away);
    let read = async || cluster.node(away).read(|heavy| (heavy.count, heavy.weight.len())).await;
    let seen = loop {
        // The leader waits for a while before it gives the follower up.
        if let Ok(seen) = read().await {
            break seen;
        }
    };
    assert_eq!(seen, (101, 5 << 19));
    assert!(cluster.sent(follower) >= 2, "the follower was cut off while it sent");
    assert!(cluster.sent(leader) >= 3, "the leader sent {} pieces", cluster.sent(leader));
    cluster.network.heal();
    cluster.node(follower).propose(1).await.unwrap();
    assert_eq!(cluster.node(away).read(|heavy| heavy.count).await, Ok(102));
}

/// Whoever receives a snapshot and is started again in the middle is sent only what it lacks yet.
pub(crate) async fn a_receiver_that_is_started_again_goes_on_where_it_was<E: Engine>() {
    /// Of eleven.
    const PIECES: usize = 8;
    let mut cluster = Cluster::start::<E>();
    let (sender, other, away) = cluster.leave_one_behind().await;
    if let Some(node) = cluster.nodes[other as usize - 1].take() {
        node.shutdown().await; // so that only one is left to send
    }
    cluster.cut.store(away, Ordering::SeqCst);
    cluster.pieces_max[sender as usize - 1].store(PIECES, Ordering::SeqCst);
    cluster.start_node::<E>(away);
    while cluster.sent(sender) <= PIECES {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    if let Some(node) = cluster.nodes[away as usize - 1].take() {
        node.shutdown().await;
    }
    cluster.pieces_max[sender as usize - 1].store(usize::MAX, Ordering::SeqCst);
    cluster.network.heal();
    let before = cluster.sent(sender);
    cluster.start_node::<E>(away);
    let read = async || cluster.node(away).read(|heavy| (heavy.count, heavy.weight.len())).await;
    while read().await != Ok((101, 5 << 19)) {}
    // Three were lacking; the first may be asked for twice, and one go out again on a slow machine.
    let sent = cluster.sent(sender) - before;
    assert!(sent < PIECES, "{sent} pieces went out to one that had {PIECES}");
}
