//! [`Status`]: where a node stands, for people and programs.

use std::fmt;
use std::sync::Arc;

use consensus_api::{
    EngineName, Generation, Index, Membership, NodeId, PeerConnection, PeerProgress, Role, StoreId,
};

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
    /// Disks that speak for members, and are not those the members are known by: wiped ones, or copies. What they say is
    /// refused. This node's own is among them, if others have told it so: then it takes part in no election.
    pub refused_stores: Vec<StoreRefusal>,
    /// That this node was removed from the cluster, as far as it can know.
    pub removed: Option<Removal>,
    /// What an operator should know: repairs at start, peers that were refused. The newest come last; at most 32.
    pub notes: Vec<String>,
    /// Why the node has stopped, if it has.
    pub stopped: Option<Arc<str>>,
}

/// How a node came to know that it is a member no longer.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Removal {
    /// The entry that removed it; or, if another told it, the last committed one that the other had come to.
    pub at: Index,
    /// Who told it. `None` if its own log did.
    pub told_by: Option<NodeId>,
}

impl fmt::Display for Removal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, told_by } = self;
        match told_by {
            None => write!(f, "this node was removed from the cluster by entry {at}")?,
            Some(by) => write!(
                f,
                "this node was removed from the cluster: node {by}, which has come to entry {at}, does not know it"
            )?,
        }
        f.write_str("; shut it down, or add it again on a member")
    }
}

/// A disk that speaks for a member, and is not the one that the member is known by.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct StoreRefusal {
    /// The member.
    pub node: NodeId,
    /// The disk it is known by; zero when it is no member.
    pub known: StoreId,
    /// The disk that speaks for it.
    pub found: StoreId,
}

impl fmt::Display for StoreRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { node, known, found } = self;
        if *known == StoreId::default() {
            return write!(
                f,
                "node {node} is no member of the cluster, so its disk (store {found}) takes no part; add it as a learner"
            );
        }
        write!(
            f,
            "node {node} is known by another disk (store {known}) than the one it speaks from (store {found}), which was \
             wiped or is a copy, so nothing it says counts; bring the old disk back, or remove node {node} and add it again"
        )
    }
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
