//! `Membership`: quorums agree with counting by hand, and the byte form with itself.

use std::collections::BTreeSet;
use std::ops::Range;

use proptest::prelude::*;
use quorate_consensus_api::{Membership, NodeId, PROTOCOL_VERSION, StoreId};

type Ids = BTreeSet<NodeId>;

fn ids(count: Range<usize>) -> impl Strategy<Value = Vec<NodeId>> {
    prop::collection::vec((0..10_u64).prop_map(NodeId), count)
}

fn new(voters: Vec<NodeId>, outgoing: Vec<NodeId>, learners: Vec<NodeId>) -> Membership {
    Membership::new(voters, outgoing, learners).expect("a few")
}

fn memberships() -> impl Strategy<Value = Membership> {
    (ids(0..7), ids(0..7), ids(0..4), prop::collection::vec((0..10_u64, "[a-z:0-9]{0,9}", 0..3_u128), 0..6))
        .prop_map(|(voters, outgoing, learners, known)| {
            known.into_iter().fold(new(voters, outgoing, learners), |membership, (node, address, store)| {
                let node = NodeId(node);
                let described = membership.clone().with_address(node, &address);
                described
                    .and_then(|described| described.with_store(node, StoreId(store)))
                    .unwrap_or(membership)
            })
        })
}

fn more_than_half(of: &[NodeId], set: &Ids) -> bool {
    of.iter().filter(|node| set.contains(node)).count() * 2 > of.len()
}

proptest! {
    #[test]
    fn the_sets_are_sorted_and_disjoint_where_they_must_be(voters in ids(0..7), outgoing in ids(0..7), learners in ids(0..7)) {
        let membership = new(voters.clone(), outgoing.clone(), learners.clone());
        let set = |nodes: &[NodeId]| nodes.iter().copied().collect::<Ids>();
        let learn_only = set(&learners).into_iter().filter(|node| !voters.contains(node));
        prop_assert!(membership.voters().iter().copied().eq(set(&voters)));
        prop_assert!(membership.outgoing().iter().copied().eq(set(&outgoing)));
        prop_assert!(membership.learners().iter().copied().eq(learn_only));
        let everyone: Vec<NodeId> = membership.members().collect();
        prop_assert_eq!(everyone.len(), set(&everyone).len());
        prop_assert_eq!(set(&everyone), set(&[voters, outgoing, learners].concat()));
        for node in (0..11).map(NodeId) {
            prop_assert_eq!(membership.contains(node), everyone.contains(&node));
        }
    }

    #[test]
    fn a_quorum_is_more_than_half_of_each_voting_set(membership in memberships(), agree in ids(0..10)) {
        let agree: Ids = agree.into_iter().collect();
        let old_agree = !membership.is_joint() || more_than_half(membership.outgoing(), &agree);
        let expected = old_agree && more_than_half(membership.voters(), &agree);
        prop_assert_eq!(membership.quorum_holds(|node| agree.contains(&node)), expected);
    }

    #[test]
    fn a_quorum_has_reached_exactly_what_a_quorum_holds(membership in memberships(), reached in any::<[u8; 10]>()) {
        let of = |node: NodeId| reached[node.0 as usize];
        let by_hand = reached.iter().copied().filter(|&value| membership.quorum_holds(|node| of(node) >= value)).max();
        prop_assert_eq!(membership.quorum_reached(&mut Vec::new(), of), by_hand);
    }

    #[test]
    fn quorums_before_during_and_after_a_change_share_a_node(old in ids(1..7), new in ids(1..7), agree in ids(0..10)) {
        let agree: Ids = agree.into_iter().collect();
        let joint = self::new(new.clone(), old.clone(), Vec::new());
        let (before, after) = (self::new(old, Vec::new(), Vec::new()), self::new(new, Vec::new(), Vec::new()));
        for simple in [before, after] {
            let both = simple.quorum_holds(|node| agree.contains(&node)) && joint.quorum_holds(|node| !agree.contains(&node));
            prop_assert!(!both, "{simple:?} and {joint:?} decide apart");
        }
    }

    #[test]
    fn the_byte_form_comes_back(membership in memberships()) {
        prop_assert_eq!(Membership::decode(&membership.encode()), Ok(membership));
    }

    #[test]
    fn random_bytes_never_panic_and_decode_only_to_what_encodes_to_them(
        counts in prop::collection::vec((0..4_u32, prop::collection::vec(0..4_u64, 0..4)), 0..4),
    ) {
        let bytes: Vec<u8> = [1].into_iter().chain(counts.iter().flat_map(|(count, nodes)| {
            count.to_le_bytes().into_iter().chain(nodes.iter().flat_map(|node| node.to_le_bytes()))
        })).collect();
        if let Ok(membership) = Membership::decode(&bytes) {
            prop_assert_eq!(membership.encode(), bytes);
        }
    }
}

#[test]
fn a_count_beyond_the_limit_is_refused_before_anything_is_allocated() {
    let beyond = [&[1][..], &(Membership::MEMBERS_MAX as u32 + 1).to_le_bytes()].concat();
    let refused = Membership::decode(&beyond).expect_err("one too many");
    assert!(refused.to_string().starts_with("not a membership: it has too many members"));
}

#[test]
fn left_over_bytes_are_refused() {
    let longer = [&new(vec![NodeId(1)], Vec::new(), Vec::new()).encode()[..], &[0]].concat();
    assert!(Membership::decode(&longer).is_err());
}

/// On every disk and wire there is: when this fails, raise the versions instead of blessing the new bytes.
#[test]
fn the_bytes_of_a_membership() {
    assert_eq!(PROTOCOL_VERSION, 1, "the bytes below are those of version 1");
    let sets = [&[1, 2][..], &[1, 3], &[4]].map(|ids| ids.iter().copied().map(NodeId).collect::<Vec<_>>());
    let [voters, outgoing, learners] = sets;
    let membership = new(voters, outgoing, learners).with_address(NodeId(2), "b:7").unwrap();
    let membership = membership.with_store(NodeId(2), StoreId(0x0123)).unwrap();
    let expected = "
        01
        02000000 0100000000000000 0200000000000000
        02000000 0100000000000000 0300000000000000
        01000000 0400000000000000
        01000000 0200000000000000 23010000000000000000000000000000 03 623a37";
    assert_eq!(format!("{:x}", membership.encode()), expected.split_whitespace().collect::<String>());
}
