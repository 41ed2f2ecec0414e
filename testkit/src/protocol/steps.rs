//! A step of a member, and what follows from it: writes, sends, and what is checked.

use consensus_api::{After, Batch, Engine, Entry, Event, Generation, Index, NodeId, Op, Outgoing};

use super::{Cluster, Packet, value};

impl<E: Engine> Cluster<E> {
    /// Hands an event to a member, carries out what follows, and checks every law.
    pub fn step(&mut self, id: u64, event: Event<'_, E::Message>) {
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
        let commit = self.engine(id).standing().commit;
        if let Some((seq, batch)) = self.member_mut(id).effects.take_batch() {
            self.check_batch(&batch, commit_before, commit);
            self.member_mut(id).disk.submit(seq, batch);
        }
        let member = self.member_mut(id);
        let effects = &mut member.effects;
        let sends = std::mem::take(&mut effects.sends);
        member.proposals.append(&mut effects.proposals);
        member.reads.append(&mut effects.reads);
        member.snapshots_needed.extend(effects.snapshots_needed.iter().map(|node| node.0));
        member.given_up = member.given_up.max(effects.given_up());
        let settled = effects.settled();
        if settled > Generation::ZERO {
            assert!(!E::CAPABILITIES.holes, "what may be adopted later is never settled");
            member.settled.push((settled, commit));
        }
        let restored = effects.restore.take();
        member.fatal = member.fatal.take().or(effects.fatal.take());
        effects.clear();
        self.note_committed(id, commit_before, commit);
        if let Some(mark) = restored {
            let applied = mark.index;
            let member = self.member_mut(id);
            (member.applied, member.restored) = (applied, Some(mark));
            self.step(id, Event::Applied(applied));
        }
        for send in sends {
            self.send(id, send);
        }
        self.release(id);
        self.apply(id);
    }

    fn check_batch(&mut self, batch: &Batch, commit_before: Index, commit: Index) {
        for op in batch.ops() {
            match op {
                Op::Watermark(index) => assert!(*index <= commit, "a watermark speaks of what is committed"),
                Op::TruncateFrom(from) => {
                    assert!(!E::CAPABILITIES.holes, "only a log without holes has an end to cut off");
                    assert!(*from > commit_before, "what is committed is never cut off");
                }
                Op::Put(entry) => {
                    let name = (entry.index, entry.generation);
                    let known = self.proposed.entry(name).or_insert_with(|| value(entry));
                    assert_eq!(
                        *known,
                        value(entry),
                        "a generation proposes one value at an index: {entry:?}"
                    );
                }
                _ => {}
            }
        }
    }

    fn send(&mut self, id: u64, send: Outgoing<E::Message>) {
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
                let sent = Event::Sent { to: NodeId(to), first, last, bytes };
                let packet = Packet { from: id, to, message, entries };
                if to == id {
                    self.step(id, sent);
                    self.deliver(&packet);
                } else {
                    self.packets.push(packet);
                    self.step(id, sent);
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

    /// Whatever a member takes for committed is what every other takes for committed: the same value, and where a log has
    /// no holes the same entry.
    fn note_committed(&mut self, id: u64, before: Index, commit: Index) {
        let entries = self.members[&id].disk.view().entries();
        for (index, entry) in entries.range(before.next()..).take_while(|(index, _)| **index <= commit) {
            let known = self.committed.entry(*index).or_insert_with(|| entry.clone());
            let same = if E::CAPABILITIES.holes { value(known) == value(entry) } else { known == entry };
            assert!(same, "what is committed never changes: {known:?}, and {entry:?} on node {id}");
        }
    }

    /// Applies what is committed and durable.
    pub fn apply(&mut self, id: u64) {
        let member = self.member(id);
        let Some(engine) = member.engine.as_ref().filter(|_| self.applying) else { return };
        let durable = member.disk.durable().outline().first_hole(member.applied.next()).prev();
        let upto = engine.standing().commit.min(durable);
        if upto > member.applied {
            self.member_mut(id).applied = upto;
            self.step(id, Event::Applied(upto));
        }
    }

    /// Makes a member's oldest write durable. Whether there was one.
    pub fn complete_write(&mut self, id: u64) -> bool {
        if self.hung.contains(&id) || !self.is_up(id) {
            return false;
        }
        let Some(seq) = self.member_mut(id).disk.complete() else { return false };
        self.step(id, Event::Durable(seq));
        self.release(id);
        self.apply(id);
        true
    }

    /// Makes all of a member's writes durable. Whether there were any.
    pub fn complete_writes(&mut self, id: u64) -> bool {
        let mut any = false;
        while self.complete_write(id) {
            any = true;
        }
        any
    }

    /// Makes all writes of all members durable. Whether there were any.
    pub fn complete_all_writes(&mut self) -> bool {
        self.ids().into_iter().fold(false, |any, id| self.complete_writes(id) | any)
    }

    /// Lets a member that reads from disk get what it waits for.
    pub fn load(&mut self, id: u64) {
        let was_slow = self.slow_readers.remove(&id);
        for to in std::mem::take(&mut self.member_mut(id).loading) {
            self.step(id, Event::Loaded { to: NodeId(to) });
        }
        if was_slow {
            self.slow_readers.insert(id);
        }
    }
}
