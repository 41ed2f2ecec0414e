//! What lies on a member's disk before it starts, and snapshots: taken, and carried to another.

use consensus_api::{
    Engine, Entry, Event, Generation, Index, Membership, NodeId, Op, Outline, SnapshotMark, Time,
};

use super::Workbench;
use super::member::Bench;
use crate::simulator::Image;

impl<E: Engine> Workbench<E> {
    /// Starts a member again on a disk that was made up: this hard state, a snapshot that covers everything up to an
    /// index (none if that is zero), and behind it empty entries of these rounds. Round `r` was led by the same member
    /// on all disks.
    pub fn start_on(&mut self, node: NodeId, hard_state: Op, snapshot: Index, rounds: &[u64]) {
        let leader_of = |round: u64| NodeId(round % (self.members.len() as u64).max(1) + 1);
        let generation = |round| Generation::new(round, leader_of(round));
        let mut ops = vec![hard_state];
        if snapshot > Index::ZERO {
            let mark = SnapshotMark {
                index: snapshot,
                generation: generation(1),
                membership: self.founders.clone(),
            };
            ops.push(Op::Compact { upto: snapshot, generation: mark.generation });
            ops.insert(1, Op::SnapshotMark(mark));
        }
        let entries = rounds.iter().zip(snapshot.0 + 1..);
        ops.extend(entries.map(|(round, index)| Op::Put(Entry::noop(generation(*round), Index(index)))));
        let mut disk = Image::default();
        disk.write(ops.into_iter().collect());
        let (now, lives) =
            self.members.get(&node).map_or((Time::ZERO, 0), |member| (member.now, member.lives));
        let member = Bench { view: disk.clone(), durable: disk, now, lives, ..Bench::default() };
        self.members.insert(node, member);
        self.start(node);
    }

    /// Starts a member again on what its disk holds, save for this hard state: as if it had stood in a round that nobody
    /// else heard of.
    pub fn start_with(&mut self, node: NodeId, hard_state: Op) {
        if let Some(member) = self.members.get_mut(&node) {
            member.crash();
            for image in [&mut member.durable, &mut member.view] {
                image.write([hard_state.clone()].into_iter().collect());
            }
            self.start(node);
        }
    }

    /// A member takes a snapshot of all that it has applied, and keeps so many entries behind it. `false` if nothing is
    /// applied.
    pub fn snapshot(&mut self, node: NodeId, kept: u64) -> bool {
        let Some(member) = self.members.get(&node) else { return false };
        let (index, outline) = (member.applied, member.view.outline());
        let Some(generation) = outline.generation_at(index).filter(|_| index > Index::ZERO) else {
            return false;
        };
        let membership = membership_at(outline, index).unwrap_or_else(|| self.founders.clone());
        let keep_from = Index(index.0.saturating_sub(kept)).next();
        let mark = SnapshotMark { index, generation, membership };
        self.step(node, Event::SnapshotTaken { mark, keep_from });
        true
    }

    /// The newest snapshot of one member reaches another that needs it. `false` if the one does not want to send it.
    pub fn carry_snapshot(&mut self, from: NodeId, to: NodeId) -> bool {
        let Some(sender) = self.members.get_mut(&from) else { return false };
        let Some(mark) =
            sender.view.outline().snapshot.clone().filter(|_| sender.snapshots_needed.remove(&to))
        else {
            return false;
        };
        let upto = Some(mark.index);
        self.step(to, Event::SnapshotReceived { from, mark });
        self.step(from, Event::SnapshotSent { to, upto });
        true
    }
}

/// The membership as of an entry, if the log tells.
fn membership_at(outline: &Outline, index: Index) -> Option<Membership> {
    let logged = outline.memberships().iter().rev().find(|entry| entry.index <= index);
    match logged {
        Some(entry) => Membership::decode(&entry.body).ok(),
        None => outline.snapshot.as_ref().map(|mark| mark.membership.clone()),
    }
}
