//! [`Configurations`]: which voters decide about which slot (Lamport, Malkhi, Zhou 2009, "Reconfiguring a State Machine",
//! section 2: the configuration chosen at a slot governs from a fixed number of slots later).
//!
//! A membership chosen in slot `s` decides about the slots from `s + window` on, and the one before it about all below.
//! Nobody proposes in a slot further than `window` above the slots it knows to be chosen. So whoever proposes in a slot
//! knows everything that is chosen up to `window` below it, and with it the one membership that decides there: by induction
//! over slots, all proposers of a slot count quorums of the same voters, and each slot is Paxos as it always is.

use consensus_api::mutation::mutated;
use consensus_api::{Index, Membership, MembershipError, NodeId};

/// The newest chosen membership and, as long as there are slots for it to decide about, the one before.
#[derive(Clone, Hash, Debug)]
pub(super) struct Configurations {
    newest: Membership,
    /// The first slot that it decides about; zero if it has the voters of the one before.
    begins_at: Index,
    earlier: Option<Earlier>,
}

/// A membership that is being replaced.
#[derive(Clone, Hash, Debug)]
struct Earlier {
    membership: Membership,
    /// The newest membership, with those who go: as it was written down.
    both: Membership,
}

impl Configurations {
    /// The memberships in use, where the newest chosen one is as it was written down.
    pub(super) fn new(chosen: Membership, commit: Index) -> Result<Self, MembershipError> {
        let begins_at = chosen.begins_at().unwrap_or_default();
        let newest = match chosen.begins_at() {
            Some(_) => chosen.clone().without_outgoing(),
            None => chosen.clone(),
        };
        let membership = Membership::of_voters(chosen.outgoing().iter().copied())?;
        let earlier = (begins_at > commit).then_some(Earlier { membership, both: chosen });
        Ok(Self { newest, begins_at, earlier })
    }

    /// The newest membership, as it will be once those who go have gone.
    pub(super) const fn newest(&self) -> &Membership {
        &self.newest
    }

    /// Everyone who takes part.
    pub(super) fn in_force(&self) -> &Membership {
        self.earlier.as_ref().map_or(&self.newest, |earlier| &earlier.both)
    }

    /// The members that decide about a slot: one that is not known to be chosen, or the newest that is.
    pub(super) fn at(&self, slot: Index) -> &Membership {
        let decide = slot < self.begins_at && !mutated("paxos/change-in-force-at-once");
        self.earlier.as_ref().filter(|_| decide).map_or(&self.newest, |earlier| &earlier.membership)
    }

    /// The last slot that the same members decide about, as far as is known.
    pub(super) fn last_alike(&self, slot: Index) -> Index {
        if slot < self.begins_at { self.begins_at.prev() } else { Index(u64::MAX) }
    }

    /// The first slot that the newest membership decides about; zero if the one before had the same voters.
    pub(super) const fn begins_at(&self) -> Index {
        self.begins_at
    }

    /// The same, while there is a slot before it that is not known to be chosen, or it is not chosen itself.
    pub(super) fn takes_effect_at(&self) -> Option<Index> {
        self.earlier.as_ref().map(|_| self.begins_at)
    }

    /// Takes note that everything up to `commit` is chosen. Whether that ended the time of the earlier membership.
    pub(super) fn committed(&mut self, commit: Index) -> bool {
        let is_over = self.earlier.is_some() && self.begins_at <= commit;
        if is_over {
            self.earlier = None;
        }
        is_over
    }

    /// The memberships that decide about open slots.
    pub(super) fn in_use(&self) -> impl Iterator<Item = &Membership> {
        self.earlier.iter().map(|earlier| &earlier.membership).chain([&self.newest])
    }

    /// Whether `node` has a vote about any open slot.
    pub(super) fn is_voter(&self, node: NodeId) -> bool {
        self.in_use().any(|membership| membership.is_voter(node))
    }

    /// Everyone who takes part, in ascending order.
    pub(super) fn members(&self) -> Vec<NodeId> {
        sorted(self.in_use().flat_map(Membership::members))
    }

    /// Everyone with a vote about any open slot, in ascending order.
    pub(super) fn voters(&self) -> Vec<NodeId> {
        sorted(self.members().into_iter().filter(|member| self.is_voter(*member)))
    }
}

fn sorted(nodes: impl Iterator<Item = NodeId>) -> Vec<NodeId> {
    let mut nodes: Vec<NodeId> = nodes.collect();
    nodes.sort_unstable();
    nodes.dedup();
    nodes
}
