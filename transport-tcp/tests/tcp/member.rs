//! Members of a cluster, as a node would see them.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use consensus_api::{
    Arrival, ClusterName, EngineName, Frame, Identity, Incarnation, Lane, NodeId, Reach, StoreId, Transport,
};
use quorate_transport_tcp::{Listener, Options, Tcp};
use tokio::net::TcpSocket;
use tokio::time::{sleep, timeout};

/// Longer than anything here takes on a busy machine; only a failing test waits for it.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Member {
    pub(crate) tcp: Tcp,
}

/// A new life of a node, as its peers in these tests expect it.
pub(crate) fn identity(node: u64) -> Identity {
    static LIVES: AtomicU64 = AtomicU64::new(1);
    Identity {
        cluster: ClusterName::new("orchard").unwrap(),
        node: NodeId(node),
        engine: EngineName("raft"),
        store: StoreId(node.into()),
        incarnation: Incarnation(LIVES.fetch_add(1, Ordering::Relaxed)),
    }
}

/// Short waits, so that tests are.
pub(crate) fn options() -> Options {
    Options {
        reconnect_wait_min: Duration::from_millis(2),
        reconnect_wait_max: Duration::from_millis(20),
        ..Options::default()
    }
}

pub(crate) async fn listen() -> Listener {
    crate::journal::start();
    Tcp::listen("127.0.0.1:0").await.unwrap()
}

/// An address where nobody listens, for as long as the socket lives: a port that is free may be drawn by another test.
pub(crate) fn nowhere() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

pub(crate) fn bytes(len: usize, seed: usize) -> Bytes {
    (0..len).map(|at| (at * 31 + seed) as u8).collect()
}

pub(crate) fn frame(head: &[u8]) -> Frame {
    Frame { head: Bytes::copy_from_slice(head), body: Bytes::new() }
}

impl Member {
    pub(crate) fn start(
        listener: Listener,
        identity: &Identity,
        peers: &[(u64, SocketAddr)],
        options: Options,
    ) -> Self {
        let mut tcp = listener.with_peers(identity.node, peers).with_options(options);
        tcp.attach(identity).unwrap();
        Self { tcp }
    }

    /// Attaches a transport that was put together by hand.
    pub(crate) fn attach(mut tcp: Tcp, identity: &Identity) -> Self {
        tcp.attach(identity).unwrap();
        Self { tcp }
    }

    /// Two members that are to meet.
    pub(crate) async fn pair(options: Options) -> (Self, Self) {
        Self::pair_as([identity(1), identity(2)], options).await
    }

    pub(crate) async fn pair_as(identities: [Identity; 2], options: Options) -> (Self, Self) {
        let (a, b) = (listen().await, listen().await);
        let peers = [(1, a.local_addr()), (2, b.local_addr())];
        let a = Self::start(a, &identities[0], &peers, options.clone());
        let b = Self::start(b, &identities[1], &peers, options);
        (a, b)
    }

    /// Two members that have met.
    pub(crate) async fn connected_pair(options: Options) -> (Self, Self) {
        let (mut a, mut b) = Self::pair(options).await;
        a.until(&Arrival::Connected(NodeId(2))).await;
        b.until(&Arrival::Connected(NodeId(1))).await;
        (a, b)
    }

    pub(crate) fn send(&mut self, to: u64, lane: Lane, frame: &Frame) {
        self.tcp.send(NodeId(to), lane, frame.clone()).unwrap();
    }

    pub(crate) async fn next(&mut self) -> Arrival {
        let next = poll_fn(|cx| self.tcp.poll_arrival(cx));
        timeout(PATIENCE, next).await.expect("something arrives")
    }

    /// Waits for an arrival, whatever comes before.
    pub(crate) async fn until(&mut self, awaited: &Arrival) {
        while self.next().await != *awaited {}
    }

    /// Waits until frames get through to its first peer.
    pub(crate) async fn until_open(&self) {
        while self.tcp.peers()[0].reach != Reach::Open {
            sleep(Duration::from_millis(1)).await;
        }
    }

    /// The next frame, whatever else comes before.
    pub(crate) async fn frame(&mut self) -> (NodeId, Frame) {
        loop {
            if let Arrival::Frame { from, frame } = self.next().await {
                return (from, frame);
            }
        }
    }

    /// The next refusal, whatever else comes before.
    pub(crate) async fn refusal(&mut self) -> (Option<NodeId>, String) {
        loop {
            if let Arrival::Refused { peer, reason } = self.next().await {
                return (peer, reason);
            }
        }
    }

    /// Sends to each other, and both arrive.
    pub(crate) async fn talk(&mut self, other: &mut Self) {
        self.send(2, Lane::Data, &frame(b"there"));
        assert_eq!(other.frame().await, (NodeId(1), frame(b"there")));
        other.send(1, Lane::Bulk, &frame(b"and back"));
        assert_eq!(self.frame().await, (NodeId(2), frame(b"and back")));
    }

    /// All that arrives within a while.
    pub(crate) async fn for_a_while(&mut self, wait: Duration) -> Vec<Arrival> {
        let mut arrivals = Vec::new();
        let gather = async {
            loop {
                arrivals.push(poll_fn(|cx| self.tcp.poll_arrival(cx)).await);
            }
        };
        let _: Result<(), _> = timeout(wait, gather).await;
        arrivals
    }
}
