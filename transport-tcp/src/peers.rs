//! [`Peers`]: where the members are.

use std::collections::{BTreeMap, HashMap};

use consensus_api::NodeId;

/// The address of every member, as `host:port`. Names are resolved anew for each connection.
///
/// Whatever pairs ids with addresses converts into it:
///
/// ```
/// use quorate_transport_tcp::Peers;
/// let peers = Peers::from([(1, "10.0.0.1:7000"), (2, "10.0.0.2:7000"), (3, "node-3.example:7000")]);
/// assert_eq!(peers.address(2), Some("10.0.0.2:7000"));
/// ```
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Peers(BTreeMap<NodeId, String>);

impl Peers {
    /// The address of a node, if it is known.
    pub fn address(&self, node: impl Into<NodeId>) -> Option<&str> {
        self.0.get(&node.into()).map(String::as_str)
    }

    /// Adds a node, or gives it another address.
    pub fn set(&mut self, node: impl Into<NodeId>, address: impl ToString) {
        self.0.insert(node.into(), address.to_string());
    }

    /// Takes a node out.
    pub fn remove(&mut self, node: impl Into<NodeId>) {
        self.0.remove(&node.into());
    }

    /// All of them, by id.
    pub fn iter(&self) -> impl Iterator<Item = (NodeId, &str)> {
        self.0.iter().map(|(id, address)| (*id, address.as_str()))
    }
}

impl<I: Into<NodeId>, A: ToString> FromIterator<(I, A)> for Peers {
    fn from_iter<T: IntoIterator<Item = (I, A)>>(pairs: T) -> Self {
        Self(pairs.into_iter().map(|(id, address)| (id.into(), address.to_string())).collect())
    }
}

impl From<&Self> for Peers {
    fn from(peers: &Self) -> Self {
        peers.clone()
    }
}

impl<I: Into<NodeId>, A: ToString, const N: usize> From<[(I, A); N]> for Peers {
    fn from(pairs: [(I, A); N]) -> Self {
        pairs.into_iter().collect()
    }
}

impl<I: Into<NodeId>, A: ToString> From<Vec<(I, A)>> for Peers {
    fn from(pairs: Vec<(I, A)>) -> Self {
        pairs.into_iter().collect()
    }
}

impl<I: Into<NodeId> + Copy, A: ToString, const N: usize> From<&[(I, A); N]> for Peers {
    fn from(pairs: &[(I, A); N]) -> Self {
        pairs.as_slice().into()
    }
}

impl<I: Into<NodeId> + Copy, A: ToString> From<&[(I, A)]> for Peers {
    fn from(pairs: &[(I, A)]) -> Self {
        pairs.iter().map(|(id, address)| (*id, address.to_string())).collect()
    }
}

impl<I: Into<NodeId> + Copy, A: ToString> From<&Vec<(I, A)>> for Peers {
    fn from(pairs: &Vec<(I, A)>) -> Self {
        pairs.as_slice().into()
    }
}

impl<I: Into<NodeId> + Copy, A: ToString> From<&BTreeMap<I, A>> for Peers {
    fn from(pairs: &BTreeMap<I, A>) -> Self {
        pairs.iter().map(|(id, address)| (*id, address.to_string())).collect()
    }
}

impl<I: Into<NodeId> + Copy, A: ToString, S> From<&HashMap<I, A, S>> for Peers {
    fn from(pairs: &HashMap<I, A, S>) -> Self {
        pairs.iter().map(|(id, address)| (*id, address.to_string())).collect()
    }
}
