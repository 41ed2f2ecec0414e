//! [`Tcp`] and [`Listener`]: the transport as a node holds it.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use consensus_api::{
    Arrival, Frame, Identity, Lane, NodeId, PeerConnection, SendError, Transport, TransportError,
};
use tokio::net::{TcpListener, ToSocketAddrs};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use crate::acceptor::Acceptor;
use crate::inbox::{Inbox, Item};
use crate::links::Links;
use crate::options::Options;
use crate::peers::Peers;
use crate::resolver::{Resolver, System};
use crate::roster::Roster;
use crate::secret::Secret;
use crate::security::Security;
#[cfg(feature = "tls")]
use crate::tls::Tls;

/// Carries frames over TCP. Dropping it ends all its tasks and closes all its sockets.
#[derive(Debug)]
pub struct Tcp {
    me: NodeId,
    options: Options,
    local_addr: SocketAddr,
    /// Until it is attached.
    listener: Option<std::net::TcpListener>,
    security: Security,
    resolver: Arc<dyn Resolver>,
    stage: Mutex<Stage>,
    inbox: Arc<Inbox>,
    /// Taken from the inbox, and not yet handed to the node.
    arrived: VecDeque<Item>,
}

/// Whom it talks to.
#[derive(Debug)]
enum Stage {
    /// Before it is attached.
    Bound(Peers),
    Attached(Links),
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

    /// Lets in only who knows this secret. Without effect once attached.
    #[must_use]
    pub fn with_secret(mut self, secret: Secret) -> Self {
        self.security.secret = Some(secret);
        self
    }

    /// Encrypts, and lets in only who shows the right certificate. Without effect once attached.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn with_tls(mut self, tls: &Tls) -> Self {
        self.security.tls = Some(tls.clone());
        self
    }

    /// Looks the addresses of peers up there instead of asking the system. Without effect once attached.
    #[must_use]
    pub fn with_resolver(self, resolver: impl Resolver) -> Self {
        Self { resolver: Arc::new(resolver), ..self }
    }

    /// The address listened on.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    fn stage(&self) -> MutexGuard<'_, Stage> {
        // No code that holds the lock can leave it half-done.
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
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
        self.security.attach(identity)?;
        let Ok(runtime) = Handle::try_current() else {
            return Err(TransportError(
                "the TCP transport must be attached within a tokio runtime: start the node from an async function"
                    .to_owned(),
            ));
        };
        let stage = self.stage.get_mut().unwrap_or_else(PoisonError::into_inner);
        let (Some(listener), Stage::Bound(peers)) = (self.listener.take(), &*stage) else {
            return Err(TransportError(format!(
                "the transport of node {me} is attached already; bind one for each node"
            )));
        };
        let listener = TcpListener::from_std(listener)
            .map_err(|error| TransportError(format!("cannot listen on {}: {error}", self.local_addr)))?;
        let (options, security) = (self.options.clone(), self.security.clone());
        let roster = Arc::new(Roster::new(identity.clone(), options, security, Arc::clone(&self.inbox)));
        let (forget, forgotten) = mpsc::unbounded_channel();
        let resolver = Arc::clone(&self.resolver);
        let mut links = Links::new(Arc::clone(&roster), runtime, resolver, peers, forget);
        links.spawn(Acceptor::new(listener, roster, forgotten).run());
        *stage = Stage::Attached(links);
        Ok(())
    }

    fn send(&mut self, to: NodeId, lane: Lane, frame: Frame) -> Result<(), SendError> {
        match self.stage.get_mut().unwrap_or_else(PoisonError::into_inner) {
            Stage::Attached(links) => links.send(to, lane, frame),
            Stage::Bound(_) => Err(SendError::UnknownPeer),
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

    fn set_address(&self, node: NodeId, address: &str) {
        match &mut *self.stage() {
            Stage::Bound(peers) => peers.set(node, address),
            Stage::Attached(links) => links.set_address(node, address),
        }
    }

    fn forget(&self, node: NodeId) {
        match &mut *self.stage() {
            Stage::Bound(peers) => peers.remove(node),
            Stage::Attached(links) => links.forget(node),
        }
    }

    fn peers(&self) -> Vec<PeerConnection> {
        match &*self.stage() {
            Stage::Bound(_) => Vec::new(),
            Stage::Attached(links) => links.connections(),
        }
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
            options: Options::default(),
            local_addr: self.local_addr,
            listener: Some(self.listener),
            security: Security::default(),
            resolver: Arc::new(System),
            stage: Mutex::new(Stage::Bound(peers.into())),
            inbox: Arc::default(),
            arrived: VecDeque::new(),
        }
    }
}
