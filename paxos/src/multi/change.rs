//! Changes of membership, as their leader carries them out.
//!
//! ```text
//!   asked for ──► newcomers learn ──► the new membership is chosen ──► no-ops fill the window ──► done, once a quorum of
//!                 (one entry, if        (one entry, once the            (up to the first slot      the new voters knows
//!                  there are any)        newcomers are caught up)        the new voters decide)    for good what is below
//! ```
//!
//! A membership goes into a slot only once all below is chosen: what a dead leader has left somewhere may yet be taken up by
//! a later one, and if that were a membership in a slot further down, this one would name the wrong predecessors. So at any
//! time one slot at most may hold a membership and not be decided.
//!
//! One change is under way at a time, and the next one begins when the last is done: so there are never more than two
//! memberships that decide about open slots, and an entry names both ([`super::configurations`]). A change that leaves the
//! voters as they are is done as soon as it is chosen. Whoever comes to lead fills the window; only what newcomers have
//! learnt, and whom to tell, is forgotten with a leader.
//!
//! Why a quorum of the new voters has to know for good, by its disks, that all below is chosen: the values were accepted by
//! the old voters, and perhaps by no one else; and how far slots are chosen is kept in memory. Whoever removed the old ones
//! may shut them down as soon as the change is done, and then everything may lose its power.

use consensus_api::mutation::mutated;
use consensus_api::{
    Effects, Entry, EntryKind, Index, LogTime, Membership, MembershipError, Moment, Newcomers, NodeId,
    Outcome, ProposalId, Refusal, StoreId,
};

use super::peer::Peer;
use super::proposer::Leadership;
use super::{Message, MultiPaxos, State};
use crate::quorum::Phase;

/// A change under way.
#[derive(Clone, Hash, Debug)]
pub(super) struct Change {
    pub(super) proposal: ProposalId,
    /// The membership wished for.
    target: Membership,
    stage: Stage,
}

#[derive(Clone, Hash, Debug)]
enum Stage {
    /// Those who are to vote catch up first, lest they hold up every decision.
    Learning(Newcomers),
    /// The membership wished for is on its way.
    Settling,
}

const NO_VOTER: &str = "a cluster without voters could never decide anything again; name at least one";
const NO_JOINT: &str = "a membership is asked for without outgoing voters; who they are is known";
const QUORUMS: &str = "the sizes of quorums that this cluster was given would not meet among so many voters";
const TOO_MANY: &str = "there are too many members, old and new together";
const NOT_NOW: &str = "this leader cannot propose in this moment; ask again";
const UNDER_WAY: &str = "another change of membership is under way; ask again when it is done";

impl MultiPaxos {
    /// Someone wants another membership.
    pub(super) fn on_change_membership(
        &mut self,
        proposal: ProposalId,
        target: Membership,
        effects: &mut Effects<Message>,
    ) {
        if let Err(refusal) = self.admit_change(&target) {
            return effects.proposals.push((proposal, Outcome::Refused(refusal)));
        }
        effects.proposals.push((proposal, Outcome::Accepted(self.acceptor.promised())));
        let target = target.with_particulars_of(self.configurations.newest());
        if target == *self.configurations.newest() {
            effects.proposals.push((proposal, Outcome::Completed));
        } else if self.begin_change(proposal, target).is_err() {
            effects.proposals.push((proposal, Outcome::Refused(Refusal::Invalid(TOO_MANY))));
        }
    }

    fn admit_change(&self, target: &Membership) -> Result<(), Refusal> {
        let State::Proposing(leading) = &self.state else { return Err(Refusal::NotLeader) };
        if target.voters().is_empty() {
            return Err(Refusal::Invalid(NO_VOTER));
        }
        if target.is_joint() || target.begins_at().is_some() {
            return Err(Refusal::Invalid(NO_JOINT));
        }
        if self.quorums.check(target).is_err() {
            return Err(Refusal::Invalid(QUORUMS));
        }
        if leading.change.is_some() {
            return Err(Refusal::Invalid(UNDER_WAY));
        }
        if self.is_change_open() || !self.is_settled() {
            return Err(Refusal::NotYet(UNDER_WAY)); // an earlier leader's, which this one sees through
        }
        if leading.barrier().is_none() || leading.transfer.is_some() {
            return Err(Refusal::NotYet(NOT_NOW));
        }
        Ok(())
    }

    /// A member known by no disk has spoken: by which one it is known stands in the log from now on. Not between two steps
    /// of a change, but before the one that gives anybody a vote.
    pub(super) fn on_store_met(&mut self, member: NodeId, store: StoreId) {
        let State::Proposing(leading) = &self.state else { return };
        let is_settling = leading.change.as_ref().is_some_and(|change| change.is_settling());
        let may_propose = leading.barrier().is_some() && leading.transfer.is_none();
        let newest = self.configurations.newest();
        if !may_propose
            || is_settling
            || self.is_change_open()
            || !self.is_settled()
            || newest.store(member).is_some()
        {
            return;
        }
        if let Ok(described) = newest.clone().with_store(member, store) {
            self.propose_membership(ProposalId::default(), described);
        }
    }

    /// Whether a membership is to be proposed, or is proposed and not known to be chosen, or chosen and not in force
    /// everywhere.
    pub(super) fn is_change_open(&self) -> bool {
        let waits = matches!(&self.state, State::Proposing(leading) if leading.membership.is_some());
        waits
            || self.configurations.takes_effect_at().is_some()
            || self.log.memberships().last().is_some_and(|entry| entry.index > self.commit)
    }

    fn begin_change(&mut self, proposal: ProposalId, target: Membership) -> Result<(), MembershipError> {
        let newest = self.configurations.newest();
        let newcomers = Newcomers::of(&target, newest, self.timers.now, self.commit);
        if let Some(grown) = newcomers.admitted(&target, newest)? {
            self.propose_membership(proposal, grown);
        }
        if let State::Proposing(leading) = &mut self.state {
            let stage = Stage::Learning(newcomers);
            leading.change = Some(Box::new(Change { proposal, target, stage }));
        }
        Ok(())
    }

    /// A membership is to be proposed, as soon as everything before it is chosen.
    fn propose_membership(&mut self, proposal: ProposalId, membership: Membership) {
        if let State::Proposing(leading) = &mut self.state {
            leading.membership = Some(Box::new((proposal, membership)));
        }
    }

    /// Everything before the next slot is chosen, and a membership waits for it. Other voters decide from where the window
    /// ends that a proposer may fill without knowing of it.
    fn place_membership(&mut self, effects: &mut Effects<Message>) {
        let (commit, window) = (self.commit, self.window);
        let State::Proposing(leading) = &mut self.state else { return };
        let is_all_chosen = leading.next == commit.next() || mutated("paxos/membership-above-open-slots");
        if !is_all_chosen || leading.next > leading.free_upto {
            return;
        }
        let Some(waiting) = leading.membership.take() else { return };
        let ((proposal, membership), newest) = (*waiting, self.configurations.newest());
        let written = if membership.voters() == newest.voters() {
            membership.encode()
        } else {
            let outgoing = newest.voters().iter().copied();
            let Ok(succeeding) = membership.succeeding(outgoing, leading.next.plus(window)) else { return };
            succeeding.with_particulars_of(newest).encode()
        };
        self.propose(Entry::new(EntryKind::Membership, 0, proposal, LogTime::ZERO, written), effects);
        self.propose_queued(effects);
    }

    /// Others take part, or decide, from now on: they are sent to, and asked for what they have accepted.
    pub(super) fn refresh_peers(&mut self) {
        let (members, voters) = (self.configurations.members(), self.configurations.voters());
        let (node, commit, now) = (self.node, self.commit, self.timers.now);
        let State::Proposing(leading) = &mut self.state else { return };
        for id in members.iter().copied().filter(|member| *member != node) {
            match leading.peers.binary_search_by_key(&id, |peer| peer.id) {
                Ok(at) => leading.peers[at].leaving = None,
                Err(at) => leading.peers.insert(at, Peer::new(id, commit.next(), now)),
            }
        }
        for peer in leading.peers.iter_mut().filter(|peer| !members.contains(&peer.id)) {
            peer.leaving = Some((Moment(now), commit));
        }
        leading.recovery.ask_these(&voters);
        if let Some(first) = self.configurations.takes_effect_at()
            && leading.free_upto >= first
            && leading.next <= first
            && !mutated("paxos/new-voters-not-asked")
        {
            leading.free_upto = first.prev();
        }
        for member in members {
            self.supply(member);
        }
    }

    /// More is chosen than before: have others begun to decide, or has the time of the earlier ones ended?
    pub(super) fn follow_configurations(&mut self, before: Index) {
        let Some(first) = self.configurations.takes_effect_at() else { return };
        let commit = self.commit;
        if before.next() < first
            && commit.next() >= first
            && !mutated("paxos/reads-outlive-their-quorum")
            && let State::Proposing(leading) = &mut self.state
        {
            leading.reads.begin_anew(commit);
        }
        if self.configurations.committed(commit) {
            self.refresh_peers();
        }
    }

    /// The end of every step: takes the next step of a change, if the last one is done.
    pub(super) fn drive_change(&mut self, effects: &mut Effects<Message>) {
        self.place_membership(effects);
        let is_open = self.is_change_open();
        let State::Proposing(leading) = &self.state else { return };
        let votes = self.configurations.newest().is_voter(self.node);
        if leading.change.is_none() && votes {
            return; // nearly always
        }
        let late = self.find_late();
        if !is_open {
            self.go_on_with_change(late, effects);
        }
        let State::Proposing(leading) = &self.state else { return };
        if leading.change.is_none() && !votes && !self.is_change_open() {
            self.retire(effects);
        }
    }

    /// Looks at how far newcomers have come. One that takes too long, if there is one.
    fn find_late(&mut self) -> Option<NodeId> {
        let Self { node, commit, patience, configurations, timers, state, .. } = self;
        let State::Proposing(leading) = state else { return None };
        let Leadership { peers, change, .. } = &mut **leading;
        let Stage::Learning(newcomers) = &mut change.as_deref_mut()?.stage else { return None };
        let progress = |id| {
            let at = peers.binary_search_by_key(&id, |peer| peer.id).ok()?;
            Some((peers[at].commit, peers[at].contact.0))
        };
        let current = (*node, configurations.newest());
        newcomers.find_late((timers.now, *commit), (&timers.timing, *patience), current, progress)
    }

    /// No membership is on its way.
    fn go_on_with_change(&mut self, late: Option<NodeId>, effects: &mut Effects<Message>) {
        let State::Proposing(leading) = &self.state else { return };
        let Some(change) = &leading.change else { return };
        match (&change.stage, late) {
            (Stage::Settling, _) if self.is_settled() => self.end_change(effects),
            (Stage::Learning(_), Some(late)) => self.give_up_change(late, effects),
            (Stage::Learning(newcomers), None) if newcomers.have_caught_up() => self.propose_target(),
            _ => return,
        }
        self.place_membership(effects);
    }

    /// Whether quorums of both kinds of the newest voters know for good that all is chosen that others decided.
    fn is_settled(&self) -> bool {
        let State::Proposing(leading) = &self.state else { return false };
        let (newest, begins_at) = (self.configurations.newest(), self.configurations.begins_at());
        let knows = |voter| {
            let told = leading.peer(voter).map_or(Index::ZERO, |peer| peer.remembered);
            (if voter == self.node { self.watermark.durable() } else { told }) >= begins_at
                || mutated("paxos/change-done-too-early")
        };
        begins_at == Index::ZERO
            || self.quorums.holds(Phase::One, newest, knows) && self.quorums.holds(Phase::Two, newest, knows)
    }

    fn end_change(&mut self, effects: &mut Effects<Message>) {
        let State::Proposing(leading) = &mut self.state else { return };
        if let Some(change) = leading.change.take() {
            effects.proposals.push((change.proposal, Outcome::Completed));
        }
    }

    /// Everyone who is to vote is up to date: the membership wished for is proposed.
    fn propose_target(&mut self) {
        let State::Proposing(leading) = &mut self.state else { return };
        let Some(change) = &mut leading.change else { return };
        change.stage = Stage::Settling;
        let target = change.target.clone().with_particulars_of(self.configurations.newest());
        let proposal = change.proposal;
        self.propose_membership(proposal, target);
    }

    /// A newcomer did not make it: everything is as it was.
    fn give_up_change(&mut self, late: NodeId, effects: &mut Effects<Message>) {
        let State::Proposing(leading) = &mut self.state else { return };
        let Some(change) = leading.change.take() else { return };
        let Change { proposal, stage: Stage::Learning(newcomers), .. } = *change else { return };
        effects.proposals.push((proposal, Outcome::Refused(Refusal::NotCaughtUp(late))));
        if let Some(former) = newcomers.dismissed(self.configurations.newest()) {
            self.propose_membership(ProposalId::default(), former);
        }
    }
}

impl Change {
    const fn is_settling(&self) -> bool {
        matches!(self.stage, Stage::Settling)
    }
}
