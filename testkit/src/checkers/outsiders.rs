//! A disk that took the place of a lost one holds nothing, and its node neither leads nor stands for election, until its
//! member was taken out and added again: until somebody's membership awaits it.

use std::collections::BTreeSet;

use consensus_api::{Engine, NodeId, Role};

use super::{Checked, violated};
use crate::simulator::Member;

pub(super) const NAME: &str = "outsiders";

/// Which of those that have lost their disks were added again since.
#[derive(Debug, Default)]
pub(super) struct Outsiders {
    added: BTreeSet<NodeId>,
}

impl Outsiders {
    /// Whether it has lost its disk, and was not added again.
    pub(super) fn has<E: Engine>(&self, member: &Member<E>) -> bool {
        member.wiped && !self.added.contains(&member.id)
    }

    /// A member has done something: it may have added others.
    pub(super) fn look<E: Engine>(&mut self, members: &[Member<E>], at: usize) {
        let Some(engine) = members[at].engine().filter(|_| !self.has(&members[at])) else { return };
        let membership = engine.membership();
        // Whoever is still being introduced, or added again, knows nobody by any disk.
        if membership.store(members[at].id).is_none() {
            return;
        }
        let awaits = |id| membership.contains(id) && membership.store(id).is_none();
        let awaited = members.iter().filter(|member| member.wiped && awaits(member.id));
        self.added.extend(awaited.map(|member| member.id));
    }

    pub(super) fn stepped<E: Engine>(&self, member: &Member<E>) -> Checked {
        let Some(engine) = member.engine().filter(|_| self.has(member)) else { return Ok(()) };
        let (outline, role) = (member.disk.outline(), engine.standing().role);
        let is_empty =
            outline.snapshot.is_none() && outline.hard_state.is_none() && outline.runs().is_empty();
        if is_empty && !matches!(role, Role::Leader | Role::Candidate) {
            return Ok(());
        }
        let what = format!("node {} is {} on a disk that holds {outline:?}", member.id, role.as_str());
        violated("a wiped disk takes no part until its node is added again", what)
    }
}
