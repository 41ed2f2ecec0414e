//! One checker per property. They look at every step of a simulation, and know nothing of how an engine works.

mod agreement;
mod durability;
pub(crate) mod history;
mod invariants;
mod monotony;

use consensus_api::{Engine, Index, Membership, NodeId};

use crate::simulator::{Member, Violation};

use self::agreement::Agreement;
use self::invariants::Invariants;
use self::monotony::Monotony;

/// What must be the same of a committed entry on every node.
pub(crate) type Essence = (u32, u64);

/// All checkers of a simulation.
#[derive(Debug)]
pub(crate) struct Checkers<E> {
    founders: Membership,
    agreement: Agreement,
    invariants: Invariants<E>,
    monotony: Monotony,
}

type Checked = Result<(), Violation>;

impl<E: Engine> Checkers<E> {
    pub(crate) fn new(founders: Membership) -> Self {
        let count = founders.voters().len();
        Self {
            founders,
            agreement: Agreement::default(),
            invariants: Invariants::new(count),
            monotony: Monotony::new(count),
        }
    }

    /// A node has done something.
    pub(crate) fn stepped(&mut self, members: &[Member<E>], at: usize, checks: &mut u64) -> Checked {
        *checks += self.invariants.stepped(members, at);
        self.monotony.stepped(&members[at], at)
    }

    pub(crate) fn crashed(&mut self, at: usize) {
        self.invariants.crashed(at);
        self.monotony.crashed(at);
    }

    pub(crate) fn restarted(&mut self, member: &Member<E>, at: usize) -> Checked {
        self.monotony.restarted(member, at)
    }

    /// A node has applied an entry.
    pub(crate) fn applied(&mut self, node: NodeId, index: Index, essence: Essence, digest: u64) -> Checked {
        self.agreement.applied(node, index, essence, digest)
    }

    /// A node has restored a snapshot.
    pub(crate) fn restored(&mut self, index: Index, digest: u64) -> Checked {
        self.agreement.restored(index, digest)
    }

    /// A write is about to be acknowledged.
    pub(crate) fn acknowledged(&self, members: &[Member<E>], index: Index, essence: Essence) -> Checked {
        durability::acknowledged(&self.founders, members, index, essence)
    }
}

pub(crate) fn violated(property: &'static str, what: String) -> Checked {
    Err(Violation { property, what })
}
