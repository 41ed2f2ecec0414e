//! The leaderless log, role by role: each test is an incident, named after what it shows. Where another implementation
//! shipped the bug, its report is cited.

mod acceptors;
mod learning;
mod partitions;
mod proposers;
mod reads;

use consensus_api::{Engine, Entry, Generation};
use quorate_paxos::Paxos;
use quorate_paxos::single::{Body, Message};

pub(crate) use testkit::protocol::{timing, value};

pub(crate) use crate::logs::{ballot, log_of};

pub(crate) type Cluster = testkit::protocol::Cluster<Paxos>;
pub(crate) type Packet = testkit::protocol::Packet<Message>;

/// What only the leaderless log is asked.
pub(crate) trait Peers {
    /// So many members that have heard of each other, and take proposals.
    fn met(count: u64) -> Self;
    /// Everyone hears everyone.
    fn greet(&mut self);
    /// Hands a message to a member, as if it had come over the network.
    fn say(&mut self, from: u64, to: u64, ballot: Generation, body: Body, entries: &[Entry]);
}

impl Peers for Cluster {
    fn met(count: u64) -> Self {
        let mut cluster = Self::new(count);
        cluster.greet();
        cluster
    }

    fn greet(&mut self) {
        for id in self.ids() {
            self.fire(id);
        }
        self.settle();
        assert!(self.ids().iter().all(|id| self.engine(*id).takes_proposals()));
    }

    fn say(&mut self, from: u64, to: u64, ballot: Generation, body: Body, entries: &[Entry]) {
        let message = Message { ballot, body };
        self.deliver(&Packet { from, to, message, entries: entries.to_vec() });
    }
}

pub(crate) fn is_prepare(packet: &Packet) -> bool {
    matches!(packet.message.body, Body::Prepare { .. })
}

pub(crate) fn is_promise(packet: &Packet) -> bool {
    matches!(packet.message.body, Body::Promise { .. })
}

pub(crate) fn is_accept(packet: &Packet) -> bool {
    matches!(packet.message.body, Body::Accept { .. })
}

pub(crate) fn is_accepted(packet: &Packet) -> bool {
    matches!(packet.message.body, Body::Accepted { .. })
}

pub(crate) fn is_chosen(packet: &Packet) -> bool {
    matches!(packet.message.body, Body::Chosen { .. })
}

pub(crate) fn is_nack(packet: &Packet) -> bool {
    matches!(packet.message.body, Body::Nack { .. })
}
