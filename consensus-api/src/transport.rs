//! [`Transport`]: how frames reach the other members.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use thiserror::Error;

use crate::{Identity, NodeId};

/// The version of what members say to each other: a transport's frames and handshake, what nodes put into frames, what
/// engines put into that, and the byte form of entries. Each of these has a test that holds its bytes, under this number.
/// When one of them has to change, this number goes up, and nodes of both versions know each other by it.
pub const PROTOCOL_VERSION: u8 = 1;

/// How urgent a frame is. A lane never waits behind a later one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Lane {
    /// Votes, heartbeats, acknowledgements, read confirmations: small, and first.
    Control,
    /// Entries of the log.
    Data,
    /// Snapshots: large, and in nobody's way.
    Bulk,
}

/// A message between two nodes, opaque to the transport. Two parts, so that what is the same for every peer is encoded
/// once and shared; the receiver gets them as they were.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Frame {
    /// The message.
    pub head: Bytes,
    /// The entries or the chunk that go with it. Often empty.
    pub body: Bytes,
}

impl Frame {
    /// The bytes of both parts.
    pub fn len(&self) -> usize {
        self.head.len() + self.body.len()
    }

    /// Whether both parts are empty.
    pub fn is_empty(&self) -> bool {
        self.head.is_empty() && self.body.is_empty()
    }
}

/// What a transport reports.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Arrival {
    /// A frame from a peer that proved, in the handshake, to be of this cluster, engine and version.
    Frame {
        /// Who sent it.
        from: NodeId,
        /// What it sent.
        frame: Frame,
    },
    /// Frames may reach this peer from now on.
    Connected(NodeId),
    /// Frames to this peer are lost from now on, and some sent before may have been.
    Unreachable(NodeId),
    /// A peer was refused, or refused us, for a reason that does not pass by itself.
    Refused {
        /// The peer, where it is known.
        peer: Option<NodeId>,
        /// The reason and the remedy, for the operator.
        reason: String,
    },
}

/// A frame was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SendError {
    /// The peer's queue is full. The frame is dropped.
    #[error("the queue to this peer is full")]
    Full,
    /// No address is known for this node. The frame is dropped.
    #[error("no address is known for this node")]
    UnknownPeer,
    /// The frame exceeds what the transport carries at once. The frame is dropped.
    #[error("the frame is larger than the transport carries")]
    TooLarge,
}

/// How a transport stands to one peer, for the operator.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PeerConnection {
    /// The peer.
    pub peer: NodeId,
    /// Where it is dialled, as it was told. A name is looked up for each attempt.
    pub address: Arc<str>,
    /// Whether frames to it get through.
    pub reach: Reach,
    /// Whether it has a connection to this node on which it may send.
    pub calls: bool,
    /// Why the two last refused each other, until they meet.
    pub refusal: Option<PeerRefusal>,
}

/// Whether frames get through to a peer.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub enum Reach {
    /// No attempt has ended yet.
    #[default]
    Untried,
    /// They do.
    Open,
    /// They do not. Another attempt follows.
    Closed,
}

impl fmt::Display for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Untried => "not tried yet",
            Self::Open => "connected",
            Self::Closed => "out of reach",
        })
    }
}

/// Why two nodes do not talk, by a name for programs and a sentence for people.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PeerRefusal {
    /// What is wrong.
    pub kind: PeerRefusalKind,
    /// What is wrong, between whom, and the remedy.
    pub reason: Arc<str>,
}

/// What is wrong between two nodes that do not talk.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum PeerRefusalKind {
    /// No version of the protocol is spoken by both.
    Version,
    /// They belong to different clusters.
    Cluster,
    /// They run different engines.
    Engine,
    /// Another node answers at the address.
    WrongNode,
    /// The one that called is not among the peers of the other.
    Stranger,
    /// Two processes go by one id.
    SameNode,
    /// One runs on a copy of the other's disk.
    SameStore,
    /// One lacks a feature of the protocol that the other must have.
    Feature,
    /// One could not prove to know the secret that members share.
    Secret,
    /// A certificate is not trusted, or is not that of the node that shows it.
    Certificate,
    /// One speaks TLS and the other does not.
    Encryption,
    /// Something that this version has no name for.
    Other,
}

/// Carries opaque frames between the members of a cluster.
///
/// What a transport promises:
/// 1. **Nothing invented.** A frame that arrives was sent by the peer it is said to come from, byte for byte. Damage is
///    dropped, with the connection if need be.
/// 2. **May lose, delay, duplicate, reorder.** Engines are safe under all of that. A good transport keeps order within a
///    lane and loses only with a connection; that makes them fast.
/// 3. **Bounded.** Every queue has a limit in bytes; a full one drops and tells.
/// 4. **Lanes.** A frame does not wait behind frames of a later lane, save for one already on its way.
/// 5. **Strangers are refused.** Frames of another cluster, engine or protocol version never arrive; the refusal is told
///    once, as [`Arrival::Refused`], in words.
/// 6. **Blind.** It knows hello, data and close. It never learns the name of a message.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a transport",
    note = "give the builder one with `.transport(...)`: `Tcp`, or `LocalNetwork::transport` within one process"
)]
pub trait Transport: Send + 'static {
    /// Starts to carry frames in this identity's name. Called once, before anything else, within the runtime that
    /// drives the node.
    ///
    /// # Errors
    /// A sentence that says what is wrong and what to do.
    fn attach(&mut self, identity: &Identity) -> Result<(), TransportError>;

    /// Queues a frame for a peer, without waiting.
    ///
    /// # Errors
    /// [`SendError`] when it was dropped at once. A frame that was taken may still be lost.
    fn send(&mut self, to: NodeId, lane: Lane, frame: Frame) -> Result<(), SendError>;

    /// The next arrival.
    fn poll_arrival(&mut self, cx: &mut Context<'_>) -> Poll<Arrival>;

    /// The most bytes one frame may have.
    fn frame_bytes_max(&self) -> usize;

    /// From now on this peer is dialled at this address: one that was not known, or one that has moved. Whatever
    /// connection it has at another address ends. A transport whose peers need no address does nothing.
    fn set_address(&self, node: NodeId, address: &str) {
        let _ = (node, address);
    }

    /// From now on this peer is unknown: connections to it and from it end, and it is refused when it calls. A
    /// transport that keeps no list of peers does nothing.
    fn forget(&self, node: NodeId) {
        let _ = node;
    }

    /// How it stands to each peer, by id. Empty for a transport that keeps no account.
    fn peers(&self) -> Vec<PeerConnection> {
        Vec::new()
    }
}

/// A transport that cannot start.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct TransportError(pub String);
