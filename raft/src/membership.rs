//! Which membership is in force, and what follows from it for this member.

use consensus_api::{
    Effects, Entry, EntryKind, Generation, Index, LogTime, Membership, Moment, NodeId, ProposalId,
};

use crate::Message;
use crate::log::Log;
use crate::progress::Peer;
use crate::raft::{Raft, State};

/// The newest membership in the log, committed or not; else the snapshot's; else the founders'. An uncommitted one is
/// rolled back by truncating its entry.
pub(crate) fn in_force(log: &Log, founders: &Membership) -> Result<Membership, String> {
    as_of(log, founders, log.last())
}

/// The newest membership up to `index`.
pub(crate) fn as_of(log: &Log, founders: &Membership, index: Index) -> Result<Membership, String> {
    if let Some(entry) = log.memberships().iter().rev().find(|entry| entry.index <= index) {
        return Membership::decode(&entry.body)
            .map_err(|error| format!("the membership in entry {} cannot be read: {error}", entry.index));
    }
    Ok(log.snapshot().map_or(founders, |mark| &mark.membership).clone())
}

/// Where that membership stands: its entry, or the last one of the snapshot.
pub(crate) fn stands_at(log: &Log) -> (Index, Generation) {
    match (log.memberships().last(), log.snapshot()) {
        (Some(entry), _) => (entry.index, entry.generation),
        (None, Some(mark)) => (mark.index, mark.generation),
        (None, None) => (Index::ZERO, Generation::ZERO),
    }
}

impl Raft {
    /// Whether this member is a quorum by itself.
    pub(crate) fn is_alone(&self) -> bool {
        self.membership.quorum_holds(|member| member == self.node)
    }

    /// Whether this member may stand for election: if it votes, or did before a membership that is not known to be
    /// committed. The members that such a one removes may be the only ones that hold it, and then nobody else could be
    /// elected (thesis, section 4.2.2).
    pub(crate) fn may_stand(&self) -> bool {
        self.membership.is_voter(self.node)
            || self.is_membership_open()
                && as_of(&self.log, &self.founders, self.membership_at.0.prev())
                    .is_ok_and(|before| before.is_voter(self.node))
    }

    /// Whether a membership is committed but not yet applied. Until it is, this member does not stand for election: it
    /// might lead under one configuration while its services still live in another (tikv/raft-rs#226).
    pub(crate) fn has_unapplied_membership(&self) -> bool {
        let newest_committed = self.log.memberships().iter().rev().find(|entry| entry.index <= self.commit);
        newest_committed.is_some_and(|entry| entry.index > self.applied)
    }

    /// Brings the membership in force up to date after a change of the log, for which a configuration counts from the
    /// moment it is appended, and no longer once it is truncated (thesis, section 4.1).
    pub(crate) fn refresh_membership(&mut self, effects: &mut Effects<Message>) {
        let at = stands_at(&self.log);
        if at == self.membership_at {
            return;
        }
        match in_force(&self.log, &self.founders) {
            Ok(membership) => self.membership = membership,
            Err(problem) => effects.fatal = Some(problem),
        }
        self.membership_at = at;
        self.refresh_peers();
        // A quorum may be smaller now, and have what a larger one still lacked (raft-rs#363).
        self.advance_leader_commit(effects);
        self.answer_reads(effects);
    }

    /// Appends a membership to the log of this leader. From now on it counts.
    pub(crate) fn append_membership(
        &mut self,
        proposal: ProposalId,
        membership: &Membership,
        effects: &mut Effects<Message>,
    ) {
        let mut entry = Entry::new(EntryKind::Membership, 0, proposal, LogTime::ZERO, membership.encode());
        (entry.generation, entry.index) = (self.generation(), self.log.last().next());
        self.log.append(self.timers.now, entry, effects);
        self.refresh_membership(effects);
    }

    /// A leader sends to every member; and for a while to those that are none any more, so that they learn of it and
    /// fall silent.
    fn refresh_peers(&mut self) {
        let Self { node, membership, log, timers, state: State::Leader(leading), .. } = self else { return };
        let peers = &mut leading.peers;
        for id in membership.members().filter(|member| member != node) {
            match peers.binary_search_by_key(&id, |peer| peer.id) {
                Ok(at) if peers[at].leaving.is_none() => {}
                // Added again: it may have another disk by now, and nothing of what was known of it holds.
                Ok(at) => peers[at] = Peer::new(id, log.last(), timers.now),
                Err(at) => peers.insert(at, Peer::new(id, log.last(), timers.now)),
            }
        }
        for peer in peers.iter_mut().filter(|peer| !membership.contains(peer.id)) {
            peer.leaving = peer.leaving.or(Some(Moment(timers.now)));
        }
    }

    /// Forgets those that are members no longer, and know it or have had the time to.
    pub(crate) fn forget_leaving_peers(&mut self) {
        let Self { membership_at, timers, state: State::Leader(leading), .. } = self else { return };
        let patience = timers.timing.election_timeout_max;
        let knows = |peer: &Peer| peer.matched >= membership_at.0 && peer.commit_told >= membership_at.0;
        let late = |since: Moment| timers.now.since(since.0) >= patience;
        leading.peers.retain(|peer| peer.leaving.is_none_or(|since| !knows(peer) && !late(since)));
    }

    /// The best placed to follow this leader, among the voters that were heard lately: by priority, then by log.
    pub(crate) fn heir(&self) -> Option<NodeId> {
        let State::Leader(leading) = &self.state else { return None };
        let alive = |peer: &&Peer| !self.timers.is_long_ago(peer.contact.0);
        let voters = leading.peers.iter().filter(|peer| self.membership.voters().contains(&peer.id));
        let heir =
            voters.filter(alive).max_by_key(|peer| (peer.priority, peer.matched, u64::MAX - peer.id.0));
        heir.map(|peer| peer.id)
    }
}
