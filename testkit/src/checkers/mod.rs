//! One checker per property. They look at every step of a simulation, and know nothing of how an engine works.
//!
//! One can be made to look alone ([`Run::watched_by`](crate::simulator::Run::watched_by)).

mod agreement;
mod answers;
mod bounds;
mod chosen;
mod completeness;
mod digests;
mod durability;
mod invariants;
mod leaders;
mod linearizability;
mod matching;
mod monotony;
mod order;
mod speech;

use consensus_api::{Engine, Entry, Index, Membership, NodeId, Standing};

use crate::simulator::{History, Member, Violation};

/// What must be the same of a committed entry on every node.
pub(crate) type Essence = (u32, u64);

type Checked = Result<(), Violation>;

/// The names of all checkers.
pub const CHECKERS: [&str; 14] = [
    agreement::NAME,
    answers::NAME,
    bounds::NAME,
    chosen::NAME,
    completeness::NAME,
    digests::NAME,
    durability::NAME,
    invariants::NAME,
    leaders::NAME,
    linearizability::NAME,
    matching::NAME,
    monotony::NAME,
    order::NAME,
    speech::NAME,
];

/// Which checkers look: all, or one.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Watch(Option<&'static str>);

impl Watch {
    pub(crate) const fn only(checker: &'static str) -> Self {
        Self(Some(checker))
    }

    fn has(self, checker: &str) -> bool {
        self.0.is_none_or(|only| only == checker)
    }
}

/// All checkers of a simulation.
#[derive(Debug)]
pub(crate) struct Checkers<E> {
    watch: Watch,
    founders: Membership,
    agreement: agreement::Agreement,
    chosen: chosen::Chosen,
    completeness: completeness::Completeness,
    digests: digests::Digests,
    invariants: invariants::Invariants<E>,
    leaders: leaders::Leaders,
    matching: matching::Matching,
    monotony: monotony::Monotony,
}

impl<E: Engine> Checkers<E> {
    pub(crate) fn new(founders: Membership, watch: Watch) -> Self {
        let count = founders.voters().len();
        Self {
            watch,
            founders,
            agreement: agreement::Agreement::default(),
            chosen: chosen::Chosen::default(),
            completeness: completeness::Completeness::default(),
            digests: digests::Digests::default(),
            invariants: invariants::Invariants::new(count),
            leaders: leaders::Leaders::default(),
            matching: matching::Matching::default(),
            monotony: monotony::Monotony::new(count),
        }
    }

    /// A node has done something; before, it stood there.
    pub(crate) fn stepped(
        &mut self,
        members: &[Member<E>],
        at: usize,
        before: Standing,
        checks: &mut u64,
    ) -> Checked {
        if self.watch.has(invariants::NAME) {
            *checks += self.invariants.stepped(members, at);
        }
        let Some(now) = members[at].engine().map(Engine::standing) else { return Ok(()) };
        if self.watch.has(monotony::NAME) {
            *checks += 3;
            self.monotony.stepped(&members[at], at)?;
        }
        if self.watch.has(leaders::NAME) {
            *checks += 1;
            self.leaders.stepped(members[at].id, now, !E::CAPABILITIES.holes)?;
        }
        if self.watch.has(bounds::NAME) {
            *checks += 2;
            bounds::stepped(&members[at])?;
        }
        let began_to_lead = now.role != before.role || now.generation != before.generation;
        if self.watch.has(completeness::NAME) && began_to_lead {
            *checks += 1;
            self.completeness.stepped(members[at].id, now)?;
        }
        if self.watch.has(speech::NAME) {
            *checks += speech::stepped(&self.founders, members, at, began_to_lead)?;
        }
        Ok(())
    }

    /// A write of a node has become durable.
    pub(crate) fn written(&mut self, members: &[Member<E>], at: usize) -> Checked {
        if self.watch.has(matching::NAME) {
            self.matching.written(&members[at], E::CAPABILITIES.holes)?;
        }
        if self.watch.has(chosen::NAME) && E::CAPABILITIES.holes {
            self.chosen.written(&self.founders, &members[at])?;
        }
        Ok(())
    }

    pub(crate) fn crashed(&mut self, at: usize) {
        self.invariants.crashed(at);
        self.monotony.crashed(at);
    }

    pub(crate) fn restarted(&mut self, member: &Member<E>, at: usize) -> Checked {
        if self.watch.has(monotony::NAME) { self.monotony.restarted(member, at) } else { Ok(()) }
    }

    /// A node has applied an entry, and has this state now.
    pub(crate) fn applied(&mut self, node: NodeId, entry: &Entry, essence: Essence, digest: u64) -> Checked {
        self.completeness.applied(entry);
        if self.watch.has(agreement::NAME) {
            self.agreement.applied(node, entry.index, essence)?;
        }
        if self.watch.has(digests::NAME) { self.digests.state(entry.index, digest) } else { Ok(()) }
    }

    /// A node has restored a snapshot.
    pub(crate) fn restored(&mut self, index: Index, digest: u64) -> Checked {
        if self.watch.has(digests::NAME) { self.digests.state(index, digest) } else { Ok(()) }
    }

    /// A write is about to be acknowledged.
    pub(crate) fn acknowledged(&self, members: &[Member<E>], index: Index, essence: Essence) -> Checked {
        if self.watch.has(durability::NAME) {
            return durability::acknowledged(&self.founders, members, index, essence);
        }
        Ok(())
    }

    /// The run is over, and all nodes agree.
    pub(crate) fn ended(&self, history: &History, members: &[Member<E>], checks: &mut u64) -> Checked {
        let Some(ledger) = members.iter().find_map(Member::ledger) else {
            return violated("nodes run in the end", "none does".to_owned());
        };
        *checks += 3 * history.operations().count() as u64;
        if self.watch.has(answers::NAME) {
            answers::ended(history, ledger)?;
        }
        if self.watch.has(linearizability::NAME) {
            linearizability::ended(history)?;
        }
        if self.watch.has(order::NAME) { order::ended(history) } else { Ok(()) }
    }
}

pub(crate) fn violated(property: &'static str, what: String) -> Checked {
    Err(Violation { property, what })
}
