//! A cluster in a box: engines, disks, a network whose every packet a test may deliver, drop, repeat or reorder, and
//! clocks that only move when told. After every step all laws are checked, and all values compared.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use consensus_api::{
    After, Effects, Engine, Entry, EntryKind, Event, FlowLimits, Generation, Incarnation, Index, LogTime,
    Membership, Message, NodeId, Op, Outcome, ProposalId, ReadId, Refusal, Role, Setup, SnapshotMark, Time,
    Timing, WriteSeq,
};

use crate::disk::{Disk, Image};

/// A message on its way.
#[derive(Clone, Debug)]
pub(crate) struct Packet<M> {
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) message: M,
    pub(crate) entries: Vec<Entry>,
}

/// One member: engine, disk, and what the engine said.
#[derive(Debug)]
pub(crate) struct Member<E: Engine> {
    /// `None` while it is down.
    pub(crate) engine: Option<E>,
    pub(crate) disk: Disk,
    pub(crate) now: Time,
    effects: Effects<E::Message>,
    held: Vec<(WriteSeq, NodeId, E::Message)>,
    pub(crate) applied: Index,
    pub(crate) proposals: Vec<(ProposalId, Outcome)>,
    pub(crate) reads: Vec<(ReadId, Result<Index, Refusal>)>,
    pub(crate) given_up: Generation,
    pub(crate) snapshots_needed: Vec<u64>,
    pub(crate) restored: Option<SnapshotMark>,
    pub(crate) loading: BTreeSet<u64>,
    pub(crate) fatal: Option<String>,
    lives: u64,
}

/// What is the same of a value wherever it is stored.
type Value = (EntryKind, u32, ProposalId);

pub(crate) struct Cluster<E: Engine> {
    pub(crate) members: BTreeMap<u64, Member<E>>,
    pub(crate) packets: Vec<Packet<E::Message>>,
    pub(crate) founders: Membership,
    pub(crate) limits: FlowLimits,
    pub(crate) options: E::Options,
    pub(crate) seed: u64,
    /// Members that read entries from disk before they send them.
    pub(crate) slow_readers: BTreeSet<u64>,
    /// Nodes that founded nothing, and wait to be added.
    pub(crate) joining: BTreeSet<u64>,
    /// Members whose disk hangs.
    pub(crate) hung: BTreeSet<u64>,
    /// What was ever known to be chosen, anywhere.
    pub(crate) chosen: BTreeMap<Index, Value>,
    /// What each ballot proposed in each slot.
    proposed: BTreeMap<(Index, Generation), Value>,
    sequence: u64,
    pub(crate) laws: u64,
}

pub(crate) fn timing() -> Timing {
    Timing::default()
}

pub(crate) fn value(entry: &Entry) -> Value {
    (entry.kind, entry.checksum, entry.proposal)
}

impl<E: Engine> Cluster<E> {
    /// Voters 1 ..= `count`, with empty logs.
    pub(crate) fn new(count: u64) -> Self {
        Self::founded(
            Membership::of_voters((1..=count).map(NodeId)).expect("a few members"),
            E::Options::default(),
            1,
        )
    }

    pub(crate) fn founded(founders: Membership, options: E::Options, seed: u64) -> Self {
        let mut cluster = Self {
            members: BTreeMap::new(),
            packets: Vec::new(),
            founders: founders.clone(),
            limits: FlowLimits::default(),
            options,
            seed,
            slow_readers: BTreeSet::new(),
            joining: BTreeSet::new(),
            hung: BTreeSet::new(),
            chosen: BTreeMap::new(),
            proposed: BTreeMap::new(),
            sequence: 0,
            laws: 0,
        };
        founders.members().for_each(|node| cluster.add(node.0, Image::default()));
        cluster
    }

    /// Adds a member with this on its disk, and starts it.
    pub(crate) fn add(&mut self, id: u64, image: Image) {
        for entry in image.entries.values() {
            self.proposed.insert((entry.index, entry.generation), value(entry));
        }
        let member = Member {
            engine: None,
            disk: Disk::of(image),
            now: Time(1_000_000_000),
            effects: Effects::new(),
            held: Vec::new(),
            applied: Index::ZERO,
            proposals: Vec::new(),
            reads: Vec::new(),
            given_up: Generation::ZERO,
            snapshots_needed: Vec::new(),
            restored: None,
            loading: BTreeSet::new(),
            fatal: None,
            lives: 0,
        };
        self.members.insert(id, member);
        self.restart(id);
    }

    /// Starts a node that waits to be added.
    pub(crate) fn join(&mut self, id: u64) {
        self.joining.insert(id);
        self.add(id, Image::default());
    }

    pub(crate) fn crash(&mut self, id: u64) {
        let member = self.member_mut(id);
        member.engine = None;
        member.disk.crash();
        member.held.clear();
        member.loading.clear();
        member.snapshots_needed.clear();
    }

    pub(crate) fn restart(&mut self, id: u64) {
        self.crash(id);
        let joins = self.joining.contains(&id);
        let founders = if joins { Membership::default() } else { self.founders.clone() };
        let (limits, seed) = (self.limits, self.seed);
        let options = self.options.clone();
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
        let engine = E::recover(setup, &member.disk.durable().outline).expect("it recovers");
        engine.check();
        member.effects = Effects::new();
        member.applied = engine.standing().commit;
        let applied = member.applied;
        member.engine = Some(engine);
        self.step(id, Event::Applied(applied));
    }

    pub(crate) fn member(&self, id: u64) -> &Member<E> {
        &self.members[&id]
    }

    pub(crate) fn member_mut(&mut self, id: u64) -> &mut Member<E> {
        self.members.get_mut(&id).expect("there is such a member")
    }

    pub(crate) fn engine(&self, id: u64) -> &E {
        self.member(id).engine.as_ref().expect("it is up")
    }

    pub(crate) fn is_up(&self, id: u64) -> bool {
        self.member(id).engine.is_some()
    }

    pub(crate) fn ids(&self) -> Vec<u64> {
        self.members.keys().copied().collect()
    }

    // ---- Steps ----

    /// Hands an event to a member, carries out what follows, and checks every law.
    pub(crate) fn step(&mut self, id: u64, event: Event<'_, E::Message>) {
        let member = self.member_mut(id);
        let Some(engine) = &mut member.engine else { return };
        let before = engine.clone();
        engine.step(member.now, event, &mut member.effects);
        let mut laws = engine.check() + E::check_step(&before, engine);
        let up: Vec<&E> = self.members.values().filter_map(|member| member.engine.as_ref()).collect();
        laws += E::check_cluster(&up);
        self.laws += laws;
        self.carry_out(id, before.standing().commit);
    }

    fn carry_out(&mut self, id: u64, commit_before: Index) {
        let member = self.members.get_mut(&id).expect("there is such a member");
        let commit = member.engine.as_ref().expect("it just spoke").standing().commit;
        let effects = &mut member.effects;
        if let Some((seq, batch)) = effects.take_batch() {
            for op in batch.ops() {
                assert!(!matches!(op, Op::Watermark(index) if *index > commit), "chosen slots only");
                if let Op::Put(entry) = op {
                    let name = (entry.index, entry.generation);
                    let known = self.proposed.entry(name).or_insert_with(|| value(entry));
                    assert_eq!(*known, value(entry), "a ballot proposes one value per slot: {entry:?}");
                }
            }
            member.disk.submit(seq, batch);
        }
        let sends = std::mem::take(&mut effects.sends);
        member.proposals.append(&mut effects.proposals);
        member.reads.append(&mut effects.reads);
        member.snapshots_needed.extend(effects.snapshots_needed.iter().map(|node| node.0));
        member.given_up = member.given_up.max(effects.given_up());
        assert_eq!(effects.settled(), Generation::ZERO, "nobody can tell");
        let restored = effects.restore.take();
        member.fatal = member.fatal.take().or(effects.fatal.take());
        effects.clear();
        self.note_chosen(id, commit_before, commit);
        if let Some(mark) = restored {
            let member = self.member_mut(id);
            member.applied = mark.index;
            member.restored = Some(mark);
            let applied = member.applied;
            self.step(id, Event::Applied(applied));
        }
        for send in sends {
            self.send(id, send);
        }
        self.release(id);
        self.apply(id);
    }

    fn send(&mut self, id: u64, send: consensus_api::Outgoing<E::Message>) {
        let (to, message) = (send.to.0, send.message);
        match (send.after, send.entries) {
            (After::Now, None) => {
                assert_ne!(id, to, "an engine tells itself only what its log holds");
                self.packets.push(Packet { from: id, to, message, entries: Vec::new() });
            }
            (After::Now, Some(_)) if self.slow_readers.contains(&id) => {
                self.member_mut(id).loading.insert(to);
            }
            (After::Now, Some(range)) => {
                let entries = self.member(id).disk.read(range);
                let (first, last) = (entries[0].index, entries[entries.len() - 1].index);
                let bytes = entries.iter().map(Entry::record_len).sum();
                self.step(id, Event::Sent { to: NodeId(to), first, last, bytes });
                let packet = Packet { from: id, to, message, entries };
                if to == id {
                    self.deliver(&packet);
                } else {
                    self.packets.push(packet);
                }
            }
            (After::Durable(seq), None) => self.member_mut(id).held.push((seq, send.to, message)),
            (After::Durable(_), Some(_)) => panic!("entries always leave at once"),
        }
    }

    /// Lets go what was held back for a write that is durable, if it is still true.
    fn release(&mut self, id: u64) {
        let member = self.members.get_mut(&id).expect("there is such a member");
        let (durable, engine) = (member.disk.durable_seq, member.engine.as_ref());
        let packets = &mut self.packets;
        member.held.retain(|(seq, to, message)| {
            if *seq <= durable && engine.is_some_and(|engine| engine.still_true(message)) {
                packets.push(Packet { from: id, to: to.0, message: message.clone(), entries: Vec::new() });
            }
            *seq > durable
        });
    }

    /// Whatever a member takes for chosen is what every other takes for chosen.
    fn note_chosen(&mut self, id: u64, before: Index, commit: Index) {
        let view = self.members[&id].disk.view();
        for (index, entry) in view.entries.range(before.next()..).take_while(|(index, _)| **index <= commit) {
            let known = self.chosen.entry(*index).or_insert_with(|| value(entry));
            assert_eq!(*known, value(entry), "what is chosen never changes: {entry:?} on node {id}");
        }
    }

    /// Applies what is chosen and durable.
    pub(crate) fn apply(&mut self, id: u64) {
        let member = self.member(id);
        let Some(engine) = &member.engine else { return };
        let durable = member.disk.durable().outline.first_hole(member.applied.next()).prev();
        let upto = engine.standing().commit.min(durable);
        if upto > member.applied {
            self.member_mut(id).applied = upto;
            self.step(id, Event::Applied(upto));
        }
    }

    // ---- Disk ----

    /// Makes a member's oldest write durable.
    pub(crate) fn complete_write(&mut self, id: u64) -> bool {
        if self.hung.contains(&id) || !self.is_up(id) {
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

    /// Lets a member that reads from disk get what it waits for.
    pub(crate) fn load(&mut self, id: u64) {
        let was_slow = self.slow_readers.remove(&id);
        for to in std::mem::take(&mut self.member_mut(id).loading) {
            self.step(id, Event::Loaded { to: NodeId(to) });
        }
        if was_slow {
            self.slow_readers.insert(id);
        }
    }

    // ---- Network ----

    pub(crate) fn deliver(&mut self, packet: &Packet<E::Message>) {
        // Over the wire and back: every message that is ever sent also proves its byte form.
        let mut bytes = bytes::BytesMut::new();
        packet.message.encode(&mut bytes);
        let message = E::Message::decode(bytes.freeze()).expect("it was just encoded");
        assert_eq!(message, packet.message);
        if self.members.contains_key(&packet.to) {
            self.step(
                packet.to,
                Event::Message { from: NodeId(packet.from), message, entries: &packet.entries },
            );
        }
    }

    /// Takes the packets of this kind out of the network.
    pub(crate) fn take(&mut self, which: impl Fn(&Packet<E::Message>) -> bool) -> Vec<Packet<E::Message>> {
        let (taken, left) = std::mem::take(&mut self.packets).into_iter().partition(which);
        self.packets = left;
        taken
    }

    pub(crate) fn drop_all(&mut self) {
        self.packets.clear();
    }

    /// Delivers the packets of this kind that are on their way now, but not what follows from them.
    pub(crate) fn deliver_only(
        &mut self,
        which: impl Fn(&Packet<E::Message>) -> bool,
    ) -> Vec<Packet<E::Message>> {
        let taken = self.take(which);
        taken.iter().for_each(|packet| self.deliver(packet));
        taken
    }

    /// Delivers everything and completes every write until nothing is left to do.
    pub(crate) fn settle(&mut self) {
        self.settle_where(|_, _| true);
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
        let deadline = self.engine(id).deadline();
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
            if member.engine.as_ref().is_some_and(|engine| engine.deadline() <= member.now) {
                self.step(id, Event::Tick);
            }
        }
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

    pub(crate) fn run_without(&mut self, time: Duration, lost: &[u64]) {
        self.run_where(time, |from, to| !lost.contains(&from) && !lost.contains(&to));
    }

    pub(crate) fn run(&mut self, time: Duration) {
        self.run_where(time, |_, _| true);
    }

    /// Everyone has heard nobody for so long that whoever asks is agreed to.
    pub(crate) fn wait_long(&mut self) {
        for id in self.ids() {
            let member = self.member_mut(id);
            member.now = member.now + timing().election_timeout_min;
        }
    }

    // ---- Requests ----

    pub(crate) fn entry(&mut self, id: u64) -> Entry {
        self.sequence += 1;
        let proposal = ProposalId { node: NodeId(id), incarnation: Incarnation(1), sequence: self.sequence };
        let time = LogTime(self.sequence);
        Entry::new(EntryKind::Commands, 0, proposal, time, Bytes::from_static(b"0123456789"))
    }

    /// An entry with its place and ballot.
    pub(crate) fn placed(&mut self, slot: u64, ballot: Generation) -> Entry {
        let mut entry = self.entry(ballot.node.0);
        (entry.index, entry.generation) = (Index(slot), ballot);
        entry
    }

    pub(crate) fn propose(&mut self, id: u64) -> ProposalId {
        let entry = self.entry(id);
        let proposal = entry.proposal;
        self.step(id, Event::Propose(entry));
        proposal
    }

    pub(crate) fn propose_many(&mut self, id: u64, count: usize) {
        for _ in 0..count {
            self.propose(id);
        }
    }

    pub(crate) fn read(&mut self, id: u64, read: u64) {
        self.step(id, Event::Read(ReadId(read)));
    }

    /// Asks a member to hand over, as an operator would.
    pub(crate) fn transfer(&mut self, id: u64, to: Option<u64>) -> ProposalId {
        let proposal = self.entry(id).proposal;
        self.step(id, Event::TransferLeadership { proposal, to: to.map(NodeId) });
        proposal
    }

    /// Asks a member for another membership, as an operator would.
    pub(crate) fn change(&mut self, id: u64, membership: Membership) -> ProposalId {
        let proposal = self.entry(id).proposal;
        self.step(id, Event::ChangeMembership { proposal, membership });
        proposal
    }

    /// What a member has said of a request, in order.
    pub(crate) fn outcomes(&self, id: u64, proposal: ProposalId) -> Vec<Outcome> {
        let said = self.member(id).proposals.iter().filter(|(of, _)| *of == proposal);
        said.map(|(_, outcome)| *outcome).collect()
    }

    /// What became of a read at this member.
    pub(crate) fn answer(&self, id: u64, read: u64) -> Option<Result<u64, Refusal>> {
        let found = self.member(id).reads.iter().find(|(answered, _)| answered.0 == read);
        found.map(|(_, answer)| answer.map(|index| index.0))
    }

    /// A snapshot of everything applied, keeping `kept` entries behind it.
    pub(crate) fn snapshot(&mut self, id: u64, kept: u64) {
        let (view, applied) = (self.member(id).disk.view(), self.member(id).applied);
        let generation = view.outline.generation_at(applied).unwrap_or_default();
        let mut below = view.entries.range(..=applied).rev().map(|(_, entry)| entry);
        let newest = below.find(|entry| entry.kind == EntryKind::Membership);
        let known = view.outline.snapshot.as_ref().map_or(&self.founders, |mark| &mark.membership);
        let membership = newest
            .map_or_else(|| known.clone(), |entry| Membership::decode(&entry.body).expect("it was proposed"));
        let mark = SnapshotMark { index: applied, generation, membership };
        let keep_from = Index(applied.0.saturating_sub(kept)).next();
        self.step(id, Event::SnapshotTaken { mark, keep_from });
    }

    /// Carries the newest snapshot of one member to another.
    pub(crate) fn carry_snapshot(&mut self, from: u64, to: u64) {
        let mark = self.member(from).disk.view().outline.snapshot.clone().expect("there is a snapshot");
        let upto = Some(mark.index);
        self.step(to, Event::SnapshotReceived { from: NodeId(from), mark });
        self.step(from, Event::SnapshotSent { to: NodeId(to), upto });
    }

    // ---- Looking ----

    pub(crate) fn role(&self, id: u64) -> Role {
        self.engine(id).standing().role
    }

    pub(crate) fn round(&self, id: u64) -> u64 {
        self.engine(id).standing().generation.round
    }

    pub(crate) fn commit(&self, id: u64) -> u64 {
        self.engine(id).standing().commit.0
    }

    pub(crate) fn last(&self, id: u64) -> u64 {
        self.engine(id).standing().last.0
    }

    /// The serving leader of the highest ballot.
    pub(crate) fn leader(&self) -> Option<u64> {
        let up = self.ids().into_iter().filter(|id| self.is_up(*id));
        up.filter(|id| self.role(*id) == Role::Leader).max_by_key(|id| self.round(*id))
    }

    /// What a member holds in a slot, written or being written.
    pub(crate) fn held(&self, id: u64, slot: u64) -> Option<&Entry> {
        self.member(id).disk.view().entries.get(&Index(slot))
    }

    /// Which of a member's slots hold which kind of entry: `C` for commands, `n` for a no-op, `.` for a hole.
    pub(crate) fn shape(&self, id: u64) -> String {
        let kind = |slot| match self.held(id, slot).map(|entry| entry.kind) {
            Some(EntryKind::Commands | EntryKind::Sessions) => 'C',
            Some(EntryKind::Noop) => 'n',
            Some(EntryKind::Membership | EntryKind::Digest) => 'M',
            None => '.',
        };
        (1..=self.last(id)).map(kind).collect()
    }
}

pub(crate) const fn ballot(round: u64, node: u64) -> Generation {
    Generation::new(round, NodeId(node))
}

/// A log that holds these entries, behind a promise.
pub(crate) fn log_of(promised: Generation, entries: &[Entry]) -> Image {
    let mut image = Image::default();
    let mut bytes = vec![1];
    bytes.extend(promised.round.to_le_bytes());
    bytes.extend(promised.node.0.to_le_bytes());
    image.apply(&Op::HardState(Bytes::from(bytes)));
    entries.iter().for_each(|entry| image.apply(&Op::Put(entry.clone())));
    image
}
