//! Messages of Raft on their way, and their kinds.

use consensus_api::Entry;
use quorate_raft::{Body, Candidacy, Message, Term};

use crate::Cluster;

pub(crate) type Packet = testkit::protocol::Packet<Message>;

/// Hands a message to a member, as if it had come over the network.
pub(crate) fn inject(cluster: &mut Cluster, from: u64, to: u64, term: u64, body: Body, entries: &[Entry]) {
    let message = Message { term: Term(term), body };
    cluster.deliver(&Packet { from, to, message, entries: entries.to_vec() });
}

pub(crate) fn is_append(packet: &Packet) -> bool {
    matches!(packet.message.body, Body::Append { .. })
}

pub(crate) fn is_heartbeat(packet: &Packet) -> bool {
    matches!(packet.message.body, Body::Heartbeat { .. })
}

pub(crate) fn is_vote_request(packet: &Packet) -> bool {
    matches!(packet.message.body, Body::RequestVote { candidacy: Candidacy::Open | Candidacy::Handed, .. })
}

pub(crate) fn is_granted_vote(packet: &Packet) -> bool {
    matches!(packet.message.body, Body::Vote { pre: false, granted: true })
}
