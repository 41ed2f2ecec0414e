//! [`Stores`]: whether a member speaks from the disk that it made its promises with.
//!
//! By which disk a member is known stands in the log, and a node that was away may be far behind in it: then a member that
//! lost its disk, and was added again since, is refused there, and if it is the leader, the node would never come further. So
//! whoever is refused, and stands in its own log with the disk it has, says as of which committed entry; and who has not
//! come to that entry believes it until then. A disk that its member is no longer known by can say so, too, but only of an
//! entry before the one that took it out: it is believed where the disk was the member's at that time, and no further.

use std::collections::BTreeMap;

use bytes::Bytes;
use consensus_api::mutation::mutated;
use consensus_api::{Engine, Event, Index, NodeId, Role, StoreId, Time};

use super::Replica;
use crate::envelope::{Envelope, Word};
use crate::status::StoreRefusal;

/// The disks that were refused.
#[derive(Debug, Default)]
pub(super) struct Stores {
    /// Those that spoke for others, by whom they spoke for.
    refused: BTreeMap<NodeId, StoreRefusal>,
    /// This node's own, as others say.
    own: Option<StoreRefusal>,
    /// Those that a committed entry names to which this node has not come yet, and which one, by the members.
    ahead: BTreeMap<NodeId, (StoreId, Index)>,
}

impl Stores {
    pub(super) const fn own_refusal(&self) -> Option<&StoreRefusal> {
        self.own.as_ref()
    }
}

impl<E: Engine, P, R> Replica<E, P, R> {
    /// The disks that members speak from, and that are not those they are known by: this node's own, too.
    pub fn refused_stores(&self) -> Vec<StoreRefusal> {
        let own = self.stores.own.iter().filter(|_| !self.is_known());
        self.stores.refused.values().chain(own).copied().collect()
    }

    /// Whether what is said from this disk is what the member says. If not, the disk is told.
    pub(super) fn admits(&mut self, from: NodeId, store: StoreId) -> bool {
        let Some(known) = self.engine.membership().store(from) else { return true };
        if known == store || self.is_ahead(from, store, known) || mutated("node/any-disk-is-believed") {
            self.stores.refused.remove(&from);
            return true;
        }
        self.ship(from, Envelope::Word { asked: store, word: Word::KnownBy(known) }, Bytes::new());
        let refusal = StoreRefusal { node: from, known, found: store };
        if self.stores.refused.insert(from, refusal) != Some(refusal) {
            self.note(refusal.to_string());
        }
        false
    }

    /// A member speaks that is known by no disk yet: the leader has it put down by which.
    pub(super) fn meet(&mut self, now: Time, member: NodeId, store: StoreId) {
        let members = self.engine.membership();
        let is_unknown = members.contains(member) && members.store(member).is_none();
        let are_known = members.store(self.identity.node).is_some();
        if is_unknown && are_known && store != StoreId::default() {
            let leads = self.standing.role == Role::Leader;
            if leads {
                self.step(now, Event::StoreMet { member, store });
            }
        }
    }

    /// Whether that disk is the member's as of an entry that this node has not come to, and the one that it knows is the one
    /// it was up to there: not one of a later change.
    fn is_ahead(&self, member: NodeId, store: StoreId, known: StoreId) -> bool {
        let says = self.stores.ahead.get(&member).filter(|(ahead, _)| *ahead == store);
        let (upto, members) = self.belonging.members_as_of();
        says.is_some_and(|(_, as_of)| *as_of > upto) && members.store(member) == Some(known)
    }

    /// That member says that it is known by that disk as of this committed entry.
    pub(super) fn told_ahead(&mut self, member: NodeId, store: StoreId, as_of: Index) {
        let (upto, members) = self.belonging.members_as_of();
        if as_of > upto && members.contains(member) && !mutated("node/behind-for-ever") {
            self.stores.ahead.insert(member, (store, as_of));
        }
    }

    /// Somebody knows this node by another disk, or, if `known` is zero, not at all.
    pub(super) fn is_refused(&mut self, (by, asked): (NodeId, StoreId), known: StoreId) {
        let (as_of, members) = self.belonging.members_as_of();
        if self.is_known() {
            if members.store(self.identity.node) == Some(self.identity.store) {
                self.ship(by, Envelope::Word { asked, word: Word::KnownSince { as_of } }, Bytes::new());
            }
            return;
        }
        let refusal = StoreRefusal { node: self.identity.node, known, found: self.identity.store };
        if self.stores.own.replace(refusal) != Some(refusal) {
            self.note(format!("node {by} says: {refusal}"));
        }
    }

    /// Whether the membership in force says that this node has this disk.
    fn is_known(&self) -> bool {
        self.engine.membership().store(self.identity.node) == Some(self.identity.store)
    }

    /// When the engine next wants to act of itself. Never, while this is not the disk that the node is known by: it may
    /// hear what is decided, and learn, but it does not stand for election.
    pub(super) fn next_tick(&self) -> Time {
        let known = self.engine.membership().store(self.identity.node);
        let is_another = known.map_or(self.stores.own.is_some(), |known| known != self.identity.store);
        let waits = self.founding.is_some() || is_another;
        if waits { Time::MAX } else { self.engine.deadline() }
    }
}
