//! Handing leadership over (thesis, section 3.10).
//!
//! The leader takes no more proposals, brings the successor's log up to its own, and tells it to stand for election at
//! once. Its request for votes says so, and voters then do not refuse for the sake of the leader they hear. If it does
//! not come to lead within the shortest election timeout, the leader goes on as before.

use consensus_api::{After, Effects, NodeId, Outcome, ProposalId, Refusal, Time};

use crate::election::Candidacy;
use crate::raft::{Raft, State};
use crate::timers::Moment;
use crate::{Body, Message};

/// A transfer under way.
#[derive(Clone, Hash, Debug)]
pub(crate) struct Transfer {
    /// Who asked for it; `None` when the leader itself wants it.
    wish: Option<Successor>,
    to: NodeId,
    /// When the leader goes on by itself.
    deadline: Moment,
    /// The successor was told to stand; it may not have heard.
    told: bool,
}

/// Someone waits to hear who succeeds.
#[derive(Clone, Copy, Hash, Debug)]
pub(crate) struct Successor {
    proposal: ProposalId,
    /// `None`: whoever it is.
    to: Option<NodeId>,
}

/// After a transfer for the sake of priority that failed, the next attempt comes after so many of the longest election
/// timeouts.
const RETRY_TIMEOUTS: u32 = 5;

const UNDER_WAY: &str = "leadership is being handed over already; ask again in a moment";
const CHANGING: &str = "a change of membership is under way; ask again when it is done";
const NO_VOTER: &str = "only a voter can lead, and that node is none";
const NO_HEIR: &str = "no other voter was heard lately that could lead; ask again in a moment";
const NOT_TAKEN: &str = "the successor did not take over in time, and this node leads on; ask again";
const LOST_VOTE: &str = "the successor has lost its vote meanwhile, and this node leads on";
const ANOTHER: &str = "another member came to lead; ask again";

impl Transfer {
    pub(crate) fn deadline(&self) -> Time {
        self.deadline.0
    }

    /// Whoever asked for it, and now waits for what comes of it.
    pub(crate) fn wish(&self) -> Option<Successor> {
        self.wish
    }
}

impl Raft {
    /// Someone wants another leader.
    pub(crate) fn on_transfer_leadership(
        &mut self,
        proposal: ProposalId,
        to: Option<NodeId>,
        effects: &mut Effects<Message>,
    ) {
        match self.admit_transfer(to) {
            Err(refusal) => effects.proposals.push((proposal, Outcome::Refused(refusal))),
            Ok(heir) => {
                effects.proposals.push((proposal, Outcome::Accepted(self.generation())));
                if heir == self.node {
                    effects.proposals.push((proposal, Outcome::Completed));
                } else {
                    self.begin_transfer(heir, Some(Successor { proposal, to }));
                }
            }
        }
    }

    fn admit_transfer(&self, to: Option<NodeId>) -> Result<NodeId, Refusal> {
        let State::Leader(leading) = &self.state else { return Err(Refusal::NotLeader) };
        if leading.transfer.is_some() {
            return Err(Refusal::Invalid(UNDER_WAY));
        }
        if leading.change.is_some() || self.membership.is_joint() || self.is_membership_open() {
            return Err(Refusal::Invalid(CHANGING));
        }
        match to {
            None => self.heir().ok_or(Refusal::Invalid(NO_HEIR)),
            Some(heir) if self.membership.voters().contains(&heir) => Ok(heir),
            Some(_) => Err(Refusal::Invalid(NO_VOTER)),
        }
    }

    fn begin_transfer(&mut self, to: NodeId, wish: Option<Successor>) {
        let deadline = Moment(self.timers.now + self.timers.timing.election_timeout_min);
        if let State::Leader(leading) = &mut self.state {
            leading.transfer = Some(Transfer { wish, to, deadline, told: false });
            leading.handed_over = Some(Moment(self.timers.now));
        }
    }

    /// The end of every step: tells the successor to stand once its log is complete, or ends the transfer.
    pub(crate) fn drive_transfer(&mut self, effects: &mut Effects<Message>) {
        let State::Leader(leading) = &mut self.state else { return };
        let Some(transfer) = &mut leading.transfer else { return };
        let to = transfer.to;
        if !self.membership.voters().contains(&to) {
            return self.end_transfer(LOST_VOTE, effects);
        }
        if self.timers.now >= transfer.deadline.0 {
            return self.end_transfer(NOT_TAKEN, effects);
        }
        let (last, told) = (self.log.last(), transfer.told);
        let complete = leading.peer(to).is_some_and(|peer| peer.matched == last);
        if let Some(transfer) = &mut leading.transfer
            && complete
            && !told
        {
            transfer.told = true;
            effects.send(to, After::Now, Message { term: self.term, body: Body::TimeoutNow });
        }
    }

    /// The successor did not come to lead: this member goes on, unless it is to lead no longer in any case.
    fn end_transfer(&mut self, reason: &'static str, effects: &mut Effects<Message>) {
        let State::Leader(leading) = &mut self.state else { return };
        let wish = leading.transfer.take().and_then(|transfer| transfer.wish);
        if let Some(Successor { proposal, .. }) = wish {
            effects.proposals.push((proposal, Outcome::Refused(Refusal::Invalid(reason))));
        }
        if !self.membership.is_voter(self.node) {
            self.step_down(effects);
        }
    }

    /// With each heartbeat: the order to stand may have been lost; and someone may have caught up that should lead.
    pub(crate) fn reconsider_transfer(&mut self) {
        let State::Leader(leading) = &mut self.state else { return };
        if let Some(transfer) = &mut leading.transfer {
            transfer.told = false;
            return;
        }
        let retry_after = self.timers.timing.election_timeout_max * RETRY_TIMEOUTS;
        let patient = leading.handed_over.is_some_and(|at| self.timers.now.since(at.0) < retry_after);
        if patient || leading.change.is_some() || self.membership.is_joint() || self.commit < leading.start {
            return;
        }
        let (own, last) = (self.options.priority, self.log.last());
        let worthier = self.heir().filter(|heir| {
            let State::Leader(leading) = &self.state else { return false };
            leading.peer(*heir).is_some_and(|peer| peer.priority > own && peer.matched == last)
        });
        if let Some(heir) = worthier {
            self.begin_transfer(heir, None);
        }
    }

    /// This leader has no vote any more, and that is committed: it sees to it that another leads, and then no longer
    /// does (thesis, section 4.2.2).
    pub(crate) fn retire(&mut self, effects: &mut Effects<Message>) {
        let State::Leader(leading) = &self.state else { return };
        if leading.transfer.is_some() {
            return;
        }
        match self.heir() {
            Some(heir) => self.begin_transfer(heir, None),
            None => self.step_down(effects),
        }
    }

    /// The leader hands over to this member.
    pub(crate) fn on_timeout_now(&mut self, effects: &mut Effects<Message>) {
        // That a membership is not applied yet does not matter here: it counts from when it was appended.
        if !self.membership.is_voter(self.node) || self.is_disk_hung() {
            return;
        }
        if let Some(term) = self.term.next() {
            self.campaign(term, Candidacy::Handed, effects);
        }
    }

    /// Someone leads: what does that mean for whoever asked this member, leader before, to hand over?
    pub(crate) fn end_succession(&mut self, leader: NodeId, effects: &mut Effects<Message>) {
        if let Some(Successor { proposal, to }) = self.successor.take() {
            let as_wished = leader != self.node && to.is_none_or(|to| to == leader);
            let refused = Outcome::Refused(Refusal::Invalid(ANOTHER));
            effects.proposals.push((proposal, if as_wished { Outcome::Completed } else { refused }));
        }
    }
}
