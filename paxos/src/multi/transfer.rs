//! Handing leadership over. What Raft does (Ongaro's thesis, section 3.10), with less to wait for: phase 1 brings a
//! successor whatever it lacks.
//!
//! The leader takes no more proposals, waits until its successor holds what is on its way to it, and asks it to begin a
//! ballot of its own at once. That ballot needs no agreement, since nobody would miss the leader; and it names the ballot
//! handed over, so that leases granted there do not hold it up. If it is not heard of within the shortest election timeout,
//! the leader goes on as before.

use consensus_api::{After, Effects, Generation, NodeId, Outcome, ProposalId, Refusal, Time};

use super::{Body, Message, MultiPaxos, State};
use crate::dice::Moment;

/// A transfer under way.
#[derive(Clone, Hash, Debug)]
pub(super) struct Transfer {
    /// Who asked for it; `None` when the leader itself wants it.
    wish: Option<Successor>,
    to: NodeId,
    /// When the leader goes on by itself.
    deadline: Moment,
    /// The successor was asked to take over; it may not have heard.
    asked: bool,
}

/// Someone waits to hear who succeeds.
#[derive(Clone, Copy, Hash, Debug)]
pub(super) struct Successor {
    proposal: ProposalId,
    /// `None`: whoever it is.
    to: Option<NodeId>,
}

const UNDER_WAY: &str = "leadership is being handed over already; ask again in a moment";
const RECOVERING: &str = "this member has just come to lead; ask again in a moment";
const CHANGING: &str = "a change of membership is under way; ask again when it is done";
const NO_VOTER: &str = "only a voter can lead, and that node is none";
const NO_HEIR: &str = "no other voter was heard lately that could lead; ask again in a moment";
const NOT_TAKEN: &str = "the successor did not take over in time, and this node leads on; ask again";
const LOST_VOTE: &str = "the successor has lost its vote meanwhile, and this node leads on";
const ANOTHER: &str = "another member came to lead; ask again";

impl Transfer {
    pub(super) const fn deadline(&self) -> Time {
        self.deadline.0
    }

    /// With each heartbeat: the request may have been lost.
    pub(super) fn ask_again(&mut self) {
        self.asked = false;
    }

    /// Whoever asked for it, and now waits for what comes of it.
    pub(super) const fn wish(&self) -> Option<Successor> {
        self.wish
    }
}

impl MultiPaxos {
    /// Someone wants another leader.
    pub(super) fn on_transfer_leadership(
        &mut self,
        proposal: ProposalId,
        to: Option<NodeId>,
        effects: &mut Effects<Message>,
    ) {
        match self.admit_transfer(to) {
            Err(refusal) => effects.proposals.push((proposal, Outcome::Refused(refusal))),
            Ok(heir) => {
                effects.proposals.push((proposal, Outcome::Accepted(self.acceptor.promised())));
                if heir == self.node {
                    effects.proposals.push((proposal, Outcome::Completed));
                } else {
                    self.begin_transfer(heir, Some(Successor { proposal, to }));
                }
            }
        }
    }

    fn admit_transfer(&self, to: Option<NodeId>) -> Result<NodeId, Refusal> {
        let State::Proposing(leading) = &self.state else { return Err(Refusal::NotLeader) };
        if leading.barrier().is_none() {
            return Err(Refusal::NotYet(RECOVERING));
        }
        if leading.transfer.is_some() {
            return Err(Refusal::Invalid(UNDER_WAY));
        }
        if leading.change.is_some() || self.is_change_open() {
            return Err(Refusal::Invalid(CHANGING));
        }
        match to {
            None => self.heir().ok_or(Refusal::Invalid(NO_HEIR)),
            Some(heir) if self.configurations.newest().is_voter(heir) => Ok(heir),
            Some(_) => Err(Refusal::Invalid(NO_VOTER)),
        }
    }

    /// The best placed to follow this leader: of the voters that were heard lately, whoever holds most.
    fn heir(&self) -> Option<NodeId> {
        let State::Proposing(leading) = &self.state else { return None };
        let near = leading.peers.iter().filter(|peer| !self.timers.is_long_ago(peer.contact.0));
        let voters = near.filter(|peer| self.configurations.newest().is_voter(peer.id));
        voters.max_by_key(|peer| (peer.matched(self.commit), u64::MAX - peer.id.0)).map(|peer| peer.id)
    }

    fn begin_transfer(&mut self, to: NodeId, wish: Option<Successor>) {
        let deadline = Moment(self.timers.now + self.timers.timing.election_timeout_min);
        if let State::Proposing(leading) = &mut self.state {
            leading.transfer = Some(Transfer { wish, to, deadline, asked: false });
            leading.handed_over = true;
        }
    }

    /// The end of every step: asks the successor once it holds what was sent to it, or ends the transfer.
    pub(super) fn drive_transfer(&mut self, effects: &mut Effects<Message>) {
        let State::Proposing(leading) = &mut self.state else { return };
        let Some(transfer) = &mut leading.transfer else { return };
        let to = transfer.to;
        if !self.configurations.newest().is_voter(to) {
            return self.end_transfer(LOST_VOTE, effects);
        }
        if self.timers.now >= transfer.deadline.0 {
            return self.end_transfer(NOT_TAKEN, effects);
        }
        if transfer.asked || !leading.queue.is_empty() {
            return;
        }
        let at = leading.peers.binary_search_by_key(&to, |peer| peer.id);
        if at.is_ok_and(|at| leading.peers[at].has_all(leading.next)) {
            transfer.asked = true;
            effects.send(to, After::Now, Message { ballot: leading.ballot, body: Body::TakeOver });
        }
    }

    /// The successor did not come to lead: this member goes on.
    fn end_transfer(&mut self, reason: &'static str, effects: &mut Effects<Message>) {
        let State::Proposing(leading) = &mut self.state else { return };
        let wish = leading.transfer.take().and_then(|transfer| transfer.wish());
        if let Some(Successor { proposal, .. }) = wish {
            effects.proposals.push((proposal, Outcome::Refused(Refusal::Invalid(reason))));
        }
        if !self.configurations.is_voter(self.node) {
            self.step_down(effects);
        }
    }

    /// This leader has no vote any more, and the change is done: it sees to it that another leads, and then no longer does.
    pub(super) fn retire(&mut self, effects: &mut Effects<Message>) {
        let State::Proposing(leading) = &self.state else { return };
        if leading.transfer.is_some() {
            return;
        }
        match self.heir() {
            Some(heir) => self.begin_transfer(heir, None),
            None => self.step_down(effects),
        }
    }

    /// The leader hands over to this member. Only the one it obeys can: a request that comes late, of a ballot that has
    /// been succeeded, hands nothing over.
    pub(super) fn on_take_over(&mut self, from: NodeId, ballot: Generation, effects: &mut Effects<Message>) {
        let obeys = matches!(&self.state, State::Following(following) if following.heard);
        let is_theirs = ballot.node == from && ballot == self.acceptor.promised();
        if obeys && is_theirs && self.configurations.is_voter(self.node) && !self.is_disk_hung() {
            self.begin_ballot(ballot, effects);
        }
    }

    /// Someone takes proposals: what does that mean for whoever asked this member, leader before, to hand over?
    pub(super) fn end_succession(&mut self, effects: &mut Effects<Message>) {
        let leader = match &self.state {
            State::Following(following) if following.serving() => self.acceptor.promised().node,
            State::Proposing(leading) if leading.barrier().is_some() => self.node,
            _ => return,
        };
        if let Some(Successor { proposal, to }) = self.successor.take() {
            let as_wished = leader != self.node && to.is_none_or(|to| to == leader);
            let refused = Outcome::Refused(Refusal::Invalid(ANOTHER));
            effects.proposals.push((proposal, if as_wished { Outcome::Completed } else { refused }));
        }
    }
}
