//! Committed entries never change: what one node applies at an index, all do. (Raft, figure 3: state machine safety;
//! Paxos, agreement.)

use std::collections::BTreeMap;

use consensus_api::{Index, NodeId};

use super::{Checked, Essence, violated};

pub(super) const NAME: &str = "agreement";

/// What was applied at each index, by whoever came first.
#[derive(Debug, Default)]
pub(super) struct Agreement {
    entries: BTreeMap<Index, (NodeId, Essence)>,
}

impl Agreement {
    pub(super) fn applied(&mut self, node: NodeId, index: Index, essence: Essence) -> Checked {
        let (first, known) = *self.entries.entry(index).or_insert((node, essence));
        if known == essence {
            return Ok(());
        }
        let what = format!("entry {index} is {known:x?} on node {first} and {essence:x?} on node {node}");
        violated("what is committed never changes", what)
    }
}
