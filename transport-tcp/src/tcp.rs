//! [`Tcp`] and [`Listener`]: the transport as a node holds it.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};

use consensus_api::{Arrival, Frame, Identity, Lane, NodeId, SendError, Transport, TransportError};
use tokio::net::{TcpListener, ToSocketAddrs};
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use crate::acceptor::Acceptor;
use crate::dialer::Dialer;
use crate::hello::Purpose;
use crate::inbox::{Inbox, Item};
use crate::options::Options;
use crate::outbox::Outbox;
use crate::peers::Peers;
use crate::roster::Roster;

/// Carries frames over TCP. Dropping it ends all its tasks and closes all its sockets.
#[derive(Debug)]
pub struct Tcp {
    me: NodeId,
    peers: Peers,
    options: Options,
    local_addr: SocketAddr,
    /// Until it is attached.
    listener: Option<std::net::TcpListener>,
    outboxes: HashMap<NodeId, Outboxes>,
    inbox: Arc<Inbox>,
    /// Taken from the inbox, and not yet handed to the node.
    arrived: VecDeque<Item>,
    tasks: JoinSet<()>,
}

#[derive(Debug)]
struct Outboxes {
    consensus: Arc<Outbox>,
    bulk: Arc<Outbox>,
}

impl Tcp {
    /// Listens where `peers` says that `me` is. Frames flow once a node attaches it.
    ///
    /// # Errors
    /// A sentence when `me` has no address, or one that cannot be listened on.
    pub async fn bind(me: impl Into<NodeId>, peers: impl Into<Peers>) -> Result<Self, TransportError> {
        let (me, peers) = (me.into(), peers.into());
        let Some(address) = peers.address(me) else {
            return Err(TransportError(format!("node {me} is not among its peers; add its own address")));
        };
        Ok(Self::listen(address).await?.with_peers(me, peers))
    }

    /// Listens on an address that differs from the one the peers dial, such as `0.0.0.0:7000`, or one whose port the
    /// system is to choose, `127.0.0.1:0`.
    ///
    /// # Errors
    /// A sentence when it cannot be listened on.
    pub async fn listen(address: impl ToSocketAddrs + ToString) -> Result<Listener, TransportError> {
        let name = address.to_string();
        let listen = async {
            let listener = TcpListener::bind(address).await?;
            let local_addr = listener.local_addr()?;
            // Not tied to this runtime: the node may run on another.
            Ok(Listener { listener: listener.into_std()?, local_addr })
        };
        listen.await.map_err(|error: io::Error| {
            TransportError(match error.kind() {
                io::ErrorKind::AddrInUse => format!(
                    "cannot listen on {name}: the address is in use; stop the other process, or choose another port"
                ),
                io::ErrorKind::AddrNotAvailable => format!(
                    "cannot listen on {name}: this machine has no such address; listen on 0.0.0.0 or [::] instead"
                ),
                _ => format!("cannot listen on {name}: {error}"),
            })
        })
    }

    /// Sets limits and waits. Without effect once attached.
    #[must_use]
    pub fn with_options(self, options: Options) -> Self {
        Self { options, ..self }
    }

    /// The address listened on.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    fn start_dialers(&mut self, roster: &Arc<Roster>) {
        for (peer, address) in self.peers.iter().filter(|(peer, _)| *peer != self.me) {
            let consensus = Arc::new(Outbox::new(&self.options));
            let bulk = Arc::new(Outbox::new(&self.options));
            for (purpose, outbox) in [(Purpose::Consensus, &consensus), (Purpose::Bulk, &bulk)] {
                let dialer = Dialer {
                    roster: Arc::clone(roster),
                    peer,
                    address: address.to_owned(),
                    purpose,
                    outbox: Arc::clone(outbox),
                    consensus: Arc::clone(&consensus),
                };
                self.tasks.spawn(dialer.run());
            }
            self.outboxes.insert(peer, Outboxes { consensus, bulk });
        }
    }
}

impl Transport for Tcp {
    fn attach(&mut self, identity: &Identity) -> Result<(), TransportError> {
        let me = self.me;
        if identity.node != me {
            return Err(TransportError(format!(
                "the transport was bound for node {me}, and node {} attaches it; give both the same id",
                identity.node
            )));
        }
        self.options.check()?;
        if Handle::try_current().is_err() {
            return Err(TransportError(
                "the TCP transport must be attached within a tokio runtime: start the node from an async function"
                    .to_owned(),
            ));
        }
        let Some(listener) = self.listener.take() else {
            return Err(TransportError(format!(
                "the transport of node {me} is attached already; bind one for each node"
            )));
        };
        let listener = TcpListener::from_std(listener)
            .map_err(|error| TransportError(format!("cannot listen on {}: {error}", self.local_addr)))?;
        let peers = self.peers.iter().map(|(peer, _)| peer);
        let roster = Roster::new(identity.clone(), self.options.clone(), Arc::clone(&self.inbox), peers);
        let roster = Arc::new(roster);
        self.start_dialers(&roster);
        self.tasks.spawn(Acceptor::new(listener, roster).run());
        Ok(())
    }

    fn send(&mut self, to: NodeId, lane: Lane, frame: Frame) -> Result<(), SendError> {
        let outboxes = self.outboxes.get(&to).ok_or(SendError::UnknownPeer)?;
        match lane {
            Lane::Control | Lane::Data => outboxes.consensus.offer(lane, frame),
            Lane::Bulk => outboxes.bulk.offer(lane, frame),
        }
    }

    fn poll_arrival(&mut self, cx: &mut Context<'_>) -> Poll<Arrival> {
        if self.arrived.is_empty() {
            self.inbox.take(&mut self.arrived, cx);
        }
        self.arrived.pop_front().map_or(Poll::Pending, |item| Poll::Ready(item.release()))
    }

    fn frame_bytes_max(&self) -> usize {
        self.options.frame_bytes_max
    }
}

/// A socket that listens, and does not know its peers yet.
#[derive(Debug)]
pub struct Listener {
    listener: std::net::TcpListener,
    local_addr: SocketAddr,
}

impl Listener {
    /// The address listened on.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// The transport of node `me`. The address of `me` among the peers, if it is there, is not used.
    pub fn with_peers(self, me: impl Into<NodeId>, peers: impl Into<Peers>) -> Tcp {
        Tcp {
            me: me.into(),
            peers: peers.into(),
            options: Options::default(),
            local_addr: self.local_addr,
            listener: Some(self.listener),
            outboxes: HashMap::new(),
            inbox: Arc::default(),
            arrived: VecDeque::new(),
            tasks: JoinSet::new(),
        }
    }
}
