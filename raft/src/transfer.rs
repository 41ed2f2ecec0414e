//! Handing leadership over (thesis, section 3.10).
//!
//! The leader takes no more proposals, brings the successor's log up to its own, and tells it to stand for election at
//! once. Its request for votes says so, and voters then do not refuse for the sake of the leader they hear. If it does
//! not come to lead within the shortest election timeout, the leader goes on as before.

use consensus_api::{After, Effects, Moment, NodeId, ProposalId, Refusal, Succession, Time};

use crate::election::Candidacy;
use crate::raft::{Raft, State};
use crate::{Body, Message};

/// A transfer under way.
#[derive(Clone, Hash, Debug)]
pub(crate) struct Transfer {
    /// Who asked for it; `None` when the leader itself wants it.
    wish: Option<Succession>,
    to: NodeId,
    /// When the leader goes on by itself.
    deadline: Moment,
    /// The successor was told to stand; it may not have heard.
    told: bool,
}

/// After a transfer for the sake of priority that failed, the next attempt comes after so many of the longest election
/// timeouts.
const RETRY_TIMEOUTS: u32 = 5;

impl Transfer {
    pub(crate) fn deadline(&self) -> Time {
        self.deadline.0
    }

    /// Whoever asked for it, and now waits for what comes of it.
    pub(crate) fn wish(&self) -> Option<Succession> {
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
        let wish = Succession::new(proposal, to);
        let heir = self.admit_transfer(wish);
        if let Some(heir) = wish.begin(self.node, self.generation(), heir, effects) {
            self.begin_transfer(heir, Some(wish));
        }
    }

    fn admit_transfer(&self, wish: Succession) -> Result<NodeId, Refusal> {
        let State::Leader(leading) = &self.state else { return Err(Refusal::NotLeader) };
        if leading.transfer.is_some() {
            return Err(Succession::UNDER_WAY);
        }
        if leading.change.is_some() || self.membership.is_joint() || self.is_membership_open() {
            return Err(Succession::CHANGING);
        }
        wish.heir(|node| self.membership.voters().contains(&node), || self.heir())
    }

    fn begin_transfer(&mut self, to: NodeId, wish: Option<Succession>) {
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
            return self.end_transfer(Succession::LOST_VOTE, effects);
        }
        if self.timers.now >= transfer.deadline.0 {
            return self.end_transfer(Succession::NOT_TAKEN, effects);
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
    fn end_transfer(&mut self, reason: Refusal, effects: &mut Effects<Message>) {
        let State::Leader(leading) = &mut self.state else { return };
        if let Some(wish) = leading.transfer.take().and_then(|transfer| transfer.wish) {
            wish.fail(reason, effects);
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
        if let Some(wish) = self.succession.take() {
            wish.end(self.node, leader, effects);
        }
    }
}
