//! What happens to a node, and what a node wants done.

use std::time::Duration;

use consensus_api::{Engine, Index, NodeId, Op, Role, SendError, Standing, StorageError, Time};
use node::{ApplyWork, Chunk, LoadPurpose, Outputs, Reply};

use super::history::Result as Outcome;
use super::machine::KEYS;
use super::member::{OpId, Running};
use super::run::Checked;
use super::sessions::IN_SESSION;
use super::{Happening, Own, Simulation, Violation, essence, position};

/// How long a log waits before it looks whether there is room again.
const FULL_FOR: Duration = Duration::from_millis(50);

impl<E: Engine> Simulation<E> {
    pub(super) fn own(&mut self, node: NodeId, life: u64, what: Own) -> Checked {
        let (now, at) = (self.now, position(node));
        let member = &mut self.members[at];
        if member.life != life {
            return Ok(());
        }
        let local = member.local(now);
        let Some(running) = &mut member.running else { return Ok(()) };
        match what {
            Own::Wake => running.alarm = Time::MAX,
            Own::Written => match member.disk.finish() {
                Ok(Some(seq)) => {
                    running.replica.durable(local, seq);
                    self.checkers.written(&self.members, at)?;
                }
                // The disk is full: the log tries again a little later.
                Ok(None) if member.disk.is_writing() => self.to(at, FULL_FOR, Own::Written),
                Ok(None) => {}
                Err(error) => {
                    self.disk_failed(at, &error);
                    return Ok(());
                }
            },
            Own::Apply => return self.apply(at),
            Own::Loaded(load) => {
                let entries = match member.disk.read(load.range.clone(), load.bytes_max) {
                    Ok(entries) => entries,
                    Err(error) => {
                        self.disk_failed(at, &error);
                        return Ok(());
                    }
                };
                running.replica.loaded(local, &load, Ok(entries));
                self.count(if load.purpose == LoadPurpose::Apply {
                    "entries reloaded to apply"
                } else {
                    "entries reloaded for a peer"
                });
            }
            Own::ChunkRead { to, index, offset } => {
                let found =
                    member.disk.snapshot().filter(|(mark, _)| index.is_none_or(|it| it == mark.index));
                let chunk = found.map(|(mark, bytes)| {
                    let upto = bytes.len().min(offset as usize + CHUNK_BYTES);
                    let piece = bytes.slice(offset as usize..upto);
                    Chunk { mark: mark.clone(), total: bytes.len() as u64, offset, bytes: piece }
                });
                running.replica.chunk_read(local, to, chunk.ok_or_else(|| "there is a newer one".to_owned()));
            }
            Own::ChunkWrite { from, chunk } => return self.chunk_written(at, from, chunk),
            Own::SnapshotKept { mark, bytes } => {
                if let Err(error) = member.disk.keep(mark.clone(), bytes) {
                    self.disk_failed(at, &error);
                    return Ok(());
                }
                running.replica.snapshot_taken(local, Ok(mark));
                self.count("snapshots taken");
            }
        }
        self.settle(at)
    }

    /// A disk cannot do what it was asked: the node is told, and stops.
    fn disk_failed(&mut self, at: usize, error: &StorageError) {
        let cause = error.to_string();
        if let Some(running) = &mut self.members[at].running {
            running.replica.stop(cause.clone());
        }
        self.stopped_by_disk(at, &cause);
    }

    fn chunk_written(&mut self, at: usize, from: NodeId, chunk: Chunk) -> Checked {
        let now = self.now;
        let member = &mut self.members[at];
        let local = member.local(now);
        let Some(running) = &mut member.running else { return Ok(()) };
        let Chunk { mark, total, offset, bytes } = chunk;
        let (known, mut held) = running.receiving.remove(&from).unwrap_or_default();
        if known != mark {
            held = Vec::new();
        }
        if held.len() as u64 == offset {
            held.extend_from_slice(&bytes);
        }
        let held_bytes = held.len() as u64;
        if held_bytes >= total {
            if let Err(error) = member.disk.keep(mark.clone(), held.into()) {
                self.disk_failed(at, &error);
                return Ok(());
            }
            running.replica.snapshot_received(local, from, mark, total);
            self.count("snapshots received");
            let sender = self.members[position(from)].engine().map(|engine| engine.standing().role);
            if sender == Some(Role::Follower) {
                self.count("snapshots received from a follower");
            }
        } else {
            let index = mark.index;
            running.receiving.insert(from, (mark, held));
            running.replica.chunk_written(from, index, held_bytes);
        }
        self.settle(at)
    }

    /// Carries out the next piece of work for the state machine.
    fn apply(&mut self, at: usize) -> Checked {
        let now = self.now;
        let member = &mut self.members[at];
        let local = member.local(now);
        let Some(running) = &mut member.running else { return Ok(()) };
        match running.apply.pop_front() {
            Some(ApplyWork::Entry { entry, tickets }) if entry.index > running.applier.applied() => {
                let mut tickets = tickets.into_iter();
                let (mut answers, mut replies) = (Vec::new(), Vec::new());
                let applied = running.applier.apply(&entry, |reply| match (tickets.next(), reply) {
                    (Some(ticket), Reply::Answer(answer)) => answers.push((ticket, answer)),
                    (Some(ticket), Reply::Session(reply)) => replies.push((ticket, reply)),
                    (None, _) => {}
                });
                applied.map_err(|failure| Violation { property: "apply never fails", what: failure.0 })?;
                let digest = running.applier.machine().digest;
                running.replica.applied(local, entry.index);
                self.checkers.applied(&self.members, at, &entry, digest)?;
                if !self.members[at].holds(entry.index, essence(&entry)) {
                    self.count("entries applied ahead of the disk");
                }
                for (op, answer) in answers {
                    self.checkers.acknowledged(&self.members, Index(answer.0), essence(&entry))?;
                    self.history.end(op, now, Outcome::Wrote(answer));
                    self.count("writes answered");
                }
                for (ticket, reply) in replies {
                    self.replied(ticket, reply)?;
                }
            }
            Some(ApplyWork::Restore(mark)) => {
                let snapshot =
                    member.disk.snapshot().filter(|(newest, _)| newest.index >= mark.index).cloned();
                let missing =
                    || Violation { property: "snapshots are kept", what: format!("{mark:?} is gone") };
                let (mark, bytes) = snapshot.ok_or_else(missing)?;
                let restored = running.applier.restore(mark.clone(), &mut &bytes[..]);
                restored.map_err(|failure| Violation { property: "snapshots restore", what: failure.0 })?;
                let digest = running.applier.machine().digest;
                running.replica.applied(local, mark.index);
                self.checkers.restored(&mark, digest)?;
                self.count("snapshots restored");
            }
            Some(ApplyWork::Snapshot) => {
                let (mark, bytes) =
                    running.snapshot().map_err(|what| Violation { property: "snapshots are taken", what })?;
                let wait = Duration::from_micros(self.chances.apply.between(100, 50_000));
                self.to(at, wait, Own::SnapshotKept { mark, bytes });
            }
            Some(ApplyWork::Founded(members)) => running.applier.founded(members),
            Some(ApplyWork::Entry { .. }) | None => {}
        }
        self.settle(at)
    }

    fn read(&mut self, at: usize, ops: Vec<OpId>) {
        let now = self.now;
        let Some(running) = &mut self.members[at].running else { return };
        let (ledger, engine) = (running.applier.machine(), running.replica.engine());
        let node = running.replica.identity().node;
        let alone = engine.membership().quorum_holds(|voter| voter == node);
        let seen = ledger.applied.len() as u64;
        for op in ops {
            let value = ledger.latest.get(&(op % KEYS)).copied();
            let mark = self.history.read_answered(op, now, seen, value, alone);
            *self.report.counts.entry(mark).or_default() += 1;
        }
    }

    /// Lets a replica carry on, checks it, and does what it asks for.
    pub(super) fn settle(&mut self, at: usize) -> Checked {
        let now = self.now;
        let member = &mut self.members[at];
        let (id, local, wall) = (member.id, member.local(now), member.wall(now));
        let Some(running) = &mut member.running else { return Ok(()) };
        running.replica.advance(local, wall);
        if let Some(cause) = running.replica.stopped() {
            return Err(Violation { property: "no node stops", what: format!("node {id}: {cause}") });
        }
        let out = std::mem::take(running.replica.outputs());
        let (deadline, standing) = (running.replica.deadline(), running.replica.standing());
        let before = std::mem::replace(&mut running.standing, standing);
        let hears = |it: &Running<E>| it.replica.refused_stores().iter().any(|refusal| refusal.node == id);
        if member.wiped && !member.refused && hears(running) {
            member.refused = true;
            *self.report.counts.entry("wiped disks refused").or_default() += 1;
        }
        self.note_standing(at, before, standing);
        self.checkers.stepped(&self.members, at, before, &mut self.report.checks)?;
        let odds = if self.is_calm() { 0 } else { self.faults.crash_in_step_one_in };
        if self.chances.step.one_in(odds) && self.strikes() {
            self.crash_in_step(at, out);
            return Ok(());
        }
        self.carry_out(at, out);
        self.wake_by(at, deadline);
        Ok(())
    }

    fn note_standing(&mut self, at: usize, before: Standing, after: Standing) {
        let node = self.members[at].id;
        self.journal.moved(self.now, node, before, after);
        self.committed = self.committed.max(after.commit);
        match (before.role, after.role) {
            (Role::Leader, Role::Leader) => {}
            (_, Role::Leader) => self.count("elections"),
            (Role::Leader, _) => self.count("leaders deposed"),
            _ => {}
        }
    }

    /// The node dies with some of what it was about to do done: nobody promises in which order a driver does it.
    fn crash_in_step(&mut self, at: usize, mut out: Outputs<OpId, OpId>) {
        self.count("crashes in a step");
        let chance = &mut self.chances.step;
        out.frames.truncate(chance.below(out.frames.len() as u64 + 1) as usize);
        if chance.one_in(2) {
            out.write = None;
        }
        if chance.one_in(2) {
            out.failed.clear();
            out.failed_reads.clear();
        }
        let (apply, reads) = (chance.one_in(2), chance.one_in(2));
        out.apply.retain(|_| apply);
        out.reads.retain(|_| reads);
        let down = Duration::from_micros(chance.below(self.faults.down_max_ms * 1000));
        self.carry_out(at, out);
        self.crash(at, down);
    }

    fn carry_out(&mut self, at: usize, mut out: Outputs<OpId, OpId>) {
        let now = self.now;
        // Who asked in a session asks again anyway.
        for (op, error) in out.failed.drain(..).filter(|(op, _)| op & IN_SESSION == 0) {
            self.failed(op, &error, true);
        }
        for (op, error) in out.failed_reads.drain(..) {
            self.failed(op, &error, false);
        }
        for (ticket, result) in out.administered.drain(..) {
            self.administered(ticket, result);
        }
        if let Some((seq, batch)) = out.write.take() {
            let wait = self.write_time();
            let held = self.members[at].disk.outline();
            let overwrites = |op: &Op| match op {
                Op::TruncateFrom(from) => *from <= held.last(),
                Op::Put(entry) => held.generation_at(entry.index).is_some_and(|old| old != entry.generation),
                _ => false,
            };
            if batch.ops().iter().any(overwrites) {
                self.count("entries overwritten");
            }
            match self.members[at].disk.begin(seq, batch) {
                Ok(true) => self.to(at, wait, Own::Written),
                Ok(false) => {}
                Err(error) => {
                    self.disk_failed(at, &error);
                    return;
                }
            }
        }
        let id = self.members[at].id;
        let known = self.members.len();
        for frame in out.frames.drain(..).filter(|frame| position(frame.to) < known) {
            self.report.trace = super::mix(self.report.trace, frame.frame.len() as u64 ^ frame.to.0 << 32);
            let sent = self.network.send(now, id, frame.to, &frame.frame);
            for arrival in sent.arrivals {
                let (from, to, connection) = (id, frame.to, sent.connection);
                self.at(arrival, Happening::Frame { from, to, connection, frame: frame.frame.clone() });
            }
            let member = &mut self.members[at];
            let local = member.local(now);
            if let Some(running) = member.running.as_mut().filter(|_| sent.full) {
                running.replica.not_sent(local, frame.to, None, SendError::Full);
            }
        }
        for load in out.loads.drain(..) {
            let wait = self.write_time();
            self.to(at, wait, Own::Loaded(load));
        }
        let soon = Duration::from_micros(300);
        for read in out.chunk_reads.drain(..) {
            self.to(at, soon, Own::ChunkRead { to: read.to, index: read.index, offset: read.offset });
        }
        for write in out.chunk_writes.drain(..) {
            self.to(at, soon, Own::ChunkWrite { from: write.from, chunk: write.chunk });
        }
        self.hand_over(at, out.apply, out.reads);
    }

    fn hand_over(&mut self, at: usize, apply: Vec<ApplyWork<OpId>>, reads: Vec<OpId>) {
        for work in apply {
            if let Some(running) = &mut self.members[at].running {
                running.apply.push_back(work);
            }
            let slow = if self.chances.apply.one_in(50) { 100_000 } else { 50 };
            let wait = Duration::from_micros(self.chances.apply.between(1, slow));
            self.to(at, wait, Own::Apply);
        }
        self.read(at, reads);
    }

    /// Makes sure that a node wakes when its own clock shows `deadline`.
    fn wake_by(&mut self, at: usize, deadline: Time) {
        let member = &mut self.members[at];
        let wake = member.global(deadline);
        let Some(running) = &mut member.running else { return };
        if wake < running.alarm {
            running.alarm = wake;
            let wait = wake.since(self.now).max(Duration::from_micros(1));
            self.to(at, wait, Own::Wake);
        }
    }

    fn to(&mut self, at: usize, wait: Duration, what: Own) {
        let (node, life) = (self.members[at].id, self.members[at].life);
        self.at(self.now + wait, Happening::To { node, life, what });
    }

    fn write_time(&mut self) -> Duration {
        let chance = &mut self.chances.disk;
        let mut micros = chance.between(self.faults.write_min_us, self.faults.write_max_us);
        if self.calm_since.is_none() && chance.one_in(self.faults.stall_one_in) {
            micros += chance.below(self.faults.stall_max_us);
        }
        Duration::from_micros(micros)
    }
}

/// Snapshots travel in pieces this small, so that several are needed.
const CHUNK_BYTES: usize = 512;
