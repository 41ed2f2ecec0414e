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
    /// How far above the chosen slots it works with proposers; 0 where nothing rests on that. Written down with the promise,
    /// since it must never change.
    window: u64,
    /// The write that makes the promise durable, until it is.
    unsynced: Option<WriteSeq>,
}

const VERSION: u8 = 1;
/// The version of a byte form with a window.
const VERSION_OF_WINDOWS: u8 = 2;

impl Acceptor {
    /// An acceptor as its disk remembers it. What was accepted was promised, whether or not that was written down
    /// separately. `None` when these bytes are no promise of this version.
    pub(crate) fn recover(hard_state: Option<&Bytes>, accepted_max: Generation, window: u64) -> Option<Self> {
        let (written, window) = match hard_state {
            Some(bytes) => decode(bytes, window)?,
            None => (Generation::ZERO, window),
        };
        Some(Self { promised: written.max(accepted_max), window, unsynced: None })
    }

    pub(crate) const fn window(&self) -> u64 {
        self.window
    }

    pub(crate) const fn promised(&self) -> Generation {
        self.promised
    }

    /// Whether a proposer of this ballot may still be obeyed.
    pub(crate) fn obeys(&self, ballot: Generation) -> bool {
        let ties = ballot.round == self.promised.round && mutated("paxos/ballots-tie");
        ballot >= self.promised || ties || mutated("paxos/accept-below-the-promise")
    }

    /// Promises a ballot. The caller writes the bytes, under the number given to [`written`](Self::written).
    pub(crate) fn promise(&mut self, ballot: Generation) -> Bytes {
        assert!(ballot > self.promised, "promises only grow");
        self.promised = ballot;
        encode(ballot, self.window)
    }

    /// The promise as it is written down.
    pub(crate) fn promise_written(&self) -> Bytes {
        encode(self.promised, self.window)
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

fn encode(promised: Generation, window: u64) -> Bytes {
    let mut out = BytesMut::with_capacity(25);
    out.put_u8(if window == 0 { VERSION } else { VERSION_OF_WINDOWS });
    out.put_u64_le(promised.round);
    out.put_u64_le(promised.node.0);
    if window != 0 {
        out.put_u64_le(window);
    }
    out.freeze()
}

/// A promise, and the window it was given with; the one `given` now if none was written down.
fn decode(mut bytes: &[u8], given: u64) -> Option<(Generation, u64)> {
    let from = &mut bytes;
    let version = from.try_get_u8().ok()?;
    let promised = Generation::new(from.try_get_u64_le().ok()?, NodeId(from.try_get_u64_le().ok()?));
    let window = match version {
        VERSION => given,
        VERSION_OF_WINDOWS => from.try_get_u64_le().ok()?,
        _ => return None,
    };
    from.is_empty().then_some((promised, window))
}
