//! [`Leadership`]: a proposer that has a ballot. What it proposes, to whom it goes, and when it is chosen (Lamport 2001,
//! section 3).

use std::collections::VecDeque;

use consensus_api::mutation::mutated;
use consensus_api::{
    After, Effects, Entry, EntryKind, Generation, Index, Membership, Moment, NodeId, ProposalId, ReadQueue,
    ReadRound, Time, WriteSeq,
};

use super::change::Change;
use super::configurations::Configurations;
use super::peer::Peer;
use super::recovery::Recovery;
use super::slots::Slots;
use super::transfer::Transfer;
use super::{Body, Message, MultiPaxos, State, Tidings};
use crate::quorum::Phase;

/// What a proposer keeps for as long as it holds its ballot.
#[derive(Clone, Hash, Debug)]
pub(super) struct Leadership {
    pub(super) ballot: Generation,
    /// The other members, by number.
    pub(super) peers: Vec<Peer>,
    /// The next slot to propose in. Never one that was not looked at in phase 1.
    pub(super) next: Index,
    /// What the voters have reported of the open slots.
    pub(super) recovery: Recovery,
    /// The no-op in the first slot that nobody had touched, once it is proposed: from then on proposals are taken.
    barrier: Option<Index>,
    /// Up to here a quorum of those who decide has reported nothing: these slots are free for new values.
    pub(super) free_upto: Index,
    /// The slots above the chosen prefix that this member's own disk holds at this ballot.
    pub(super) own: Slots,
    /// Own slots that are being written, oldest first: the own vote counts like any other, once it is durable.
    writing: VecDeque<(WriteSeq, Index, Index)>,
    pub(super) reads: ReadQueue,
    /// The slots in which this ballot proposes no-ops, as far as the log goes back.
    pub(super) noops: Slots,
    /// When the next heartbeat is due.
    pub(super) heartbeat: Moment,
    /// When last nothing was lacking that nobody knows.
    taught: Moment,
    /// The ballot whose proposer handed over to this one; zero if none did.
    pub(super) after: Generation,
    /// The transfer of leadership under way.
    pub(super) transfer: Option<Transfer>,
    /// Someone was asked to succeed, and may do so at any time: there is no lease at this ballot any more.
    pub(super) handed_over: bool,
    /// The change of membership under way.
    pub(super) change: Option<Box<Change>>,
    /// A membership that goes into the next slot, once all below is chosen. Until then nothing else does.
    pub(super) membership: Option<Box<(ProposalId, Membership)>>,
    /// Taken, and waiting for a slot. Bounded by what the members may have under way.
    pub(super) queue: VecDeque<Entry>,
}

impl Leadership {
    pub(super) fn new(
        node: NodeId,
        (ballot, after): (Generation, Generation),
        configurations: &Configurations,
        (commit, last): (Index, Index),
        now: Time,
    ) -> Self {
        let others = configurations.members().into_iter().filter(|member| *member != node);
        let mut recovery = Recovery::new(configurations.voters(), last);
        recovery.ask_myself(node);
        Self {
            ballot,
            peers: others.map(|id| Peer::new(id, commit.next(), now)).collect(),
            next: commit.next(),
            recovery,
            barrier: None,
            free_upto: Index::ZERO,
            own: Slots::default(),
            writing: VecDeque::new(),
            reads: ReadQueue::default(),
            noops: Slots::default(),
            heartbeat: Moment(now),
            taught: Moment(now),
            after,
            transfer: None,
            handed_over: false,
            change: None,
            membership: None,
            queue: VecDeque::new(),
        }
    }

    /// The barrier, once proposals are taken.
    pub(super) const fn barrier(&self) -> Option<Index> {
        self.barrier
    }

    /// Slots from `slot` up to `upto` are free. The first time, the barrier stands in front of them.
    pub(super) fn frees(&mut self, slot: Index, upto: Index) -> bool {
        self.free_upto = upto;
        let is_first = self.barrier.is_none();
        self.barrier = self.barrier.or(Some(slot));
        is_first
    }

    pub(super) fn peer(&self, id: NodeId) -> Option<&Peer> {
        self.peers.binary_search_by_key(&id, |peer| peer.id).ok().map(|at| &self.peers[at])
    }

    /// The slots this member has accepted at this ballot, durably, above the chosen prefix.
    pub(super) fn votes(&self, node: NodeId, member: NodeId) -> Option<&Slots> {
        if member == node { Some(&self.own) } else { self.peer(member).map(|peer| &peer.acked) }
    }

    /// Everything up to `index` is chosen: votes for it need not be kept. The log goes back to `compacted`.
    pub(super) fn committed(&mut self, index: Index, compacted: Index) {
        self.noops.drop_upto(compacted);
        self.own.drop_upto(index);
        self.peers.iter_mut().for_each(|peer| peer.acked.drop_upto(index));
    }

    /// Whether slots were chosen that this leader has not even proposed in: then it has been succeeded.
    pub(super) fn is_overtaken(&self, commit: Index) -> bool {
        self.barrier().is_some() && commit >= self.next
    }

    pub(super) fn tidings(&self, commit: Index, window: u64) -> Tidings {
        Tidings { commit, barrier: self.barrier().unwrap_or_default(), round: self.reads.newest(), window }
    }

    /// Own slots under way to the disk, for the invariants.
    pub(super) fn writing(&self) -> impl Iterator<Item = (WriteSeq, Index, Index)> + '_ {
        self.writing.iter().copied()
    }
}

impl MultiPaxos {
    pub(super) fn peer_mut(&mut self, id: NodeId) -> Option<&mut Peer> {
        let State::Proposing(leading) = &mut self.state else { return None };
        let at = leading.peers.binary_search_by_key(&id, |peer| peer.id).ok()?;
        Some(&mut leading.peers[at])
    }

    /// Proposes a value in the next slot, under this ballot: this member is the first to accept it. Its way to the own
    /// disk and to the others are taken at the same time.
    pub(super) fn propose(&mut self, mut entry: Entry, effects: &mut Effects<Message>) {
        let State::Proposing(leading) = &mut self.state else { return };
        let slot = leading.next;
        entry.generation = leading.ballot;
        entry.index = slot;
        leading.next = slot.next();
        if entry.kind == EntryKind::Noop && entry == Entry::noop(leading.ballot, slot) {
            leading.noops.insert(slot, slot);
        }
        let seq = self.log.put(self.timers.now, entry, effects);
        if mutated("paxos/own-vote-before-sync") {
            leading.own.insert(slot, slot);
        }
        match leading.writing.back_mut() {
            Some((newest, _, last)) if *newest == seq && last.next() == slot => *last = slot,
            _ => leading.writing.push_back((seq, slot, slot)),
        }
    }

    /// The own votes count once they are durable.
    pub(super) fn on_own_votes_durable(&mut self, durable: WriteSeq) {
        let commit = self.commit;
        let State::Proposing(leading) = &mut self.state else { return };
        while let Some((seq, first, last)) = leading.writing.front().copied()
            && seq <= durable
        {
            leading.writing.pop_front();
            leading.own.insert(first.max(commit.next()), last);
        }
    }

    /// Whether a quorum has accepted what this ballot proposes in the slot.
    pub(super) fn has_quorum_at(&self, slot: Index) -> bool {
        let State::Proposing(leading) = &self.state else { return false };
        let accepted = |voter| leading.votes(self.node, voter).is_some_and(|votes| votes.contains(slot));
        self.quorums.holds(Phase::Two, self.configurations.at(slot), accepted)
    }

    /// A value is chosen once a quorum has accepted it, all at this ballot. Slots are chosen in any order, and announced
    /// in theirs.
    pub(super) fn advance_chosen(&mut self, effects: &mut Effects<Message>) {
        loop {
            let (node, commit, quorums) = (self.node, self.commit, self.quorums);
            let Self { state: State::Proposing(leading), configurations, scratch, .. } = self else { return };
            let reach = |voter| leading.votes(node, voter).map_or(0, |votes| votes.reach(commit).0);
            let members = configurations.at(commit.next());
            let chosen = quorums.reached(Phase::Two, members, scratch, reach).map(Index);
            let Some(chosen) = chosen.filter(|chosen| *chosen > commit) else { break };
            let chosen = chosen.min(configurations.last_alike(commit.next())); // others decide about the rest
            self.commit_upto(chosen, effects);
        }
        self.answer_reads(effects);
    }

    /// Takes note of an answer to this proposer.
    pub(super) fn hear_peer(&mut self, from: NodeId, ballot: Generation, round: ReadRound, commit: Index) {
        if !self.leads(ballot) {
            return;
        }
        self.contact(from);
        let State::Proposing(leading) = &mut self.state else { return };
        let newest = leading.reads.newest();
        if let Some(peer) = self.peer_mut(from) {
            peer.round = peer.round.max(round.min(newest));
            peer.knows(commit);
        }
    }

    /// A member was heard that obeys this proposer.
    pub(super) fn contact(&mut self, from: NodeId) {
        let now = self.timers.now;
        if let Some(peer) = self.peer_mut(from) {
            peer.contact = Moment(now);
        }
    }

    /// A member has accepted what this ballot proposes in these slots, durably. Each slot counts for itself: what lies
    /// between two acknowledgements is not acknowledged (oxia #1239).
    pub(super) fn on_accepted(&mut self, from: NodeId, ballot: Generation, first: Index, last: Index) {
        let commit = self.commit;
        let counts = self.leads(ballot) || mutated("paxos/ack-of-another-ballot");
        if !counts || first == Index::ZERO || first > last || last > self.log.last() {
            return;
        }
        if mutated("paxos/votes-not-voters")
            && let State::Proposing(leading) = &mut self.state
            && leading.peer(from).is_some_and(|peer| peer.acked.contains(first))
            && let Some(other) = leading.peers.iter_mut().find(|peer| !peer.acked.contains(first))
        {
            other.acked.insert(first, last);
        }
        if let Some(peer) = self.peer_mut(from) {
            peer.accepted(first, last, commit);
        }
    }

    /// A member has answered a heartbeat: what was sent before it is there by now, or lost.
    pub(super) fn on_heard(&mut self, from: NodeId, ballot: Generation, remembered: Index) {
        if self.leads(ballot)
            && let Some(peer) = self.peer_mut(from)
        {
            peer.remembered = peer.remembered.max(remembered);
            peer.heard();
        }
    }

    pub(super) fn on_unreachable(&mut self, id: NodeId) {
        if let Some(peer) = self.peer_mut(id) {
            peer.lost();
        }
    }

    /// This peer can be reached again: no need to wait for the next heartbeat.
    pub(super) fn on_connected(&mut self, id: NodeId, effects: &mut Effects<Message>) {
        let State::Proposing(leading) = &self.state else { return };
        if self.has_promises() && leading.peer(id).is_some() {
            let body = Body::Heartbeat(leading.tidings(self.commit, self.window));
            effects.send(id, After::Now, Message { ballot: leading.ballot, body });
        }
    }

    /// Time for a heartbeat, and to see whether this proposer still is one: a quorum must have answered within an
    /// election timeout (omnipaxos 0.2.4), and the own disk must not hang.
    pub(super) fn on_heartbeat_due(&mut self, effects: &mut Effects<Message>) {
        if !self.has_quorum_contact() || self.is_disk_hung() || self.lacks_what_nobody_knows() {
            self.step_down(effects);
            return;
        }
        let next = self.timers.now + self.timers.timing.heartbeat;
        let is_changing = self.configurations.takes_effect_at().is_some();
        if let State::Proposing(leading) = &mut self.state {
            leading.heartbeat = Moment(next);
            leading.transfer.iter_mut().for_each(Transfer::ask_again);
            leading.peers.iter_mut().for_each(Peer::expect_answer);
            leading.recovery.ask_again();
            let (now, patience) = (self.timers.now, self.timers.timing.election_timeout_max);
            // Who goes by a change hears of its end, too.
            leading.peers.retain(|peer| is_changing || !peer.is_gone(now, patience));
        }
        self.catch_up(effects);
        self.send_heartbeats(effects);
    }

    /// Whether, for an election timeout, a slot was lacking that someone said to be chosen, and that everyone has forgotten
    /// in crashes: how far slots are chosen is kept in memory. The values are there yet, and a new ballot finds them.
    fn lacks_what_nobody_knows(&mut self) -> bool {
        let slot = self.commit.next();
        let is_known = self.learner.knows_of(slot);
        let State::Proposing(leading) = &mut self.state else { return false };
        if is_known || slot >= leading.next || self.log.ballot_at(slot) == Some(leading.ballot) {
            leading.taught = Moment(self.timers.now);
        }
        self.timers.is_long_ago(leading.taught.0)
    }

    /// Whether a quorum has promised: before, there is nothing to announce.
    pub(super) fn has_promises(&self) -> bool {
        let State::Proposing(leading) = &self.state else { return false };
        let promised = |voter| leading.recovery.has_promised(voter);
        let members = self.configurations.at(self.commit.next());
        leading.barrier().is_some() || self.quorums.holds(Phase::One, members, promised)
    }

    pub(super) fn send_heartbeats(&mut self, effects: &mut Effects<Message>) {
        if !self.has_promises() {
            return;
        }
        let (now, lease) = (self.timers.now, self.lease);
        let State::Proposing(leading) = &mut self.state else { return };
        if let Some(lease) = lease {
            leading.reads.begin_round(now, lease);
        }
        leading.reads.was_asked(leading.reads.newest());
        let tidings = leading.tidings(self.commit, self.window);
        let message = Message { ballot: leading.ballot, body: Body::Heartbeat(tidings) };
        for peer in &mut leading.peers {
            peer.commit_told = tidings.commit;
            effects.send(peer.id, After::Now, message);
        }
    }

    /// Whether a quorum was heard within the shortest election timeout; during phase 1, quorums of both kinds.
    pub(super) fn has_quorum_contact(&self) -> bool {
        let State::Proposing(leading) = &self.state else { return false };
        let is_near = |member| {
            let contact = leading.peer(member).map(|peer| peer.contact.0);
            member == self.node || contact.is_some_and(|contact| !self.timers.is_long_ago(contact))
        };
        let near = |phase| move |membership: &Membership| self.quorums.holds(phase, membership, is_near);
        self.configurations.in_use().all(near(Phase::Two))
            && (leading.barrier().is_some() || self.configurations.in_use().all(near(Phase::One)))
    }
}
