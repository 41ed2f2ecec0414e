//! [`Acceptor`]: the promise, the one thing an acceptor must never forget. The values it accepted stand in the log.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use consensus_api::mutation::mutated;
use consensus_api::{Generation, NodeId, WriteSeq};

/// The highest ballot this member has promised: it acts for no lower one, at any slot (Lamport 2001, "Paxos Made
/// Simple", section 2.2, P1a).
///
/// Accepting at a ballot promises it, too. Otherwise an acceptor could accept at 7 and then at 6.
#[derive(Clone, Copy, Hash, Debug)]
pub(crate) struct Acceptor {
    promised: Generation,
    /// The write that makes the promise durable, until it is.
    unsynced: Option<WriteSeq>,
}

const VERSION: u8 = 1;

impl Acceptor {
    /// An acceptor as its disk remembers it. What was accepted was promised, whether or not that was written down
    /// separately. `None` when these bytes are no promise of this version.
    pub(crate) fn recover(hard_state: Option<&Bytes>, accepted_max: Generation) -> Option<Self> {
        let written = match hard_state {
            Some(bytes) => decode(bytes)?,
            None => Generation::ZERO,
        };
        Some(Self { promised: written.max(accepted_max), unsynced: None })
    }

    pub(crate) const fn promised(&self) -> Generation {
        self.promised
    }

    /// Whether a proposer of this ballot may still be obeyed.
    pub(crate) fn obeys(&self, ballot: Generation) -> bool {
        ballot >= self.promised || mutated("paxos/accept-below-the-promise")
    }

    /// Promises a ballot. The caller writes the bytes, under the number given to [`written`](Self::written).
    pub(crate) fn promise(&mut self, ballot: Generation) -> Bytes {
        assert!(ballot > self.promised, "promises only grow");
        self.promised = ballot;
        encode(ballot)
    }

    /// The promise is being written.
    pub(crate) fn written(&mut self, seq: WriteSeq) {
        self.unsynced = Some(seq).filter(|_| !mutated("paxos/promise-before-sync"));
    }

    /// Everything written up to this number is durable.
    pub(crate) fn made_durable(&mut self, seq: WriteSeq) {
        self.unsynced = self.unsynced.filter(|written| *written > seq);
    }

    /// The write to wait for before the promise may be spoken of.
    pub(crate) const fn unsynced(&self) -> Option<WriteSeq> {
        self.unsynced
    }
}

fn encode(promised: Generation) -> Bytes {
    let mut out = BytesMut::with_capacity(17);
    out.put_u8(VERSION);
    out.put_u64_le(promised.round);
    out.put_u64_le(promised.node.0);
    out.freeze()
}

fn decode(mut bytes: &[u8]) -> Option<Generation> {
    let from = &mut bytes;
    let version = from.try_get_u8().ok()?;
    let promised = Generation::new(from.try_get_u64_le().ok()?, NodeId(from.try_get_u64_le().ok()?));
    (version == VERSION && from.is_empty()).then_some(promised)
}
