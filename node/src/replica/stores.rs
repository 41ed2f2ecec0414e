//! [`Stores`]: whether a member speaks from the disk that it made its promises with.

use std::collections::BTreeMap;

use bytes::Bytes;
use consensus_api::mutation::mutated;
use consensus_api::{Engine, Event, NodeId, Role, StoreId, Time};

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
        if known == store || mutated("node/any-disk-is-believed") {
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
            let leads = self.engine.standing().role == Role::Leader;
            if leads {
                self.step(now, Event::StoreMet { member, store });
            }
        }
    }

    /// Somebody knows this node by another disk, or, if `known` is zero, not at all.
    pub(super) fn is_refused(&mut self, by: NodeId, known: StoreId) {
        if self.is_known() {
            return; // whoever says so has not heard that this node was added again
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
