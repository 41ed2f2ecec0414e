//! Log matching: an index and a generation name one entry, on whichever disk; and where logs have no holes, also the one
//! before it. (Raft, figure 3: log matching; Paxos: a ballot proposes one value per slot.)

use std::collections::BTreeMap;

use consensus_api::{Engine, Generation, Index, NodeId, Run};

use super::{Checked, Essence, violated};
use crate::simulator::{Image, Member, essence};

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
        self.look(member.id, member.disk.image(), holes)
    }

    fn look(&mut self, node: NodeId, image: &Image, holes: bool) -> Checked {
        let runs = image.outline().runs().to_vec();
        let before = self.looked.insert(node, runs.clone()).unwrap_or_default();
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
            let found = (essence(entry), behind, node);
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

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use consensus_api::{Batch, Entry, EntryKind, LogTime, Op, ProposalId};

    use super::*;

    /// Entries by index, round and content; all rounds are node 1's.
    fn disk(entries: &[(u64, u64, &'static [u8])]) -> Image {
        let mut image = Image::default();
        add(&mut image, entries);
        image
    }

    fn add(image: &mut Image, entries: &[(u64, u64, &'static [u8])]) {
        for (index, round, content) in entries {
            let body = Bytes::from_static(content);
            let mut entry = Entry::new(EntryKind::Commands, 1, ProposalId::default(), LogTime::ZERO, body);
            (entry.index, entry.generation) = (Index(*index), Generation::new(*round, NodeId(1)));
            let mut batch = Batch::new();
            batch.push(Op::Put(entry));
            image.write(batch);
        }
    }

    fn looked(disks: &[Image], holes: bool) -> Checked {
        let mut matching = Matching::default();
        disks.iter().zip(1..).try_for_each(|(disk, node)| matching.look(NodeId(node), disk, holes))
    }

    #[test]
    fn logs_that_agree_wherever_they_meet_are_good() {
        let (one, two) =
            (disk(&[(1, 1, b"a"), (2, 1, b"b"), (3, 3, b"c")]), disk(&[(1, 1, b"a"), (2, 2, b"x")]));
        assert_eq!(looked(&[one, two], false), Ok(()), "apart where their rounds are");
        let (whole, holed) = (disk(&[(1, 1, b"a"), (2, 1, b"b")]), disk(&[(2, 1, b"b")]));
        assert_eq!(looked(&[whole, holed], true), Ok(()));
    }

    #[test]
    fn another_entry_of_the_same_index_and_round_is_found() {
        let (one, two) = (disk(&[(1, 1, b"a"), (2, 1, b"b")]), disk(&[(1, 1, b"a"), (2, 1, b"x")]));
        assert!(looked(&[one.clone(), two.clone()], false).is_err());
        assert!(looked(&[one, two], true).is_err(), "with holes or without");
    }

    /// A conflict was kept, and the leader's next entry taken behind it.
    #[test]
    fn the_same_entry_behind_another_one_is_found_where_logs_have_no_holes() {
        let disks = [disk(&[(1, 2, b"a"), (2, 2, b"b")]), disk(&[(1, 1, b"x"), (2, 2, b"b")])];
        assert!(looked(&disks, false).is_err());
        assert_eq!(looked(&disks, true), Ok(()), "a slot's ballot says nothing of the one before");
    }

    #[test]
    fn what_is_added_to_a_disk_is_looked_at_and_so_is_a_disk_in_its_place() {
        let (mut matching, mut one) = (Matching::default(), disk(&[(1, 1, b"a")]));
        let grown = disk(&[(1, 1, b"a"), (2, 1, b"b")]);
        matching.look(NodeId(1), &one, false).expect("it is the first");
        matching.look(NodeId(2), &grown, false).expect("they agree");
        add(&mut one, &[(2, 1, b"x")]);
        assert!(matching.look(NodeId(1), &one, false).is_err(), "the entry that was added");
        matching.wiped(NodeId(2));
        assert!(matching.look(NodeId(2), &disk(&[(1, 1, b"y")]), false).is_err(), "another disk");
    }
}
