//! Engines of quorate, driven as `node` drives them: every write is durable at once, what waits for it leaves then.

use std::collections::VecDeque;
use std::marker::PhantomData;

use bytes::{Bytes, BytesMut};
use consensus_api::{
    After, Commands, Effects, Engine, Entry, EntryKind, EntryRange, Event, FlowLimits, Incarnation, Index,
    LogTime, Membership, NodeId, Op, Outline, ProposalId, Role, Setup, Time, Timing, WriteSeq,
};

use crate::load::Failure;

struct Member<E: Engine> {
    engine: E,
    effects: Effects<E::Message>,
    /// The entry with index 1 is at 0.
    log: Vec<Entry>,
    held: Vec<(NodeId, E::Message)>,
    /// Entries that went out, which the engine hears of before anything else.
    sent: Vec<(NodeId, Index, Index, usize)>,
    /// The engine was told that writes are durable up to here.
    reported: WriteSeq,
    applied: Index,
    /// The engine was told that entries are applied up to here.
    told: Index,
    commands: u64,
}

struct Packet<M> {
    from: NodeId,
    to: NodeId,
    message: M,
    entries: Vec<Entry>,
}

/// Three engines. With `WHOLE`, commands that come together become one entry.
pub struct Trio<E: Engine, const WHOLE: bool> {
    members: Vec<Member<E>>,
    packets: VecDeque<Packet<E::Message>>,
    /// Vectors to use again.
    spare: Vec<Vec<Entry>>,
    body: BytesMut,
    leader: usize,
    now: Time,
    sequence: u64,
    mode: PhantomData<E>,
}

impl<E: Engine, const WHOLE: bool> super::Trio for Trio<E, WHOLE> {
    fn start(_in_flight: usize) -> Result<Self, Failure> {
        let now = Time(1_000_000_000);
        let founders = Membership::of_voters((1..=3).map(NodeId))?;
        let member = |id: u64| {
            let setup = Setup {
                node: NodeId(id),
                founders: founders.clone(),
                now,
                seed: id,
                timing: Timing::default(),
                flow: FlowLimits::default(),
                options: E::Options::default(),
            };
            Ok(Member {
                engine: E::recover(setup, &Outline::default())?,
                effects: Effects::new(),
                log: Vec::new(),
                held: Vec::new(),
                sent: Vec::new(),
                reported: WriteSeq(0),
                applied: Index::ZERO,
                told: Index::ZERO,
                commands: 0,
            })
        };
        let members: Result<Vec<_>, Failure> = (1..=3).map(member).collect();
        let mut trio = Self {
            members: members?,
            packets: VecDeque::new(),
            spare: Vec::new(),
            body: BytesMut::new(),
            leader: 0,
            now,
            sequence: 0,
            mode: PhantomData,
        };
        for _ in 0..100_000 {
            trio.now = trio.now + std::time::Duration::from_millis(1);
            for member in 0..3 {
                if trio.members[member].engine.deadline() <= trio.now {
                    trio.step(member, Event::Tick);
                }
            }
            trio.settle();
            let leads = |member: &Member<E>| member.engine.standing().role == Role::Leader;
            if let Some(leader) = trio.members.iter().position(leads) {
                trio.leader = leader;
                return Ok(trio);
            }
        }
        Err("nobody came to lead".into())
    }

    fn round(&mut self, command: &Bytes, count: usize) -> Result<(), Failure> {
        let (entries, each) = if WHOLE { (1, count) } else { (count, 1) };
        for _ in 0..entries {
            self.body.reserve(each * (command.len() + 4));
            for _ in 0..each {
                Commands::push(&mut self.body, command)?;
            }
            self.sequence += 1;
            let proposal =
                ProposalId { node: NodeId(1), incarnation: Incarnation(1), sequence: self.sequence };
            let body = self.body.split().freeze();
            let entry = Entry::new(EntryKind::Commands, each as u32, proposal, LogTime::ZERO, body);
            self.step(self.leader, Event::Propose(entry));
        }
        self.settle();
        Ok(())
    }

    fn committed(&self) -> u64 {
        self.members[self.leader].commands
    }
}

impl<E: Engine, const WHOLE: bool> Trio<E, WHOLE> {
    /// Delivers until nothing is on its way.
    fn settle(&mut self) {
        while let Some(Packet { from, to, message, mut entries }) = self.packets.pop_front() {
            let event = Event::Message { from, message, entries: &entries };
            step(&mut self.members, &mut self.packets, &mut self.spare, self.now, to.0 as usize - 1, event);
            entries.clear();
            if entries.capacity() > 0 {
                self.spare.push(entries);
            }
        }
    }

    fn step(&mut self, member: usize, event: Event<'_, E::Message>) {
        step(&mut self.members, &mut self.packets, &mut self.spare, self.now, member, event);
    }
}

type Packets<E> = VecDeque<Packet<<E as Engine>::Message>>;

fn step<E: Engine>(
    members: &mut [Member<E>],
    packets: &mut Packets<E>,
    spare: &mut Vec<Vec<Entry>>,
    now: Time,
    at: usize,
    event: Event<'_, E::Message>,
) {
    let id = NodeId(at as u64 + 1);
    let member = &mut members[at];
    member.engine.step(now, event, &mut member.effects);
    member.carry_out(id, packets, spare);
    while let Some((to, first, last, bytes)) = member.sent.pop() {
        member.engine.step(now, Event::Sent { to, first, last, bytes }, &mut member.effects);
        member.carry_out(id, packets, spare);
    }
    loop {
        let durable = member.effects.newest_write();
        if member.reported < durable {
            member.reported = durable;
            member.engine.step(now, Event::Durable(durable), &mut member.effects);
            member.release(id, packets);
        } else if member.applied > member.told {
            member.told = member.applied;
            member.engine.step(now, Event::Applied(member.applied), &mut member.effects);
        } else {
            return;
        }
        member.carry_out(id, packets, spare);
        while let Some((to, first, last, bytes)) = member.sent.pop() {
            member.engine.step(now, Event::Sent { to, first, last, bytes }, &mut member.effects);
            member.carry_out(id, packets, spare);
        }
    }
}

impl<E: Engine> Member<E> {
    fn carry_out(&mut self, id: NodeId, packets: &mut Packets<E>, spare: &mut Vec<Vec<Entry>>) {
        if let Some((_, batch)) = self.effects.take_batch() {
            batch.into_ops().into_iter().for_each(|op| self.write(op));
        }
        let committed = self.effects.committed;
        let mut sends = std::mem::take(&mut self.effects.sends);
        for send in sends.drain(..) {
            let to = send.to;
            match (send.entries, send.after) {
                (Some(range), _) => {
                    let mut entries = spare.pop().unwrap_or_default();
                    let bytes = self.read(range, &mut entries);
                    let (first, last) = (entries[0].index, entries[entries.len() - 1].index);
                    self.sent.push((to, first, last, bytes));
                    packets.push_back(Packet { from: id, to, message: send.message, entries });
                }
                (None, After::Now) => {
                    packets.push_back(Packet { from: id, to, message: send.message, entries: Vec::new() });
                }
                (None, After::Durable(_)) => self.held.push((to, send.message)),
            }
        }
        self.effects.sends = sends;
        self.effects.clear();
        while self.applied < committed {
            self.applied = self.applied.next();
            let entry = &self.log[self.applied.0 as usize - 1];
            self.commands += u64::from(if entry.kind == EntryKind::Commands { entry.count } else { 0 });
        }
    }

    fn write(&mut self, op: Op) {
        match op {
            Op::Put(entry) => {
                let place = entry.index.0 as usize - 1;
                if place == self.log.len() { self.log.push(entry) } else { self.log[place] = entry }
            }
            Op::TruncateFrom(from) => self.log.truncate(from.0 as usize - 1),
            Op::HardState(_) | Op::Compact { .. } | Op::SnapshotMark(_) | Op::Watermark(_) => {}
        }
    }

    fn read(&self, range: EntryRange, entries: &mut Vec<Entry>) -> usize {
        let mut bytes = 0;
        for entry in &self.log[range.first.0 as usize - 1..range.last.0 as usize] {
            if !entries.is_empty() && bytes + entry.record_len() > range.bytes_max {
                break;
            }
            bytes += entry.record_len();
            entries.push(entry.clone());
        }
        bytes
    }

    /// Lets go what waited for a write, if it is still true.
    fn release(&mut self, id: NodeId, packets: &mut Packets<E>) {
        for (to, message) in self.held.drain(..) {
            if self.engine.still_true(&message) {
                packets.push_back(Packet { from: id, to, message, entries: Vec::new() });
            }
        }
    }
}
