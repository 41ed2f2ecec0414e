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
            return decides(&self.chosen_below(about, known_below(members, about)), about, holds);
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

    /// The newest membership below that entry: one that was applied, or a newer one of those `known` to be chosen.
    fn chosen_below(&self, about: Index, known: impl Iterator<Item = (Index, Membership)>) -> Membership {
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

/// Of each member, the newest membership below that entry which it knows to be chosen, whether or not it is applied yet.
fn known_below<E: Engine>(members: &[Member<E>], about: Index) -> impl Iterator<Item = (Index, Membership)> {
    members.iter().filter_map(move |member| {
        let commit = member.engine()?.standing().commit;
        let below = |entry: &&Entry| entry.index < about && entry.index <= commit;
        let entry = member.disk.outline().memberships().iter().rev().find(below)?;
        Some((entry.index, Membership::decode(&entry.body).ok()?))
    })
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

    /// Nodes 1 to 3 decide up to entry 24, nodes 3 to 5 from there on.
    fn succeeding() -> Membership {
        voters(&[3, 4, 5], &[]).succeeding([1, 2, 3].map(NodeId), Index(24)).unwrap()
    }

    fn written(index: u64, membership: &Membership) -> Entry {
        let proposal = consensus_api::ProposalId::default();
        let body = membership.encode();
        let mut entry = Entry::new(EntryKind::Membership, 0, proposal, consensus_api::LogTime::ZERO, body);
        entry.index = Index(index);
        entry
    }

    fn among(nodes: &'static [u64]) -> impl Fn(NodeId) -> bool {
        move |node| nodes.contains(&node.0)
    }

    #[test]
    fn its_place_in_the_log_tells_who_decides_about_an_entry() {
        let members = succeeding();
        assert!(decides(&members, Index(23), among(&[1, 2])));
        assert!(!decides(&members, Index(23), among(&[4, 5])), "they do not decide yet");
        assert!(decides(&members, Index(24), among(&[4, 5])));
        assert!(!decides(&members, Index(24), among(&[1, 2])), "no longer");
    }

    #[test]
    fn what_is_known_to_be_chosen_below_an_entry_counts_and_what_is_above_it_does_not() {
        let (founders, four) = (voters(&[1, 2, 3], &[]), voters(&[1, 2, 3, 4], &[]));
        let mut memberships = Memberships::new(founders.clone());
        let below = |memberships: &Memberships, about, known: &[(u64, &Membership)]| {
            let known = known.iter().map(|(index, members)| (Index(*index), (*members).clone()));
            memberships.chosen_below(Index(about), known)
        };
        assert_eq!(below(&memberships, 9, &[]), founders);
        assert_eq!(below(&memberships, 9, &[(7, &four)]), four, "chosen, though not applied");
        memberships.applied(&written(8, &succeeding())).unwrap();
        assert_eq!(below(&memberships, 9, &[(7, &four)]), succeeding(), "applied, and newer");
        assert_eq!(below(&memberships, 8, &[]), founders, "an entry does not decide about itself");
    }

    #[test]
    fn a_membership_that_begins_at_a_place_names_whom_it_succeeds() {
        let applied = |entries: &[(u64, Membership)]| {
            let mut memberships = Memberships::new(voters(&[1, 2, 3], &[]));
            entries.iter().try_for_each(|(index, members)| memberships.applied(&written(*index, members)))
        };
        let others = |outgoing: [u64; 3], first| {
            voters(&[4], &[]).succeeding(outgoing.map(NodeId), Index(first)).unwrap()
        };
        assert_eq!(applied(&[(20, succeeding())]), Ok(()));
        assert_eq!(
            applied(&[(20, succeeding()), (24, others([3, 4, 5], 28))]),
            Ok(()),
            "one after the other"
        );
        let wrong = |entries: &[(u64, Membership)]| applied(entries).unwrap_err().property;
        let property = "a membership succeeds the one before it, which is in force";
        assert_eq!(wrong(&[(20, succeeding()), (23, others([3, 4, 5], 28))]), property, "not yet in force");
        assert_eq!(wrong(&[(20, succeeding()), (24, others([1, 2, 3], 28))]), property, "of others");
        assert_eq!(wrong(&[(24, succeeding())]), property, "it cannot decide about itself");
    }
}
