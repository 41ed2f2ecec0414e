//! At most one leader per round. (Raft, figure 3: election safety; in Paxos, each ballot has one owner.)

use std::collections::BTreeMap;

use consensus_api::{Generation, NodeId, Role, Standing};

use super::{Checked, violated};

pub(super) const NAME: &str = "leaders";

/// Who led each generation.
#[derive(Debug, Default)]
pub(super) struct Leaders {
    of: BTreeMap<Generation, NodeId>,
}

impl Leaders {
    /// `by_round`: rounds are what elections are about, and not only the generations made of them.
    pub(super) fn stepped(&mut self, node: NodeId, standing: Standing, by_round: bool) -> Checked {
        let generation = standing.generation;
        if standing.role != Role::Leader {
            return Ok(());
        }
        self.of.insert(generation, node);
        let (mut first, mut last) = (generation, generation);
        if by_round {
            (first.node, last.node) = (NodeId(0), NodeId(u64::MAX));
        }
        match self.of.range(first..=last).find(|(_, leader)| **leader != node || generation.node != node) {
            Some((_, leader)) => {
                violated("at most one leader per term", format!("{leader} and {node} lead at {generation}"))
            }
            None => Ok(()),
        }
    }
}
