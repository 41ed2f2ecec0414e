//! [`Trio`]: three founders of a cluster on whichever engine, on a network that can be cut and disks that can be lost.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use node::{ApplyWork, Errand, Options, OutgoingFrame, Replica, Start};
use quorate::{
    Arrival, Batch, ClusterName, Engine, Entry, Error, Frame, Identity, Incarnation, Index, LogTime,
    Membership, NodeId, Op, Outline, Recovered, StoreId, Time, WriteSeq,
};

/// What survives of a node.
#[derive(Clone, Default)]
pub(crate) struct Disk {
    store: StoreId,
    outline: Outline,
    entries: BTreeMap<Index, Entry>,
}

impl Disk {
    fn empty(number: u128) -> Self {
        Self { store: StoreId(number), ..Self::default() }
    }

    /// Whether its node knows all founders by their disks.
    pub(crate) fn is_founded(&self) -> bool {
        self.outline.snapshot.is_some()
    }

    fn write(&mut self, op: Op) {
        self.outline.replay(&op);
        match op {
            Op::Put(entry) => drop(self.entries.insert(entry.index, entry)),
            Op::TruncateFrom(from) => drop(self.entries.split_off(&from)),
            _ => {}
        }
    }
}

/// A node at work.
struct Member<E: Engine> {
    replica: Replica<E, u8, u8>,
    disk: Disk,
    /// A write that does not end.
    writing: Option<(WriteSeq, Batch)>,
    applied: Vec<u8>,
}

pub(crate) struct Trio<E: Engine> {
    members: BTreeMap<u64, Member<E>>,
    now: Time,
    /// Whom nothing reaches, and who reaches nobody.
    cut: BTreeSet<u64>,
    /// Whom no answer reaches, and nothing else but introductions.
    deaf: BTreeSet<u64>,
    /// Whose disk does nothing.
    stalled: Option<u64>,
    options: Options,
    /// Commands that were answered.
    answered: BTreeSet<u8>,
    /// How errands ended.
    administered: Vec<Result<(), Error>>,
    disks: u128,
}

const INTRODUCTION: u8 = 10;
const WORD: u8 = 11;
const KNOWN_BY: u8 = 2;
const STEP: Duration = Duration::from_millis(20);

impl<E: Engine> Trio<E> {
    /// Nodes 1, 2 and 3 on new disks. `numbered` tells the disks of one trio from those of another.
    pub(crate) fn new(numbered: u128) -> Self {
        Self::with_options(numbered, Options::default())
    }

    pub(crate) fn with_options(numbered: u128, options: Options) -> Self {
        let mut trio = Self {
            members: BTreeMap::new(),
            now: Time::ZERO + STEP,
            cut: BTreeSet::new(),
            deaf: BTreeSet::new(),
            stalled: None,
            options,
            answered: BTreeSet::new(),
            administered: Vec::new(),
            disks: numbered,
        };
        (1..=3).for_each(|id| trio.start_anew(id));
        trio
    }

    /// A node under this number on a new disk, whatever there was before.
    pub(crate) fn start_anew(&mut self, id: u64) {
        self.disks += 1;
        let disk = Disk::empty(self.disks);
        self.start(id, disk);
    }

    pub(crate) fn start(&mut self, id: u64, disk: Disk) {
        self.start_given(id, disk, Membership::of_voters([1, 2, 3].map(NodeId)).unwrap());
    }

    fn start_given(&mut self, id: u64, disk: Disk, founders: Membership) {
        let cluster = ClusterName::new("trio").unwrap();
        let incarnation = Incarnation(self.now.0);
        let identity =
            Identity { cluster, node: NodeId(id), engine: E::NAME, store: disk.store, incarnation };
        let (now, options, engine) = (self.now, self.options.clone(), E::Options::default());
        let start = Start { identity, founders, snapshot: None, now, seed: self.now.0 + id, options, engine };
        let recovered = Recovered { store: disk.store, outline: disk.outline.clone(), notes: Vec::new() };
        let replica = Replica::recover(start, recovered).unwrap();
        self.members.insert(id, Member { replica, disk, writing: None, applied: Vec::new() });
    }

    pub(crate) fn disk(&self, id: u64) -> &Disk {
        &self.members[&id].disk
    }

    /// What this node has applied.
    pub(crate) fn applied(&self, id: u64) -> &[u8] {
        &self.members[&id].applied
    }

    pub(crate) fn replica(&self, id: u64) -> &Replica<E, u8, u8> {
        &self.members[&id].replica
    }

    /// Only these nodes hear and are heard.
    pub(crate) fn connect(&mut self, ids: &[u64]) {
        self.cut = (1..=3).filter(|id| !ids.contains(id)).collect();
        self.deaf.clear();
    }

    /// The disk of this node does nothing; those of the others do.
    pub(crate) fn stall(&mut self, id: u64) {
        self.stalled = Some(id);
    }

    /// This node answers introductions, and hears nothing else.
    pub(crate) fn deafen(&mut self, id: u64) {
        self.deaf.insert(id);
    }

    /// Node 4, which is no founder, tells this node that it knows it by the disk it has.
    pub(crate) fn hear_from_a_newcomer(&mut self, id: u64) {
        let own = self.disk(id).store.0.to_le_bytes();
        let head = [&[WORD][..], &4_u128.to_le_bytes(), &own, &[KNOWN_BY], &own].concat();
        self.arrive(4, id, Frame { head: head.into(), body: Bytes::new() });
    }

    /// Node 4 waits to be added, and this node hears that it is there.
    #[cfg(feature = "raft")]
    pub(crate) fn meet_one_that_waits(&mut self, id: u64) {
        self.disks += 1;
        self.start_given(4, Disk::empty(self.disks), Membership::default());
        let member = self.members.get_mut(&id).unwrap();
        member.replica.arrival(self.now, LogTime::ZERO, Arrival::Connected(NodeId(4)));
    }

    pub(crate) fn propose(&mut self, id: u64, command: u8) {
        let member = self.members.get_mut(&id).unwrap();
        member.replica.propose(self.now, Bytes::copy_from_slice(&[command]), command);
    }

    /// Proposes until it is answered, and lets time pass meanwhile.
    pub(crate) fn decide(&mut self, id: u64, command: u8) {
        for _ in 0..40 {
            self.propose(id, command);
            self.pass(Duration::from_secs(3));
            if self.answered.contains(&command) {
                return;
            }
        }
        panic!("{}: command {command} is not decided within two minutes", E::NAME);
    }

    /// An operator asks this node for something, and it is done.
    pub(crate) fn carry_out(&mut self, id: u64, errand: Errand) {
        let member = self.members.get_mut(&id).unwrap();
        member.replica.administer(self.now, errand.clone(), 0);
        let before = self.administered.len();
        self.pass(Duration::from_secs(10));
        assert_eq!(self.administered[before..], [Ok(())], "{}: {errand:?}", E::NAME);
    }

    pub(crate) fn is_answered(&self, command: u8) -> bool {
        self.answered.contains(&command)
    }

    pub(crate) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.now = self.now + STEP;
            for _ in 0..6 {
                let ids: Vec<u64> = self.members.keys().copied().collect();
                let sent = ids.into_iter().map(|id| (id, self.turn(id))).collect::<Vec<_>>();
                sent.into_iter().for_each(|(from, frames)| self.deliver(from, frames));
            }
        }
    }

    /// Lets a node carry on and does what it asks for.
    fn turn(&mut self, id: u64) -> Vec<OutgoingFrame> {
        let (now, member) = (self.now, self.members.get_mut(&id).unwrap());
        let Member { replica, disk, writing, applied } = member;
        replica.advance(now, LogTime::ZERO);
        assert!(replica.stopped().is_none(), "{:?}", replica.stopped());
        let out = std::mem::take(replica.outputs());
        *writing = writing.take().or(out.write);
        if let Some((seq, batch)) = writing.take_if(|_| self.stalled != Some(id)) {
            batch.into_ops().into_iter().for_each(|op| disk.write(op));
            replica.durable(now, seq);
        }
        for load in out.loads {
            let entries = disk.entries.range(load.range.clone()).map(|(_, entry)| entry.clone()).collect();
            replica.loaded(now, &load, Ok(entries));
        }
        for work in out.apply {
            match work {
                ApplyWork::Entry { entry, tickets } => {
                    applied.extend(entry.commands().map(|command| command.unwrap()[0]));
                    self.answered.extend(tickets);
                    replica.applied(now, entry.index);
                }
                ApplyWork::Snapshot => {
                    assert!(replica.applied_index() <= disk.outline.last(), "the log lacks what it holds");
                    replica.snapshot_taken(now, Err("nobody keeps them here".to_owned()));
                }
                _ => {}
            }
        }
        self.administered.extend(out.administered.into_iter().map(|(_, end)| end));
        out.frames
    }

    fn deliver(&mut self, from: u64, frames: Vec<OutgoingFrame>) {
        for OutgoingFrame { to, frame, .. } in frames {
            let cut = [from, to.0].iter().any(|id| self.cut.contains(id));
            let unheard = self.deaf.contains(&to.0) && frame.head.first() != Some(&INTRODUCTION);
            if !cut && !unheard {
                self.arrive(from, to.0, frame);
            }
        }
    }

    fn arrive(&mut self, from: u64, to: u64, frame: Frame) {
        let member = self.members.get_mut(&to).unwrap();
        member.replica.arrival(self.now, LogTime::ZERO, Arrival::Frame { from: NodeId(from), frame });
    }
}
