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
mod levels;
mod linearizability;
mod matching;
mod memberships;
mod monotony;
mod order;
mod outsiders;
mod sessions;
mod speech;

use bytes::Bytes;
use consensus_api::{Engine, Entry, Error, Index, Membership, SnapshotMark, Standing};
use node::SessionAnswer;

use crate::simulator::{Errands, History, Member, Numbered, NumberedRequest, Violation, essence};

/// What must be the same of a committed entry on every node.
pub(crate) type Essence = (u32, u64);

type Checked = Result<(), Violation>;

/// The names of all checkers.
pub const CHECKERS: [&str; 18] = [
    agreement::NAME,
    answers::NAME,
    bounds::NAME,
    chosen::NAME,
    completeness::NAME,
    digests::NAME,
    durability::NAME,
    invariants::NAME,
    leaders::NAME,
    levels::NAME,
    linearizability::NAME,
    matching::NAME,
    memberships::NAME,
    monotony::NAME,
    order::NAME,
    outsiders::NAME,
    sessions::NAME,
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
    memberships: memberships::Memberships,
    monotony: monotony::Monotony,
    outsiders: outsiders::Outsiders,
}

impl<E: Engine> Checkers<E> {
    /// For so many nodes, of which these are members from the beginning.
    pub(crate) fn new(founders: Membership, count: usize, watch: Watch) -> Self {
        Self {
            watch,
            memberships: memberships::Memberships::new(founders.clone()),
            founders,
            agreement: agreement::Agreement::default(),
            chosen: chosen::Chosen::default(),
            completeness: completeness::Completeness::default(),
            digests: digests::Digests::default(),
            invariants: invariants::Invariants::new(count),
            leaders: leaders::Leaders::default(),
            matching: matching::Matching::default(),
            monotony: monotony::Monotony::new(count),
            outsiders: outsiders::Outsiders::default(),
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
        self.outsiders.look(members, at);
        if self.watch.has(invariants::NAME) {
            *checks += self.invariants.stepped(members, at, |member| !self.outsiders.has(member));
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
        if self.watch.has(outsiders::NAME) && members[at].wiped {
            *checks += 1;
            self.outsiders.stepped(&members[at])?;
        }
        if self.watch.has(speech::NAME) {
            *checks += speech::stepped(&self.memberships, members, at, began_to_lead)?;
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

    /// Another disk was put in the place of a node's own.
    pub(crate) fn wiped(&mut self, member: &Member<E>, at: usize) {
        self.monotony.wiped(at);
        self.matching.wiped(member.id);
        self.chosen.wiped(member.id);
    }

    pub(crate) fn restarted(&mut self, member: &Member<E>, at: usize) -> Checked {
        if self.watch.has(monotony::NAME) { self.monotony.restarted(member, at) } else { Ok(()) }
    }

    /// A node has applied an entry, and has this state now.
    pub(crate) fn applied(
        &mut self,
        members: &[Member<E>],
        at: usize,
        entry: &Entry,
        digest: u64,
    ) -> Checked {
        let (member, essence) = (&members[at], essence(entry));
        if self.watch.has(durability::NAME) {
            durability::applied(&self.memberships, members, member, entry.index, essence)?;
        }
        self.completeness.applied(entry);
        let stepwise = self.memberships.applied(entry);
        if self.watch.has(memberships::NAME) {
            stepwise?;
        }
        if self.watch.has(agreement::NAME) {
            self.agreement.applied(member.id, entry.index, essence)?;
        }
        if self.watch.has(digests::NAME) { self.digests.state(entry.index, digest) } else { Ok(()) }
    }

    /// A node has restored a snapshot.
    pub(crate) fn restored(&mut self, mark: &SnapshotMark, digest: u64) -> Checked {
        if self.watch.has(memberships::NAME) {
            self.memberships.restored(mark)?;
        }
        if self.watch.has(digests::NAME) { self.digests.state(mark.index, digest) } else { Ok(()) }
    }

    /// A write is about to be acknowledged.
    pub(crate) fn acknowledged(&self, members: &[Member<E>], index: Index, essence: Essence) -> Checked {
        if self.watch.has(durability::NAME) {
            return durability::acknowledged(&self.memberships, members, index, essence);
        }
        Ok(())
    }

    /// A numbered command was answered once more.
    pub(crate) fn repeated(&self, ticket: u64, before: &Bytes, answer: &Bytes) -> Checked {
        if self.watch.has(sessions::NAME) { sessions::repeated(ticket, before, answer) } else { Ok(()) }
    }

    /// A request in a session got a reply that is no answer.
    pub(crate) fn unanswered(
        &self,
        ticket: u64,
        request: &NumberedRequest,
        reply: &Result<SessionAnswer, Error>,
    ) -> Checked {
        if self.watch.has(sessions::NAME) { sessions::unanswered(ticket, request, reply) } else { Ok(()) }
    }

    /// The run is over, and all nodes agree.
    pub(crate) fn ended(
        &self,
        (history, numbered, errands): (&History, &Numbered, &Errands),
        members: &[Member<E>],
        checks: &mut u64,
    ) -> Checked {
        // Whoever was removed has not heard the end.
        let reached = |member: &&Member<E>| member.running.as_ref().map(|running| running.applier.applied());
        let Some(ledger) = members.iter().max_by_key(reached).and_then(Member::ledger) else {
            return violated("nodes run in the end", "none does".to_owned());
        };
        *checks += 3 * history.operations().count() as u64;
        if self.watch.has(sessions::NAME) {
            *checks += numbered.requests().count() as u64;
            sessions::ended(numbered, ledger)?;
        }
        if self.watch.has(memberships::NAME) {
            *checks += errands.iter().count() as u64;
            self.memberships.ended(errands)?;
        }
        if self.watch.has(levels::NAME) {
            levels::ended(history, ledger)?;
        }
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
