//! [`Status`]: where a node stands, for people and programs.

use std::fmt;
use std::sync::Arc;

use consensus_api::{EngineName, Generation, Index, Membership, NodeId, PeerConnection, PeerProgress, Role};

/// Where a node stood a moment ago. See [`Node::status`](crate::Node::status).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Status {
    /// The node.
    pub node: NodeId,
    /// The engine it runs.
    pub engine: EngineName,
    /// What it does.
    pub role: Role,
    /// The highest generation it knows of.
    pub generation: Generation,
    /// The leader, where known.
    pub leader: Option<NodeId>,
    /// The last entry of its log.
    pub last: Index,
    /// Everything up to here is committed.
    pub commit: Index,
    /// Everything up to here is applied to its state machine.
    pub applied: Index,
    /// The last entry covered by its newest snapshot.
    pub snapshot: Index,
    /// Who takes part.
    pub membership: Membership,
    /// What a leader knows of the others. Empty on a follower.
    pub peers: Vec<PeerProgress>,
    /// How the transport stands to each peer, by id. Empty if it keeps no account.
    pub connections: Vec<PeerConnection>,
    /// What an operator should know: repairs at start, peers that were refused. The newest come last; at most 32.
    pub notes: Vec<String>,
    /// Why the node has stopped, if it has.
    pub stopped: Option<Arc<str>>,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "node {} ({}) is {} in generation {}, commit {}, applied {}",
            self.node,
            self.engine,
            self.role.as_str(),
            self.generation,
            self.commit,
            self.applied
        )
    }
}
