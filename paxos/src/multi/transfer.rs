//! Handing leadership over. What Raft does (Ongaro's thesis, section 3.10), with less to wait for: phase 1 brings a
//! successor whatever it lacks.
//!
//! The leader takes no more proposals, waits until its successor holds what is on its way to it, and asks it to begin a
//! ballot of its own at once. That ballot needs no agreement, since nobody would miss the leader; and it names the ballot
//! handed over, so that leases granted there do not hold it up. If it is not heard of within the shortest election timeout,
//! the leader goes on as before.

use consensus_api::{After, Effects, Generation, Moment, NodeId, ProposalId, Refusal, Succession, Time};

use super::{Body, Message, MultiPaxos, State};

/// A transfer under way.
#[derive(Clone, Hash, Debug)]
pub(super) struct Transfer {
    /// Who asked for it; `None` when the leader itself wants it.
    wish: Option<Succession>,
    to: NodeId,
    /// When the leader goes on by itself.
    deadline: Moment,
    /// The successor was asked to take over; it may not have heard.
    asked: bool,
}

const RECOVERING: &str = "this member has just come to lead; ask again in a moment";

impl Transfer {
    pub(super) const fn deadline(&self) -> Time {
        self.deadline.0
    }

    /// With each heartbeat: the request may have been lost.
    pub(super) fn ask_again(&mut self) {
        self.asked = false;
    }

    /// Whoever asked for it, and now waits for what comes of it.
    pub(super) const fn wish(&self) -> Option<Succession> {
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
        let wish = Succession::new(proposal, to);
        let heir = self.admit_transfer(wish);
        if let Some(heir) = wish.begin(self.node, self.acceptor.promised(), heir, effects) {
            self.begin_transfer(heir, Some(wish));
        }
    }

    fn admit_transfer(&self, wish: Succession) -> Result<NodeId, Refusal> {
        let State::Proposing(leading) = &self.state else { return Err(Refusal::NotLeader) };
        if leading.barrier().is_none() {
            return Err(Refusal::NotYet(RECOVERING));
        }
        if leading.transfer.is_some() {
            return Err(Succession::UNDER_WAY);
        }
        if leading.change.is_some() || self.is_change_open() {
            return Err(Succession::CHANGING);
        }
        wish.heir(|node| self.configurations.newest().is_voter(node), || self.heir())
    }

    /// The best placed to follow this leader: of the voters that were heard lately, whoever holds most.
    fn heir(&self) -> Option<NodeId> {
        let State::Proposing(leading) = &self.state else { return None };
        let near = leading.peers.iter().filter(|peer| !self.timers.is_long_ago(peer.contact.0));
        let voters = near.filter(|peer| self.configurations.newest().is_voter(peer.id));
        voters.max_by_key(|peer| (peer.matched(self.commit), u64::MAX - peer.id.0)).map(|peer| peer.id)
    }

    fn begin_transfer(&mut self, to: NodeId, wish: Option<Succession>) {
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
            return self.end_transfer(Succession::LOST_VOTE, effects);
        }
        if self.timers.now >= transfer.deadline.0 {
            return self.end_transfer(Succession::NOT_TAKEN, effects);
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
    fn end_transfer(&mut self, reason: Refusal, effects: &mut Effects<Message>) {
        let State::Proposing(leading) = &mut self.state else { return };
        if let Some(wish) = leading.transfer.take().and_then(|transfer| transfer.wish()) {
            wish.fail(reason, effects);
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
        if let Some(wish) = self.succession.take() {
            wish.end(self.node, leader, effects);
        }
    }
}
