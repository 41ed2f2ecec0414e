//! [`Links`]: the peers that are dialled, and what waits for each.

use std::collections::BTreeMap;
use std::sync::Arc;

use consensus_api::{Frame, Lane, NodeId, PeerConnection, SendError};
use tokio::runtime::Handle;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

use crate::dialer::Dialer;
use crate::hello::Purpose;
use crate::outbox::Outbox;
use crate::peers::Peers;
use crate::resolver::Resolver;
use crate::roster::Roster;

/// A link to each peer. The tasks behind them end with it.
#[derive(Debug)]
pub(crate) struct Links {
    roster: Arc<Roster>,
    runtime: Handle,
    resolver: Arc<dyn Resolver>,
    by_peer: BTreeMap<NodeId, Link>,
    /// Tells the acceptor whose connections are to end.
    forgotten: UnboundedSender<NodeId>,
    tasks: JoinSet<()>,
}

#[derive(Debug)]
struct Link {
    address: watch::Sender<Arc<str>>,
    consensus: Arc<Outbox>,
    bulk: Arc<Outbox>,
    dialers: [AbortHandle; 2],
}

impl Links {
    /// Starts to dial all of them.
    pub(crate) fn new(
        roster: Arc<Roster>,
        runtime: Handle,
        resolver: Arc<dyn Resolver>,
        peers: &Peers,
        forgotten: UnboundedSender<NodeId>,
    ) -> Self {
        let (by_peer, tasks) = (BTreeMap::new(), JoinSet::new());
        let mut links = Self { roster, runtime, resolver, by_peer, forgotten, tasks };
        peers.iter().for_each(|(peer, address)| links.set_address(peer, address));
        links
    }

    /// Runs a task that ends with the links.
    pub(crate) fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn_on(task, &self.runtime);
    }

    /// Dials a peer there from now on. This node itself is not dialled.
    pub(crate) fn set_address(&mut self, peer: NodeId, address: &str) {
        if peer == self.roster.identity.node {
            return;
        }
        let address: Arc<str> = address.into();
        if let Some(link) = self.by_peer.get(&peer) {
            link.address.send_if_modified(|current| {
                let is_new = *current != address;
                *current = address;
                is_new
            });
            return;
        }
        self.roster.add(peer);
        let address = watch::Sender::new(address);
        let consensus = Arc::new(Outbox::new(&self.roster.options));
        let bulk = Arc::new(Outbox::new(&self.roster.options));
        let mut dial = |purpose, outbox: &Arc<Outbox>| {
            let dialer = Dialer {
                roster: Arc::clone(&self.roster),
                peer,
                address: address.subscribe(),
                resolver: Arc::clone(&self.resolver),
                purpose,
                outbox: Arc::clone(outbox),
                consensus: Arc::clone(&consensus),
            };
            self.tasks.spawn_on(dialer.run(), &self.runtime)
        };
        let dialers = [dial(Purpose::Consensus, &consensus), dial(Purpose::Bulk, &bulk)];
        self.by_peer.insert(peer, Link { address, consensus, bulk, dialers });
        while self.tasks.try_join_next().is_some() {} // those of forgotten peers
    }

    /// Ends all that there is with a peer.
    pub(crate) fn forget(&mut self, peer: NodeId) {
        let Some(link) = self.by_peer.remove(&peer) else { return };
        link.dialers.iter().for_each(AbortHandle::abort);
        self.roster.remove(peer);
        self.roster.inbox.revoke(peer);
        // The acceptor lives as long as this.
        let _ = self.forgotten.send(peer);
    }

    /// Queues a frame.
    pub(crate) fn send(&self, to: NodeId, lane: Lane, frame: Frame) -> Result<(), SendError> {
        let link = self.by_peer.get(&to).ok_or(SendError::UnknownPeer)?;
        match lane {
            Lane::Control | Lane::Data => link.consensus.offer(lane, frame),
            Lane::Bulk => link.bulk.offer(lane, frame),
        }
    }

    /// How each of them stands.
    pub(crate) fn connections(&self) -> Vec<PeerConnection> {
        let connection = |(peer, link): (&NodeId, &Link)| PeerConnection {
            peer: *peer,
            address: Arc::clone(&link.address.borrow()),
            reach: link.consensus.reach(),
            calls: self.roster.inbox.hears(*peer),
            refusal: self.roster.refusal(*peer),
        };
        self.by_peer.iter().map(connection).collect()
    }
}
