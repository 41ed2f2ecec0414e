//! Who is speaking: nodes, clusters, stores and process lives, and the [`Identity`] that ties them together.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A member of a cluster, by number. Any value is allowed; a number belongs to one member for good.
///
/// A member that lost its disk comes back under a new number, or is removed and added again first: the old number
/// has made promises that the new disk does not remember.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct NodeId(pub u64);

impl From<u64> for NodeId {
    fn from(id: u64) -> Self {
        Self(id)
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "n{}", self.0)
    }
}

/// The name of a cluster: 1 to [`ClusterName::BYTES_MAX`] bytes. Nodes of different clusters refuse each other.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterName(Arc<str>);

impl ClusterName {
    /// The longest name, in bytes of UTF-8.
    pub const BYTES_MAX: usize = 64;

    /// Checks the length. `None` for an empty name or one beyond [`BYTES_MAX`](Self::BYTES_MAX).
    pub fn new(name: &str) -> Option<Self> {
        (!name.is_empty() && name.len() <= Self::BYTES_MAX).then(|| Self(name.into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ClusterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ClusterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

/// The name an engine writes into log headers and handshakes, such as `raft`. At most 32 bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EngineName(pub &'static str);

impl fmt::Display for EngineName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl fmt::Debug for EngineName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// A disk, by a random number drawn when its log was created. A node that shows up with another store under its old
/// id has lost what it promised.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct StoreId(pub u128);

impl fmt::Display for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for StoreId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "store-{:08x}", self.0 >> 96)
    }
}

/// One life of a process, by a random number drawn at its start. It keeps what an earlier life left in the network
/// from being taken for this one's.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Incarnation(pub u64);

impl fmt::Debug for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "life-{:x}", self.0)
    }
}

/// What storage and transport must know before anything runs: whose log this is, and in whose name frames are sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Identity {
    /// The cluster this node belongs to.
    pub cluster: ClusterName,
    /// The node itself.
    pub node: NodeId,
    /// The engine that writes the log; another engine's log is refused.
    pub engine: EngineName,
    /// The store attached. Before the storage is attached it is [`StoreId::default`]; the storage reports its own in
    /// [`Recovered::store`](crate::Recovered::store).
    pub store: StoreId,
    /// This life of the process.
    pub incarnation: Incarnation,
}
