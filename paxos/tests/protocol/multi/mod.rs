//! Multi-Paxos, chapter by chapter: each test is an incident, named after what it shows. Where another implementation
//! shipped the bug, its report is cited.

mod acceptors;
mod changes;
mod elections;
mod learning;
mod leases;
mod noops;
mod partitions;
mod phase_one;
mod phase_two;
mod reads;
mod snapshots;
mod transfers;

use consensus_api::{Entry, Generation, NodeId};
use quorate_paxos::{Body, Message, MultiPaxos};

pub(crate) use testkit::protocol::{timing, value};

pub(crate) use crate::logs::{ballot, log_of};

pub(crate) type Cluster = testkit::protocol::Cluster<MultiPaxos>;
pub(crate) type Packet = testkit::protocol::Packet<Message>;

/// What only Multi-Paxos is asked.
pub(crate) trait Ballots {
    /// Takes `id` through agreement and as far as its own promise: its questions are on their way.
    fn begin_ballot(&mut self, id: u64) -> Generation;
    /// Hands a message to a member, as if it had come over the network.
    fn inject(&mut self, from: u64, to: u64, ballot: Generation, body: Body, entries: &[Entry]);
}

impl Ballots for Cluster {
    fn begin_ballot(&mut self, id: u64) -> Generation {
        self.wait_long();
        self.fire(id);
        self.deliver_only(|packet| matches!(packet.message.body, Body::PreElect { .. }));
        self.deliver_only(|packet| matches!(packet.message.body, Body::PreElectAck { .. }));
        self.complete_writes(id);
        let ballot = self.engine(id).promised();
        assert_eq!(ballot.node, NodeId(id), "node {id} should have begun a ballot");
        ballot
    }

    fn inject(&mut self, from: u64, to: u64, ballot: Generation, body: Body, entries: &[Entry]) {
        let message = Message { ballot, body };
        self.deliver(&Packet { from, to, message, entries: entries.to_vec() });
    }
}

pub(crate) fn is_accept(packet: &Packet) -> bool {
    matches!(packet.message.body, Body::Accept(_))
}

pub(crate) fn is_range(packet: &Packet) -> bool {
    matches!(packet.message.body, Body::AcceptNoops { .. })
}

pub(crate) fn is_accepted(packet: &Packet) -> bool {
    matches!(packet.message.body, Body::Accepted { .. })
}

pub(crate) fn is_prepare(packet: &Packet) -> bool {
    matches!(packet.message.body, Body::Prepare { .. })
}

pub(crate) fn is_promise(packet: &Packet) -> bool {
    matches!(packet.message.body, Body::Promise { .. })
}

pub(crate) fn is_nack(packet: &Packet) -> bool {
    matches!(packet.message.body, Body::Nack { .. })
}
