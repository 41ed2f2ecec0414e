//! Operators: they add members, give them votes, take them out, and let another lead, whatever goes wrong meanwhile.

use std::collections::BTreeMap;
use std::time::Duration;

use consensus_api::{Engine, Error, Membership, NodeId, Role};
use node::Errand;

use super::run::Checked;
use super::{Happening, Simulation, position};

/// Everything that operators asked for, by ticket.
#[derive(Clone, Debug, Default)]
pub struct Errands {
    asked: BTreeMap<u64, Asked>,
}

/// One errand.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The node it was asked of, and which life of it.
    of: (NodeId, u64),
    /// What is wanted.
    pub errand: Errand,
    /// It is about whoever led when it was asked for.
    of_leader: bool,
    /// Whom it takes out, of those that the node knew as members.
    leaving: Vec<NodeId>,
    /// How it ended, if it did; with the node that was asked nobody is told.
    pub end: Option<Result<(), Error>>,
}

impl Errands {
    /// The errands, in the order in which they were asked for.
    pub fn iter(&self) -> impl Iterator<Item = &Asked> {
        self.asked.values()
    }

    /// Those that nobody has answered.
    pub(crate) fn open(&self) -> impl Iterator<Item = &Asked> {
        self.iter().filter(|asked| asked.end.is_none())
    }

    /// Whether an errand brings this node back, or may: one that is open, or that was asked for after that one and not refused.
    pub(crate) fn may_bring_back(&self, node: NodeId, after: u64) -> bool {
        let may = |ticket: u64, asked: &Asked| match &asked.end {
            None => true,
            Some(Ok(())) => ticket > after,
            Some(Err(error)) => ticket > after && error.may_have_happened(),
        };
        let brings = |asked: &Asked| match &asked.errand {
            Errand::AddLearner { node: added, .. } | Errand::Promote { node: added } => *added == node,
            Errand::Replace { membership } => membership.contains(node),
            Errand::Remove { .. } | Errand::SetAddress { .. } | Errand::Transfer { .. } => false,
        };
        self.asked.iter().any(|(ticket, asked)| may(*ticket, asked) && brings(asked))
    }

    /// The node is gone: whoever asked it will not be told.
    pub(crate) fn lose(&mut self, node: (NodeId, u64)) {
        let lost = self.asked.values_mut().filter(|asked| asked.of == node && asked.end.is_none());
        lost.for_each(|asked| asked.end = Some(Err(Error::OutcomeUnknown { reason: "its node is gone" })));
    }
}

impl<E: Engine> Simulation<E> {
    /// Queues what operators will ask for.
    pub(super) fn plan_errands(&mut self) {
        self.plan_errand(false);
        self.plan_errand(true);
    }

    fn plan_errand(&mut self, transfer: bool) {
        let mean_ms = if transfer { self.faults.transfer_every_ms } else { self.faults.change_every_ms };
        if mean_ms > 0 {
            let wait = Duration::from_micros(self.chances.operator.between(1, 2 * mean_ms * 1000));
            self.at(self.now + wait, Happening::Administer { transfer });
        }
    }

    /// An operator wants something, of some node.
    pub(super) fn administer(&mut self, transfer: bool) -> Checked {
        if self.is_calm() {
            return Ok(());
        }
        self.plan_errand(transfer);
        let count = self.members.len() as u64;
        let at = self.chances.operator.below(count) as usize;
        let to = self.chances.operator.one_in(2).then(|| NodeId(self.chances.operator.below(count) + 1));
        let Some(members) = self.members[at].engine().map(|engine| engine.membership().clone()) else {
            return Ok(());
        };
        let errand = if transfer { Errand::Transfer { to } } else { self.wish(&members) };
        self.ask_errand(at, errand)
    }

    /// Asks a node for something, if it can be asked.
    pub(super) fn ask_errand(&mut self, at: usize, errand: Errand) -> Checked {
        let now = self.now;
        let of_leader = matches!(errand, Errand::Remove { node } if self.leads(node));
        let member = &mut self.members[at];
        let (local, of) = (member.local(now), (member.id, member.life));
        let Some(running) = member.running.as_mut().filter(|_| now >= member.paused_until) else {
            return Ok(());
        };
        let ticket = self.errands.asked.len() as u64 + 1;
        let leaving = leaving(running.replica.engine().membership(), &errand);
        running.replica.administer(local, errand.clone(), ticket);
        self.journal.tell(now, || format!("an operator asks node {}: {errand:?}", of.0));
        self.errands.asked.insert(ticket, Asked { of, errand, of_leader, leaving, end: None });
        self.settle(at)
    }

    /// What an operator may want who believes these to be the members. Some of it makes no sense, and is refused.
    fn wish(&mut self, members: &Membership) -> Errand {
        let all: Vec<NodeId> = self.members.iter().map(|member| member.id).collect();
        let outside: Vec<NodeId> = all.iter().copied().filter(|node| !members.contains(*node)).collect();
        let inside: Vec<NodeId> = members.members().collect();
        let chance = &mut self.chances.operator;
        let kind = chance.below(6);
        let (newcomer, learner) = (chance.pick(&outside).copied(), chance.pick(members.learners()).copied());
        let (anyone, leaving) = (chance.pick(&all).copied(), chance.pick(&inside).copied());
        let node = anyone.unwrap_or_default();
        match (kind, newcomer, learner, leaving) {
            (0 | 1, Some(node), _, _) => Errand::AddLearner { node, address: format!("node-{node}") },
            (1..=3, _, Some(node), _) => Errand::Promote { node },
            (2, _, None, _) => Errand::SetAddress { node, address: format!("elsewhere-{node}") },
            (3 | 4, _, _, Some(node)) => Errand::Remove { node },
            _ => {
                let voters: Vec<NodeId> = all.iter().copied().filter(|_| chance.one_in(2)).collect();
                let learners = all.iter().copied().filter(|_| chance.one_in(4));
                let membership = Membership::new(voters, [], learners).unwrap_or_default();
                Errand::Replace { membership }
            }
        }
    }

    fn leads(&self, node: NodeId) -> bool {
        let engine = self.members[position(node)].engine();
        engine.is_some_and(|engine| engine.standing().role == Role::Leader)
    }

    /// An errand has come to its end.
    pub(super) fn administered(&mut self, ticket: u64, result: Result<(), Error>) {
        let now = self.now;
        let Some(asked) = self.errands.asked.get_mut(&ticket) else { return };
        let mark = match (&result, &asked.errand) {
            (Err(error), _) if error.may_have_happened() => "errands of unknown outcome",
            (Err(_), _) => "errands refused",
            (Ok(()), Errand::AddLearner { .. }) => "learners added",
            (Ok(()), Errand::Promote { .. }) => "voters promoted",
            (Ok(()), Errand::Remove { .. }) if asked.of_leader => "leaders removed",
            (Ok(()), Errand::Remove { .. }) => "members removed",
            (Ok(()), Errand::SetAddress { .. }) => "addresses changed",
            (Ok(()), Errand::Replace { .. }) => "memberships replaced",
            (Ok(()), Errand::Transfer { .. }) => "leadership handed over",
        };
        self.journal.tell(now, || format!("an operator's errand ends: {:?}: {result:?}", asked.errand));
        let leaving = if result.is_ok() { std::mem::take(&mut asked.leaving) } else { Vec::new() };
        asked.end = Some(result);
        self.count(mark);
        self.plan_retirements(ticket, leaving);
    }
}

/// Whom this errand takes out of these members.
fn leaving(members: &Membership, errand: &Errand) -> Vec<NodeId> {
    let leaves = |node: &NodeId| match errand {
        Errand::Remove { node: removed } => removed == node,
        Errand::Replace { membership } => !membership.contains(*node),
        _ => false,
    };
    members.members().filter(leaves).collect()
}

/// How many nodes wait to be added, where members change.
pub(super) const SPARES: u64 = 2;
/// How long an operator waits for the end of a change.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);
