//! Removed members are switched off for good: whoever is told that a change is done may do so at once.

use std::time::Duration;

use consensus_api::{Engine, NodeId, Role, Time};

use super::{Happening, Simulation, position};

impl<E: Engine> Simulation<E> {
    /// A change was answered as done, which took these out: some operators clear up, now or a little later.
    pub(super) fn plan_retirements(&mut self, ticket: u64, leaving: Vec<NodeId>) {
        for node in leaving {
            let chance = &mut self.chances.retirement;
            let wait =
                if chance.one_in(2) { Duration::ZERO } else { Duration::from_micros(chance.below(500_000)) };
            if chance.one_in(self.faults.retire_one_in) {
                self.at(self.now + wait, Happening::Retire { node, ticket });
            }
        }
    }

    /// A removed node loses its power and its disk, and never comes back. Unless somebody else has asked for it again: operators
    /// who want opposite things have to agree first. Or unless it is a founder whose word another one still needs.
    pub(super) fn retire(&mut self, node: NodeId, ticket: u64) {
        let at = position(node);
        let wanted = self.errands.may_bring_back(node, ticket) || self.is_member_again(node);
        if self.is_calm() || self.members[at].lost || wanted || !self.is_founded() || !self.strikes() {
            return;
        }
        let member = &mut self.members[at];
        (member.lost, member.running, member.paused_until) = (true, None, Time::ZERO);
        member.disk.wipe(&mut self.chances.retirement);
        self.checkers.wiped(&self.members[at], at);
        let how = "was removed, and is switched off for good";
        self.fell(at, "removed members switched off", how, Duration::ZERO);
    }

    /// Whether the newest leader counts it among those who will take part.
    fn is_member_again(&self, node: NodeId) -> bool {
        let leading = self.members.iter().filter_map(|member| {
            let engine = member.engine()?;
            let standing = engine.standing();
            (standing.role == Role::Leader).then_some((standing.generation, engine.membership()))
        });
        let newest = leading.max_by_key(|(generation, _)| *generation);
        newest.is_some_and(|(_, members)| members.clone().without_outgoing().contains(node))
    }
}
