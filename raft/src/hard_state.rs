//! [`HardState`]: what must survive a crash besides the log, written as one piece.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use consensus_api::NodeId;

use crate::Term;

/// Term and vote. Always written together: a term that is durable without the vote cast in it would vote twice
/// (hashicorp/raft#661).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub(crate) struct HardState {
    pub(crate) term: Term,
    pub(crate) vote: Option<NodeId>,
}

const VERSION: u8 = 1;

impl HardState {
    pub(crate) fn encode(self) -> Bytes {
        let mut out = BytesMut::with_capacity(18);
        out.put_u8(VERSION);
        out.put_u64_le(self.term.0);
        out.put_u8(u8::from(self.vote.is_some()));
        out.put_u64_le(self.vote.unwrap_or_default().0);
        out.freeze()
    }

    /// `None` when these bytes are no hard state of this version.
    pub(crate) fn decode(mut bytes: &[u8]) -> Option<Self> {
        let from = &mut bytes;
        let version = from.try_get_u8().ok()?;
        let term = Term(from.try_get_u64_le().ok()?);
        let voted = from.try_get_u8().ok()?;
        let vote = NodeId(from.try_get_u64_le().ok()?);
        let known = version == VERSION && voted <= 1 && from.is_empty();
        known.then_some(Self { term, vote: (voted == 1).then_some(vote) })
    }
}
