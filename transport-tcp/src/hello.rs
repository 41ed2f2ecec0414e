//! [`Hello`] and [`Refusal`]: what the two sides of a handshake tell each other, and their byte forms.
//!
//! ```text
//! hello                                          refusal
//!  0  u8   lowest protocol version spoken        0  u8  the reason, by number
//!  1  u8   highest protocol version spoken       1  ..  the reason, in words (UTF-8)
//!  2  u8   purpose          3  u8  reserved, 0
//!  4  u32  largest payload taken
//!  8  u64  from (node)     16  u64  to (node)
//! 24  u128 store           40  u64  incarnation
//! 48  u8   length, then the cluster's name
//!  .. u8   length, then the engine's name
//!  .. what later versions append, to be skipped
//! ```

use std::ops::RangeInclusive;

use bytes::{Buf, BufMut};
use consensus_api::{ClusterName, Identity, Incarnation, NodeId, PeerRefusalKind, StoreId};
use thiserror::Error;

use crate::frame::FrameError;

/// The protocol versions this program speaks.
pub(crate) const VERSIONS: RangeInclusive<u8> = 1..=1;
/// The largest payload of a handshake frame.
pub(crate) const HANDSHAKE_BYTES_MAX: usize = 1 << 10;
/// The fixed fields of a hello.
const FIXED_BYTES: usize = 48;
/// The longest engine name taken; the vocabulary allows 32.
const ENGINE_BYTES_MAX: usize = 32;

/// What a connection is for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Purpose {
    /// The lanes control and data.
    Consensus = 0,
    /// The lane bulk, which would be in their way.
    Bulk = 1,
}

/// Who speaks, to whom, and what for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Hello {
    pub(crate) versions: RangeInclusive<u8>,
    pub(crate) purpose: Purpose,
    pub(crate) frame_bytes_max: u32,
    pub(crate) from: NodeId,
    pub(crate) to: NodeId,
    pub(crate) store: StoreId,
    pub(crate) incarnation: Incarnation,
    pub(crate) cluster: ClusterName,
    pub(crate) engine: String,
}

/// What both sides conclude from the two hellos.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Agreement {
    pub(crate) version: u8,
    pub(crate) frame_bytes_max: usize,
}

impl Hello {
    pub(crate) fn new(identity: &Identity, to: NodeId, purpose: Purpose, frame_bytes_max: usize) -> Self {
        Self {
            versions: VERSIONS,
            purpose,
            frame_bytes_max: u32::try_from(frame_bytes_max).unwrap_or(u32::MAX),
            from: identity.node,
            to,
            store: identity.store,
            incarnation: identity.incarnation,
            cluster: identity.cluster.clone(),
            engine: identity.engine.0.to_owned(),
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(FIXED_BYTES + 2 + ENGINE_BYTES_MAX + ClusterName::BYTES_MAX);
        out.put_u8(*self.versions.start());
        out.put_u8(*self.versions.end());
        out.put_u8(self.purpose as u8);
        out.put_u8(0);
        out.put_u32_le(self.frame_bytes_max);
        out.put_u64_le(self.from.0);
        out.put_u64_le(self.to.0);
        out.put_u128_le(self.store.0);
        out.put_u64_le(self.incarnation.0);
        for name in [self.cluster.as_str(), &self.engine] {
            out.put_u8(name.len() as u8);
            out.put_slice(name.as_bytes());
        }
        out
    }

    pub(crate) fn decode(mut bytes: &[u8]) -> Result<Self, FrameError> {
        let malformed = || FrameError::Malformed { what: "hello" };
        if bytes.len() < FIXED_BYTES {
            return Err(malformed());
        }
        let versions = bytes.get_u8()..=bytes.get_u8();
        let purpose = match bytes.get_u8() {
            0 => Purpose::Consensus,
            1 => Purpose::Bulk,
            _ => return Err(FrameError::Reserved { field: "purpose" }),
        };
        if bytes.get_u8() != 0 {
            return Err(FrameError::Reserved { field: "reserved" });
        }
        let frame_bytes_max = bytes.get_u32_le();
        let from = NodeId(bytes.get_u64_le());
        let to = NodeId(bytes.get_u64_le());
        let store = StoreId(bytes.get_u128_le());
        let incarnation = Incarnation(bytes.get_u64_le());
        let cluster = name(&mut bytes).and_then(ClusterName::new).ok_or_else(malformed)?;
        let engine = name(&mut bytes).ok_or_else(malformed)?;
        if engine.is_empty() || engine.len() > ENGINE_BYTES_MAX {
            return Err(malformed());
        }
        let engine = engine.to_owned();
        Ok(Self { versions, purpose, frame_bytes_max, from, to, store, incarnation, cluster, engine })
    }

    /// Whether two nodes that said this to each other may talk, and how. The same on both sides, whichever asks.
    pub(crate) fn agree(&self, mine: &Self) -> Result<Agreement, Refusal> {
        let (me, peer) = (mine.from, self.from);
        let version = *self.versions.end().min(mine.versions.end());
        if !self.versions.contains(&version) || !mine.versions.contains(&version) {
            let (theirs, ours) = (self.versions.clone(), mine.versions.clone());
            return Err(Refusal::Version { me, ours, peer, theirs });
        }
        if self.cluster != mine.cluster {
            let (theirs, ours) = (self.cluster.clone(), mine.cluster.clone());
            return Err(Refusal::Cluster { me, ours, peer, theirs });
        }
        if self.engine != mine.engine {
            let (theirs, ours) = (self.engine.clone(), mine.engine.clone());
            return Err(Refusal::Engine { me, ours, peer, theirs });
        }
        if peer == me {
            return Err(Refusal::SameNode { node: me });
        }
        if self.to != me {
            return Err(Refusal::Address { peer, wanted: self.to, me });
        }
        if self.store == mine.store && self.store != StoreId::default() {
            return Err(Refusal::SameStore { me, peer });
        }
        let frame_bytes_max = self.frame_bytes_max.min(mine.frame_bytes_max) as usize;
        Ok(Agreement { version, frame_bytes_max })
    }
}

/// Takes a name with its length off the front.
fn name<'a>(bytes: &mut &'a [u8]) -> Option<&'a str> {
    let (&len, rest) = bytes.split_first()?;
    let (name, rest) = rest.split_at_checked(len.into())?;
    *bytes = rest;
    std::str::from_utf8(name).ok()
}

/// Why two nodes do not talk. The sentences name both, so that they read the same on either side.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum Refusal {
    #[error(
        "node {peer} speaks the protocol versions {} to {}, node {me} {} to {}; upgrade the older one",
        theirs.start(), theirs.end(), ours.start(), ours.end()
    )]
    Version { me: NodeId, ours: RangeInclusive<u8>, peer: NodeId, theirs: RangeInclusive<u8> },
    #[error(
        "node {peer} belongs to the cluster {theirs:?}, node {me} to {ours:?}; correct the name or the address"
    )]
    Cluster { me: NodeId, ours: ClusterName, peer: NodeId, theirs: ClusterName },
    #[error("node {peer} runs the engine {theirs:?}, node {me} runs {ours:?}; run one engine on all nodes")]
    Engine { me: NodeId, ours: String, peer: NodeId, theirs: String },
    #[error(
        "node {peer} looked for node {wanted} where node {me} answers; correct the address of node {wanted}"
    )]
    Address { peer: NodeId, wanted: NodeId, me: NodeId },
    #[error("node {peer} is not among the peers of node {me}; add it there if it belongs to the cluster")]
    Stranger { peer: NodeId, me: NodeId },
    #[error("two processes call themselves node {node}; stop one, or give it a number of its own")]
    SameNode { node: NodeId },
    #[error(
        "node {peer} and node {me} run on the same store: one disk is a copy of the other; empty it and add its node anew"
    )]
    SameStore { me: NodeId, peer: NodeId },
}

impl Refusal {
    /// The number on the wire, by which a repetition is known.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Version { .. } => 1,
            Self::Cluster { .. } => 2,
            Self::Engine { .. } => 3,
            Self::Address { .. } => 4,
            Self::Stranger { .. } => 5,
            Self::SameNode { .. } => 6,
            Self::SameStore { .. } => 7,
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = vec![self.code()];
        out.extend_from_slice(self.to_string().as_bytes());
        out
    }
}

/// What a number on the wire stands for. A later version may have more of them.
pub(crate) const fn kind_of(code: u8) -> PeerRefusalKind {
    match code {
        1 => PeerRefusalKind::Version,
        2 => PeerRefusalKind::Cluster,
        3 => PeerRefusalKind::Engine,
        4 => PeerRefusalKind::WrongNode,
        5 => PeerRefusalKind::Stranger,
        6 => PeerRefusalKind::SameNode,
        7 => PeerRefusalKind::SameStore,
        _ => PeerRefusalKind::Other,
    }
}

/// Reads a refusal: the reason by number and in words. The words come from outside, so what could garble a log or a
/// terminal is taken out.
pub(crate) fn decode_refusal(bytes: &[u8]) -> Result<(u8, String), FrameError> {
    let (&code, words) = bytes.split_first().ok_or(FrameError::Malformed { what: "refusal" })?;
    Ok((code, String::from_utf8_lossy(words).chars().filter(|c| !c.is_control()).collect()))
}

#[cfg(test)]
mod tests;
