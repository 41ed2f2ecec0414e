//! Changes of membership, as their leader carries them out (thesis, chapter 4).
//!
//! ```text
//!   asked for ──► newcomers learn ──► old and new voters decide together ──► the new ones alone
//!                 (one entry, if        (joint: one entry, at once            (one entry, once the
//!                  there are any)        the newcomers are caught up)          joint one is committed)
//! ```
//!
//! Each step is an entry, and none follows before the one before it is committed: so no log ever holds two memberships
//! that are not. Which step comes next is read off the log, so a later leader goes on where an earlier one stopped;
//! only catching up is forgotten with its leader. Voters always change by a joint membership, be it by one (the
//! shortcut of section 4.1 has a trap: raft-dev, "bug in single-server membership changes", 2015).

use consensus_api::mutation::mutated;
use consensus_api::{
    Effects, Membership, MembershipError, Newcomers, NodeId, Outcome, ProposalId, Refusal, StoreId,
};

use crate::Message;
use crate::raft::{Leadership, Raft, State};

/// A change under way.
#[derive(Clone, Hash, Debug)]
pub(crate) struct Change {
    proposal: ProposalId,
    /// The membership wished for.
    target: Membership,
    stage: Stage,
}

#[derive(Clone, Hash, Debug)]
enum Stage {
    /// Those who are to vote catch up first, lest they hold up every decision (thesis, section 4.2.1).
    Learning(Newcomers),
    /// The log holds the joint membership, or the one wished for.
    Settling,
}

const NO_VOTER: &str = "a cluster without voters could never decide anything again; name at least one";
const NO_JOINT: &str =
    "a membership is asked for without outgoing voters; the steps between are the engine's";
const TOO_EARLY: &str = "this leader has yet to commit the first entry of its term; ask again in a moment";
const UNDER_WAY: &str = "another change of membership is under way; ask again when it is done";
const HANDING_OVER: &str = "leadership is being handed over; ask again in a moment";

impl Raft {
    /// Someone wants another membership.
    pub(crate) fn on_change_membership(
        &mut self,
        proposal: ProposalId,
        target: Membership,
        effects: &mut Effects<Message>,
    ) {
        if let Err(refusal) = self.admit_change(&target) {
            effects.proposals.push((proposal, Outcome::Refused(refusal)));
            return;
        }
        effects.proposals.push((proposal, Outcome::Accepted(self.generation())));
        let target = target.with_particulars_of(&self.membership);
        if target == self.membership {
            effects.proposals.push((proposal, Outcome::Completed));
        } else if self.begin_change(proposal, target, effects).is_err() {
            let refusal = Refusal::Invalid("there are too many members, old and new together");
            effects.proposals.push((proposal, Outcome::Refused(refusal)));
        }
    }

    fn admit_change(&self, target: &Membership) -> Result<(), Refusal> {
        let State::Leader(leading) = &self.state else { return Err(Refusal::NotLeader) };
        if target.voters().is_empty() {
            return Err(Refusal::Invalid(NO_VOTER));
        }
        if target.is_joint() {
            return Err(Refusal::Invalid(NO_JOINT));
        }
        // What an earlier leader appended may yet replace, or be replaced by, what this one does (hashicorp/raft,
        // raft.go, citing raft-dev 2015).
        if self.commit < leading.start {
            return Err(Refusal::NotYet(TOO_EARLY));
        }
        if leading.change.is_some() || self.membership.is_joint() {
            return Err(Refusal::Invalid(UNDER_WAY));
        }
        if self.is_membership_open() {
            return Err(Refusal::NotYet(UNDER_WAY)); // it is on its way, and nothing follows it
        }
        if leading.transfer.is_some() {
            return Err(Refusal::NotYet(HANDING_OVER));
        }
        Ok(())
    }

    /// Whether the membership in force is not committed.
    pub(crate) fn is_membership_open(&self) -> bool {
        self.membership_at.0 > self.commit
    }

    /// A member known by no disk has spoken: by which one it is known stands in the log from now on. Not between two steps
    /// of a change, but before the first that gives anybody a vote.
    pub(crate) fn on_store_met(&mut self, member: NodeId, store: StoreId, effects: &mut Effects<Message>) {
        let State::Leader(leading) = &self.state else { return };
        let is_settling =
            leading.change.as_ref().is_some_and(|change| matches!(change.stage, Stage::Settling));
        let is_between = is_settling || self.membership.is_joint() || self.is_membership_open();
        if is_between
            || leading.transfer.is_some()
            || self.commit < leading.start
            || self.membership.store(member).is_some()
        {
            return;
        }
        if let Ok(described) = self.membership.clone().with_store(member, store) {
            self.append_membership(ProposalId::default(), &described, effects);
        }
    }

    fn begin_change(
        &mut self,
        proposal: ProposalId,
        target: Membership,
        effects: &mut Effects<Message>,
    ) -> Result<(), MembershipError> {
        joined(&self.membership, &target)?; // it can be gone through with
        let newcomers = Newcomers::of(&target, &self.membership, self.timers.now, self.log.last());
        if let Some(grown) = newcomers.admitted(&target, &self.membership)? {
            self.append_membership(proposal, &grown, effects);
        }
        if let State::Leader(leading) = &mut self.state {
            let stage = Stage::Learning(newcomers);
            leading.change = Some(Box::new(Change { proposal, target, stage }));
        }
        Ok(())
    }

    /// The end of every step: takes the next step of a change, if the last one is committed.
    pub(crate) fn drive_change(&mut self, effects: &mut Effects<Message>) {
        let is_open = self.is_membership_open();
        let State::Leader(leading) = &self.state else { return };
        let is_quiet = leading.change.is_none() && !self.membership.is_joint();
        if is_quiet && self.membership.is_voter(self.node) {
            return; // nearly always
        }
        let start = leading.start;
        let late = self.find_late();
        if is_open || self.commit < start {
            return;
        }
        if self.membership.is_joint() {
            self.leave_joint(effects);
        } else if let Some(late) = late {
            self.give_up_change(late, effects);
        } else {
            self.go_on(effects);
        }
        if !self.membership.is_voter(self.node) && !self.is_membership_open() {
            self.retire(effects);
        }
    }

    /// Looks at how far newcomers have come. One that takes too long, if there is one.
    fn find_late(&mut self) -> Option<NodeId> {
        let Self { node, membership, log, timers, options, state: State::Leader(leading), .. } = self else {
            return None;
        };
        let Leadership { peers, change, .. } = leading;
        let Stage::Learning(newcomers) = &mut change.as_deref_mut()?.stage else { return None };
        let progress = |id| {
            let at = peers.binary_search_by_key(&id, |peer| peer.id).ok()?;
            Some((peers[at].matched, peers[at].contact.0))
        };
        let patience = options.catch_up_timeout;
        newcomers.find_late(
            (timers.now, log.last()),
            (&timers.timing, patience),
            (*node, membership),
            progress,
        )
    }

    /// The joint membership is committed: from here on the new voters decide alone. Whoever leads does this, under the
    /// name of the request.
    fn leave_joint(&mut self, effects: &mut Effects<Message>) {
        let joint = &self.membership;
        let (voters, learners) = (joint.voters().iter().copied(), joint.learners().iter().copied());
        let Ok(target) = Membership::new(voters, [], learners) else { return }; // its sets are within the limits
        let target = target.with_particulars_of(joint);
        let proposal = self.log.memberships().last().map(|entry| entry.proposal).unwrap_or_default();
        self.append_membership(proposal, &target, effects);
        if let State::Leader(leading) = &mut self.state {
            leading.change = Some(Box::new(Change { proposal, target, stage: Stage::Settling }));
        }
    }

    /// No joint membership, and everything is committed.
    fn go_on(&mut self, effects: &mut Effects<Message>) {
        let State::Leader(leading) = &mut self.state else { return };
        let Some(change) = &leading.change else { return };
        match &change.stage {
            Stage::Settling => {
                effects.proposals.push((change.proposal, Outcome::Completed));
                leading.change = None;
            }
            Stage::Learning(newcomers) if newcomers.have_caught_up() => {
                let (proposal, target) = (change.proposal, change.target.clone());
                if let Some(change) = &mut leading.change {
                    change.stage = Stage::Settling;
                }
                if let Ok(next) = joined(&self.membership, &target) {
                    self.append_membership(proposal, &next, effects);
                }
            }
            Stage::Learning(_) => {}
        }
    }

    /// A newcomer did not make it: everything is as it was.
    fn give_up_change(&mut self, late: NodeId, effects: &mut Effects<Message>) {
        let State::Leader(leading) = &mut self.state else { return };
        let Some(change) = leading.change.take() else { return };
        let Change { proposal, stage: Stage::Learning(newcomers), .. } = *change else { return };
        effects.proposals.push((proposal, Outcome::Refused(Refusal::NotCaughtUp(late))));
        if let Some(former) = newcomers.dismissed(&self.membership) {
            self.append_membership(ProposalId::default(), &former, effects);
        }
    }
}

impl Change {
    /// Its name, if its steps so far die with the leadership. Once it stands in the log, another leader may end it.
    pub(crate) fn forgotten(self) -> Option<ProposalId> {
        matches!(self.stage, Stage::Learning(_)).then_some(self.proposal)
    }
}

/// The membership that leads from `old` to `new`: joint if the voters differ, else `new` itself.
fn joined(old: &Membership, new: &Membership) -> Result<Membership, MembershipError> {
    if old.voters() == new.voters() || mutated("raft/change-without-joint") {
        return Ok(new.clone());
    }
    let outgoing = old.voters().iter().copied();
    let joint = Membership::new(new.voters().iter().copied(), outgoing, new.learners().iter().copied())?;
    Ok(joint.with_particulars_of(new).with_particulars_of(old))
}
