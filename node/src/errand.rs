//! [`Errand`]: what an operator wants of a cluster, and its byte form between nodes.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use consensus_api::{Membership, MembershipError, MessageError, NodeId};

/// What an operator wants. A wish rather than a membership: the leader works out what it makes of the members there are
/// by then, so that two wishes never undo each other.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Errand {
    /// A member without a vote, found at this address (empty: unknown).
    AddLearner {
        /// The node.
        node: NodeId,
        /// Where it is found.
        address: String,
    },
    /// A member gets a vote, once it has caught up.
    Promote {
        /// The node.
        node: NodeId,
    },
    /// Members take part no longer.
    Remove {
        /// The node.
        node: NodeId,
    },
    /// A member is found elsewhere from now on.
    SetAddress {
        /// The node.
        node: NodeId,
        /// Where it is found.
        address: String,
    },
    /// These are the members, with their addresses.
    Replace {
        /// The membership wished for.
        membership: Membership,
    },
    /// Another leads.
    Transfer {
        /// Who; `None` for whoever is best placed.
        to: Option<NodeId>,
    },
}

const ADD_LEARNER: u8 = 1;
const PROMOTE: u8 = 2;
const REMOVE: u8 = 3;
const SET_ADDRESS: u8 = 4;
const REPLACE: u8 = 5;
const TRANSFER: u8 = 6;

impl Errand {
    /// The membership that this errand makes of the one there is; `None` when it is about something else.
    ///
    /// # Errors
    /// A sentence that says what is wrong and what to do.
    pub(crate) fn apply(&self, to: &Membership) -> Result<Option<Membership>, String> {
        let build = |voters: &[NodeId], learners: &[NodeId]| {
            let built = Membership::new(voters.iter().copied(), [], learners.iter().copied());
            built.map(|built| built.with_particulars_of(to))
        };
        let words = |error: MembershipError| error.to_string();
        let known = |node: &NodeId| {
            let unknown = || format!("node {node} is no member; add it first");
            to.contains(*node).then_some(()).ok_or_else(unknown)
        };
        let changed = match self {
            Self::AddLearner { node, address } => {
                if to.is_voter(*node) {
                    return Err(format!(
                        "node {node} is a voter already; remove it first, if it is to lose its vote"
                    ));
                }
                let grown = build(to.voters(), &[to.learners(), &[*node]].concat()).map_err(words)?;
                grown.with_address(*node, address).map_err(words)?
            }
            Self::Promote { node } => {
                known(node)?;
                build(&[to.voters(), &[*node]].concat(), to.learners()).map_err(words)?
            }
            Self::Remove { node } => {
                known(node)?;
                let without =
                    |of: &[NodeId]| of.iter().copied().filter(|other| other != node).collect::<Vec<_>>();
                build(&without(to.voters()), &without(to.learners())).map_err(words)?
            }
            Self::SetAddress { node, address } => {
                known(node)?;
                to.clone().with_address(*node, address).map_err(words)?
            }
            Self::Replace { membership } => membership.clone().with_particulars_of(to),
            Self::Transfer { .. } => return Ok(None),
        };
        Ok(Some(changed))
    }

    pub(crate) fn encode(&self, out: &mut BytesMut) {
        let (kind, node, text) = match self {
            Self::AddLearner { node, address } => (ADD_LEARNER, *node, Bytes::from(address.clone())),
            Self::Promote { node } => (PROMOTE, *node, Bytes::new()),
            Self::Remove { node } => (REMOVE, *node, Bytes::new()),
            Self::SetAddress { node, address } => (SET_ADDRESS, *node, Bytes::from(address.clone())),
            Self::Replace { membership } => (REPLACE, NodeId::default(), membership.encode()),
            Self::Transfer { to } => {
                let named: &'static [u8] = if to.is_some() { b"1" } else { b"" };
                (TRANSFER, to.unwrap_or_default(), Bytes::from_static(named))
            }
        };
        out.put_u8(kind);
        out.put_u64_le(node.0);
        out.put_slice(&text);
    }

    pub(crate) fn decode(mut from: Bytes) -> Result<Self, MessageError> {
        let (kind, node) = (from.try_get_u8()?, NodeId(from.try_get_u64_le()?));
        let text = || String::from_utf8(from.to_vec()).map_err(|_| MessageError("an address is no text"));
        let errand = match kind {
            ADD_LEARNER => Self::AddLearner { node, address: text()? },
            PROMOTE => Self::Promote { node },
            REMOVE => Self::Remove { node },
            SET_ADDRESS => Self::SetAddress { node, address: text()? },
            REPLACE => {
                let membership = Membership::decode(&from).map_err(|_| MessageError("not a membership"))?;
                Self::Replace { membership }
            }
            TRANSFER => Self::Transfer { to: (!from.is_empty()).then_some(node) },
            _ => return Err(MessageError("an unknown errand")),
        };
        let mut again = BytesMut::new();
        errand.encode(&mut again);
        let rest = &again[9..];
        if rest == from { Ok(errand) } else { Err(MessageError("bytes are left over")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(ids: &[u64]) -> Vec<NodeId> {
        ids.iter().copied().map(NodeId).collect()
    }

    fn members(voters: &[u64], learners: &[u64]) -> Membership {
        Membership::new(ids(voters), [], ids(learners)).unwrap()
    }

    #[test]
    fn wishes_become_memberships() {
        let now = members(&[1, 2], &[3]).with_address(NodeId(2), "b").unwrap();
        let (node, address) = (NodeId(4), "d".to_owned());
        let made = |errand: Errand| errand.apply(&now).map(Option::unwrap);
        let added = made(Errand::AddLearner { node, address }).unwrap();
        assert_eq!(
            (added.learners(), added.address(node), added.address(NodeId(2))),
            (&ids(&[3, 4])[..], Some("d"), Some("b"))
        );
        let promoted = made(Errand::Promote { node: NodeId(3) }).unwrap();
        assert!(promoted.has_same_members(&members(&[1, 2, 3], &[])));
        let removed = made(Errand::Remove { node: NodeId(2) }).unwrap();
        assert!(removed.has_same_members(&members(&[1], &[3])) && removed.address(NodeId(2)).is_none());
        let moved = made(Errand::SetAddress { node: NodeId(3), address: "c".to_owned() }).unwrap();
        assert_eq!((moved.address(NodeId(3)), moved.address(NodeId(2))), (Some("c"), Some("b")));
        let of_strangers = [Errand::Promote { node }, Errand::SetAddress { node, address: "d".to_owned() }];
        assert!(of_strangers.into_iter().all(|errand| made(errand).unwrap_err().contains("add it first")));
        assert!(made(Errand::AddLearner { node: NodeId(1), address: String::new() }).is_err());
        assert_eq!(Errand::Transfer { to: None }.apply(&now), Ok(None));
    }

    #[test]
    fn every_errand_comes_back_and_nothing_else_does() {
        let node = NodeId(1 << 40);
        let errands = [
            Errand::AddLearner { node, address: "host:1".to_owned() },
            Errand::Promote { node },
            Errand::Remove { node },
            Errand::SetAddress { node, address: String::new() },
            Errand::Replace { membership: members(&[1], &[2]) },
            Errand::Transfer { to: Some(node) },
            Errand::Transfer { to: None },
        ];
        for errand in errands {
            let mut out = BytesMut::new();
            errand.encode(&mut out);
            let bytes = out.freeze();
            assert_eq!(Errand::decode(bytes.clone()), Ok(errand));
            assert!((0..9).all(|cut| Errand::decode(bytes.slice(..cut)).is_err()));
        }
        for kind in 0..=u8::MAX {
            let _ = Errand::decode(vec![kind; 30].into());
        }
    }
}
