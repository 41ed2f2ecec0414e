//! Three nodes in memory whose every wire is a proxy.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use quorate::{
    Applied, MemoryLog, Node, NodeId, PeerConnection, Reach, StateMachine, Tcp, TcpOptions,
    snapshot_with_serde,
};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};

use crate::proxy::{Fault, Wire};

/// Remembers every number it was given, with how often.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Heard(BTreeMap<u64, u64>);

impl StateMachine for Heard {
    type Command = (u64, Vec<u8>);
    type Response = ();

    fn apply(&mut self, _at: Applied, (number, _padding): (u64, Vec<u8>)) {
        *self.0.entry(number).or_default() += 1;
    }

    snapshot_with_serde!();
}

pub(crate) struct Cluster {
    nodes: Vec<Node<Heard>>,
    wires: BTreeMap<(u64, u64), Wire>,
    /// Where each of them really listens.
    at: BTreeMap<u64, SocketAddr>,
    next: u64,
    answered: Vec<u64>,
}

const MEMBERS: [u64; 3] = [1, 2, 3];

impl Cluster {
    pub(crate) async fn start() -> Self {
        let mut listeners = BTreeMap::new();
        for id in MEMBERS {
            listeners.insert(id, Tcp::listen("127.0.0.1:0").await.expect("a free port"));
        }
        let at = listeners.iter().map(|(id, listener)| (*id, listener.local_addr())).collect();
        let mut wires = BTreeMap::new();
        let mut peers: BTreeMap<u64, Vec<_>> = BTreeMap::new();
        for (from, to) in MEMBERS.iter().flat_map(|from| MEMBERS.map(|to| (*from, to))) {
            let proxy = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
            let address = proxy.local_addr().expect("it is bound");
            wires.insert((from, to), Wire::new(proxy, listeners[&to].local_addr()));
            peers.entry(from).or_default().push((to, address));
        }
        // A dead peer is found within a second.
        let options = TcpOptions { silence_max: Duration::from_secs(1), ..TcpOptions::default() };
        let start = |(id, listener): (u64, quorate::TcpListener)| {
            Node::builder("chaos", id, MEMBERS, Heard::default())
                .storage(MemoryLog::new())
                .transport(listener.with_peers(id, &peers[&id]).with_options(options.clone()))
                .start()
                .expect("a node starts")
        };
        let nodes: Vec<_> = listeners.into_iter().map(start).collect();
        println!("engine {}", nodes[0].status().engine);
        let mut cluster = Self { nodes, wires, at, next: 0, answered: Vec::new() };
        cluster.write(1).await;
        cluster
    }

    fn node(&self, id: u64) -> &Node<Heard> {
        &self.nodes[id as usize - 1]
    }

    pub(crate) async fn leader(&self) -> u64 {
        loop {
            if let Ok(NodeId(leader)) = self.nodes[0].leader().await {
                return leader;
            }
        }
    }

    pub(crate) fn wire(&self, from: u64, to: u64) -> &Wire {
        &self.wires[&(from, to)]
    }

    pub(crate) fn connections(&self, id: u64) -> Vec<PeerConnection> {
        self.node(id).status().connections
    }

    /// Gives a node another address, which all of them learn by the membership; at its old one nobody answers any more.
    pub(crate) async fn relocate(&mut self, mover: u64) {
        let proxy = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = proxy.local_addr().expect("it is bound").to_string();
        let wire = Wire::new(proxy, self.at[&mover]);
        self.node(mover % 3 + 1).set_address(mover, address.as_str()).await.expect("the address is taken");
        self.wires.retain(|(_, to), _| *to != mover);
        self.wires.insert((0, mover), wire);
        for id in MEMBERS.into_iter().filter(|id| *id != mover) {
            let is_there = |peer: &PeerConnection| {
                peer.peer == NodeId(mover) && *peer.address == *address && peer.reach == Reach::Open
            };
            while !self.connections(id).iter().any(is_there) {
                sleep(Duration::from_millis(20)).await;
            }
        }
    }

    /// Every wire to and from a node.
    pub(crate) fn afflict(&self, victim: u64, fault: Fault) {
        let wires = self.wires.iter().filter(|((from, to), _)| *from == victim || *to == victim);
        wires.for_each(|(_, wire)| wire.set(fault));
    }

    pub(crate) fn heal(&self) {
        self.wires.values().for_each(|wire| wire.set(Fault::None));
    }

    /// So many writes that are answered, at whichever node does.
    pub(crate) async fn write(&mut self, count: usize) {
        for at in 0..count {
            let mut node = at as u64 % 3 + 1;
            while !self.try_write(node).await {
                node = node % 3 + 1;
            }
        }
    }

    /// The same at one node.
    pub(crate) async fn write_at(&mut self, node: u64, count: usize) {
        for _ in 0..count {
            while !self.try_write(node).await {}
        }
    }

    /// A write of a new number: one that was not answered is not written again under its number.
    async fn try_write(&mut self, node: u64) -> bool {
        self.next += 1;
        let write = self.node(node).propose((self.next, vec![7; 100]));
        // A client that is not patient: it asks another node.
        let is_answered = matches!(timeout(Duration::from_secs(1), write).await, Ok(Ok(())));
        if is_answered {
            self.answered.push(self.next);
        }
        is_answered
    }

    /// All that was answered is on all nodes, once, and all nodes hold the same.
    pub(crate) async fn assert_converged(&mut self) {
        self.write(1).await;
        let mut contents = Vec::new();
        for node in &self.nodes {
            let heard = loop {
                match node.read(Heard::clone).await {
                    Ok(heard) => break heard,
                    Err(_) => sleep(Duration::from_millis(50)).await,
                }
            };
            contents.push(heard);
        }
        assert!(contents[0].0.values().all(|times| *times == 1), "something was written twice: {contents:?}");
        let missing = self.answered.iter().find(|number| !contents[0].0.contains_key(number));
        assert_eq!(missing, None, "answered, and lost");
        // What was given up may still come in between two reads, but nowhere else than in the log of all.
        let last = &contents[2].0;
        assert!(contents[0].0.keys().all(|number| last.contains_key(number)), "two nodes differ");
    }
}

pub(crate) fn within_three_minutes(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        timeout(Duration::from_secs(180), test).await.expect("the test ends within three minutes");
    });
}
