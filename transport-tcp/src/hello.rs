//! [`Hello`]: what the two sides of a handshake tell each other, and its byte form.
//!
//! ```text
//!  0  u8   lowest protocol version spoken
//!  1  u8   highest protocol version spoken
//!  2  u8   purpose          3  u8  reserved, 0
//!  4  u32  largest payload taken
//!  8  u64  from (node)     16  u64  to (node)
//! 24  u128 store           40  u64  incarnation
//! 48  u8   length, then the cluster's name
//!  .. u8   length, then the engine's name
//!  .. u32  features offered
//!  .. u32  features demanded
//!  .. 32 bytes, random: the nonce
//!  .. what later versions append, to be skipped
//! ```

use std::ops::RangeInclusive;

use bytes::{Buf, BufMut};
use consensus_api::{ClusterName, Identity, Incarnation, NodeId, PROTOCOL_VERSION, StoreId};

use crate::frame::FrameError;
use crate::refusal::Refusal;

/// The protocol versions this program speaks.
pub(crate) const VERSIONS: RangeInclusive<u8> = PROTOCOL_VERSION..=PROTOCOL_VERSION;
/// The largest payload of a handshake frame.
pub(crate) const HANDSHAKE_BYTES_MAX: usize = 1 << 10;
/// The fields before the names.
const FIXED_BYTES: usize = 48;
/// The fields behind them.
const TAIL_BYTES: usize = 8 + NONCE_BYTES;
/// The bytes of a nonce.
pub(crate) const NONCE_BYTES: usize = 32;
/// The longest engine name taken; the vocabulary allows 32.
const ENGINE_BYTES_MAX: usize = 32;

/// Features of the protocol, one bit each.
pub(crate) mod feature {
    /// Takes frames of any group, and skips those of a group it does not have.
    pub(crate) const GROUPS: u32 = 1;
    /// Proves in the handshake to know a shared secret, and wants the same proof.
    pub(crate) const SECRET: u32 = 2;
}

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
    /// What the speaker can do, a bit each. Bits that are not known mean nothing.
    pub(crate) offers: u32,
    /// What the other must be able to do.
    pub(crate) demands: u32,
    /// Drawn for this connection. Zeros, where nothing is to be proven.
    pub(crate) nonce: [u8; NONCE_BYTES],
}

/// What both sides conclude from the two hellos.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Agreement {
    pub(crate) version: u8,
    pub(crate) frame_bytes_max: usize,
    /// Both prove that they know the shared secret.
    pub(crate) proofs: bool,
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
            offers: feature::GROUPS,
            demands: 0,
            nonce: [0; NONCE_BYTES],
        }
    }

    /// Promises a proof and demands one. The nonce must never have been used before.
    pub(crate) fn with_proof(mut self, nonce: [u8; NONCE_BYTES]) -> Self {
        self.offers |= feature::SECRET;
        self.demands |= feature::SECRET;
        self.nonce = nonce;
        self
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(
            FIXED_BYTES + self.cluster.as_str().len() + self.engine.len() + 2 + TAIL_BYTES,
        );
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
        out.put_u32_le(self.offers);
        out.put_u32_le(self.demands);
        out.put_slice(&self.nonce);
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
        if bytes.len() < TAIL_BYTES {
            return Err(malformed());
        }
        let (offers, demands) = (bytes.get_u32_le(), bytes.get_u32_le());
        let mut nonce = [0; NONCE_BYTES];
        bytes.copy_to_slice(&mut nonce);
        Ok(Self {
            versions,
            purpose,
            frame_bytes_max,
            from,
            to,
            store,
            incarnation,
            cluster,
            engine: engine.to_owned(),
            offers,
            demands,
            nonce,
        })
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
        self.check_demands_of(mine)?;
        mine.check_demands_of(self)?;
        let frame_bytes_max = self.frame_bytes_max.min(mine.frame_bytes_max) as usize;
        let proofs = (self.demands | mine.demands) & feature::SECRET != 0;
        Ok(Agreement { version, frame_bytes_max, proofs })
    }

    /// Whether this side can do what the other demands.
    fn check_demands_of(&self, other: &Self) -> Result<(), Refusal> {
        let features = other.demands & !self.offers;
        let (demands, lacks) = (other.from, self.from);
        match features {
            0 => Ok(()),
            features if features & feature::SECRET != 0 => Err(Refusal::NoSecret { demands, lacks }),
            features => Err(Refusal::Feature { demands, lacks, features }),
        }
    }
}

/// Takes a name with its length off the front.
fn name<'a>(bytes: &mut &'a [u8]) -> Option<&'a str> {
    let (&len, rest) = bytes.split_first()?;
    let (name, rest) = rest.split_at_checked(len.into())?;
    *bytes = rest;
    std::str::from_utf8(name).ok()
}

#[cfg(test)]
mod tests;
