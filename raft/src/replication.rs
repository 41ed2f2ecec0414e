//! The leader's side of replication: proposals, what to send to whom, acknowledgements, the commit rule (thesis,
//! sections 3.5, 3.6.2 and 10.2).

use consensus_api::mutation::mutated;
use consensus_api::{
    After, Effects, Entry, EntryKind, EntryRange, Generation, Index, Moment, NodeId, Outcome, ReadRound,
    Refusal, Time,
};

use crate::log::Log;
use crate::progress::{Flow, Peer};
use crate::raft::{Leadership, Raft, State};
use crate::{Body, Message, Term};

impl Leadership {
    pub(crate) fn peer(&self, id: NodeId) -> Option<&Peer> {
        self.peers.binary_search_by_key(&id, |peer| peer.id).ok().map(|at| &self.peers[at])
    }

    pub(crate) fn peer_mut(&mut self, id: NodeId) -> Option<&mut Peer> {
        self.peers.binary_search_by_key(&id, |peer| peer.id).ok().map(|at| &mut self.peers[at])
    }
}

impl Raft {
    fn peer_mut(&mut self, id: NodeId) -> Option<&mut Peer> {
        if let State::Leader(leading) = &mut self.state { leading.peer_mut(id) } else { None }
    }

    /// Takes an entry into the log. It goes to the peers at once: its way to them and to the own disk are taken at the
    /// same time (thesis, section 10.2.1).
    pub(crate) fn on_propose(&mut self, mut entry: Entry, effects: &mut Effects<Message>) {
        let proposal = entry.proposal;
        // One that hands over takes none: the successor's log would never be complete (thesis, section 3.10).
        let takes = matches!(&self.state, State::Leader(leading) if leading.transfer.is_none());
        let outcome = if !takes {
            Outcome::Refused(Refusal::NotLeader)
        } else if entry.kind == EntryKind::Membership {
            Outcome::Refused(Refusal::Invalid("a membership is changed by asking for the change"))
        } else {
            entry.generation = self.generation();
            entry.index = self.log.last().next();
            self.log.append(self.timers.now, entry, effects);
            Outcome::Accepted(self.generation())
        };
        effects.proposals.push((proposal, outcome));
    }

    /// The end of every step: a leader sends each peer what it may have. While a peer's window is full, entries gather,
    /// and its next frame takes them all.
    pub(crate) fn send_what_is_due(&mut self, effects: &mut Effects<Message>) {
        self.send_entries(effects);
        self.send_read_round(effects);
    }

    /// Reads that gathered need a round of messages, unless entries carry it: those just sent or, as long as a quorum
    /// still has some to acknowledge, the next ones. At the latest the next heartbeat does.
    fn send_read_round(&mut self, effects: &mut Effects<Message>) {
        let Self { node, timers, membership, state: State::Leader(leading), scratch, .. } = self else {
            return;
        };
        if !leading.reads.is_round_due() {
            return;
        }
        let newest = leading.reads.newest();
        let Leadership { peers, reads, .. } = leading;
        let peer = |id| peers.binary_search_by_key(&id, |peer| peer.id).ok().map(|at| &peers[at]);
        let asked =
            |member| if member == *node { newest.0 } else { peer(member).map_or(0, |peer| peer.asked.0) };
        let asked = membership.quorum_reached(scratch, asked).map(ReadRound).unwrap_or_default();
        reads.was_asked(asked);
        let busy = |peer: &Peer| {
            let acknowledges = !peer.stalled && !timers.is_long_ago(peer.contact.0);
            acknowledges && peer.window().is_some_and(|window| window.len() > 0)
        };
        if reads.is_round_due()
            && !membership.quorum_holds(|member| member == *node || peer(member).is_some_and(busy))
        {
            self.send_heartbeats(effects);
        }
    }

    fn send_entries(&mut self, effects: &mut Effects<Message>) {
        let Self { term, log, commit, limits, state: State::Leader(leading), .. } = self else { return };
        let round = leading.reads.newest();
        for peer in &mut leading.peers {
            if !peer.may_send(log.last(), limits) {
                tell_commit(*term, log, *commit, peer, effects);
                continue;
            }
            let Some(message) = append_message(*term, log, *commit, peer, round) else {
                peer.flow = Flow::Snapshot;
                effects.snapshots_needed.push(peer.id);
                continue;
            };
            peer.asked = round;
            if peer.next <= log.last() {
                let bytes_max = limits.frame_bytes_max;
                let range = EntryRange { first: peer.next, last: log.last(), bytes_max };
                effects.send_entries(peer.id, message, range);
                peer.filling = true;
            } else {
                effects.send(peer.id, After::Now, message);
                peer.flow = Flow::Probe { waiting: true };
            }
            peer.commit_told = *commit;
        }
    }

    /// Entries that were asked for went out.
    pub(crate) fn on_sent(&mut self, to: NodeId, first: Index, last: Index, bytes: usize) {
        if let Some(peer) = self.peer_mut(to)
            && peer.filling
        {
            peer.filling = false;
            assert_eq!(first, peer.next, "what was asked for is what goes out");
            peer.sent(last, bytes);
        }
    }

    /// Entries that were asked for can be had now: the end of this step asks again.
    pub(crate) fn on_loaded(&mut self, to: NodeId) {
        if let Some(peer) = self.peer_mut(to) {
            peer.filling = false;
        }
    }

    /// What is on its way to this peer may be lost. It is found out with the next answer to a heartbeat, rather than by
    /// sending into the void.
    pub(crate) fn on_unreachable(&mut self, id: NodeId) {
        if let Some(peer) = self.peer_mut(id)
            && !matches!(peer.flow, Flow::Snapshot)
        {
            peer.probe(peer.matched.next(), true);
        }
    }

    /// This peer can be reached again: no need to wait for the next heartbeat.
    pub(crate) fn on_connected(&mut self, id: NodeId, effects: &mut Effects<Message>) {
        if let Some(peer) = self.peer_mut(id)
            && let Flow::Probe { waiting } = &mut peer.flow
        {
            *waiting = false;
        }
        let Self { term, log, commit, state: State::Leader(leading), .. } = self else { return };
        let round = leading.reads.newest();
        if let Some(peer) = leading.peer(id) {
            effects.send(id, After::Now, heartbeat_message(*term, log, *commit, peer, round));
        }
    }

    /// Takes note of an answer from a peer. `false` when there is nothing more to do with it.
    pub(crate) fn hear_peer(
        &mut self,
        from: NodeId,
        term: Term,
        round: ReadRound,
        effects: &mut Effects<Message>,
    ) -> bool {
        // An answer from someone who is no member was not asked for, and deposes nobody.
        if term > self.term && self.membership.contains(from) {
            self.enter_term(term, None, effects);
        }
        let (now, current) = (self.timers.now, self.term);
        let State::Leader(leading) = &mut self.state else { return false };
        let newest = leading.reads.newest();
        let Some(peer) =
            leading.peer_mut(from).filter(|_| term == current || mutated("raft/ack-of-another-term"))
        else {
            return false;
        };
        peer.contact = Moment(now);
        if round > peer.round {
            peer.round = round.min(newest);
            self.answer_reads(effects);
        }
        true
    }

    /// A peer's log agrees up to `matched`, durably.
    pub(crate) fn on_accepted(&mut self, from: NodeId, matched: Index, effects: &mut Effects<Message>) {
        let (last, compacted) = (self.log.last(), self.log.compacted());
        if matched > last {
            return; // not said by a sound peer
        }
        if let Some(peer) = self.peer_mut(from) {
            peer.accepted(matched, compacted);
            self.advance_leader_commit(effects);
        }
    }

    /// A peer's log does not agree at `prev`. The hint skips a whole conflicting term at a time: the peer has no entry
    /// of a term at or below that of `prev` behind the hint, and this log none of a term at or below the hint's behind
    /// what it finds; so the logs cannot agree anywhere between (thesis, section 3.5, the optimisation at its end).
    pub(crate) fn on_rejected(&mut self, from: NodeId, prev: Index, hint: Index, hint_term: Term) {
        let (found, _) = self.log.last_within(hint, hint_term);
        let Some(peer) = self.peer_mut(from) else { return };
        let current = match peer.flow {
            Flow::Probe { .. } => prev == peer.next.prev(),
            Flow::Stream(_) => prev > peer.matched,
            Flow::Snapshot => false,
        };
        if current {
            peer.probe(found.next().min(prev), false);
        }
    }

    /// A peer answered a heartbeat, so messages reach it: whatever was thought to be on its way and is not acknowledged
    /// since the last heartbeat is asked after, once. The question queues behind the entries it asks about.
    pub(crate) fn on_heard(&mut self, from: NodeId, priority: u8, effects: &mut Effects<Message>) {
        let Self { term, log, commit, state: State::Leader(leading), .. } = self else { return };
        let round = leading.reads.newest();
        let Some(peer) = leading.peer_mut(from) else { return };
        peer.priority = priority;
        if !std::mem::take(&mut peer.stalled) {
            return;
        }
        match &mut peer.flow {
            Flow::Probe { waiting } => *waiting = false,
            Flow::Stream(_) => match append_message(*term, log, *commit, peer, round) {
                Some(message) => effects.send(from, After::Now, message),
                None => peer.probe(peer.matched.next(), false),
            },
            Flow::Snapshot => {}
        }
    }

    /// Time for a heartbeat, and to see whether this leader is still one: a quorum must have answered within an election
    /// timeout (thesis, section 6.2), and the own disk must not hang, or nothing would ever get done (hashicorp/raft#503).
    pub(crate) fn on_heartbeat_due(&mut self, effects: &mut Effects<Message>) {
        if (!self.has_quorum_contact() && !mutated("raft/leader-without-a-quorum")) || self.is_disk_hung() {
            self.step_down(effects);
            return;
        }
        self.forget_leaving_peers();
        self.reconsider_transfer();
        let next = self.timers.now + self.timers.timing.heartbeat;
        let memory = self.timers.timing.election_timeout_min;
        let (now, leases) = (self.timers.now, self.options.lease_drift_ppm_max.is_some());
        if let State::Leader(leading) = &mut self.state {
            if leases {
                leading.reads.begin_round(now, memory);
            }
            leading.heartbeat = Moment(next);
            for peer in &mut leading.peers {
                peer.stalled = peer.expects_answer();
            }
        }
        self.send_heartbeats(effects);
    }

    fn send_heartbeats(&mut self, effects: &mut Effects<Message>) {
        let Self { term, log, commit, state: State::Leader(leading), .. } = self else { return };
        let round = leading.reads.newest();
        leading.reads.was_asked(round);
        for peer in &mut leading.peers {
            peer.asked = round;
            effects.send(peer.id, After::Now, heartbeat_message(*term, log, *commit, peer, round));
            peer.commit_told = peer.matched.min(*commit);
        }
    }

    /// Whether a quorum was heard within the shortest election timeout.
    pub(crate) fn has_quorum_contact(&mut self) -> bool {
        let Self { node, timers, membership, state: State::Leader(leading), scratch, .. } = self else {
            return false;
        };
        let contact = |member| {
            if member == *node {
                return timers.now.0;
            }
            leading.peer(member).map_or(0, |peer| peer.contact.0.0)
        };
        let reached = membership.quorum_reached(scratch, contact);
        reached.is_some_and(|contact| !timers.is_long_ago(Time(contact)))
    }

    /// The commit rule: an entry of the leader's own term that a quorum holds durably is committed, and all before it;
    /// older entries are never counted (thesis, section 3.6.2 and figure 3.7). The leader counts itself like everyone
    /// else, by what its own disk has confirmed.
    pub(crate) fn advance_leader_commit(&mut self, effects: &mut Effects<Message>) {
        let Self { node, log, membership, state: State::Leader(leading), scratch, .. } = self else { return };
        let held = |member| {
            if member == *node {
                let durable = !mutated("raft/own-disk-taken-for-granted");
                return if durable { log.durable().0 } else { log.last().0 };
            }
            leading.peer(member).map_or(0, |peer| peer.matched.0)
        };
        let Some(held) = membership.quorum_reached(scratch, held).map(Index) else { return };
        if held >= leading.start || mutated("raft/commit-of-an-earlier-term") {
            self.commit_upto(held, effects);
            self.answer_reads(effects);
        }
    }
}

/// `None` when the log no longer reaches back to the entry before the next.
fn append_message(term: Term, log: &Log, commit: Index, peer: &Peer, round: ReadRound) -> Option<Message> {
    let prev = peer.next.prev();
    let prev_generation = log.generation_at(prev)?;
    Some(Message { term, body: Body::Append { prev, prev_generation, commit, round } })
}

/// Speaks of committed entries only as far as the peer is known to hold them.
fn commit_known_to(log: &Log, commit: Index, peer: &Peer) -> (Index, Generation) {
    let commit = commit.min(peer.matched);
    log.generation_at(commit).map_or((Index::ZERO, Generation::ZERO), |generation| (commit, generation))
}

fn heartbeat_message(term: Term, log: &Log, commit: Index, peer: &Peer, round: ReadRound) -> Message {
    let (commit, commit_generation) = commit_known_to(log, commit, peer);
    Message { term, body: Body::Heartbeat { commit, commit_generation, round } }
}

/// Lets a peer know at once that the commit index has moved, if no entries are about to tell it.
fn tell_commit(term: Term, log: &Log, commit: Index, peer: &mut Peer, effects: &mut Effects<Message>) {
    let (commit, commit_generation) = commit_known_to(log, commit, peer);
    if commit > peer.commit_told && !peer.filling {
        peer.commit_told = commit;
        effects.send(peer.id, After::Now, Message { term, body: Body::Commit { commit, commit_generation } });
    }
}
