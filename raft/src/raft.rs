//! [`Raft`]: the engine's state, how it recovers, and how events reach the chapters of the protocol.

use std::hash::{Hash, Hasher};

use consensus_api::mutation::mutated;
use consensus_api::{
    Capabilities, Effects, Engine, EngineName, Entry, Event, FlowLimits, Generation, Index, Membership,
    Moment, NodeId, Op, Outline, PeerProgress, ReadQueue, Role, Setup, Standing, StartError, Succession,
    Time,
};

use crate::change::Change;
use crate::election::Tally;
use crate::hard_state::HardState;
use crate::log::Log;
use crate::options::Options;
use crate::progress::Peer;
use crate::timers::Timers;
use crate::transfer::Transfer;
use crate::{Body, Message, Term, invariants, recovery};

/// The Raft engine. See the [crate's page](crate).
#[derive(Clone, Debug)]
pub struct Raft {
    pub(crate) node: NodeId,
    pub(crate) founders: Membership,
    pub(crate) limits: FlowLimits,
    pub(crate) options: Options,

    pub(crate) term: Term,
    /// Whom this member voted for in this term.
    pub(crate) vote: Option<NodeId>,
    /// Who won this term, once known. Stays when the leader falls silent, so that a second one is noticed.
    pub(crate) leader: Option<NodeId>,
    pub(crate) log: Log,
    /// The newest membership in the log, committed or not (thesis, section 4.1).
    pub(crate) membership: Membership,
    /// The entry it stands in, or the last one of the snapshot it comes with; zero when it is the founders'.
    pub(crate) membership_at: (Index, Generation),

    pub(crate) commit: Index,
    pub(crate) applied: Index,
    /// The generation last said to be settled.
    pub(crate) settled: Generation,
    /// The commit index last written down.
    pub(crate) watermark: Index,

    pub(crate) state: State,
    /// Who asked this member, leader before, to hand over: until someone is heard to lead.
    pub(crate) succession: Option<Succession>,
    pub(crate) timers: Timers,
    /// Working space for quorum arithmetic.
    pub(crate) scratch: Vec<u64>,
}

/// What this member does in its term.
#[derive(Clone, Hash, Debug)]
pub(crate) enum State {
    /// Obeys whoever leads.
    Follower {
        /// It hears from the leader of this term; otherwise it waits to find one.
        following: bool,
    },
    /// Asks whether it would be elected.
    PreCandidate(Tally),
    /// Stands for election.
    Candidate(Tally),
    /// Leads.
    Leader(Leadership),
}

/// What a leader keeps for as long as it leads.
#[derive(Clone, Hash, Debug)]
pub(crate) struct Leadership {
    /// The other members, by number.
    pub(crate) peers: Vec<Peer>,
    /// The first entry of the term: nothing before it is committed by counting (thesis, section 3.6.2).
    pub(crate) start: Index,
    pub(crate) reads: ReadQueue,
    /// When the next heartbeat is due.
    pub(crate) heartbeat: Moment,
    /// The change of membership under way.
    pub(crate) change: Option<Box<Change>>,
    /// The transfer of leadership under way.
    pub(crate) transfer: Option<Transfer>,
    /// When the last one began.
    pub(crate) handed_over: Option<Moment>,
}

/// The commit index is written down once it has moved this far, and something else is written anyway.
const WATERMARK_EVERY: u64 = 64;

impl Engine for Raft {
    const NAME: EngineName = EngineName("raft");
    const CAPABILITIES: Capabilities =
        Capabilities { leader: true, leadership_transfer: true, membership_change: true, holes: false };
    type Message = Message;
    type Options = Options;

    fn recover(setup: Setup<Options>, outline: &Outline) -> Result<Self, StartError> {
        recovery::recover(setup, outline)
    }

    fn step(&mut self, now: Time, event: Event<'_, Message>, effects: &mut Effects<Message>) {
        self.timers.now = self.timers.now.max(now);
        match event {
            Event::Message { from, message, entries } => self.on_message(from, message, entries, effects),
            Event::Propose(entry) => self.on_propose(entry, effects),
            Event::Read(id) => self.on_read(id, effects),
            Event::LeaseRead(id) => self.on_lease_read(id, effects),
            Event::ChangeMembership { proposal, membership } => {
                self.on_change_membership(proposal, membership, effects);
            }
            Event::TransferLeadership { proposal, to } => {
                self.on_transfer_leadership(proposal, to, effects);
            }
            Event::StoreMet { member, store } => self.on_store_met(member, store, effects),
            Event::Durable(seq) => {
                self.log.made_durable(seq);
                self.on_own_vote_durable(seq, effects);
                self.advance_leader_commit(effects);
            }
            Event::Applied(index) => self.on_applied(index),
            Event::Sent { to, first, last, bytes } => self.on_sent(to, first, last, bytes),
            Event::Loaded { to } => self.on_loaded(to),
            Event::Unreachable(peer) => self.on_unreachable(peer),
            Event::Connected(peer) => self.on_connected(peer, effects),
            Event::SnapshotTaken { mark, keep_from } => self.on_snapshot_taken(mark, keep_from, effects),
            Event::SnapshotReceived { from, mark } => self.on_snapshot_received(from, mark, effects),
            Event::SnapshotSent { to, upto } => self.on_snapshot_sent(to, upto),
            Event::Tick => self.on_tick(effects),
        }
        self.drive_change(effects);
        self.drive_transfer(effects);
        self.send_what_is_due(effects);
        self.write_watermark(effects);
    }

    fn deadline(&self) -> Time {
        match &self.state {
            State::Leader(leading) => {
                let transfer = leading.transfer.as_ref().map_or(Time::MAX, Transfer::deadline);
                leading.heartbeat.0.min(transfer)
            }
            _ if self.may_stand() => self.timers.election,
            _ => Time::MAX,
        }
    }

    fn still_true(&self, message: &Message) -> bool {
        // Within a term a vote stands, and what was accepted from its leader is never replaced: the term says it all.
        let candidate = matches!(self.state, State::Candidate(_));
        message.term == self.term && (candidate || !matches!(message.body, Body::RequestVote { .. }))
    }

    fn standing(&self) -> Standing {
        let role = match self.state {
            State::Leader(_) => Role::Leader,
            State::PreCandidate(_) | State::Candidate(_) => Role::Candidate,
            State::Follower { .. } if self.membership.is_voter(self.node) => Role::Follower,
            State::Follower { .. } => Role::Learner,
        };
        let leader = match self.state {
            State::Leader(_) | State::Follower { following: true } => self.leader,
            _ => None,
        };
        let generation = Generation::new(self.term.0, self.leader.unwrap_or_default());
        Standing { role, generation, leader, commit: self.commit, last: self.log.last() }
    }

    fn membership(&self) -> &Membership {
        &self.membership
    }

    fn progress(&self, out: &mut Vec<PeerProgress>) {
        if let State::Leader(leading) = &self.state {
            let members = leading.peers.iter().filter(|peer| peer.leaving.is_none());
            out.extend(members.map(Peer::report));
        }
    }

    fn check(&self) -> u64 {
        invariants::check(self)
    }

    fn check_step(before: &Self, after: &Self) -> u64 {
        invariants::check_step(before, after)
    }

    fn check_cluster(members: &[&Self]) -> u64 {
        invariants::check_cluster(members)
    }
}

impl Raft {
    fn on_message(
        &mut self,
        from: NodeId,
        message: Message,
        entries: &[Entry],
        effects: &mut Effects<Message>,
    ) {
        if from == self.node {
            return; // only a confused network speaks with our own voice
        }
        let term = message.term;
        match message.body {
            Body::RequestVote { candidacy, last, last_term } => {
                self.on_request_vote(from, term, candidacy, (last_term, last), effects);
            }
            Body::Vote { pre, granted } => self.on_vote(from, term, pre, granted, effects),
            Body::Append { prev, prev_generation, commit, round } => {
                if self.hear_leader(from, term, effects) {
                    self.on_append(from, (prev, prev_generation), commit, round, entries, effects);
                }
            }
            Body::Heartbeat { commit, commit_generation, round } => {
                if self.hear_leader(from, term, effects) {
                    self.learn_commit(commit, commit_generation, effects);
                    self.send(from, Body::Heard { round, priority: self.options.priority }, effects);
                }
            }
            Body::Commit { commit, commit_generation } => {
                if self.hear_leader(from, term, effects) {
                    self.learn_commit(commit, commit_generation, effects);
                }
            }
            Body::TimeoutNow => {
                if self.hear_leader(from, term, effects) {
                    self.on_timeout_now(effects);
                }
            }
            Body::Accepted { matched, round } => {
                if self.hear_peer(from, term, round, effects) {
                    self.on_accepted(from, matched, effects);
                }
            }
            Body::Rejected { prev, hint, hint_term, round } => {
                if self.hear_peer(from, term, round, effects) {
                    self.on_rejected(from, prev, hint, hint_term);
                }
            }
            Body::Heard { round, priority } => {
                if self.hear_peer(from, term, round, effects) {
                    self.on_heard(from, priority, effects);
                }
            }
        }
    }

    fn on_tick(&mut self, effects: &mut Effects<Message>) {
        if self.deadline() > self.timers.now {
            return;
        }
        match &self.state {
            State::Leader(leading) if leading.heartbeat.0 <= self.timers.now => {
                self.on_heartbeat_due(effects);
            }
            State::Leader(_) => {} // a transfer is over, and looked at in the end of the step
            _ => self.on_election_due(effects),
        }
    }

    fn on_applied(&mut self, index: Index) {
        assert!(index <= self.commit, "only what is committed is applied");
        self.applied = self.applied.max(index);
    }

    /// Sends a message that asserts nothing that has to be durable.
    pub(crate) fn send(&self, to: NodeId, body: Body, effects: &mut Effects<Message>) {
        effects.send(to, consensus_api::After::Now, Message { term: self.term, body });
    }

    /// Moves to a later term, of which nothing is known yet but that it began.
    pub(crate) fn enter_term(&mut self, term: Term, vote: Option<NodeId>, effects: &mut Effects<Message>) {
        assert!(term > self.term, "terms only grow");
        self.stop_leading(effects);
        self.term = term;
        self.vote = vote;
        self.leader = None;
        self.state = State::Follower { following: false };
        let hard_state = HardState { term, vote };
        if !mutated("raft/term-not-written") {
            self.log.write_hard_state(self.timers.now, hard_state, effects);
        }
    }

    /// Takes note that everything up to `index` is committed.
    pub(crate) fn commit_upto(&mut self, index: Index, effects: &mut Effects<Message>) {
        if index == self.commit || (index < self.commit && !mutated("raft/commit-goes-back")) {
            return;
        }
        assert!(index <= self.log.last(), "only what is in the log is committed");
        self.commit = index;
        effects.commit(index);
        // Generations never fall along a log: nothing of a lower one can come behind this entry.
        if let Some(generation) = self.log.generation_at(index)
            && generation > self.settled
        {
            self.settled = generation;
            effects.settle(generation);
        }
    }

    /// Writes down how far the log is committed, when something is written anyway. By then every entry up to there is
    /// in this batch or an earlier one, and none of them is ever truncated: so whatever watermark a crash leaves, the
    /// entries below it are there, and it is safe to start from.
    fn write_watermark(&mut self, effects: &mut Effects<Message>) {
        if self.log.take_wrote() && self.commit.since(self.watermark) >= WATERMARK_EVERY {
            self.watermark = self.commit;
            effects.write(Op::Watermark(self.commit));
        }
    }
}

/// A fingerprint of the protocol's state: without times, dice and working space.
impl Hash for Raft {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Self { node, founders, limits: _, options: _, term, vote, leader, log, .. } = self;
        (node, founders, term, vote, leader, log).hash(state);
        (self.commit, self.applied, self.settled, self.watermark).hash(state);
        (&self.state, self.succession).hash(state);
    }
}
