//! Leader completeness: whoever comes to lead has every entry that was committed before its term. (Raft, figure 3; in
//! Paxos, phase 1 reaches as far as anything chosen at a lower ballot.) Seen from outside: its log reaches that far.

use consensus_api::{Entry, Generation, Index, NodeId, Role, Standing};

use super::{Checked, violated};

pub(super) const NAME: &str = "completeness";

/// How far entries were applied anywhere, by the round they were first seen in.
#[derive(Debug, Default)]
pub(super) struct Completeness {
    /// Ascending in both halves.
    reached: Vec<(u64, Index)>,
}

impl Completeness {
    pub(super) fn applied(&mut self, entry: &Entry) {
        let Generation { round, .. } = entry.generation;
        match self.reached.last_mut() {
            Some((newest, index)) if *newest == round => *index = entry.index.max(*index),
            Some((newest, index)) if *newest > round || *index >= entry.index => {}
            _ => self.reached.push((round, entry.index)),
        }
    }

    pub(super) fn stepped(&self, node: NodeId, now: Standing) -> Checked {
        if now.role != Role::Leader {
            return Ok(());
        }
        let earlier = self.reached.iter().take_while(|(round, _)| *round < now.generation.round);
        match earlier.last().filter(|(_, index)| *index > now.last) {
            Some((round, index)) => {
                let (generation, last) = (now.generation, now.last);
                let what = format!(
                    "node {node} leads {generation} with a log up to {last}; {index} was applied in round {round}"
                );
                violated("a leader has what was committed before its term", what)
            }
            None => Ok(()),
        }
    }
}
