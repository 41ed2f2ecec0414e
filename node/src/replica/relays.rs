//! [`Relays`]: snapshots that followers send in their leader's stead, so that its disk and its network are spared.
//!
//! The leader asks one follower, and waits for signs of life. The follower sends its own newest snapshot, if that reaches as
//! far as the leader's log goes back, the way a leader would; the receiver takes pieces from whoever sends them, keeps those
//! of each sender apart, and installs what is whole first. So nothing rests on who sends: a follower that is gone, refuses
//! or stays silent only costs time, and then the leader sends.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use consensus_api::mutation::mutated;
use consensus_api::{Engine, Event, Index, NodeId, Role, Time};

use super::Replica;
use super::transfers::Ended;
use crate::envelope::{Envelope, Relayed};
use crate::options::SnapshotSource;

/// The followers that were asked.
#[derive(Debug)]
pub(super) struct Relays {
    patience: Duration,
    /// By whom the snapshot is for.
    asked: BTreeMap<NodeId, Asked>,
}

#[derive(Debug)]
struct Asked {
    by: NodeId,
    /// Until then there is a sign of life, or the leader sends itself.
    until: Time,
}

impl Relays {
    pub(super) const fn new(patience: Duration) -> Self {
        Self { patience, asked: BTreeMap::new() }
    }

    /// Whether no follower was asked for anything.
    pub(super) fn are_none(&self) -> bool {
        self.asked.is_empty()
    }

    pub(super) fn next_deadline(&self) -> Time {
        self.asked.values().map(|asked| asked.until).min().unwrap_or(Time::MAX)
    }

    fn ask(&mut self, now: Time, to: NodeId, by: NodeId) {
        let until = self.waits_until(now);
        self.asked.insert(to, Asked { by, until });
    }

    /// How long a follower that has just been asked, or heard of, is waited for.
    fn waits_until(&self, now: Time) -> Time {
        if mutated("node/relay-waited-for-without-end") { Time::MAX } else { now + self.patience }
    }

    /// How many snapshots this follower was asked to send.
    fn load(&self, of: NodeId) -> usize {
        self.asked.values().filter(|asked| asked.by == of).count()
    }

    /// That follower is at work.
    fn is_alive(&mut self, now: Time, to: NodeId, by: NodeId) {
        let until = self.waits_until(now);
        if let Some(asked) = self.asked.get_mut(&to).filter(|asked| asked.by == by) {
            asked.until = until;
        }
    }

    /// That follower's part is over. Whether it had one.
    fn end(&mut self, to: NodeId, by: NodeId) -> bool {
        let by_anyone = mutated("node/relay-ended-by-another");
        let is_known = self.asked.get(&to).is_some_and(|asked| asked.by == by || by_anyone);
        is_known && self.asked.remove(&to).is_some()
    }

    /// For whom a follower has been silent for too long.
    fn take_overdue(&mut self, now: Time) -> Option<NodeId> {
        let to = self.asked.iter().find(|(_, asked)| asked.until <= now).map(|(to, _)| *to)?;
        self.asked.remove(&to);
        Some(to)
    }

    /// For whom this follower was asked.
    fn asked_of(&self, by: NodeId) -> Vec<NodeId> {
        self.asked.iter().filter(|(_, asked)| asked.by == by).map(|(to, _)| *to).collect()
    }
}

impl<E: Engine, P, R> Replica<E, P, R> {
    /// A peer needs a snapshot: from a follower, if this node leads and that is wished for; else from here.
    pub(super) fn provide_snapshot(&mut self, now: Time, to: NodeId) {
        if self.relays.asked.contains_key(&to) {
            return;
        }
        // What this node sends already, if only in the stead of a leader before it, is sent on.
        match self.deputy(to).filter(|_| !self.transfers.is_sending(to)) {
            Some(by) => {
                tracing::debug!(
                    node = self.identity.node.0,
                    to = to.0,
                    by = by.0,
                    "a follower is to send a snapshot"
                );
                self.relays.ask(now, to, by);
                self.ship(by, Envelope::SnapshotWanted { to, least: self.compacted }, Bytes::new());
            }
            None => self.out.chunk_reads.extend(self.transfers.begin(to)),
        }
    }

    /// A follower that holds what the leader's log no longer does, as far as can be known: of those with the least to send
    /// the one that is furthest.
    fn deputy(&self, to: NodeId) -> Option<NodeId> {
        let leads = self.standing.role == Role::Leader;
        if self.options.snapshot_source == SnapshotSource::Leader || !leads {
            return None;
        }
        let members = self.engine.membership();
        let mut peers = Vec::new();
        self.engine.progress(&mut peers);
        let holds = peers.iter().filter(|peer| {
            peer.peer != to
                && members.contains(peer.peer)
                && !peer.needs_snapshot
                && peer.matched >= self.compacted
        });
        let best = holds.min_by_key(|peer| (self.relays.load(peer.peer), Reverse(peer.matched), peer.peer));
        best.map(|peer| peer.peer)
    }

    /// A leader asks this node to send its newest snapshot to another, if it covers the log up to `least`.
    pub(super) fn relay_wanted(&mut self, now: Time, leader: NodeId, to: NodeId, least: Index) {
        let has_it = self.snapshot >= least && self.snapshot > Index::ZERO;
        // The end of what it sends for itself is told to its own engine, and to nobody else.
        let is_busy = self.transfers.is_sending_itself(to);
        if !has_it || is_busy || to == self.identity.node || !self.engine.membership().contains(to) {
            return self.tell_relayed(leader, to, Relayed::Failed);
        }
        self.out.chunk_reads.extend(self.transfers.begin_for(now, to, leader));
    }

    fn tell_relayed(&mut self, leader: NodeId, to: NodeId, relayed: Relayed) {
        self.ship(leader, Envelope::SnapshotRelayed { to, relayed }, Bytes::new());
    }

    /// What a follower says of the snapshot that it was asked to send.
    pub(super) fn relayed(&mut self, now: Time, by: NodeId, to: NodeId, relayed: Relayed) {
        match relayed {
            Relayed::UnderWay => self.relays.is_alive(now, to, by),
            Relayed::Sent(upto) if self.relays.end(to, by) => {
                self.step(now, Event::SnapshotSent { to, upto: Some(upto) });
            }
            Relayed::Failed if self.relays.end(to, by) => self.send_instead(to),
            Relayed::Sent(_) | Relayed::Failed => {} // of an earlier time
        }
    }

    /// The follower that was to send a snapshot does not: then from here.
    fn send_instead(&mut self, to: NodeId) {
        tracing::debug!(
            node = self.identity.node.0,
            to = to.0,
            "no follower sends the snapshot, so the leader does"
        );
        self.out.chunk_reads.extend(self.transfers.begin(to));
    }

    /// The transport has lost this peer: what it was to send is sent from here.
    pub(super) fn lose_relay(&mut self, by: NodeId) {
        for to in self.relays.asked_of(by) {
            self.relays.end(to, by);
            self.send_instead(to);
        }
    }

    /// Tells leaders that this node is at work for them, and takes over what followers are too long silent about.
    pub(super) fn tend_relays(&mut self, now: Time) {
        while let Some((leader, to)) = self.transfers.sign_of_life_due(now) {
            self.tell_relayed(leader, to, Relayed::UnderWay);
        }
        if self.standing.role != Role::Leader {
            self.relays.asked.clear();
        }
        while let Some(to) = self.relays.take_overdue(now) {
            self.send_instead(to);
        }
    }

    /// A snapshot reached its peer up to that entry or, for `None`, did not: the engine is told, or the leader in whose stead
    /// it was sent.
    pub(super) fn end_transfer(&mut self, now: Time, to: NodeId, upto: Option<Index>) {
        match self.transfers.end(to, upto) {
            Some(Ended { leader: Some(leader) }) => {
                self.tell_relayed(leader, to, upto.map_or(Relayed::Failed, Relayed::Sent));
            }
            Some(Ended { leader: None }) => self.step(now, Event::SnapshotSent { to, upto }),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(2);
    const PEER: NodeId = NodeId(3);
    const DEPUTY: NodeId = NodeId(2);

    fn asked() -> Relays {
        let mut relays = Relays::new(PATIENCE);
        relays.ask(Time::ZERO, PEER, DEPUTY);
        relays
    }

    #[test]
    fn a_follower_is_waited_for_as_long_as_it_gives_signs_of_life() {
        let (mut relays, later) = (asked(), Time::ZERO + PATIENCE / 2);
        relays.is_alive(later, PEER, DEPUTY);
        assert_eq!(relays.take_overdue(Time::ZERO + PATIENCE), None, "it was heard of since");
        assert_eq!(relays.next_deadline(), later + PATIENCE);
        assert_eq!(relays.take_overdue(later + PATIENCE), Some(PEER), "now the leader sends");
        assert_eq!((relays.next_deadline(), relays.load(DEPUTY)), (Time::MAX, 0));
    }

    #[test]
    fn only_the_follower_that_was_asked_ends_its_part() {
        let mut relays = asked();
        assert!(!relays.end(PEER, NodeId(4)), "another was asked since");
        relays.is_alive(Time::ZERO + PATIENCE / 2, PEER, NodeId(4));
        assert_eq!(relays.next_deadline(), Time::ZERO + PATIENCE, "nor does another speak for it");
        assert!(relays.end(PEER, DEPUTY));
        assert!(!relays.end(PEER, DEPUTY), "once");
    }
}
