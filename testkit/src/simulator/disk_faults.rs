//! What goes wrong with disks: they fail, they are full; they rot, or are replaced by an older copy or an empty one. Never
//! more than a minority of them is lost in a run: beyond that nothing is promised.

use std::time::Duration;

use consensus_api::{Engine, Membership, NodeId, StoreId, Time};
use node::Errand;

use super::medium::DiskFault;
use super::run::Checked;
use super::{Happening, Simulation, position};
use crate::Random;

impl<E: Engine> Simulation<E> {
    /// Whether every founder knows by which disk each of the others is known, save those that lost theirs. A cluster is founded
    /// by all, so nobody may be gone before.
    pub(super) fn is_founded(&self) -> bool {
        let knows_all =
            |member: &super::Member<E>| is_hit(member) || member.disk.outline().snapshot.is_some();
        self.members.iter().filter(|member| member.is_founder()).all(knows_all)
    }

    /// Whether this node may lose its disk.
    fn may_lose(&self, at: usize) -> bool {
        let hit = self.members.iter().filter(|member| is_hit(member)).count();
        let member = &self.members[at];
        member.running.is_some() && !is_hit(member) && (hit + 1) * 2 < self.members.len() && self.is_founded()
    }

    /// One of the next operations of a disk will fail, or find no room.
    pub(super) fn disk_error(&mut self, at: usize, chance: &mut Random) {
        let fault = if chance.one_in(2) { DiskFault::Error } else { DiskFault::Full };
        if self.members[at].disk.strike(fault, chance) {
            self.count(fault.name());
        }
    }

    /// A node ends in order, and what it holds is damaged before it starts again.
    pub(super) fn damage(&mut self, at: usize, chance: &mut Random) {
        if !self.may_lose(at) {
            return;
        }
        let fault =
            [DiskFault::FlippedBit, DiskFault::ZeroedSector, DiskFault::RolledBack, DiskFault::RolledBack]
                [chance.below(4) as usize];
        // A close that fails leaves no mark behind the last batch, and without one damage to it looks like a tear.
        self.members[at].disk.calm();
        self.members[at].end();
        if self.members[at].disk.strike(fault, chance) {
            self.members[at].disk.damaged = Some(fault);
            self.count(if fault == DiskFault::RolledBack { fault.name() } else { "disks damaged" });
        }
        let how = format!("ends; on its disk: {}", fault.name());
        self.fell(at, "orderly ends", &how, Duration::from_millis(200));
    }

    /// A node crashes, and an empty disk is put in the place of its own. It is neither believed nor lets itself be heard
    /// until its node was taken out and added again; where that can be done, somebody does.
    pub(super) fn wipe(&mut self, at: usize, chance: &mut Random) {
        if !self.may_lose(at) {
            return;
        }
        let member = &mut self.members[at];
        (member.wiped, member.running, member.paused_until) = (true, None, Time::ZERO);
        member.disk.wipe(chance);
        self.checkers.wiped(&self.members[at], at);
        self.count(DiskFault::Wiped.name());
        let down = Duration::from_micros(chance.below(self.faults.down_max_ms * 1000 + 1000));
        self.fell(at, "crashes", "loses its disk; it has an empty one now", down);
        if E::CAPABILITIES.membership_change {
            let node = self.members[at].id;
            let wait = Duration::from_micros(chance.between(50_000, 2_000_000));
            self.at(self.now + wait, Happening::Readmit { node });
        }
    }

    /// An operator looks, at some member, how far it is with a node that lost its disk, and asks for the next step.
    pub(super) fn readmit(&mut self, node: NodeId) -> Checked {
        if self.is_calm() {
            return Ok(());
        }
        let wait = Duration::from_micros(self.chances.operator.between(100_000, 1_000_000));
        let at = self.chances.operator.below(self.members.len() as u64) as usize;
        let members =
            self.members[at].engine().map(Engine::membership).filter(|_| self.members[at].id != node);
        let next = match (members, self.members[position(node)].store()) {
            (Some(members), Some(own)) => next_step(members, node, own),
            _ => Next::Wait,
        };
        if let Next::Nothing = next {
            self.count("wiped members added again");
            return Ok(());
        }
        self.at(self.now + wait, Happening::Readmit { node });
        if let Next::Ask(errand) = next { self.ask_errand(at, errand) } else { Ok(()) }
    }
}

fn is_hit<E: Engine>(member: &super::Member<E>) -> bool {
    member.lost || member.disk.damaged.is_some() || member.wiped
}

/// What is to be done for a node that has lost its disk.
enum Next {
    Ask(Errand),
    Wait,
    Nothing,
}

/// What these members say of how far it is with a node that has this disk now.
fn next_step(members: &Membership, node: NodeId, own: StoreId) -> Next {
    match members.store(node) {
        Some(known) if known != own => Next::Ask(Errand::Remove { node }),
        _ if !members.contains(node) => Next::Ask(Errand::AddLearner { node, address: String::new() }),
        None => Next::Wait,
        Some(_) if members.learners().contains(&node) => Next::Ask(Errand::Promote { node }),
        Some(_) => Next::Nothing,
    }
}

/// What is counted when a storage refuses what this has left.
pub(super) const fn refused(fault: DiskFault) -> &'static str {
    match fault {
        DiskFault::RolledBack => "rolled back disks refused",
        _ => "damaged disks refused",
    }
}
