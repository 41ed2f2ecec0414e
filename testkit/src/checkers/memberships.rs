//! Members change one step at a time: whatever quorum decides under one committed membership meets every quorum of the next,
//! so that no two of them ever decide apart. (Ongaro's thesis, sections 4.1 and 4.3.) Or, where changes take effect at a place
//! in the log: each names whom it succeeds, and from where on. And what operators were told is true: a change that was
//! answered as done is committed.

use std::collections::BTreeMap;

use consensus_api::{Engine, Entry, EntryKind, Index, Membership, NodeId, SnapshotMark, quorum};
use node::Errand;

use super::{Checked, violated};
use crate::simulator::{Errands, Member};

pub(super) const NAME: &str = "memberships";

/// Beyond so many members quorums are not compared.
const MEMBERS_MAX: usize = 10;

/// The memberships that were applied anywhere, by their entries.
#[derive(Debug)]
pub(super) struct Memberships {
    committed: BTreeMap<Index, Membership>,
}

impl Memberships {
    pub(super) fn new(founders: Membership) -> Self {
        Self { committed: BTreeMap::from([(Index::ZERO, founders)]) }
    }

    /// An entry was applied.
    pub(super) fn applied(&mut self, entry: &Entry) -> Checked {
        if entry.kind != EntryKind::Membership || self.committed.contains_key(&entry.index) {
            return Ok(());
        }
        let membership = match Membership::decode(&entry.body) {
            Ok(membership) => membership,
            Err(error) => return violated("what is committed can be read", error.to_string()),
        };
        let mut before = self.as_of(entry.index).clone();
        if before.begins_at().is_some_and(|begins| begins <= entry.index) {
            before = before.without_outgoing();
        }
        let apart = if let Some(first) = membership.begins_at() {
            let follows = first > entry.index && membership.outgoing() == before.voters();
            if !follows || before.is_joint() {
                let what = format!("entry {} makes {membership:?} of {before:?}", entry.index);
                return violated("a membership succeeds the one before it, which is in force", what);
            }
            None
        } else {
            parted(&before, &membership)
        };
        self.committed.insert(entry.index, membership);
        let Some(apart) = apart else { return Ok(()) };
        let (index, made) = (entry.index, self.as_of(entry.index));
        let what = format!("entry {index} makes {made:?} of {before:?}: {apart:?} decide without the others");
        violated("quorums of successive memberships meet", what)
    }

    /// A snapshot was restored: it says who took part as of its last entry.
    pub(super) fn restored(&mut self, mark: &SnapshotMark) -> Checked {
        let committed = self.as_of(mark.index);
        if mark.membership == *committed {
            return Ok(());
        }
        // By which disks founders are known they find out before the first entry: all the same.
        let is_founding =
            self.committed.range(..=mark.index).next_back().is_some_and(|(at, _)| *at == Index::ZERO);
        let are_unknown = committed.members().all(|member| committed.store(member).is_none());
        if is_founding && are_unknown && committed.has_same_members(&mark.membership) {
            self.committed.insert(Index::ZERO, mark.membership.clone());
            return Ok(());
        }
        let what = format!("the snapshot at {} has {:?}, the log {committed:?}", mark.index, mark.membership);
        violated("a snapshot holds the membership as of its last entry", what)
    }

    fn as_of(&self, index: Index) -> &Membership {
        let newest = self.committed.range(..=index).next_back();
        newest.expect("the founders stand at index 0").1
    }

    /// Whether `holds` is true of a quorum of those who decide: by the newest membership that is known to be committed, or
    /// by a newer one, which counts from when it was appended: a leader's, also one that has just stepped down, or one on some
    /// disk. Where a log may have holes,
    /// it is its place in the log, and nothing else, that tells who decides about an entry.
    pub(super) fn quorum_holds<E: Engine>(
        &self,
        members: &[Member<E>],
        about: Index,
        holds: impl Fn(NodeId) -> bool,
    ) -> bool {
        if E::CAPABILITIES.holes {
            return decides(&self.chosen_below(members, about), about, holds);
        }
        let Some((upto, committed)) = self.committed.last_key_value() else { return false };
        let of_leader = |member: &Member<E>| {
            let engine = member.engine().filter(|engine| engine.standing().generation.node == member.id);
            engine.is_some_and(|engine| engine.membership().quorum_holds(&holds))
        };
        let on_disk = |member: &Member<E>| {
            let newer = member.disk.outline().memberships().iter().filter(|entry| entry.index > *upto);
            let mut newer = newer.filter_map(|entry| Membership::decode(&entry.body).ok());
            newer.any(|membership| membership.quorum_holds(&holds))
        };
        committed.quorum_holds(&holds) || members.iter().any(|member| of_leader(member) || on_disk(member))
    }

    /// The newest membership below that entry which anybody knows to be chosen, whether or not it is applied yet.
    fn chosen_below<E: Engine>(&self, members: &[Member<E>], about: Index) -> Membership {
        let known = members.iter().filter_map(|member| {
            let commit = member.engine()?.standing().commit;
            let held = member.disk.outline();
            let below = |entry: &&Entry| entry.index < about && entry.index <= commit;
            let entry = held.memberships().iter().rev().find(below)?;
            Some((entry.index, Membership::decode(&entry.body).ok()?))
        });
        let newest = known.max_by_key(|(index, _)| *index);
        let applied = self.committed.range(..about).next_back().map(|(index, _)| *index);
        match newest.filter(|(index, _)| Some(*index) > applied) {
            Some((_, membership)) => membership,
            None => self.as_of(about.prev()).clone(),
        }
    }

    /// The run is over.
    pub(super) fn ended(&self, errands: &Errands) -> Checked {
        for asked in errands.iter().filter(|asked| asked.end == Some(Ok(()))) {
            if !self.committed.values().any(|membership| fulfils(membership, &asked.errand)) {
                return violated("a change that was answered as done is committed", format!("{asked:?}"));
            }
        }
        Ok(())
    }
}

/// Whether `holds` is true of a quorum of those who decide about that entry, by the newest membership committed below it.
pub(super) fn decides(membership: &Membership, about: Index, holds: impl Fn(NodeId) -> bool) -> bool {
    match membership.begins_at() {
        Some(first) if about < first => quorum::majority_holds(membership.outgoing(), holds),
        Some(_) => quorum::majority_holds(membership.voters(), holds),
        None => membership.quorum_holds(holds),
    }
}

/// Whether this membership is what the errand was about.
fn fulfils(membership: &Membership, errand: &Errand) -> bool {
    let remain = match membership.begins_at() {
        Some(_) => membership.clone().without_outgoing(),
        None => membership.clone(), // of two that must agree the later one counts
    };
    match errand {
        Errand::AddLearner { node, .. } => membership.contains(*node),
        Errand::Promote { node } => membership.voters().contains(node),
        Errand::Remove { node } => !remain.contains(*node),
        Errand::SetAddress { node, address } => membership.address(*node) == Some(address),
        Errand::Replace { membership: wished } => remain.has_same_members(wished),
        Errand::Transfer { .. } => true,
    }
}

/// A quorum of one membership whose complement holds a quorum of the other, if there is one.
fn parted(one: &Membership, other: &Membership) -> Option<Vec<NodeId>> {
    let mut all: Vec<NodeId> = one.members().chain(other.members()).collect();
    all.sort_unstable();
    all.dedup();
    if all.len() > MEMBERS_MAX {
        return None;
    }
    let chosen = |set: u32, node: NodeId| all.binary_search(&node).is_ok_and(|at| set >> at & 1 == 1);
    let apart = |set: &u32| {
        one.quorum_holds(|node| chosen(*set, node)) && other.quorum_holds(|node| !chosen(*set, node))
    };
    let set = (0..1 << all.len()).find(apart)?;
    Some(all.iter().copied().filter(|node| chosen(set, *node)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn voters(voters: &[u64], outgoing: &[u64]) -> Membership {
        let ids = |ids: &[u64]| ids.iter().copied().map(NodeId).collect::<Vec<_>>();
        Membership::new(ids(voters), ids(outgoing), []).unwrap()
    }

    #[test]
    fn quorums_that_miss_each_other_are_found() {
        let three = voters(&[1, 2, 3], &[]);
        assert_eq!(parted(&three, &voters(&[1, 2, 3, 4], &[])), None, "one at a time they meet");
        assert!(parted(&three, &voters(&[1, 2, 3, 4, 5], &[])).is_some());
        assert_eq!(parted(&three, &voters(&[3, 4, 5], &[1, 2, 3])), None);
        assert_eq!(parted(&voters(&[3, 4, 5], &[1, 2, 3]), &voters(&[3, 4, 5], &[])), None);
        assert!(parted(&three, &voters(&[3, 4, 5], &[])).is_some());
    }
}
