//! Log matching: an index and a generation name one entry, on whichever disk; and where logs have no holes, also the one
//! before it. (Raft, figure 3: log matching; Paxos: a ballot proposes one value per slot.)

use std::collections::BTreeMap;

use consensus_api::{Engine, Generation, Index, NodeId, Run};

use super::{Checked, Essence, violated};
use crate::simulator::{Member, essence};

pub(super) const NAME: &str = "matching";

/// What was seen on some disk at an index and generation: what, behind which, and where.
#[derive(Debug, Default)]
pub(super) struct Matching {
    seen: BTreeMap<(Index, Generation), (Essence, Option<Generation>, NodeId)>,
    /// How far each disk was looked at: the runs as they were then.
    looked: BTreeMap<NodeId, Vec<Run>>,
}

impl Matching {
    /// A disk was lost: of the next one nothing was looked at.
    pub(super) fn wiped(&mut self, node: NodeId) {
        self.looked.remove(&node);
    }

    pub(super) fn written<E: Engine>(&mut self, member: &Member<E>, holes: bool) -> Checked {
        let image = member.disk.image();
        let runs = image.outline().runs().to_vec();
        let before = self.looked.insert(member.id, runs.clone()).unwrap_or_default();
        // Runs that were there before are known.
        let changed = runs.iter().zip(&before).find(|(new, old)| new != old);
        let from = match changed {
            None => runs.get(before.len()).map_or(Index(u64::MAX), |run| run.first),
            Some((new, old)) if (new.first, new.generation) == (old.first, old.generation) => {
                new.last.min(old.last).next()
            }
            Some((new, _)) => new.first,
        };
        for (index, entry) in image.entries().range(from..) {
            let behind = image.outline().generation_at(index.prev()).filter(|_| !holes);
            let found = (essence(entry), behind, member.id);
            let first = *self.seen.entry((*index, entry.generation)).or_insert(found);
            let matches =
                first.0 == found.0 && (first.1 == found.1 || first.1.is_none() || found.1.is_none());
            if !matches {
                let what = format!("entry {index} of {} is {first:x?} and {found:x?}", entry.generation);
                return violated("an index and a generation name one entry", what);
            }
        }
        Ok(())
    }
}
