//! [`Paxos`]: a log without a leader. Each slot is an instance of single-decree Paxos, and any member proposes in the
//! first one that it does not know to be chosen. See the [crate's page](crate#single-decree-paxos-in-a-page).

mod acceptor;
mod invariants;
mod learner;
mod messages;
mod proposer;
mod reads;
mod snapshot;
mod start;
mod supply;
mod timers;

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};

use consensus_api::{
    Capabilities, Effects, Engine, EngineName, Entry, Event, FlowLimits, Generation, Index, Membership,
    Moment, NodeId, Op, Outcome, Outline, PeerProgress, ProposalId, Refusal, Role, Setup, Standing,
    StartError, Time,
};

pub use messages::{Body, Message, PollRound, Won};

use self::learner::Learner;
use self::proposer::{Attempt, Held, Promised};
use self::reads::Reads;
use self::supply::Supply;
use self::timers::Timers;
use crate::acceptor::Acceptor;
use crate::log::Log;
use crate::quorum::{Phase, Quorums};

/// The leaderless Paxos engine. See the [crate's page](crate#single-decree-paxos-in-a-page).
#[derive(Clone, Debug)]
pub struct Paxos {
    node: NodeId,
    membership: Membership,
    quorums: Quorums,
    limits: FlowLimits,

    acceptor: Acceptor,
    log: Log,
    /// Everything up to here is chosen, and the slots that are not compacted hold what is.
    commit: Index,
    applied: Index,
    /// What the values in the open slots are called, as far as they were accepted in this life.
    names: BTreeMap<Index, ProposalId>,
    learner: Learner,
    /// The highest round heard of: the next ballot goes above it.
    round_seen: u64,
    /// The commit index last written down.
    watermark: Index,

    /// What this member was given, until it is learnt to be chosen.
    wanted: Option<Entry>,
    attempt: Option<Attempt>,
    held: Option<Held>,
    /// The slots in which an own ballot was the one that chose, and that ballot.
    won: (Generation, Won),
    reads: Reads,
    /// Entries that others are to be sent, by member.
    supplies: Vec<Supply>,
    /// When each other member was last heard.
    contacts: BTreeMap<NodeId, Moment>,
    timers: Timers,
}

/// Options of this engine alone.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct Options {
    /// How many voters must promise before a value is proposed, or answer before a read is. A majority by default.
    /// Together with [`phase_2_quorum`](Self::phase_2_quorum) it must exceed the number of voters; the same on all members.
    pub phase_1_quorum: Option<usize>,
    /// How many voters must accept before a value is chosen. A majority by default.
    pub phase_2_quorum: Option<usize>,
}

/// The ballot of messages and values that are of none.
const NO_BALLOT: Generation = Generation::ZERO;

/// The commit index is written down once it has moved this far, and something else is written anyway.
const WATERMARK_EVERY: u64 = 64;

impl Engine for Paxos {
    const NAME: EngineName = EngineName("paxos");
    const CAPABILITIES: Capabilities =
        Capabilities { leader: false, leadership_transfer: false, membership_change: false, holes: true };
    type Message = Message;
    type Options = Options;

    fn recover(setup: Setup<Options>, outline: &Outline) -> Result<Self, StartError> {
        start::recover(setup, outline)
    }

    fn step(&mut self, now: Time, event: Event<'_, Message>, effects: &mut Effects<Message>) {
        self.timers.now = self.timers.now.max(now);
        match event {
            Event::Message { from, message, entries } => self.on_message(from, message, entries, effects),
            Event::Propose(entry) => self.on_propose(entry, effects),
            Event::Read(id) | Event::LeaseRead(id) => self.on_read(id, effects),
            Event::ChangeMembership { proposal, .. } => refuse(proposal, "a change of membership", effects),
            Event::TransferLeadership { proposal, .. } => {
                refuse(proposal, "a transfer of leadership: it has no leader", effects);
            }
            Event::Durable(seq) => {
                self.log.made_durable(seq);
                self.acceptor.made_durable(seq);
                self.on_own_durable(seq, effects);
            }
            Event::Applied(index) => {
                assert!(index <= self.commit, "only what is committed is applied");
                self.applied = self.applied.max(index);
            }
            Event::Sent { to, .. } => self.on_sent(to),
            Event::Loaded { to } => self.on_loaded(to),
            Event::Connected(peer) => self.on_connected(peer, effects),
            Event::SnapshotTaken { mark, keep_from } => self.on_snapshot_taken(mark, keep_from, effects),
            Event::SnapshotReceived { mark, .. } => self.on_snapshot_received(mark, effects),
            // Whatever was lost is said again, whoever lacks something asks again, and founders are known by their disks.
            Event::Unreachable(_) | Event::SnapshotSent { .. } | Event::StoreMet { .. } => {}
            Event::Tick => self.on_tick(effects),
        }
        self.answer_reads(effects);
        self.propose_if_due(effects);
        self.supply_what_is_wanted(effects);
        self.write_watermark(effects);
    }

    fn deadline(&self) -> Time {
        let retry = self.attempt.as_ref().map(|_| self.timers.retry);
        let attempt = self.attempt_due();
        [retry, attempt].into_iter().flatten().fold(self.timers.gossip, Time::min)
    }

    fn still_true(&self, message: &Message) -> bool {
        match message.body {
            Body::Prepare { .. } => {
                self.attempt.as_ref().is_some_and(|attempt| attempt.ballot == message.ballot)
            }
            // Once a higher ballot is promised, its proposer goes by what it was told then.
            Body::Promise { .. } | Body::Accepted { .. } => message.ballot == self.acceptor.promised(),
            _ => true,
        }
    }

    /// One at a time; and none without a quorum near, or with a disk that hangs: then it certainly does not happen, rather
    /// than, perhaps, later.
    fn takes_proposals(&self) -> bool {
        let patience = self.timers.timing.election_timeout_min;
        let is_hung = self.log.writing_since().is_some_and(|since| self.timers.now.since(since) >= patience);
        let is_near = |member| {
            let heard = self.contacts.get(&member).map(|heard| self.timers.now.since(heard.0));
            member == self.node || heard.is_some_and(|silence| silence < patience)
        };
        let near = |phase| self.quorums.holds(phase, &self.membership, is_near);
        self.wanted.is_none() && !is_hung && near(Phase::One) && near(Phase::Two)
    }

    fn standing(&self) -> Standing {
        let role = if self.membership.is_voter(self.node) { Role::Peer } else { Role::Learner };
        Standing {
            role,
            generation: NO_BALLOT,
            leader: Some(self.node),
            commit: self.commit,
            last: self.log.last(),
        }
    }

    fn membership(&self) -> &Membership {
        &self.membership
    }

    fn progress(&self, _: &mut Vec<PeerProgress>) {}

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

impl Paxos {
    /// The ballot at which this member last accepted a value in the slot, if it did and the slot is not compacted.
    pub fn accepted_at(&self, slot: Index) -> Option<Generation> {
        self.log.ballot_at(slot)
    }

    /// The highest ballot this member has promised.
    pub fn promised(&self) -> Generation {
        self.acceptor.promised()
    }

    fn on_message(
        &mut self,
        from: NodeId,
        message: Message,
        entries: &[Entry],
        effects: &mut Effects<Message>,
    ) {
        // From itself a proposer hears only what it has accepted, out of its own log.
        let own_value = matches!(message.body, Body::Value { .. });
        if !self.membership.contains(from) || (from == self.node && !own_value) {
            return;
        }
        self.contacts.insert(from, Moment(self.timers.now));
        let ballot = message.ballot;
        match message.body {
            Body::Prepare { slot } => self.on_prepare(from, ballot, slot, effects),
            Body::Promise { slot, accepted, last } => {
                self.on_promise(ballot, slot, Promised { voter: from, accepted, last }, effects);
            }
            Body::Nack { promised } => self.on_nack(ballot, promised, effects),
            Body::Fetch { slot, accepted } => self.on_fetch(from, ballot, slot, accepted),
            Body::Value { .. } => self.on_value(ballot, entries, effects),
            Body::Accept { won } => {
                self.on_accept(from, ballot, entries, effects);
                self.on_chosen(from, ballot, won, effects);
            }
            Body::Accepted { slot } => self.on_accepted(from, ballot, slot, effects),
            Body::Chosen { won } => self.on_chosen(from, ballot, won, effects),
            Body::Poll { round } => self.on_poll(from, round, effects),
            Body::Polled { round, last, commit } => {
                self.on_polled(from, round, last, effects);
                self.hear_commit(from, commit, effects);
            }
            Body::Status { commit } => self.hear_commit(from, commit, effects),
            Body::Ask { from: slot } => self.on_ask(from, slot, effects),
            Body::Learn { commit } => self.on_learn(from, ballot, commit, entries, effects),
        }
    }

    fn on_tick(&mut self, effects: &mut Effects<Message>) {
        let now = self.timers.now;
        if self.timers.gossip <= now {
            self.gossip(effects);
            self.poll_again(effects);
            self.refuse_old_reads(effects);
        }
        if self.attempt.is_some() && self.timers.retry <= now {
            self.say_again(effects);
        }
    }

    /// This peer can be reached again: what it missed is said at once.
    fn on_connected(&mut self, peer: NodeId, effects: &mut Effects<Message>) {
        if self.membership.contains(peer) && peer != self.node {
            self.tell_status(peer, effects);
            self.timers.retry = self.timers.now;
        }
    }

    /// Writes down how far the log is chosen, when something is written anyway. Every slot up to there is written by
    /// then, and none of them is ever overwritten: so whatever watermark a crash leaves, it is safe to start from.
    fn write_watermark(&mut self, effects: &mut Effects<Message>) {
        if self.log.take_wrote() && self.commit.since(self.watermark) >= WATERMARK_EVERY {
            self.watermark = self.commit;
            effects.write(Op::Watermark(self.commit));
        }
    }

    /// All other members.
    fn others(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.membership.members().filter(|member| *member != self.node)
    }

    /// All other voters.
    fn voters(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.others().filter(|member| self.membership.is_voter(*member))
    }
}

fn refuse(proposal: ProposalId, what: &'static str, effects: &mut Effects<Message>) {
    effects.proposals.push((proposal, Outcome::Refused(Refusal::Unsupported(what))));
}

/// A fingerprint of the protocol's state: without times and dice.
impl Hash for Paxos {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Self { node, membership, quorums, acceptor, log, commit, applied, names, .. } = self;
        (node, membership, quorums, acceptor, log, commit, applied, names).hash(state);
        (&self.learner, self.round_seen, self.watermark, &self.wanted).hash(state);
        (&self.attempt, &self.held, self.won, &self.reads, &self.supplies, &self.contacts).hash(state);
    }
}
