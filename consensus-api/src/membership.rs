//! [`Membership`]: who votes and who learns, where they are found, and which disk each of them has.

use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use thiserror::Error;

use crate::{Index, NodeId, StoreId, quorum};

/// Who takes part in the cluster. Stands in entries of kind [`EntryKind::Membership`](crate::EntryKind::Membership)
/// and in snapshots.
///
/// While a change is under way [`outgoing`](Self::outgoing) holds the old voters. Then both they and the new ones must agree
/// (joint consensus; Ongaro's thesis, section 4.3); or, where changes take effect at a place in the log
/// ([`begins_at`](Self::begins_at)), the old ones decide about the entries before it.
///
/// Beside the sets it may hold, for each member, an **address**: opaque here, meaningful to the transport; and the
/// **store** it made its promises with: a member that shows up with another has forgotten them.
#[derive(Clone, PartialEq, Eq, Hash, Default, Debug)]
pub struct Membership {
    voters: Vec<NodeId>,
    outgoing: Vec<NodeId>,
    learners: Vec<NodeId>,
    /// Of those members of whom anything is known, in ascending order. Shared, so that a copy is seen to be one at once.
    particulars: Arc<Vec<Particulars>>,
    /// The first entry that is not the outgoing voters' to decide about, where there is such a place.
    begins_at: Option<Index>,
}

/// What is known of one member.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Particulars {
    node: NodeId,
    /// Empty when unknown.
    address: Box<str>,
    /// Zero when unknown.
    store: StoreId,
}

/// These are no membership.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not a membership: {0}")]
pub struct MembershipError(&'static str);

const VERSION: u8 = 1;
/// The version of a byte form that says where in the log the voters begin to decide.
const VERSION_OF_SUCCESSORS: u8 = 2;

impl Membership {
    /// The most members of one kind. Keeps a damaged count from being believed.
    pub const MEMBERS_MAX: usize = 1024;
    /// The longest address, in bytes.
    pub const ADDRESS_BYTES_MAX: usize = 255;
    /// The longest byte form.
    pub const BYTES_MAX: usize =
        1 + 4 * 4 + 3 * Self::MEMBERS_MAX * (8 + 8 + 16 + 1 + Self::ADDRESS_BYTES_MAX);

    /// A membership of voters only. Sorted, and each counted once.
    ///
    /// # Errors
    /// [`MembershipError`] beyond [`MEMBERS_MAX`](Self::MEMBERS_MAX).
    pub fn of_voters(voters: impl IntoIterator<Item = NodeId>) -> Result<Self, MembershipError> {
        Self::new(voters, [], [])
    }

    /// A membership from its three sets. Each is sorted, and each node counted once in it; a learner that is also a
    /// voter is a voter. One that is an outgoing voter stays among the learners too: that is what it will be.
    ///
    /// # Errors
    /// [`MembershipError`] when a set exceeds [`MEMBERS_MAX`](Self::MEMBERS_MAX).
    pub fn new(
        voters: impl IntoIterator<Item = NodeId>,
        outgoing: impl IntoIterator<Item = NodeId>,
        learners: impl IntoIterator<Item = NodeId>,
    ) -> Result<Self, MembershipError> {
        let (voters, outgoing) = (sorted(voters)?, sorted(outgoing)?);
        let mut learners = sorted(learners)?;
        learners.retain(|node| voters.binary_search(node).is_err());
        Ok(Self { voters, outgoing, learners, ..Self::default() })
    }

    /// The same, with this address for `node`; an empty one forgets it.
    ///
    /// # Errors
    /// [`MembershipError`] when the node is no member, or the address exceeds
    /// [`ADDRESS_BYTES_MAX`](Self::ADDRESS_BYTES_MAX).
    pub fn with_address(mut self, node: NodeId, address: &str) -> Result<Self, MembershipError> {
        if address.len() > Self::ADDRESS_BYTES_MAX {
            return Err(MembershipError("an address is longer than 255 bytes"));
        }
        self.describe(node, |particulars| particulars.address = address.into())?;
        Ok(self)
    }

    /// The same, with this store for `node`; [`StoreId::default`] forgets it.
    ///
    /// # Errors
    /// [`MembershipError`] when the node is no member.
    pub fn with_store(mut self, node: NodeId, store: StoreId) -> Result<Self, MembershipError> {
        self.describe(node, |particulars| particulars.store = store)?;
        Ok(self)
    }

    /// The same, with what `other` knows of its members and this one does not.
    #[must_use]
    pub fn with_particulars_of(mut self, other: &Self) -> Self {
        for known in &*other.particulars {
            // Whoever is no member here is passed over.
            let _ = self.describe(known.node, |particulars| {
                if particulars.address.is_empty() {
                    particulars.address.clone_from(&known.address);
                }
                if particulars.store == StoreId::default() {
                    particulars.store = known.store;
                }
            });
        }
        self
    }

    /// The same, for an engine whose changes take effect at a place in the log: `outgoing` decide about the entries before
    /// `begins_at`, and these voters about the rest.
    ///
    /// # Errors
    /// [`MembershipError`] beyond [`MEMBERS_MAX`](Self::MEMBERS_MAX).
    pub fn succeeding(
        mut self,
        outgoing: impl IntoIterator<Item = NodeId>,
        begins_at: Index,
    ) -> Result<Self, MembershipError> {
        self.outgoing = sorted(outgoing)?;
        self.begins_at = Some(begins_at);
        Ok(self)
    }

    /// The same once a change is over: without those who went by it.
    #[must_use]
    pub fn without_outgoing(mut self) -> Self {
        self.outgoing.clear();
        self.begins_at = None;
        let mut known = std::mem::take(&mut self.particulars);
        Arc::make_mut(&mut known).retain(|known| self.contains(known.node));
        self.particulars = known;
        self
    }

    /// The first entry that these voters decide about, if the outgoing ones decide about those before. `None` if both must
    /// agree, and where nobody is outgoing.
    pub const fn begins_at(&self) -> Option<Index> {
        self.begins_at
    }

    fn describe(
        &mut self,
        node: NodeId,
        change: impl FnOnce(&mut Particulars),
    ) -> Result<(), MembershipError> {
        if !self.contains(node) {
            return Err(MembershipError("a node is described that is no member"));
        }
        let particulars = Arc::make_mut(&mut self.particulars);
        let found = particulars.binary_search_by_key(&node, |known| known.node);
        let at = found.unwrap_or_else(|at| {
            let unknown = Particulars { node, address: Box::default(), store: StoreId::default() };
            particulars.insert(at, unknown);
            at
        });
        change(&mut particulars[at]);
        if particulars[at].is_empty() {
            particulars.remove(at);
        }
        Ok(())
    }

    fn particulars(&self, node: NodeId) -> Option<&Particulars> {
        let at = self.particulars.binary_search_by_key(&node, |known| known.node).ok()?;
        Some(&self.particulars[at])
    }

    /// Where `node` is found, if that is known.
    pub fn address(&self, node: NodeId) -> Option<&str> {
        self.particulars(node).map(|known| &*known.address).filter(|address| !address.is_empty())
    }

    /// The store that `node` made its promises with, if that is known.
    pub fn store(&self, node: NodeId) -> Option<StoreId> {
        self.particulars(node).map(|known| known.store).filter(|store| *store != StoreId::default())
    }

    /// Those who vote, in ascending order.
    pub fn voters(&self) -> &[NodeId] {
        &self.voters
    }

    /// While a change is under way: those who voted before it. Otherwise empty.
    pub fn outgoing(&self) -> &[NodeId] {
        &self.outgoing
    }

    /// Those who receive the log but do not vote. During a change also those who lose their vote by it, and stay.
    pub fn learners(&self) -> &[NodeId] {
        &self.learners
    }

    /// Whether a change is under way.
    pub fn is_joint(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Whether `node` has a vote, in the old set or the new.
    pub fn is_voter(&self, node: NodeId) -> bool {
        self.voters.binary_search(&node).is_ok() || self.outgoing.binary_search(&node).is_ok()
    }

    /// Whether `node` takes part at all.
    pub fn contains(&self, node: NodeId) -> bool {
        self.is_voter(node) || self.learners.binary_search(&node).is_ok()
    }

    /// Everyone who takes part, each once: voters, then outgoing voters, then learners.
    pub fn members(&self) -> impl Iterator<Item = NodeId> + '_ {
        let leaving = self.outgoing.iter().filter(|node| self.voters.binary_search(node).is_err());
        let learning = self.learners.iter().filter(|node| self.outgoing.binary_search(node).is_err());
        self.voters.iter().chain(leaving).chain(learning).copied()
    }

    /// Whether `holds` is true of a quorum: a majority of the voters and, during a change, of the outgoing ones too.
    pub fn quorum_holds(&self, mut holds: impl FnMut(NodeId) -> bool) -> bool {
        quorum::majority_holds(&self.voters, &mut holds)
            && (self.outgoing.is_empty() || quorum::majority_holds(&self.outgoing, holds))
    }

    /// The largest value that a quorum has reached. `None` without voters. `scratch` is working space.
    pub fn quorum_reached<V: Ord + Copy>(
        &self,
        scratch: &mut Vec<V>,
        mut reached: impl FnMut(NodeId) -> V,
    ) -> Option<V> {
        let incoming = quorum::majority_reached(&self.voters, scratch, &mut reached)?;
        if self.outgoing.is_empty() {
            return Some(incoming);
        }
        Some(incoming.min(quorum::majority_reached(&self.outgoing, scratch, reached)?))
    }

    /// Whether both have the same voters, outgoing voters and learners, whatever is known of them.
    pub fn has_same_members(&self, other: &Self) -> bool {
        (&self.voters, &self.outgoing, &self.learners) == (&other.voters, &other.outgoing, &other.learners)
    }

    /// The byte form, little-endian: a version (`u8`, 1, or 2 with the index below); three times a `u32` count and that
    /// many `u64` ids (voters, outgoing voters, learners); a `u32` count of described members, for each its `u64` id, its
    /// store (`u128`, 0 when unknown), the length of its address (`u8`) and the address. In version 2 then the `u64` index of
    /// the first entry that the outgoing voters do not decide about.
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::new();
        out.put_u8(if self.begins_at.is_some() { VERSION_OF_SUCCESSORS } else { VERSION });
        for set in [&self.voters, &self.outgoing, &self.learners] {
            out.put_u32_le(set.len() as u32);
            for node in set {
                out.put_u64_le(node.0);
            }
        }
        out.put_u32_le(self.particulars.len() as u32);
        for known in &*self.particulars {
            out.put_u64_le(known.node.0);
            out.put_u128_le(known.store.0);
            out.put_u8(known.address.len() as u8);
            out.put_slice(known.address.as_bytes());
        }
        if let Some(begins_at) = self.begins_at {
            out.put_u64_le(begins_at.0);
        }
        out.freeze()
    }

    /// Reads the byte form.
    ///
    /// # Errors
    /// [`MembershipError`] when bytes are missing or left over, the version is unknown, a count exceeds
    /// [`MEMBERS_MAX`](Self::MEMBERS_MAX), or something is not as [`encode`](Self::encode) writes it.
    pub fn decode(bytes: &[u8]) -> Result<Self, MembershipError> {
        let mut rest = bytes;
        let from = &mut rest;
        let version = from.try_get_u8().map_err(cut)?;
        if version != VERSION && version != VERSION_OF_SUCCESSORS {
            return Err(MembershipError("its version is unknown; use a newer program"));
        }
        let (voters, outgoing, learners) = (decode_set(from)?, decode_set(from)?, decode_set(from)?);
        let mut membership = Self::new(voters, outgoing, learners)?;
        for _ in 0..decode_count(from, 3 * Self::MEMBERS_MAX)? {
            let node = NodeId(from.try_get_u64_le().map_err(cut)?);
            let store = StoreId(from.try_get_u128_le().map_err(cut)?);
            let length = usize::from(from.try_get_u8().map_err(cut)?);
            let (address, behind) = from.split_at_checked(length).ok_or(MembershipError(CUT_SHORT))?;
            *from = behind;
            let address = str::from_utf8(address).map_err(|_| MembershipError("an address is no text"))?;
            membership = membership.with_address(node, address)?.with_store(node, store)?;
        }
        if version == VERSION_OF_SUCCESSORS {
            membership.begins_at = Some(Index(from.try_get_u64_le().map_err(cut)?));
        }
        if !rest.is_empty() {
            return Err(MembershipError("bytes are left over"));
        }
        if membership.encode() != bytes {
            return Err(MembershipError("members are out of order or stand twice"));
        }
        Ok(membership)
    }
}

impl Particulars {
    fn is_empty(&self) -> bool {
        self.address.is_empty() && self.store == StoreId::default()
    }
}

fn sorted(nodes: impl IntoIterator<Item = NodeId>) -> Result<Vec<NodeId>, MembershipError> {
    let mut nodes: Vec<NodeId> = nodes.into_iter().collect();
    nodes.sort_unstable();
    nodes.dedup();
    if nodes.len() > Membership::MEMBERS_MAX {
        return Err(MembershipError(TOO_MANY));
    }
    Ok(nodes)
}

const CUT_SHORT: &str = "it is cut short";
const TOO_MANY: &str = "it has too many members; 1024 of a kind are the most";

fn cut(_: bytes::TryGetError) -> MembershipError {
    MembershipError(CUT_SHORT)
}

fn decode_count(from: &mut &[u8], most: usize) -> Result<usize, MembershipError> {
    let count = from.try_get_u32_le().map_err(cut)? as usize;
    if count > most { Err(MembershipError(TOO_MANY)) } else { Ok(count) }
}

fn decode_set(from: &mut &[u8]) -> Result<Vec<NodeId>, MembershipError> {
    let count = decode_count(from, Membership::MEMBERS_MAX)?;
    (0..count).map(|_| from.try_get_u64_le().map(NodeId).map_err(cut)).collect()
}

#[cfg(test)]
mod tests;
