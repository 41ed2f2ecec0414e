//! [`LocalNetwork`]: frames between nodes of one process.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use consensus_api::{Arrival, Frame, Identity, Lane, NodeId, SendError, Transport, TransportError};

/// A network within the process: makes one [`LocalTransport`] per node. Nodes may come, go and come back.
#[derive(Clone, Debug, Default)]
pub struct LocalNetwork {
    mailboxes: Arc<Mutex<BTreeMap<NodeId, Arc<Mailbox>>>>,
}

/// Bytes that wait in one lane of a node's mailbox; more are refused.
const LANE_BYTES_MAX: usize = 64 << 20;
/// The largest frame.
const FRAME_BYTES_MAX: usize = 64 << 20;

impl LocalNetwork {
    /// A network without nodes.
    pub fn new() -> Self {
        Self::default()
    }

    /// The transport of one node. A node that had one before is cut off from it.
    pub fn transport(&self, node: impl Into<NodeId>) -> LocalTransport {
        LocalTransport {
            node: node.into(),
            us: None,
            network: self.clone(),
            inbox: Arc::default(),
            peers: BTreeMap::new(),
            refused: BTreeSet::new(),
        }
    }

    /// Cuts a node off from all others, also after it restarts: frames to and from it are lost, in silence, until
    /// [`heal`](Self::heal). For tests.
    pub fn isolate(&self, node: impl Into<NodeId>) {
        if let Some(mailbox) = lock(&self.mailboxes).get(&node.into()) {
            lock(&mailbox.0).isolated = true;
        }
    }

    /// Ends every isolation.
    pub fn heal(&self) {
        lock(&self.mailboxes).values().for_each(|mailbox| lock(&mailbox.0).isolated = false);
    }
}

/// One node's end of a [`LocalNetwork`].
#[derive(Debug)]
pub struct LocalTransport {
    node: NodeId,
    us: Option<Identity>,
    network: LocalNetwork,
    inbox: Arc<Mailbox>,
    /// Mailboxes looked up before; a closed one is looked up again.
    peers: BTreeMap<NodeId, Arc<Mailbox>>,
    /// Those who refused us, and whose refusal was told.
    refused: BTreeSet<NodeId>,
}

#[derive(Debug, Default)]
struct Mailbox(Mutex<Mail>);

#[derive(Debug, Default)]
struct Mail {
    lanes: [LaneMail; 3],
    /// Refusals to tell.
    refusals: VecDeque<(NodeId, String)>,
    owner: Option<Identity>,
    closed: bool,
    isolated: bool,
    waker: Option<Waker>,
}

#[derive(Debug, Default)]
struct LaneMail {
    frames: VecDeque<(NodeId, Frame)>,
    bytes: usize,
}

impl LaneMail {
    fn push(&mut self, from: NodeId, frame: Frame) -> Result<(), SendError> {
        if self.bytes + frame.len() > LANE_BYTES_MAX {
            return Err(SendError::Full);
        }
        self.bytes += frame.len();
        self.frames.push_back((from, frame));
        Ok(())
    }

    fn pop(&mut self) -> Option<Arrival> {
        let (from, frame) = self.frames.pop_front()?;
        self.bytes -= frame.len();
        Some(Arrival::Frame { from, frame })
    }
}

impl Mail {
    fn next(&mut self) -> Option<Arrival> {
        if let Some((peer, reason)) = self.refusals.pop_front() {
            return Some(Arrival::Refused { peer: Some(peer), reason });
        }
        self.lanes.iter_mut().find_map(LaneMail::pop)
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// Why these two do not belong together, if they do not.
fn refusal(us: &Identity, peer: &Identity) -> Option<String> {
    let (node, what, theirs, ours) = if us.cluster != peer.cluster {
        (peer.node, "cluster", peer.cluster.to_string(), us.cluster.to_string())
    } else if us.engine != peer.engine {
        (peer.node, "engine", peer.engine.to_string(), us.engine.to_string())
    } else {
        return None;
    };
    Some(format!(
        "node {node} is of {what} {theirs}, this node of {what} {ours}; give both the same, or a network of their own"
    ))
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every change is whole before anything can panic.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl LocalTransport {
    fn peer(&mut self, node: NodeId) -> Option<&Arc<Mailbox>> {
        let known = self.peers.get(&node).is_some_and(|mailbox| !lock(&mailbox.0).closed);
        if !known {
            let found = lock(&self.network.mailboxes).get(&node).cloned()?;
            self.peers.insert(node, found);
        }
        self.peers.get(&node)
    }

    /// Tells this node that a peer does not take its frames: once, until the peer is met as one of ours.
    fn tell_refusal(&mut self, peer: NodeId, reason: String) {
        if self.refused.insert(peer) {
            let mut mail = lock(&self.inbox.0);
            mail.refusals.push_back((peer, reason));
            mail.wake();
        }
    }
}

impl Transport for LocalTransport {
    fn attach(&mut self, identity: &Identity) -> Result<(), TransportError> {
        if identity.node != self.node {
            let problem = format!("this transport was made for node {}, not {}", self.node, identity.node);
            return Err(TransportError(problem));
        }
        self.us = Some(identity.clone());
        lock(&self.inbox.0).owner = Some(identity.clone());
        if let Some(old) = lock(&self.network.mailboxes).insert(self.node, self.inbox.clone()) {
            let mut old = lock(&old.0);
            old.closed = true;
            let isolated = old.isolated;
            drop(old);
            lock(&self.inbox.0).isolated = isolated;
        }
        Ok(())
    }

    fn send(&mut self, to: NodeId, lane: Lane, frame: Frame) -> Result<(), SendError> {
        if frame.len() > FRAME_BYTES_MAX {
            return Err(SendError::TooLarge);
        }
        let from = self.node;
        let isolated = lock(&self.inbox.0).isolated;
        let mailbox = self.peer(to).cloned();
        let (Some(mailbox), Some(us)) = (mailbox, &self.us) else { return Err(SendError::UnknownPeer) };
        let mut mail = lock(&mailbox.0);
        let reached = !(isolated || mail.isolated || mail.closed);
        let Some(owner) = mail.owner.as_ref().filter(|_| reached) else { return Ok(()) };
        if let Some(reason) = refusal(us, owner) {
            // Never two locks at once: the other may be sending to us.
            drop(mail);
            self.tell_refusal(to, reason);
            return Ok(());
        }
        mail.lanes[lane as usize].push(from, frame)?;
        mail.wake();
        drop(mail);
        self.refused.remove(&to);
        Ok(())
    }

    fn poll_arrival(&mut self, cx: &mut Context<'_>) -> Poll<Arrival> {
        let mut mail = lock(&self.inbox.0);
        let Some(next) = mail.next() else {
            mail.waker = Some(cx.waker().clone());
            return Poll::Pending;
        };
        Poll::Ready(next)
    }

    fn frame_bytes_max(&self) -> usize {
        FRAME_BYTES_MAX
    }
}

impl Drop for LocalTransport {
    fn drop(&mut self) {
        let mut mail = lock(&self.inbox.0);
        mail.closed = true;
        mail.lanes = Default::default();
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use consensus_api::{ClusterName, EngineName, Incarnation, StoreId};

    use super::*;

    fn attached(network: &LocalNetwork, node: u64, cluster: &str) -> LocalTransport {
        let mut transport = network.transport(node);
        let cluster = ClusterName::new(cluster).unwrap();
        let (node, engine) = (NodeId(node), EngineName("test"));
        let (store, incarnation) = (StoreId(0), Incarnation(0));
        transport.attach(&Identity { cluster, node, engine, store, incarnation }).unwrap();
        transport
    }

    fn frame(text: &'static str) -> Frame {
        Frame { head: Bytes::from_static(text.as_bytes()), body: Bytes::new() }
    }

    fn arrivals(transport: &mut LocalTransport) -> Vec<Bytes> {
        let mut cx = Context::from_waker(Waker::noop());
        let next = || match transport.poll_arrival(&mut cx) {
            Poll::Ready(Arrival::Frame { frame, .. }) => Some(frame.head),
            _ => None,
        };
        std::iter::from_fn(next).collect()
    }

    #[test]
    fn control_comes_first_and_order_holds_within_a_lane() {
        let network = LocalNetwork::new();
        let (mut a, mut b) = (attached(&network, 1, "x"), attached(&network, 2, "x"));
        for (lane, text) in [(Lane::Data, "1"), (Lane::Bulk, "2"), (Lane::Control, "3"), (Lane::Data, "4")] {
            a.send(NodeId(2), lane, frame(text)).unwrap();
        }
        assert_eq!(arrivals(&mut b), ["3", "1", "4", "2"]);
    }

    #[test]
    fn another_cluster_is_refused_once_and_a_restarted_node_is_found_again() {
        let network = LocalNetwork::new();
        let (mut a, mut stranger) = (attached(&network, 1, "x"), attached(&network, 2, "y"));
        a.send(NodeId(2), Lane::Data, frame("1")).unwrap();
        a.send(NodeId(2), Lane::Data, frame("1")).unwrap();
        assert!(arrivals(&mut stranger).is_empty());
        let mut cx = Context::from_waker(Waker::noop());
        let Poll::Ready(Arrival::Refused { peer, reason }) = a.poll_arrival(&mut cx) else {
            panic!("nobody was told")
        };
        assert_eq!(peer, Some(NodeId(2)));
        assert!(reason.contains("cluster y") && reason.contains("cluster x"), "{reason}");
        assert!(a.poll_arrival(&mut cx).is_pending(), "it was told twice");
        let mut b = attached(&network, 2, "x");
        a.send(NodeId(2), Lane::Data, frame("2")).unwrap();
        assert_eq!(arrivals(&mut b), ["2"]);
        assert_eq!(a.send(NodeId(3), Lane::Data, frame("3")), Err(SendError::UnknownPeer));
    }

    #[test]
    fn an_isolated_node_neither_hears_nor_is_heard_until_it_is_healed() {
        let network = LocalNetwork::new();
        let (mut a, mut b) = (attached(&network, 1, "x"), attached(&network, 2, "x"));
        network.isolate(2);
        a.send(NodeId(2), Lane::Data, frame("1")).unwrap();
        b.send(NodeId(1), Lane::Data, frame("2")).unwrap();
        network.heal();
        a.send(NodeId(2), Lane::Data, frame("3")).unwrap();
        b.send(NodeId(1), Lane::Data, frame("4")).unwrap();
        assert_eq!((arrivals(&mut a), arrivals(&mut b)), (vec!["4".into()], vec!["3".into()]));
    }
}
