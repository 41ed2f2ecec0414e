//! What happens to a node, and what a node wants done.

use std::time::Duration;

use consensus_api::{Arrival, Engine, Frame, Index, NodeId, Payload, Time};
use node::{ApplyWork, Chunk, LoadPurpose, Reply};

use super::history::Result as Outcome;
use super::member::OpId;
use super::{Happening, Own, Simulation, Violation, essence, position};

type Checked = Result<(), Violation>;

impl<E: Engine> Simulation<E> {
    pub(super) fn frame(&mut self, from: NodeId, to: NodeId, frame: Frame) -> Checked {
        let (now, at) = (self.now, position(to));
        let member = &mut self.members[at];
        let (local, wall) = (member.local(now), member.wall(now));
        if let Some(running) = &mut member.running {
            running.replica.arrival(local, wall, Arrival::Frame { from, frame });
            self.settle(at)?;
        }
        Ok(())
    }

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
            Own::Written => {
                if let Some(seq) = member.disk.finish() {
                    running.replica.durable(local, seq);
                }
            }
            Own::Apply => return self.apply(at),
            Own::Loaded(load) => {
                let entries = member.disk.read(load.range.clone(), load.bytes_max);
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
            Own::ChunkWrite { from, chunk } => self.chunk_written(at, from, chunk),
            Own::SnapshotKept { mark, bytes } => {
                member.disk.keep(mark.clone(), bytes);
                running.replica.snapshot_taken(local, Ok(mark));
                self.count("snapshots taken");
            }
        }
        self.settle(at)
    }

    fn chunk_written(&mut self, at: usize, from: NodeId, chunk: Chunk) {
        let now = self.now;
        let member = &mut self.members[at];
        let local = member.local(now);
        let Some(running) = &mut member.running else { return };
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
            member.disk.keep(mark.clone(), held.into());
            running.replica.snapshot_received(local, from, mark, total);
            self.count("snapshots received");
        } else {
            let index = mark.index;
            running.receiving.insert(from, (mark, held));
            running.replica.chunk_written(from, index, held_bytes);
        }
    }

    /// Carries out the next piece of work for the state machine.
    fn apply(&mut self, at: usize) -> Checked {
        let now = self.now;
        let member = &mut self.members[at];
        let (local, asked) = (member.local(now), (member.id, member.life));
        let Some(running) = &mut member.running else { return Ok(()) };
        match running.apply.pop_front() {
            Some(ApplyWork::Entry { entry, tickets }) if entry.index > running.applier.applied() => {
                let mut tickets = tickets.into_iter();
                let mut answers = Vec::new();
                let applied = running.applier.apply(&entry, |reply| {
                    if let (Some(ticket), Reply::Answer(answer)) = (tickets.next(), reply) {
                        answers.push((ticket, answer));
                    }
                });
                applied.map_err(|failure| Violation { property: "apply never fails", what: failure.0 })?;
                let digest = running.applier.machine().digest;
                running.replica.applied(local, entry.index);
                self.checkers.applied(asked.0, entry.index, essence(&entry), digest)?;
                for (op, answer) in answers {
                    self.checkers.acknowledged(&self.members, Index(answer.0), essence(&entry))?;
                    self.history.end(op, now, Outcome::Wrote(answer));
                    self.count("writes answered");
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
                self.checkers.restored(mark.index, digest)?;
                self.count("snapshots restored");
            }
            Some(ApplyWork::Snapshot) => {
                let (mark, bytes) =
                    running.snapshot().map_err(|what| Violation { property: "snapshots are taken", what })?;
                let wait = Duration::from_micros(self.chances.apply.between(100, 50_000));
                self.to(at, wait, Own::SnapshotKept { mark, bytes });
            }
            Some(ApplyWork::Entry { .. }) | None => {}
        }
        self.settle(at)
    }

    fn read(&mut self, at: usize, ops: Vec<OpId>) {
        let now = self.now;
        let Some(running) = &mut self.members[at].running else { return };
        let seen = running.applier.machine().applied.len() as u64;
        for op in ops {
            self.history.end(op, now, Outcome::Read(seen));
            *self.report.counts.entry("reads answered").or_default() += 1;
        }
    }

    /// A client asks something of a node.
    pub(super) fn ask(&mut self, client: u64) -> Checked {
        let now = self.now;
        if self.calm && self.history.open() > 0 {
            return Ok(());
        }
        let wait = self.chances.client.between(100, 200_000);
        let at = self.chances.client.below(self.members.len() as u64) as usize;
        let write = !self.chances.client.one_in(3);
        let padding = self.chances.client.below(300) as usize;
        self.at(now + Duration::from_micros(wait), Happening::Ask { client });
        let burst = if self.chances.client.one_in(4) { 6 } else { 1 };
        let member = &mut self.members[at];
        let (local, asked) = (member.local(now), (member.id, member.life));
        if now < member.paused_until {
            return Ok(());
        }
        let Some(running) = &mut member.running else { return Ok(()) };
        for _ in 0..burst {
            let op: OpId = self.history.begin(asked, now, write);
            if write {
                let mut command = bytes::BytesMut::new();
                let encoded = (op, vec![7_u8; padding]).encode(&mut command);
                encoded.map_err(|error| Violation { property: "commands encode", what: error.0 })?;
                running.replica.propose(local, command.freeze(), op);
            } else {
                running.replica.read(local, op);
            }
        }
        self.settle(at)
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
        let mut out = std::mem::take(running.replica.outputs());
        let deadline = running.replica.deadline();
        self.checkers.stepped(&self.members, at, &mut self.report.checks)?;
        for (op, error) in out.failed.drain(..).chain(out.failed_reads.drain(..)) {
            self.history.fail(op, now, &error);
            self.count(if error.may_have_happened() { "outcomes unknown" } else { "requests refused" });
        }
        if let Some((seq, batch)) = out.write.take() {
            let wait = self.write_time();
            if self.members[at].disk.begin(seq, batch) {
                self.to(at, wait, Own::Written);
            }
        }
        for frame in out.frames.drain(..) {
            self.report.trace = super::mix(self.report.trace, frame.frame.len() as u64 ^ frame.to.0 << 32);
            for arrival in self.network.send(now, id, frame.to, &frame.frame) {
                self.at(arrival, Happening::Frame { from: id, to: frame.to, frame: frame.frame.clone() });
            }
        }
        for load in out.loads.drain(..) {
            let wait = self.write_time();
            self.to(at, wait, Own::Loaded(load));
        }
        for read in out.chunk_reads.drain(..) {
            self.to(
                at,
                Duration::from_micros(300),
                Own::ChunkRead { to: read.to, index: read.index, offset: read.offset },
            );
        }
        for write in out.chunk_writes.drain(..) {
            self.to(at, Duration::from_micros(300), Own::ChunkWrite { from: write.from, chunk: write.chunk });
        }
        self.hand_over(at, out.apply, out.reads);
        self.wake_by(at, deadline);
        Ok(())
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
        if !self.calm && chance.one_in(self.faults.stall_one_in) {
            micros += chance.below(self.faults.stall_max_us);
        }
        Duration::from_micros(micros)
    }
}

/// Snapshots travel in pieces this small, so that several are needed.
const CHUNK_BYTES: usize = 512;
