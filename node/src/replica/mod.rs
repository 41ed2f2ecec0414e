//! [`Replica`]: an engine and all that is the same for every engine, as one synchronous state machine.
//!
//! It owns the engine, the recent log, the waiting lists and the order in which things become durable. What happens
//! goes in by method calls; what is to be done comes out as [`Outputs`]. It has no clock, no I/O and no tasks, so a
//! driver runs it on a real machine and a simulator runs it on an imagined one.

mod administration;
mod arrivals;
mod belonging;
mod durability;
mod effects;
mod feeding;
mod forwarding;
mod founding;
mod freshness;
mod lives;
mod notes;
mod outputs;
mod proposals;
mod queue;
mod reads;
mod recovery;
mod relays;
mod room;
mod roster;
mod shipping;
mod snapshots;
mod stores;
mod taken;
mod transfers;
mod view;
mod waiting_list;

use bytes::{Bytes, BytesMut};
use consensus_api::mutation::mutated;
use consensus_api::{
    Arrival, Effects, Engine, Entry, Error, Event, Frame, Generation, Identity, Index, LogTime, NodeId,
    SessionOp, Standing, StorageError, Time, WriteSeq,
};

pub use outputs::{ApplyWork, Chunk, ChunkRead, ChunkWrite, Load, LoadPurpose, OutgoingFrame, Outputs};
pub use recovery::Start;

use self::administration::Administration;
pub(crate) use self::administration::CHANGE_DEADLINE;
use self::belonging::Belonging;
use self::durability::Durability;
use self::feeding::Feeding;
use self::forwarding::Forwarding;
use self::founding::Founding;
pub(crate) use self::proposals::NODE_STOPPED;
use self::proposals::Proposals;
use self::queue::Wanted;
use self::reads::Reads;
use self::relays::Relays;
use self::room::Room;
use self::roster::Roster;
use self::shipping::Shipping;
use self::snapshots::Asked;
use self::stores::Stores;
use self::transfers::Transfers;
use crate::cache::Cache;
use crate::divergence;
use crate::envelope::Envelope;
use crate::options::Options;
use crate::read_level::ReadLevel;

/// One member of a cluster, as a synchronous state machine. See the top of this file.
///
/// After any number of calls comes [`advance`](Self::advance), then the [`Outputs`] are carried out. Nothing leaves
/// before: what queued in the meantime goes together.
#[derive(Debug)]
pub struct Replica<E: Engine, P, R> {
    identity: Identity,
    options: Options,
    engine: E,
    /// Where it stood after its last step: asked for more often than it changes.
    standing: Standing,
    effects: Effects<E::Message>,
    commit: Index,
    cache: Cache,
    writes: Durability<E::Message>,
    room: Room,
    shipping: Shipping,
    feeding: Feeding,
    proposals: Proposals<P>,
    reads: Reads<R>,
    transfers: Transfers,
    relays: Relays,
    asked: Asked,
    administration: Administration,
    roster: Roster,
    stores: Stores,
    belonging: Belonging,
    /// Until this disk takes part: then the engine is only there to be looked at, and is asked nothing.
    founding: Option<Box<Founding<E::Options>>>,
    forwarding: Forwarding,
    /// The first generation this node led in this life.
    led: Option<Generation>,
    settled: Generation,
    /// What is settled once everything up to the index is handed to the state machine.
    settling: Option<(Index, Generation)>,
    given_up: Generation,
    /// What nobody can tell any more once everything up to the index is handed to the state machine.
    giving_up: Option<(Index, Generation)>,
    snapshot: Index,
    /// The log holds nothing up to here any more.
    compacted: Index,
    notes: Vec<String>,
    noted: u64,
    stopped: Option<String>,
    entries: Vec<Entry>,
    scratch: BytesMut,
    shipped: Vec<effects::Shipped>,
    own_entries: Vec<effects::OwnEntries<E::Message>>,
    out: Outputs<P, R>,
}

impl<E: Engine, P, R> Replica<E, P, R> {
    /// Takes a command for proposing.
    pub fn propose(&mut self, now: Time, command: Bytes, ticket: P) {
        self.proposals.push(now, Wanted::Command(command), ticket);
    }

    /// Takes so many commands, in the form that they have in an entry, for proposing together.
    pub fn propose_batch(&mut self, now: Time, count: u32, commands: Bytes, ticket: P) {
        self.proposals.push(now, Wanted::Batch(count, commands), ticket);
    }

    /// Takes a request of a client's session for proposing.
    pub fn propose_in_session(&mut self, now: Time, op: SessionOp, command: Bytes, ticket: P) {
        self.proposals.push(now, Wanted::InSession(Box::new(op), command), ticket);
    }

    /// Tells the other replicas, through the log, a digest of this one's state after that entry.
    pub fn tell_digest(&mut self, now: Time, index: Index, digest: u64) {
        self.proposals.push_digest(now, divergence::encode(index, digest));
    }

    /// Takes a linearizable read.
    pub fn read(&mut self, now: Time, ticket: R) {
        self.read_at(now, ReadLevel::Linearizable, ticket);
    }

    /// Takes a read of this level.
    pub fn read_at(&mut self, now: Time, level: ReadLevel, ticket: R) {
        self.reads.push(now, level, ticket, &mut self.out.reads);
    }

    /// Everything written up to that number is durable.
    pub fn durable(&mut self, now: Time, seq: WriteSeq) {
        self.writes.durable(seq);
        self.release_held();
        self.step(now, Event::Durable(seq));
    }

    /// The state machine has applied everything up to here.
    pub fn applied(&mut self, now: Time, index: Index) {
        self.feeding.applied_upto(index);
        // A newer snapshot than the engine has heard of may have been restored already.
        let known = self.feeding.applied().min(self.standing.commit);
        self.step(now, Event::Applied(known));
    }

    /// What [`Outputs::loads`] asked for was read, or could not be.
    pub fn loaded(&mut self, now: Time, load: &Load, entries: Result<Vec<Entry>, StorageError>) {
        let entries = match entries {
            Ok(entries) => entries,
            Err(error) => return self.stop(format!("the log cannot be read: {error}")),
        };
        match load.purpose {
            LoadPurpose::Peer(to) => {
                self.shipping.loaded(to, load.epoch, entries);
                self.step(now, Event::Loaded { to });
            }
            LoadPurpose::Apply => {
                let first = load.range.start;
                if first == self.feeding.next() && entries.first().is_none_or(|entry| entry.index != first) {
                    return self.stop(format!("the log lacks entry {first}, which is committed"));
                }
                self.feeding.load(first, entries);
            }
        }
    }

    /// Carries on after other calls: timers, queued proposals and reads, the next write, the next entries to apply.
    /// `wall` is the wall clock, which proposals are stamped with.
    pub fn advance(&mut self, now: Time, wall: LogTime) {
        if self.stopped.is_some() {
            return;
        }
        self.found(now);
        if now >= self.next_tick() {
            self.step(now, Event::Tick);
        }
        self.forwarding.resume(now);
        if self.founding.is_none() {
            self.give_way(now);
            self.tend_belonging(now);
            self.propose_queued(now, wall);
            self.begin_reads(now);
            self.retry_transfers(now);
            self.tend_wanted_snapshots();
            self.feed(now);
        }
        self.run_errands(now);
        self.proposals.expire(now, &mut self.out.failed);
        self.reads.expire(now, &mut self.out.failed_reads);
        let applied =
            if mutated("node/read-before-applied") { Index(u64::MAX) } else { self.feeding.applied() };
        self.reads.ready(applied, &mut self.out.reads);
        if self.out.write.is_none() {
            self.out.write = self.writes.next_write();
            self.release_held();
        }
        self.roster.update(now, self.engine.membership(), &mut self.out.addresses);
        if !mutated("node/cache-never-shrinks") {
            self.cache.shrink(self.writes.first_undurable());
        }
    }

    /// What is to be done. The driver empties it.
    pub fn outputs(&mut self) -> &mut Outputs<P, R> {
        &mut self.out
    }

    /// When to call [`advance`](Self::advance) again if nothing happens before.
    pub fn deadline(&self) -> Time {
        let paused = if self.proposals.is_idle() { Time::MAX } else { self.forwarding.paused_until() };
        self.next_tick()
            .min(self.founding.as_ref().map_or(Time::MAX, |founding| founding.deadline()))
            .min(self.proposals.next_expiry())
            .min(self.reads.next_deadline())
            .min(self.transfers.next_deadline())
            .min(self.relays.next_deadline())
            .min(self.next_offer())
            .min(self.administration.next_deadline())
            .min(self.roster.next_deadline())
            .min(self.belonging.next_deadline())
            .min(paused)
    }

    /// Stops: nothing more is accepted, written or sent. Whoever waits is told.
    pub fn stop(&mut self, cause: String) {
        if self.stopped.is_none() {
            let error = Error::Stopped { cause: cause.as_str().into() };
            self.proposals.fail_queued(&error, &mut self.out.failed);
            self.proposals.fail_waiting(&mut self.out.failed);
            self.reads.fail(&error, &mut self.out.failed_reads);
            self.fail_errands(&error);
            self.fail_wanted_snapshots(&error);
            self.stopped = Some(cause);
        }
    }

    /// Refuses what has not been proposed yet, before an orderly stop. What is under way goes on.
    pub fn refuse_queued(&mut self, cause: &str) {
        let error = Error::Stopped { cause: cause.into() };
        self.proposals.fail_queued(&error, &mut self.out.failed);
        self.reads.fail(&error, &mut self.out.failed_reads);
    }

    /// Sends what was held back until its write was durable, unless what it says no longer holds.
    fn release_held(&mut self) {
        while let Some(held) = self.writes.release() {
            if self.engine.still_true(&held.message) || mutated("node/held-message-sent-though-overwritten") {
                self.ship(held.to, Envelope::Engine(held.message), Bytes::new());
            }
        }
    }

    /// Reports what the transport reports.
    pub fn arrival(&mut self, now: Time, wall: LogTime, arrival: Arrival) {
        match arrival {
            Arrival::Frame { from, frame } => self.frame(now, wall, from, frame),
            Arrival::Connected(peer) if self.founding.is_some() => self.ask_founder(peer),
            Arrival::Connected(peer) => self.step(now, Event::Connected(peer)),
            Arrival::Unreachable(peer) => {
                self.lose_relay(peer);
                self.step(now, Event::Unreachable(peer));
            }
            Arrival::Refused { reason, .. } => self.note(reason),
            _ => {}
        }
    }

    fn ship(&mut self, to: NodeId, envelope: Envelope<E::Message>, body: Bytes) {
        let lane = envelope.lane();
        let frame: Frame = envelope.seal(self.identity.store, body, &mut self.scratch);
        self.out.frames.push(OutgoingFrame { to, lane, frame, forwards: None });
    }
}
