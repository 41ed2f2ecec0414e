//! [`Founding`]: how a cluster comes to know the disks it is founded on, before anything is decided.
//!
//! A member is a number and a disk. Who comes back under its number with another disk has forgotten what it voted for and
//! acknowledged, and must not be believed: so the first membership says which disk each founder has. Until a disk knows
//! all of them it takes no part: its engine is asked nothing.
//!
//! **The law.** A new disk takes part in founding only when *every* other founder has answered a question *of this disk*,
//! and none knows its number by another disk.
//!
//! Why that is enough: let an entry be acknowledged by a quorum, and the disk of one of them, A, be lost. Any other of
//! that quorum, B, takes part and knows A by the disk that is lost. The new disk of A cannot take part without the word
//! of B, given after that disk was made; and that word is that A is known by another.
//!
//! Why less is not: a majority that founds without the third cannot be told from a lost disk and a member that was away
//! all the time.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use consensus_api::mutation::mutated;
use consensus_api::{
    Engine, Event, Identity, Index, Membership, NodeId, Op, Outline, Setup, SnapshotMark, StoreId, Time,
};

use super::{ApplyWork, Replica};
use crate::envelope::{Envelope, Word};

/// A founder that does not know all the others yet.
#[derive(Debug)]
pub(super) struct Founding<O> {
    setup: Setup<O>,
    /// The log, with the founding membership.
    outline: Outline,
    /// The other founders that have answered this disk, and theirs.
    met: BTreeMap<NodeId, StoreId>,
    ask_at: Time,
    every: Duration,
    /// When the operator is told who is missing.
    complain_at: Time,
}

impl<O: Clone> Founding<O> {
    /// Whether this disk has to be introduced, and to whom: nothing was voted for or written with it, and it does not
    /// know all founders by their disks.
    pub(super) fn of(
        identity: &Identity,
        setup: &Setup<O>,
        outline: &Outline,
        snapshot: Option<&SnapshotMark>,
    ) -> Option<Self> {
        let begins = outline.snapshot.clone().unwrap_or_else(|| SnapshotMark {
            membership: setup.founders.clone(),
            ..SnapshotMark::default()
        });
        let is_new = outline.hard_state.is_none()
            && outline.runs().is_empty()
            && snapshot.is_none_or(|snapshot| snapshot.index == begins.index);
        let founders = &begins.membership;
        let knows_all = founders.voters().iter().all(|founder| founders.store(*founder).is_some());
        if !is_new || knows_all || !founders.is_voter(identity.node) {
            return None;
        }
        let mut outline = outline.clone();
        outline.snapshot = Some(begins);
        let complain_at = setup.now + setup.timing.election_timeout_max;
        let (setup, every) = (setup.clone(), setup.timing.heartbeat);
        Some(Self { ask_at: setup.now, setup, outline, met: BTreeMap::new(), every, complain_at })
    }

    pub(super) const fn outline(&self) -> &Outline {
        &self.outline
    }

    fn founders(&self) -> Membership {
        self.outline.snapshot.as_ref().map(|mark| mark.membership.clone()).unwrap_or_default()
    }

    fn missing(&self) -> Vec<NodeId> {
        let me = self.setup.node;
        let unmet = |founder: &NodeId| *founder != me && !self.met.contains_key(founder);
        self.founders().voters().iter().copied().filter(unmet).collect()
    }

    pub(super) fn deadline(&self) -> Time {
        self.ask_at.min(self.complain_at)
    }

    /// Somebody has answered this disk. Only founders are waited for; whoever was added later is none.
    fn meets(&mut self, founder: NodeId, store: StoreId) {
        if self.founders().is_voter(founder) {
            self.met.insert(founder, store);
        }
    }

    /// The founders with their disks, once all are known.
    fn complete(&self, own: StoreId) -> Option<Membership> {
        let enough = self.missing().is_empty() || mutated("node/founded-without-all") && !self.met.is_empty();
        if !enough {
            return None;
        }
        let known = self.met.iter().map(|(node, store)| (*node, *store)).chain([(self.setup.node, own)]);
        known
            .into_iter()
            .try_fold(self.founders(), |founders, (node, store)| founders.with_store(node, store).ok())
    }
}

impl<E: Engine, P, R> Replica<E, P, R> {
    /// Carries on with founding, if that is what this node is doing.
    pub(super) fn found(&mut self, now: Time) {
        let Some(founding) = &mut self.founding else { return };
        if let Some(founders) = founding.complete(self.identity.store) {
            return self.take_part(now, founders);
        }
        let missing = founding.missing();
        let is_late = founding.complain_at <= now;
        if is_late {
            founding.complain_at = Time::MAX;
        }
        if founding.ask_at <= now {
            founding.ask_at = now + founding.every;
            missing.iter().for_each(|founder| self.ask_founder(*founder));
        }
        if is_late && self.stores.own_refusal().is_none() {
            let missing = missing.iter().map(NodeId::to_string).collect::<Vec<_>>().join(", ");
            self.note(format!(
                "the cluster is not founded yet: all founding members must have met once, and node {missing} has not \
                 answered; start it, or found with fewer members and add the rest later"
            ));
        }
    }

    /// From now on this disk takes part, in a cluster of these members; of none, if it waits to be added.
    fn take_part(&mut self, now: Time, members: Membership) {
        let Some(founding) = self.founding.take() else { return };
        let Founding { setup, mut outline, .. } = *founding;
        let mark =
            SnapshotMark { membership: members.clone(), ..outline.snapshot.take().unwrap_or_default() };
        self.effects.write(Op::SnapshotMark(mark.clone()));
        outline.snapshot = Some(mark);
        match E::recover(Setup { founders: members.clone(), now, ..setup }, &outline) {
            Ok(engine) => self.engine = engine,
            Err(error) => return self.stop(error.to_string()),
        }
        self.belonging.learn(now, Index::ZERO, members.clone());
        self.out.apply.push(ApplyWork::Founded(members));
        let applied: Index = self.feeding.applied();
        self.step(now, Event::Applied(applied));
        tracing::info!(node = self.identity.node.0, "every founding member is known");
    }

    pub(super) fn ask_founder(&mut self, founder: NodeId) {
        self.ship(founder, Envelope::Introduction, Bytes::new());
    }

    /// A disk that speaks for `from` asks by which one that member is known.
    pub(super) fn introduced(&mut self, from: NodeId, store: StoreId) {
        let word = match &mut self.founding {
            Some(founding) if founding.founders().is_voter(from) => {
                if founding.met.get(&from).is_some_and(|met| *met != store) {
                    founding.met.remove(&from); // it is another by now, and has to say who it is
                }
                Word::Founding
            }
            Some(_) => Word::Unknown { as_of: Index::ZERO },
            None => {
                let members = self.engine.membership();
                if members.members().next().is_none() {
                    return; // waits to be added itself, and knows nobody
                }
                match members.store(from) {
                    Some(known) => Word::KnownBy(known),
                    None if members.is_voter(from) => Word::KnownBy(StoreId::default()),
                    None if members.contains(from) => Word::Awaited,
                    // What removes it may never be committed; and by which disk it is known is nothing to guess at.
                    None if self.belonging.knows(from) => return,
                    None => Word::Unknown { as_of: self.feeding.next().prev() },
                }
            }
        };
        self.ship(from, Envelope::Word { asked: store, word }, Bytes::new());
    }

    /// A node says what it knows of a disk that speaks for this one.
    pub(super) fn told(&mut self, now: Time, (from, store): (NodeId, StoreId), asked: StoreId, word: Word) {
        let own = self.identity.store;
        if asked != own {
            return; // of an earlier disk, or a copy of this node
        }
        let is_known = matches!(word, Word::KnownBy(known) if known == own || known == StoreId::default());
        let is_known = is_known || mutated("node/another-disk-takes-part");
        let Some(founding) = &mut self.founding else {
            return match word {
                Word::KnownBy(known) if !is_known => self.is_refused((from, store), known),
                Word::KnownSince { as_of } => self.told_ahead(from, store, as_of),
                Word::Unknown { as_of } => self.told_unknown(now, from, as_of),
                _ => {}
            };
        };
        match word {
            Word::Founding => founding.meets(from, store),
            Word::KnownBy(_) if is_known => founding.meets(from, store),
            Word::KnownBy(known) => self.is_refused((from, store), known),
            Word::Awaited => self.take_part(now, Membership::default()),
            Word::Unknown { .. } => self.is_refused((from, store), StoreId::default()),
            Word::KnownSince { .. } => {} // to one that refuses others, and a founder refuses nobody
        }
    }
}
