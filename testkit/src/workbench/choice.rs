//! [`Choice`]: what may happen next, and how it happens.

use std::time::Duration;

use consensus_api::{After, Engine, Entry, Event, Index, NodeId, Role, Setup, Time};

use super::member::{Bench, Packet};
use super::{Workbench, timing};
use crate::Random;

/// One thing that happens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Choice {
    /// The packet at this place arrives.
    Deliver(usize),
    /// It arrives, and stays on its way: it will come again.
    Repeat(usize),
    /// It is lost.
    Lose(usize),
    /// The oldest write of this member becomes durable.
    Write(NodeId),
    /// This member loses its power, and with it all that is not durable, and starts again.
    Crash(NodeId),
    /// Time passes for all until this member has waited long enough for whatever it waits for.
    Timeout(NodeId),
    /// A client proposes something.
    Propose(NodeId),
    /// A client wants to read.
    Read(NodeId),
}

/// How far a search, or chance, may go.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// The members whose time runs out; others only answer.
    pub timeouts: Vec<NodeId>,
    /// No member goes beyond this round.
    pub rounds_max: u64,
    /// So many proposals.
    pub proposals_max: u64,
    /// So many reads.
    pub reads_max: u64,
    /// So many crashes.
    pub crashes_max: u64,
    /// Packets may come again.
    pub repeats: bool,
    /// So many packets on their way at most: what comes on top is lost, the oldest first.
    pub packets_max: usize,
}

impl<E: Engine> Workbench<E> {
    /// What may happen now, within these bounds.
    pub fn choices(&self, bounds: &Bounds) -> Vec<Choice> {
        let mut choices: Vec<Choice> = (0..self.packets.len()).map(Choice::Deliver).collect();
        if bounds.repeats {
            choices.extend((0..self.packets.len()).map(Choice::Repeat));
        }
        for (node, member) in &self.members {
            let Some(engine) = member.engine() else { continue };
            let standing = engine.standing();
            if !member.pending.is_empty() {
                choices.push(Choice::Write(*node));
            }
            if self.crashes < bounds.crashes_max {
                choices.push(Choice::Crash(*node));
            }
            let leads = standing.role == Role::Leader || !E::CAPABILITIES.leader;
            if bounds.timeouts.contains(node) && (leads || standing.generation.round < bounds.rounds_max) {
                choices.push(Choice::Timeout(*node));
            }
            if leads && self.proposals < bounds.proposals_max {
                choices.push(Choice::Propose(*node));
            }
            if leads && self.reads < bounds.reads_max {
                choices.push(Choice::Read(*node));
            }
        }
        choices
    }

    /// Lets it happen, checks every invariant of the engines, and that what is committed never changes. `false` if it
    /// cannot happen.
    ///
    /// # Panics
    /// When an invariant does not hold.
    pub fn choose(&mut self, choice: &Choice) -> bool {
        match choice {
            Choice::Deliver(at) if *at < self.packets.len() => {
                let packet = self.packets.remove(*at);
                self.deliver(&packet);
            }
            Choice::Repeat(at) if *at < self.packets.len() => {
                let packet = self.packets[*at].clone();
                self.deliver(&packet);
            }
            Choice::Lose(at) if *at < self.packets.len() => drop(self.packets.remove(*at)),
            Choice::Write(node) => return self.complete(*node),
            Choice::Crash(node) => {
                self.crashes += 1;
                self.bench(*node).crash();
                self.start(*node);
            }
            Choice::Timeout(node) => return self.time_out(*node),
            Choice::Propose(node) => {
                let command = self.next_command();
                self.propose(*node, &command);
            }
            Choice::Read(node) => {
                let id = self.next_read();
                self.step(*node, Event::Read(id));
            }
            Choice::Deliver(_) | Choice::Repeat(_) | Choice::Lose(_) => return false,
        }
        true
    }

    /// A client of this node proposes a command.
    pub fn propose(&mut self, node: NodeId, command: &[u8]) {
        let entry = self.entry(node, command);
        self.step(node, Event::Propose(entry));
    }

    /// What chance chooses, if there is anything within these bounds.
    pub fn chance(&self, random: &mut Random, bounds: &Bounds) -> Option<Choice> {
        let choices = self.choices(bounds);
        // Packets are many and crashes few, or nothing would ever come to an end.
        let rare =
            |choice: &&Choice| matches!(choice, Choice::Crash(_) | Choice::Timeout(_) | Choice::Repeat(_));
        let common: Vec<&Choice> = choices.iter().filter(|choice| !rare(choice)).collect();
        let choice = if common.is_empty() || random.one_in(8) {
            random.pick(&choices)
        } else {
            random.pick(&common).copied()
        };
        match choice.cloned() {
            Some(Choice::Deliver(at)) if random.one_in(12) => Some(Choice::Lose(at)),
            choice => choice,
        }
    }

    fn bench(&mut self, node: NodeId) -> &mut Bench<E> {
        self.members.entry(node).or_default()
    }

    pub(super) fn start(&mut self, node: NodeId) {
        let (founders, options, flow, seed) =
            (self.founders.clone(), self.options.clone(), self.limits, self.seed);
        let member = self.bench(node);
        member.lives += 1;
        let setup = Setup {
            node,
            founders,
            now: member.now,
            seed: seed.wrapping_mul(1_000_003) ^ node.0 << 32 ^ member.lives,
            timing: timing(),
            flow,
            options,
        };
        let engine = match E::recover(setup, member.durable.outline()) {
            Ok(engine) => engine,
            Err(error) => panic!("node {node} starts on what its disk holds: {error}"),
        };
        self.checks += engine.check();
        let member = self.bench(node);
        member.applied = engine.standing().commit;
        let applied = member.applied;
        member.engine = Some(engine);
        self.step(node, Event::Applied(applied));
    }

    fn deliver(&mut self, packet: &Packet<E::Message>) {
        let (from, message, entries) = (packet.from, packet.message.clone(), &packet.entries);
        self.step(packet.to, Event::Message { from, message, entries });
    }

    fn complete(&mut self, node: NodeId) -> bool {
        let member = self.bench(node);
        let Some((seq, batch)) = member.pending.pop_front() else { return false };
        member.durable.write(batch);
        member.durable_seq = seq;
        self.step(node, Event::Durable(seq));
        true
    }

    fn time_out(&mut self, node: NodeId) -> bool {
        let Some(deadline) =
            self.bench(node).engine.as_ref().map(Engine::deadline).filter(|at| *at < Time::MAX)
        else {
            return false;
        };
        // All waited as long; they are only slower to notice.
        for member in self.members.values_mut() {
            member.now = member.now.max(deadline);
        }
        self.step(node, Event::Tick);
        true
    }

    /// Lets so much time pass for all, and tells whoever is due.
    pub fn pass(&mut self, time: Duration) {
        for node in self.nodes() {
            let member = self.bench(node);
            member.now = member.now + time;
            let now = member.now;
            if member.engine.as_ref().is_some_and(|engine| engine.deadline() <= now) {
                self.step(node, Event::Tick);
            }
        }
    }

    pub(super) fn step(&mut self, node: NodeId, event: Event<'_, E::Message>) {
        let member = self.bench(node);
        let now = member.now;
        let Some(mut engine) = member.engine.take() else { return };
        let before = engine.clone();
        engine.step(now, event, &mut member.effects);
        let mut checks = engine.check() + E::check_step(&before, &engine);
        member.engine = Some(engine);
        let running: Vec<&E> = self.members.values().filter_map(Bench::engine).collect();
        checks += E::check_cluster(&running);
        self.checks += checks;
        self.carry_out(node);
    }

    fn carry_out(&mut self, node: NodeId) {
        let sync_at_once = self.sync_at_once;
        let member = self.bench(node);
        let mut effects = std::mem::take(&mut member.effects);
        if let Some((seq, batch)) = effects.take_batch() {
            member.view.write(batch.clone());
            member.pending.push_back((seq, batch));
        }
        member.proposals.append(&mut effects.proposals);
        member.reads.append(&mut effects.reads);
        member.fatal = member.fatal.take().or(effects.fatal.take());
        let (committed, sends) = (effects.committed, std::mem::take(&mut effects.sends));
        member.snapshots_needed.extend(effects.snapshots_needed.drain(..));
        let restored = effects.restore.take();
        effects.clear();
        member.effects = effects;
        assert!(member.fatal.is_none(), "node {node} cannot go on: {:?}", member.fatal);
        self.note_committed(node, committed);
        if let Some(mark) = restored {
            self.bench(node).applied = mark.index;
            self.step(node, Event::Applied(mark.index));
        }
        for send in sends {
            match (send.after, send.entries) {
                (After::Durable(seq), None) if seq > self.bench(node).durable_seq => {
                    self.bench(node).held.push((seq, send.to, send.message));
                }
                (_, None) => self.packets.push(Packet {
                    from: node,
                    to: send.to,
                    message: send.message,
                    entries: Vec::new(),
                }),
                (_, Some(range)) => {
                    let entries = self.bench(node).view.read(range.first..range.last.next(), range.bytes_max);
                    let (Some(first), Some(last)) = (entries.first(), entries.last()) else { continue };
                    let (first, last) = (first.index, last.index);
                    let bytes = entries.iter().map(Entry::record_len).sum();
                    let packet = Packet { from: node, to: send.to, message: send.message, entries };
                    let own = (packet.to == node).then(|| packet.clone());
                    if own.is_none() {
                        self.packets.push(packet);
                    }
                    self.step(node, Event::Sent { to: send.to, first, last, bytes });
                    if let Some(packet) = own {
                        self.deliver(&packet);
                    }
                }
            }
        }
        if sync_at_once {
            while self.complete(node) {}
        }
        self.release(node);
        self.apply(node);
    }

    /// Lets go what was held back for a write that is durable, if it is still true.
    fn release(&mut self, node: NodeId) {
        let member = self.bench(node);
        let (durable, held) = (member.durable_seq, std::mem::take(&mut member.held));
        for (seq, to, message) in held {
            if seq > durable {
                self.bench(node).held.push((seq, to, message));
            } else if self.bench(node).engine.as_ref().is_some_and(|engine| engine.still_true(&message)) {
                self.packets.push(Packet { from: node, to, message, entries: Vec::new() });
            }
        }
    }

    fn note_committed(&mut self, node: NodeId, upto: Index) {
        let entries = self.members.get(&node).map(|member| member.view.entries());
        for (index, entry) in entries.into_iter().flat_map(|entries| entries.range(..=upto)) {
            let known = self.committed.entry(*index).or_insert_with(|| entry.clone());
            let same = (known.checksum, known.proposal) == (entry.checksum, entry.proposal);
            assert!(same, "what is committed never changes: entry {index} is {known:?} and {entry:?}");
        }
        self.checks += 1;
    }

    /// Applies what is committed and durable.
    fn apply(&mut self, node: NodeId) {
        let member = self.bench(node);
        let Some(commit) = member.engine.as_ref().map(|engine| engine.standing().commit) else { return };
        let upto = commit.min(member.durable.outline().last());
        if upto > member.applied {
            member.applied = upto;
            self.step(node, Event::Applied(upto));
        }
    }
}
