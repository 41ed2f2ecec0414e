//! Committed entries never change, and equal logs give equal states. (Raft, figure 3: state machine safety.)

use std::collections::BTreeMap;

use consensus_api::{Index, NodeId};

use super::{Checked, Essence, violated};

/// What was applied at each index, by whoever came first.
#[derive(Debug, Default)]
pub(super) struct Agreement {
    entries: BTreeMap<Index, (NodeId, Essence)>,
    digests: BTreeMap<Index, u64>,
}

impl Agreement {
    pub(super) fn applied(&mut self, node: NodeId, index: Index, essence: Essence, digest: u64) -> Checked {
        let (first, known) = *self.entries.entry(index).or_insert((node, essence));
        if known != essence {
            let what = format!("entry {index} is {known:x?} on node {first} and {essence:x?} on node {node}");
            return violated("what is committed never changes", what);
        }
        self.state(index, digest)
    }

    pub(super) fn restored(&mut self, index: Index, digest: u64) -> Checked {
        self.state(index, digest)
    }

    fn state(&mut self, index: Index, digest: u64) -> Checked {
        let known = *self.digests.entry(index).or_insert(digest);
        if known == digest {
            return Ok(());
        }
        violated(
            "equal logs give equal states",
            format!("two states after entry {index}: {known:x} and {digest:x}"),
        )
    }
}
