//! How a replica begins: from what its storage holds and the newest snapshot.

use bytes::BytesMut;
use consensus_api::{
    Effects, Engine, Event, Generation, Identity, Index, Membership, NodeId, Op, Outline, Recovered, Setup,
    SnapshotMark, StartError, Time,
};

use super::Replica;
use super::administration::Administration;
use super::belonging::Belonging;
use super::durability::Durability;
use super::feeding::Feeding;
use super::forwarding::Forwarding;
use super::founding::Founding;
use super::outputs::Outputs;
use super::proposals::Proposals;
use super::reads::Reads;
use super::relays::Relays;
use super::room::Room;
use super::roster::Roster;
use super::shipping::Shipping;
use super::snapshots::Asked;
use super::stores::Stores;
use super::transfers::Transfers;
use crate::cache::Cache;
use crate::options::Options;

/// What a replica starts from besides its storage.
#[derive(Debug)]
pub struct Start<O> {
    /// Who it is.
    pub identity: Identity,
    /// The membership to found the cluster with. Once the log holds one, that counts.
    pub founders: Membership,
    /// The newest snapshot, which the state machine was restored from.
    pub snapshot: Option<SnapshotMark>,
    /// The start of time.
    pub now: Time,
    /// The source of randomness.
    pub seed: u64,
    /// Options of the node.
    pub options: Options,
    /// Options of the engine.
    pub engine: O,
}

impl<E: Engine, P, R> Replica<E, P, R> {
    /// A replica as of what its storage holds.
    ///
    /// # Errors
    /// [`StartError`] when the log and the snapshot, or the options, do not fit together.
    pub fn recover(start: Start<E::Options>, recovered: Recovered) -> Result<Self, StartError> {
        let Start { identity, founders, snapshot, now, seed, options, engine } = start;
        let Recovered { mut outline, mut notes, .. } = recovered;
        let mut effects = Effects::new();
        let setup = Setup {
            node: identity.node,
            founders: founders.clone(),
            now,
            seed,
            timing: options.timing,
            flow: options.flow,
            options: engine,
        };
        let founding = Founding::of(&identity, &setup, &outline, snapshot.as_ref()).map(Box::new);
        match &founding {
            Some(founding) => outline = founding.outline().clone(),
            None => begin(&mut outline, &founders, &mut effects),
        }
        note_membership(&outline, &founders, &mut notes);
        let (marked, restored) = check_snapshot(identity.node, &outline, snapshot.as_ref())?;
        let engine = E::recover(setup, &outline)?;
        let (standing, retry_after) = (engine.standing(), options.timing.election_timeout_min);
        let mut replica = Self {
            commit: standing.commit,
            cache: Cache::new(options.cache_bytes_max),
            writes: Durability::new(),
            room: Room::new(),
            shipping: Shipping::default(),
            feeding: Feeding::new(&options, restored),
            proposals: Proposals::new(identity.clone(), options.request_deadline, options.entry_bytes_max),
            reads: Reads::new(options.request_deadline, options.timing.election_timeout_max, retry_after / 2),
            transfers: Transfers::new(retry_after * 2),
            relays: Relays::new(retry_after * 4),
            administration: Administration::new(),
            asked: Asked::default(),
            roster: Roster::new(retry_after * 4),
            stores: Stores::default(),
            belonging: Belonging::recover(identity.node, &founders, snapshot.as_ref(), &outline),
            founding,
            forwarding: Forwarding::default(),
            led: None,
            settled: Generation::ZERO,
            settling: None,
            given_up: Generation::ZERO,
            giving_up: None,
            snapshot: restored,
            compacted: outline.compacted,
            notes,
            noted: 0,
            stopped: None,
            entries: Vec::new(),
            scratch: BytesMut::with_capacity(HEADS_BYTES),
            shipped: Vec::new(),
            own_entries: Vec::new(),
            out: Outputs::default(),
            identity,
            options,
            standing,
            engine,
            effects,
        };
        if let Some(mark) = snapshot.filter(|mark| mark.index > marked) {
            // The snapshot was finished, but the node stopped before the log said so.
            replica.step(now, Event::SnapshotReceived { from: replica.identity.node, mark });
            replica.out.apply.clear(); // the state machine holds it already
        }
        replica.step(now, Event::Applied(restored));
        replica.found(now);
        Ok(replica)
    }
}

/// Heads of frames are made in pieces of memory of this size, so that none costs an allocation of its own.
const HEADS_BYTES: usize = 4 << 10;

/// A new log begins with the founding membership, at index 0: from then on the log says who takes part.
fn begin<M>(outline: &mut Outline, founders: &Membership, effects: &mut Effects<M>) {
    if outline.snapshot.is_none() {
        let mark = SnapshotMark { membership: founders.clone(), ..SnapshotMark::default() };
        effects.write(Op::SnapshotMark(mark.clone()));
        outline.snapshot = Some(mark);
    }
}

/// The last entry that the log says is in a snapshot, and the last that is in the one there is.
fn check_snapshot(
    node: NodeId,
    outline: &Outline,
    snapshot: Option<&SnapshotMark>,
) -> Result<(Index, Index), StartError> {
    let marked = outline.snapshot.as_ref().map_or(Index::ZERO, |mark| mark.index);
    let restored = snapshot.map_or(Index::ZERO, |mark| mark.index);
    if restored < marked {
        let problem = format!(
            "it continues a snapshot of entry {marked}, but the newest there is of {restored}; restore the snapshot file, or remove this node and add it again with an empty folder"
        );
        return Err(StartError::Log { node, problem });
    }
    Ok((marked, restored))
}

fn note_membership(outline: &Outline, founders: &Membership, notes: &mut Vec<String>) {
    let newest = outline.memberships().last().and_then(|entry| Membership::decode(&entry.body).ok());
    let in_log = newest.or_else(|| outline.snapshot.as_ref().map(|mark| mark.membership.clone()));
    // One that waits to be added was given none.
    let differs = |in_log: &Membership| !founders.voters().is_empty() && !in_log.has_same_members(founders);
    if let Some(in_log) = in_log.filter(differs) {
        let ids = |membership: &Membership| {
            membership.members().map(|node| node.to_string()).collect::<Vec<_>>().join(", ")
        };
        notes.push(format!(
            "the members given ({}) differ from those in the log ({}); the log counts",
            ids(founders),
            ids(&in_log)
        ));
    }
}
