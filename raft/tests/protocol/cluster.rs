//! A cluster in a box: engines, disks, a network whose every packet a test may deliver, drop, repeat or reorder, and
//! clocks that only move when told. After every step all laws are checked.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use consensus_api::{
    After, Effects, Engine, Entry, Event, FlowLimits, Generation, Index, Membership, Message as _, NodeId,
    Op, Outcome, ProposalId, ReadId, Refusal, Role, Setup, SnapshotMark, Time, Timing, WriteSeq,
};
use quorate_raft::{Body, Message, Options, Raft, Term};

use crate::disk::{Disk, Image};
use crate::packets::Packet;

/// One member: engine, disk, and what the engine said.
#[derive(Debug)]
pub(crate) struct Member {
    /// `None` while it is down.
    pub(crate) raft: Option<Raft>,
    pub(crate) disk: Disk,
    pub(crate) now: Time,
    effects: Effects<Message>,
    held: Vec<(WriteSeq, NodeId, Message)>,
    pub(crate) applied: Index,
    pub(crate) proposals: Vec<(ProposalId, Outcome)>,
    pub(crate) reads: Vec<(ReadId, Result<Index, Refusal>)>,
    pub(crate) settled: Vec<(Generation, Index)>,
    pub(crate) snapshots_needed: Vec<u64>,
    pub(crate) restored: Option<SnapshotMark>,
    pub(crate) loading: BTreeSet<u64>,
    pub(crate) fatal: Option<String>,
    lives: u64,
}

pub(crate) struct Cluster {
    pub(crate) members: BTreeMap<u64, Member>,
    pub(crate) packets: Vec<Packet>,
    pub(crate) founders: Membership,
    pub(crate) limits: FlowLimits,
    /// Options of members; the others have the default.
    pub(crate) options: BTreeMap<u64, Options>,
    /// Members that found nothing, and wait to be added.
    pub(crate) joining: BTreeSet<u64>,
    pub(crate) seed: u64,
    /// State machines keep up with the commit index.
    pub(crate) applying: bool,
    /// Members that read entries from disk before they send them.
    pub(crate) slow_readers: BTreeSet<u64>,
    /// Members whose disk hangs.
    pub(crate) hung: BTreeSet<u64>,
    /// What was ever committed, anywhere.
    pub(crate) committed: BTreeMap<Index, Entry>,
    pub(crate) sequence: u64,
    pub(crate) laws: u64,
}

pub(crate) fn timing() -> Timing {
    Timing::default()
}

impl Cluster {
    /// Voters 1 ..= `count`, with empty logs.
    pub(crate) fn new(count: u64) -> Self {
        Self::founded(Membership::of_voters((1..=count).map(NodeId)).expect("a few members"), 1)
    }

    pub(crate) fn founded(founders: Membership, seed: u64) -> Self {
        let mut cluster = Self {
            members: BTreeMap::new(),
            packets: Vec::new(),
            founders: founders.clone(),
            limits: FlowLimits::default(),
            options: BTreeMap::new(),
            joining: BTreeSet::new(),
            seed,
            applying: true,
            slow_readers: BTreeSet::new(),
            hung: BTreeSet::new(),
            committed: BTreeMap::new(),
            sequence: 0,
            laws: 0,
        };
        founders.members().for_each(|node| cluster.add(node.0, Image::default()));
        cluster
    }

    /// Adds a member with this on its disk, and starts it.
    pub(crate) fn add(&mut self, id: u64, image: Image) {
        let member = Member {
            raft: None,
            disk: Disk::of(image),
            now: Time(1_000_000_000),
            effects: Effects::new(),
            held: Vec::new(),
            applied: Index::ZERO,
            proposals: Vec::new(),
            reads: Vec::new(),
            settled: Vec::new(),
            snapshots_needed: Vec::new(),
            restored: None,
            loading: BTreeSet::new(),
            fatal: None,
            lives: 0,
        };
        self.members.insert(id, member);
        self.restart(id);
    }

    /// Starts a member that waits to be added.
    pub(crate) fn join(&mut self, id: u64) {
        self.joining.insert(id);
        self.add(id, Image::default());
    }

    pub(crate) fn crash(&mut self, id: u64) {
        let member = self.member_mut(id);
        member.raft = None;
        member.disk.crash();
        member.held.clear();
        member.loading.clear();
        member.snapshots_needed.clear();
    }

    pub(crate) fn restart(&mut self, id: u64) {
        self.crash(id);
        let joining = self.joining.contains(&id);
        let founders = if joining { Membership::default() } else { self.founders.clone() };
        let (limits, seed) = (self.limits, self.seed);
        let options = self.options.get(&id).cloned().unwrap_or_default();
        let member = self.member_mut(id);
        member.lives += 1;
        let setup = Setup {
            node: NodeId(id),
            founders,
            now: member.now,
            seed: seed.wrapping_mul(1_000_003) ^ (id << 32) ^ member.lives,
            timing: timing(),
            flow: limits,
            options,
        };
        let raft = Raft::recover(setup, &member.disk.durable().outline).expect("it recovers");
        raft.check();
        member.effects = Effects::new();
        member.applied = raft.standing().commit;
        let applied = member.applied;
        member.raft = Some(raft);
        self.step(id, Event::Applied(applied));
    }

    pub(crate) fn member(&self, id: u64) -> &Member {
        &self.members[&id]
    }

    pub(crate) fn member_mut(&mut self, id: u64) -> &mut Member {
        self.members.get_mut(&id).expect("there is such a member")
    }

    pub(crate) fn raft(&self, id: u64) -> &Raft {
        self.member(id).raft.as_ref().expect("it is up")
    }

    pub(crate) fn is_up(&self, id: u64) -> bool {
        self.member(id).raft.is_some()
    }

    pub(crate) fn ids(&self) -> Vec<u64> {
        self.members.keys().copied().collect()
    }

    // ---- Steps ----

    /// Hands an event to a member, carries out what follows, and checks every law.
    pub(crate) fn step(&mut self, id: u64, event: Event<'_, Message>) {
        let member = self.member_mut(id);
        let Some(raft) = &mut member.raft else { return };
        let before = raft.clone();
        raft.step(member.now, event, &mut member.effects);
        let mut laws = raft.check() + Raft::check_step(&before, raft);
        let up: Vec<&Raft> = self.members.values().filter_map(|member| member.raft.as_ref()).collect();
        laws += Raft::check_cluster(&up);
        self.laws += laws;
        self.carry_out(id);
    }

    fn carry_out(&mut self, id: u64) {
        let member = self.members.get_mut(&id).expect("there is such a member");
        let effects = &mut member.effects;
        if let Some((seq, batch)) = effects.take_batch() {
            let commit = member.raft.as_ref().expect("it just spoke").standing().commit;
            let honest = |op: &Op| !matches!(op, Op::Watermark(index) if *index > commit);
            assert!(batch.ops().iter().all(honest), "a watermark speaks of committed entries");
            member.disk.submit(seq, batch);
        }
        let sends = std::mem::take(&mut effects.sends);
        let committed = effects.committed;
        let settled = effects.settled();
        member.proposals.append(&mut effects.proposals);
        member.reads.append(&mut effects.reads);
        member.snapshots_needed.extend(effects.snapshots_needed.iter().map(|node| node.0));
        let restored = effects.restore.take();
        member.fatal = member.fatal.take().or(effects.fatal.take());
        effects.clear();
        if settled > Generation::ZERO {
            let commit = member.raft.as_ref().expect("it just spoke").standing().commit;
            member.settled.push((settled, commit));
        }
        if let Some(mark) = restored {
            member.applied = mark.index;
            member.restored = Some(mark);
            let applied = member.applied;
            self.step(id, Event::Applied(applied));
        }
        self.note_committed(id, committed);
        for send in sends {
            let (to, message) = (send.to.0, send.message);
            match (send.after, send.entries) {
                (After::Now, None) => {
                    self.packets.push(Packet { from: id, to, message, entries: Vec::new() });
                }
                (After::Now, Some(_)) if self.slow_readers.contains(&id) => {
                    self.member_mut(id).loading.insert(to);
                }
                (After::Now, Some(range)) => {
                    let entries = self.member(id).disk.read(range);
                    let (first, last) = (entries[0].index, entries[entries.len() - 1].index);
                    let bytes = entries.iter().map(Entry::record_len).sum();
                    self.packets.push(Packet { from: id, to, message, entries });
                    self.step(id, Event::Sent { to: NodeId(to), first, last, bytes });
                }
                (After::Durable(seq), None) => self.member_mut(id).held.push((seq, send.to, message)),
                (After::Durable(_), Some(_)) => panic!("entries always leave at once"),
            }
        }
        self.release(id);
        self.apply(id);
    }

    /// Lets go what was held back for a write that is durable, if it is still true.
    fn release(&mut self, id: u64) {
        let member = self.members.get_mut(&id).expect("there is such a member");
        let (durable, raft) = (member.disk.durable_seq, member.raft.as_ref());
        let packets = &mut self.packets;
        member.held.retain(|(seq, to, message)| {
            if *seq <= durable && raft.is_some_and(|raft| raft.still_true(message)) {
                packets.push(Packet { from: id, to: to.0, message: *message, entries: Vec::new() });
            }
            *seq > durable
        });
    }

    fn note_committed(&mut self, id: u64, committed: Index) {
        let view = self.members[&id].disk.view();
        for (index, entry) in view.entries.range(..=committed) {
            let known = self.committed.entry(*index).or_insert_with(|| entry.clone());
            assert_eq!(known, entry, "what is committed never changes");
        }
    }

    /// Applies what is committed and durable.
    pub(crate) fn apply(&mut self, id: u64) {
        let member = self.member(id);
        let Some(raft) = member.raft.as_ref().filter(|_| self.applying) else { return };
        let upto = raft.standing().commit.min(member.disk.durable().outline.last());
        if upto > member.applied {
            self.member_mut(id).applied = upto;
            self.step(id, Event::Applied(upto));
        }
    }

    // ---- Disk ----

    /// Makes a member's oldest write durable.
    pub(crate) fn complete_write(&mut self, id: u64) -> bool {
        if self.hung.contains(&id) {
            return false;
        }
        let Some(seq) = self.member_mut(id).disk.complete() else { return false };
        self.step(id, Event::Durable(seq));
        self.release(id);
        self.apply(id);
        true
    }

    pub(crate) fn complete_writes(&mut self, id: u64) -> bool {
        let mut any = false;
        while self.complete_write(id) {
            any = true;
        }
        any
    }

    pub(crate) fn complete_all_writes(&mut self) -> bool {
        self.ids().into_iter().fold(false, |any, id| self.complete_writes(id) | any)
    }

    // ---- Network ----

    pub(crate) fn deliver(&mut self, packet: &Packet) {
        // Over the wire and back: every message that is ever sent also proves its byte form.
        let mut bytes = bytes::BytesMut::new();
        packet.message.encode(&mut bytes);
        let message = Message::decode(bytes.freeze()).expect("it was just encoded");
        assert_eq!(message, packet.message);
        if self.members.contains_key(&packet.to) {
            self.step(
                packet.to,
                Event::Message { from: NodeId(packet.from), message, entries: &packet.entries },
            );
        }
    }

    /// Takes the packets of this kind out of the network.
    pub(crate) fn take(&mut self, which: impl Fn(&Packet) -> bool) -> Vec<Packet> {
        let (taken, left) = std::mem::take(&mut self.packets).into_iter().partition(which);
        self.packets = left;
        taken
    }

    pub(crate) fn drop_all(&mut self) {
        self.packets.clear();
    }

    /// Delivers the packets of this kind that are on their way now, but not what follows from them.
    pub(crate) fn deliver_only(&mut self, which: impl Fn(&Packet) -> bool) -> Vec<Packet> {
        let taken = self.take(which);
        taken.iter().for_each(|packet| self.deliver(packet));
        taken
    }

    /// Delivers everything and completes every write until nothing is left to do.
    pub(crate) fn settle(&mut self) {
        self.settle_without(&[]);
    }

    /// As [`settle`](Self::settle), with everything from and to these members lost.
    pub(crate) fn settle_without(&mut self, lost: &[u64]) {
        self.settle_where(|from, to| !lost.contains(&from) && !lost.contains(&to));
    }

    /// As [`settle`](Self::settle), on the links that carry.
    pub(crate) fn settle_where(&mut self, carries: impl Fn(u64, u64) -> bool) {
        loop {
            let packets = std::mem::take(&mut self.packets);
            let idle = packets.is_empty();
            for packet in packets.into_iter().filter(|packet| carries(packet.from, packet.to)) {
                self.deliver(&packet);
            }
            let wrote = self.complete_all_writes();
            if idle && !wrote && self.packets.is_empty() {
                return;
            }
        }
    }

    // ---- Time ----

    /// Moves one member's clock to its deadline.
    pub(crate) fn fire(&mut self, id: u64) {
        let deadline = self.raft(id).deadline();
        assert!(deadline < Time::MAX, "node {id} waits for nothing");
        let member = self.member_mut(id);
        member.now = member.now.max(deadline);
        self.step(id, Event::Tick);
    }

    /// Moves every clock, and ticks whoever is due.
    pub(crate) fn pass(&mut self, time: Duration) {
        for id in self.ids() {
            let member = self.member_mut(id);
            member.now = member.now + time;
            if member.raft.as_ref().is_some_and(|raft| raft.deadline() <= member.now) {
                self.step(id, Event::Tick);
            }
        }
    }

    /// Lets this much time pass in which everything works, save for what concerns these members.
    pub(crate) fn run_without(&mut self, time: Duration, lost: &[u64]) {
        self.run_where(time, |from, to| !lost.contains(&from) && !lost.contains(&to));
    }

    /// Lets this much time pass on the links that carry.
    pub(crate) fn run_where(&mut self, time: Duration, carries: impl Fn(u64, u64) -> bool) {
        let step = Duration::from_millis(20);
        let mut passed = Duration::ZERO;
        while passed < time {
            self.pass(step);
            self.settle_where(&carries);
            passed += step;
        }
    }

    /// Makes `id` lead, by the votes of everyone that answers.
    pub(crate) fn elect(&mut self, id: u64) {
        let wait = timing().election_timeout_min;
        for other in self.ids() {
            let member = self.member_mut(other);
            member.now = member.now + wait;
        }
        self.fire(id);
        self.settle();
        assert_eq!(self.role(id), Role::Leader, "node {id} should lead");
    }

    /// Hands a message to a member, as if it had come over the network.
    pub(crate) fn inject(&mut self, from: u64, to: u64, term: u64, body: Body, entries: &[Entry]) {
        let message = Message { term: Term(term), body };
        self.deliver(&Packet { from, to, message, entries: entries.to_vec() });
    }
}
