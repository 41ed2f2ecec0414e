//! [`MultiPaxos`]: the engine's state, and how events reach the chapters of the protocol.

mod accepts;
mod arrivals;
mod change;
mod configurations;
mod election;
mod following;
mod invariants;
mod learner;
mod messages;
mod options;
mod peer;
mod proposals;
mod proposer;
mod reads;
mod recovery;
mod slots;
mod snapshot;
mod start;
mod supply;
mod timers;
mod transfer;
mod watermark;

use std::hash::{Hash, Hasher};
use std::time::Duration;

use consensus_api::mutation::mutated;
use consensus_api::{
    Capabilities, Effects, Engine, EngineName, Entry, Event, FlowLimits, Generation, Index, Membership,
    NodeId, Op, Outline, PeerProgress, Role, Setup, Standing, StartError, Succession, Time,
};

pub use messages::{Body, Message, NOOPS_MAX, Tidings};
pub use options::Options;

use self::configurations::Configurations;
use self::election::Asking;
use self::following::Following;
use self::learner::Learner;
use self::proposer::Leadership;
use self::supply::Supply;
use self::timers::Timers;
use self::transfer::Transfer;
use self::watermark::Watermark;
use crate::acceptor::Acceptor;
use crate::log::Log;
use crate::quorum::Quorums;

/// The Multi-Paxos engine. See the [crate's page](crate).
#[derive(Clone, Debug)]
pub struct MultiPaxos {
    node: NodeId,
    founders: Membership,
    /// Who decides about which slot.
    configurations: Configurations,
    quorums: Quorums,
    limits: FlowLimits,
    /// So many slots may be open: proposed, and not chosen.
    window: u64,
    /// How long a lease holds, if there are leases.
    lease: Option<Duration>,
    /// How long newcomers may take to catch up.
    patience: Duration,

    acceptor: Acceptor,
    log: Log,
    /// Everything up to here is chosen, and the slots that are not compacted hold what is.
    commit: Index,
    applied: Index,
    learner: Learner,
    /// The highest round heard of, obeyed or not: the next attempt goes above it.
    round_seen: u64,
    /// The ballot last given up all below.
    given_up: Generation,
    watermark: Watermark,

    state: State,
    /// Who asked this member, leader before, to hand over: until someone is heard to lead.
    succession: Option<Succession>,
    /// Entries that others have asked for, by member.
    supplies: Vec<Supply>,
    timers: Timers,
    /// Working space for quorum arithmetic.
    scratch: Vec<u64>,
}

/// What this member does besides accepting.
#[derive(Clone, Hash, Debug)]
enum State {
    /// Obeys whoever holds the ballot promised.
    Following(Following),
    /// Asks whether it would be elected.
    Asking(Asking),
    /// Proposes: collects promises, takes up what was left, then serves.
    Proposing(Box<Leadership>),
}

impl Engine for MultiPaxos {
    const NAME: EngineName = EngineName("multi-paxos");
    const CAPABILITIES: Capabilities =
        Capabilities { leader: true, leadership_transfer: true, membership_change: true, holes: true };
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
            Event::Read(id) => self.on_read(id, effects),
            Event::LeaseRead(id) => self.on_lease_read(id, effects),
            Event::ChangeMembership { proposal, membership } => {
                self.on_change_membership(proposal, membership, effects);
            }
            Event::TransferLeadership { proposal, to } => {
                self.on_transfer_leadership(proposal, to, effects);
            }
            Event::Durable(seq) => {
                self.log.made_durable(seq);
                self.acceptor.made_durable(seq);
                self.watermark.made_durable(seq);
                self.on_own_votes_durable(seq);
            }
            Event::Applied(index) => {
                assert!(index <= self.commit, "only what is committed is applied");
                self.applied = self.applied.max(index);
            }
            Event::Sent { to, first, last, bytes } => self.on_sent(to, first, last, bytes),
            Event::Loaded { to } => self.on_loaded(to),
            Event::Unreachable(peer) => self.on_unreachable(peer),
            Event::Connected(peer) => self.on_connected(peer, effects),
            Event::SnapshotTaken { mark, keep_from } => self.on_snapshot_taken(mark, keep_from, effects),
            Event::SnapshotReceived { mark, .. } => self.on_snapshot_received(mark, effects),
            Event::SnapshotSent { .. } => {} // whoever still lacks something asks again
            Event::StoreMet { member, store } => self.on_store_met(member, store),
            Event::Tick => self.on_tick(effects),
        }
        self.propose_what_is_left(effects);
        self.advance_chosen(effects);
        self.drive_change(effects);
        self.drive_transfer(effects);
        self.send_what_is_due(effects);
        self.write_watermark(effects);
    }

    fn deadline(&self) -> Time {
        match &self.state {
            State::Proposing(leading) => {
                leading.transfer.as_ref().map_or(Time::MAX, Transfer::deadline).min(leading.heartbeat.0)
            }
            _ if self.configurations.is_voter(self.node) || self.knows_others() => self.timers.election,
            _ => Time::MAX,
        }
    }

    fn still_true(&self, message: &Message) -> bool {
        match message.body {
            Body::Prepare { .. } => self.leads(message.ballot),
            // Once a higher ballot is promised, its proposer goes by what it was told then.
            Body::Promise { .. } | Body::Accepted { .. } => message.ballot == self.acceptor.promised(),
            _ => true,
        }
    }

    fn takes_proposals(&self) -> bool {
        match &self.state {
            State::Proposing(leading) if leading.barrier().is_some() => self.may_propose(leading),
            _ => true, // they go to whoever leads
        }
    }

    fn standing(&self) -> Standing {
        let (role, leader) = match &self.state {
            State::Proposing(leading) if leading.barrier().is_some() => (Role::Leader, Some(self.node)),
            State::Proposing(_) | State::Asking(_) => (Role::Candidate, None),
            State::Following(following) => {
                let votes = self.configurations.is_voter(self.node);
                let role = if votes { Role::Follower } else { Role::Learner };
                (role, following.serving().then_some(self.acceptor.promised().node))
            }
        };
        Standing {
            role,
            generation: self.acceptor.promised(),
            leader,
            commit: self.commit,
            last: self.log.last(),
        }
    }

    fn membership(&self) -> &Membership {
        self.configurations.in_force()
    }

    fn progress(&self, out: &mut Vec<PeerProgress>) {
        if let State::Proposing(leading) = &self.state {
            let members = leading.peers.iter().filter(|peer| peer.leaving.is_none());
            out.extend(members.map(|peer| peer.report(self.commit, self.log.compacted())));
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

impl MultiPaxos {
    /// Whether this member knows that the slot's value is chosen. Values may be chosen out of order; only
    /// [`Standing::commit`] speaks of all up to a slot.
    pub fn is_chosen(&self, slot: Index) -> bool {
        slot <= self.commit || self.has_quorum_at(slot)
    }

    /// The ballot at which this member last accepted a value in the slot, if it did and the slot is not compacted.
    pub fn accepted_at(&self, slot: Index) -> Option<Generation> {
        self.log.ballot_at(slot)
    }

    /// The highest ballot this member has promised.
    pub fn promised(&self) -> Generation {
        self.acceptor.promised()
    }

    fn on_tick(&mut self, effects: &mut Effects<Message>) {
        if self.deadline() > self.timers.now {
            return;
        }
        match &self.state {
            State::Proposing(leading) if leading.heartbeat.0 <= self.timers.now => {
                self.on_heartbeat_due(effects);
            }
            State::Proposing(_) => {} // a transfer is over, and looked at in the end of the step
            _ => self.on_election_due(effects),
        }
    }

    /// Promises a ballot higher than any before. Whoever proposes at a lower one here no longer does.
    fn promise(&mut self, ballot: Generation, effects: &mut Effects<Message>) {
        self.stop_proposing(effects);
        self.state = State::Following(Following::default());
        let bytes = self.acceptor.promise(ballot);
        if !mutated("paxos/promise-not-written") {
            let seq = self.log.write(self.timers.now, Op::HardState(bytes), effects);
            self.acceptor.written(seq);
        }
        self.round_seen = self.round_seen.max(ballot.round);
        self.timers.granted = self.timers.now;
    }

    /// Everything up to `index` is chosen, and in the log.
    fn commit_upto(&mut self, index: Index, effects: &mut Effects<Message>) {
        if index <= self.commit {
            return;
        }
        let before = std::mem::replace(&mut self.commit, index);
        effects.commit(index);
        if let State::Proposing(leading) = &mut self.state {
            leading.committed(index, self.log.compacted());
            if leading.is_overtaken(index) {
                self.step_down(effects);
            }
        }
        let is_new = |entry: &Entry| entry.index > before && entry.index <= index;
        if self.log.memberships().iter().any(is_new) {
            self.refresh_membership(effects);
        }
        self.follow_configurations(before);
        self.give_up_earlier(effects);
    }

    /// Once the barrier of a ballot is committed, all slots below it are decided. What earlier ballots proposed above it
    /// and nobody reported may still be taken up by a later leader: nobody can tell.
    fn give_up_earlier(&mut self, effects: &mut Effects<Message>) {
        let barrier = match &self.state {
            State::Proposing(leading) => leading.barrier(),
            State::Following(following) => following.barrier(),
            State::Asking(_) => None,
        };
        let ballot = self.acceptor.promised();
        if barrier.is_some_and(|barrier| barrier <= self.commit) && ballot > self.given_up {
            self.given_up = ballot;
            effects.give_up(ballot);
        }
    }

    /// Whether this member proposes at this ballot.
    fn leads(&self, ballot: Generation) -> bool {
        matches!(&self.state, State::Proposing(leading) if leading.ballot == ballot)
    }

    /// Whether this member is a quorum by itself.
    fn is_alone(&self) -> bool {
        self.configurations.members() == [self.node]
    }
}

/// A fingerprint of the protocol's state: without times, dice and working space.
impl Hash for MultiPaxos {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Self { node, founders, configurations, quorums, window, acceptor, log, .. } = self;
        (node, founders, configurations, quorums, window, acceptor, log).hash(state);
        (self.commit, self.applied, &self.learner, self.round_seen).hash(state);
        (self.given_up, &self.watermark, &self.state, self.succession, &self.supplies).hash(state);
    }
}
