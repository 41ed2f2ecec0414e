//! [`Belonging`]: whether this node was removed from its cluster, as far as it can know.
//!
//! Two may tell it, and nobody else. **Its own log**: a membership that is committed and lacks it, behind one that had it;
//! unless the leader goes on sending, for then it was added again. **A member** that has come at least as far in the log as
//! this node knows itself to be a member, and does not know it. A member that lags behind, or one that holds a removal
//! which is not committed, says nothing of the kind.

use std::time::Duration;

use bytes::Bytes;
use consensus_api::mutation::mutated;
use consensus_api::{Engine, Error, Index, Membership, NodeId, Outline, SnapshotMark, Time};

use super::Replica;
use crate::envelope::Envelope;
use crate::status::Removal;

/// What is known of this node's place in the cluster.
#[derive(Debug)]
pub(super) struct Belonging {
    me: NodeId,
    /// The newest committed membership that was handed to the state machine, and the entry it stands at.
    members: Membership,
    at: Index,
    was_member: bool,
    /// What was told, and when.
    removed: Option<(Removal, Time)>,
    /// It has stood for long enough to be believed.
    is_believed: bool,
    /// When a member that knows no leader asks the others whether they know it.
    ask_at: Option<Time>,
    /// When something of this is due.
    look_at: Time,
}

impl Belonging {
    /// A node that begins from this membership. `is_founder` if it was started as a member.
    fn new(me: NodeId, (at, members): (Index, Membership), is_founder: bool) -> Self {
        let was_member = is_founder || members.contains(me);
        let (removed, ask_at) = (None, None);
        Self { me, members, at, was_member, removed, is_believed: false, ask_at, look_at: Time::MAX }
    }

    /// As of what the storage holds.
    pub(super) fn recover(
        me: NodeId,
        founders: &Membership,
        snapshot: Option<&SnapshotMark>,
        outline: &Outline,
    ) -> Self {
        let begins = snapshot.or(outline.snapshot.as_ref()).cloned().unwrap_or_default();
        Self::new(me, (begins.index, begins.membership), founders.contains(me))
    }

    pub(super) const fn next_deadline(&self) -> Time {
        self.look_at
    }

    /// That membership is committed, and stands at that entry.
    pub(super) fn learn(&mut self, now: Time, at: Index, members: Membership) {
        let is_over = members.begins_at().is_some_and(|first| first <= at);
        let members = if is_over { members.without_outgoing() } else { members };
        let is_member = members.contains(self.me);
        self.removed = match self.removed.take() {
            _ if is_member && !mutated("node/removed-for-ever") => None,
            None if (self.was_member && !is_member) || mutated("node/removed-before-it-was-added") => {
                Some((Removal { at, told_by: None }, now))
            }
            told => told,
        };
        self.was_member |= is_member;
        (self.members, self.at) = (members, at);
    }

    /// Everything up to there is committed. Where changes take effect at a place in the log, who leaves stays up to there.
    pub(super) fn come_to(&mut self, now: Time, index: Index) {
        if self.members.begins_at().is_some_and(|first| first <= index) {
            let members = std::mem::take(&mut self.members).without_outgoing();
            self.learn(now, self.at, members);
        }
    }

    /// A node says that it does not know this one, having come so far in the log.
    fn told(&mut self, now: Time, by: NodeId, as_of: Index) {
        let may_know = self.members.contains(self.me) && self.members.contains(by) && as_of >= self.at;
        if may_know || mutated("node/removed-by-whoever-says-so") {
            self.removed = Some((Removal { at: as_of, told_by: Some(by) }, now));
        }
    }

    /// The newest committed membership that was handed to the state machine, and the entry it stands at.
    pub(super) const fn members_as_of(&self) -> (Index, &Membership) {
        (self.at, &self.members)
    }

    pub(super) fn knows(&self, node: NodeId) -> bool {
        self.members.contains(node)
    }

    pub(super) fn removal(&self) -> Option<Removal> {
        self.removed.as_ref().filter(|_| self.is_believed).map(|(removal, _)| *removal)
    }
}

impl<E: Engine, P, R> Replica<E, P, R> {
    /// How this node came to know that it was removed from the cluster, if it does.
    pub fn removal(&self) -> Option<Removal> {
        self.belonging.removal()
    }

    /// That another does not know this node.
    pub(super) fn told_unknown(&mut self, now: Time, by: NodeId, as_of: Index) {
        if self.standing.leader.is_none() {
            self.belonging.told(now, by, as_of);
        }
    }

    /// Finds out whether this node was removed, and if so lets nobody wait for a leader.
    pub(super) fn tend_belonging(&mut self, now: Time) {
        if !E::CAPABILITIES.membership_change {
            return;
        }
        let patience = self.options.timing.election_timeout_max;
        let (follows, me) = (self.standing.leader.is_some(), self.identity.node);
        let is_listed = self.engine.membership().contains(me);
        let belonging = &mut self.belonging;
        belonging.look_at = Time::MAX;
        let stands = belonging.removed.as_ref().map(|(removal, since)| match removal.told_by {
            Some(_) => (!follows, now),
            None => (!is_listed, *since + patience),
        });
        let before = belonging.is_believed;
        belonging.is_believed = stands.is_some_and(|(stands, from)| stands && from <= now);
        match stands {
            Some((true, from)) if from > now => belonging.look_at = from,
            Some((false, _)) if follows => belonging.removed = None, // a leader sends to it: it was added again
            _ => {}
        }
        if belonging.is_believed != before {
            self.tell_of_removal();
        }
        if let Some(removal) = self.removal() {
            let error = Error::NoLeader { waited: Duration::ZERO, removed: Some(removal.at) };
            self.proposals.fail_queued(&error, &mut self.out.failed);
            self.reads.fail(&error, &mut self.out.failed_reads);
        }
        self.ask_whether_known(now, follows);
    }

    fn tell_of_removal(&mut self) {
        match self.removal() {
            Some(removal) => self.note(removal.to_string()),
            None => self.note("this node takes part in the cluster again".to_owned()),
        }
    }

    /// A member that has known no leader for two of the longest election timeouts asks the others whether they know it.
    fn ask_whether_known(&mut self, now: Time, follows: bool) {
        let patience = self.options.timing.election_timeout_max;
        let Belonging { me, members, ask_at, look_at, .. } = &mut self.belonging;
        if follows || !members.contains(*me) {
            *ask_at = None;
            return;
        }
        let due = *ask_at.get_or_insert(now + patience * 2) <= now;
        let others: Vec<NodeId> = members.members().filter(|node| due && node != me).collect();
        let next = if due { ask_at.insert(now + patience) } else { ask_at.get_or_insert(Time::MAX) };
        *look_at = (*look_at).min(*next);
        others.into_iter().for_each(|node| self.ship(node, Envelope::Introduction, Bytes::new()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(voters: &[u64]) -> Membership {
        Membership::of_voters(voters.iter().copied().map(NodeId)).expect("a few members")
    }

    fn third() -> Belonging {
        Belonging::new(NodeId(3), (Index(10), of(&[1, 2, 3])), true)
    }

    #[test]
    fn a_committed_membership_without_it_removes_a_member_and_one_with_it_takes_it_back() {
        let mut belonging = third();
        belonging.learn(Time(1), Index(20), of(&[1, 2]));
        assert_eq!(belonging.removed, Some((Removal { at: Index(20), told_by: None }, Time(1))));
        belonging.learn(Time(2), Index(21), of(&[1, 2, 4]));
        assert_eq!(
            belonging.removed,
            Some((Removal { at: Index(20), told_by: None }, Time(1))),
            "when it was"
        );
        belonging.learn(Time(3), Index(30), of(&[1, 2, 3]));
        assert_eq!(belonging.removed, None);
    }

    #[test]
    fn who_leaves_at_a_place_in_the_log_is_a_member_up_to_there() {
        let mut belonging = third();
        let succeeding = of(&[1, 2]).succeeding([1, 2, 3].map(NodeId), Index(24));
        belonging.learn(Time(1), Index(20), succeeding.expect("a few members"));
        belonging.come_to(Time(2), Index(23));
        assert_eq!(belonging.removed, None, "it still decides");
        belonging.come_to(Time(3), Index(24));
        assert_eq!(belonging.removed, Some((Removal { at: Index(20), told_by: None }, Time(3))));
        assert!(!belonging.knows(NodeId(3)), "nor does it call itself a member");
    }

    #[test]
    fn who_was_never_a_member_was_not_removed() {
        let mut belonging = Belonging::new(NodeId(4), (Index(0), Membership::default()), false);
        belonging.learn(Time(1), Index(10), of(&[1, 2, 3]));
        assert_eq!(belonging.removed, None, "it is on its way to the entry that adds it");
    }

    #[test]
    fn only_a_member_that_has_come_as_far_is_believed() {
        let mut belonging = third();
        belonging.told(Time(1), NodeId(2), Index(9));
        assert_eq!(belonging.removed, None, "it has not heard yet that this node was added");
        belonging.told(Time(1), NodeId(7), Index(50));
        assert_eq!(belonging.removed, None, "a stranger");
        belonging.told(Time(1), NodeId(2), Index(12));
        assert_eq!(belonging.removed, Some((Removal { at: Index(12), told_by: Some(NodeId(2)) }, Time(1))));
    }
}
