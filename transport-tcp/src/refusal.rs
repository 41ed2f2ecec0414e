//! [`Refusal`]: why two nodes do not talk, and its byte form.
//!
//! ```text
//!  0  u8  the reason, by number
//!  1  ..  the reason, in words (UTF-8)
//! ```

use std::ops::RangeInclusive;

use consensus_api::{ClusterName, NodeId, PeerRefusalKind};
use thiserror::Error;

use crate::frame::FrameError;

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
    #[error(
        "node {demands} demands features of the protocol that node {lacks} lacks ({features:#x}); upgrade the older one"
    )]
    Feature { demands: NodeId, lacks: NodeId, features: u32 },
    #[error(
        "node {demands} demands proof of a shared secret, and node {lacks} was given none; give all nodes the same"
    )]
    NoSecret { demands: NodeId, lacks: NodeId },
    #[error("node {peer} and node {me} were given different secrets; give all nodes the same")]
    WrongSecret { me: NodeId, peer: NodeId },
    #[cfg(feature = "tls")]
    #[error(
        "the certificate of node {peer} is not accepted by node {me}: {problem}; give node {peer} one for its own name, valid now, that the authority of node {me} has signed"
    )]
    Certificate { me: NodeId, peer: NodeId, problem: String },
    #[cfg(feature = "tls")]
    #[error("{problem}; use TLS on all nodes or on none")]
    Encryption { problem: String },
}

impl Refusal {
    /// The number on the wire, by which a repetition is known.
    pub(crate) const fn code(&self) -> u8 {
        match self {
            Self::Version { .. } => 1,
            Self::Cluster { .. } => 2,
            Self::Engine { .. } => 3,
            Self::Address { .. } => 4,
            Self::Stranger { .. } => 5,
            Self::SameNode { .. } => 6,
            Self::SameStore { .. } => 7,
            Self::Feature { .. } => 8,
            Self::NoSecret { .. } | Self::WrongSecret { .. } => 9,
            #[cfg(feature = "tls")]
            Self::Certificate { .. } => 10,
            #[cfg(feature = "tls")]
            Self::Encryption { .. } => 11,
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
        8 => PeerRefusalKind::Feature,
        9 => PeerRefusalKind::Secret,
        10 => PeerRefusalKind::Certificate,
        11 => PeerRefusalKind::Encryption,
        _ => PeerRefusalKind::Other,
    }
}

/// Reads a refusal: the reason by number and in words. The words come from outside, so what could garble a log or a
/// terminal is taken out.
pub(crate) fn decode_refusal(bytes: &[u8]) -> Result<(u8, String), FrameError> {
    let (&code, words) = bytes.split_first().ok_or(FrameError::Malformed { what: "refusal" })?;
    Ok((code, String::from_utf8_lossy(words).chars().filter(|c| !c.is_control()).collect()))
}
