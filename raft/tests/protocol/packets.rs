//! Messages on their way, and their kinds.

use consensus_api::Entry;
use quorate_raft::{Body, Candidacy, Message};

/// A message on its way.
#[derive(Clone, Debug)]
pub(crate) struct Packet {
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) message: Message,
    pub(crate) entries: Vec<Entry>,
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
