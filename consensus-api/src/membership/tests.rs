//! What memberships say, and that their byte form comes back.

use super::*;

fn ids(ids: &[u64]) -> Vec<NodeId> {
    ids.iter().copied().map(NodeId).collect()
}

#[test]
fn a_joint_membership_needs_both_majorities() {
    let joint = Membership::new(ids(&[4, 5, 6]), ids(&[1, 2, 3]), []).unwrap();
    assert!(!joint.quorum_holds(|node| node.0 >= 4));
    assert!(!joint.quorum_holds(|node| node.0 <= 3));
    assert!(joint.quorum_holds(|node| [1, 2, 5, 6].contains(&node.0)));
    let reached = |node: NodeId| node.0 * 10;
    assert_eq!(joint.quorum_reached(&mut Vec::new(), reached), Some(20));
}

#[test]
fn a_learner_counts_in_no_quorum() {
    let membership = Membership::new(ids(&[1, 2, 3]), [], ids(&[4, 5, 3])).unwrap();
    assert_eq!(membership.learners(), ids(&[4, 5]));
    assert!(!membership.quorum_holds(|node| node.0 >= 3));
    assert!(membership.contains(NodeId(4)) && !membership.is_voter(NodeId(4)));
}

#[test]
fn the_byte_form_comes_back_and_damage_is_an_error() {
    let membership = Membership::new(ids(&[1, 2, 1 << 40]), ids(&[7]), ids(&[9, 7])).unwrap();
    let membership = membership.with_address(NodeId(9), "host:1").unwrap();
    let membership = membership.with_store(NodeId(1), StoreId(1 << 100)).unwrap();
    let later = membership.clone().succeeding(ids(&[3, 4]), Index(9)).unwrap();
    for membership in [membership, later] {
        let bytes = membership.encode();
        assert_eq!(Membership::decode(&bytes), Ok(membership));
        for cut in 0..bytes.len() {
            assert!(Membership::decode(&bytes[..cut]).is_err());
        }
    }
    assert!(Membership::decode(&u32::MAX.to_le_bytes()).is_err());
}

#[test]
fn what_is_known_of_a_member_is_taken_over_and_forgotten_with_it() {
    let (one, two, three) = (NodeId(1), NodeId(2), NodeId(3));
    let old = Membership::of_voters([one, two]).unwrap();
    let old = old.with_address(one, "a").unwrap().with_store(two, StoreId(7)).unwrap();
    let new = Membership::of_voters([two, three]).unwrap().with_address(three, "c").unwrap();
    let new = new.with_particulars_of(&old);
    assert_eq!((new.address(one), new.address(three), new.store(two)), (None, Some("c"), Some(StoreId(7))));
    let unknown = new.clone().with_store(two, StoreId::default()).unwrap();
    assert_eq!(unknown.store(two), None);
    assert!(new.clone().with_address(one, "a").is_err(), "it is no member");
    assert!(new.with_address(two, &"x".repeat(256)).is_err());
}

#[test]
fn one_member_too_many_is_an_error_and_not_a_smaller_cluster() {
    let most = Membership::MEMBERS_MAX as u64;
    assert!(Membership::of_voters((1..=most).map(NodeId)).is_ok());
    assert!(Membership::of_voters((0..=most).map(NodeId)).is_err());
}

/// Those who go by a change decide about the entries before it takes effect; until then they are members, known by their disks.
#[test]
fn whoever_goes_by_a_change_is_a_member_until_it_is_over() {
    let old = Membership::of_voters(ids(&[1, 2])).unwrap();
    let old = old.with_store(NodeId(1), StoreId(7)).unwrap().with_store(NodeId(2), StoreId(8)).unwrap();
    let new = Membership::of_voters(ids(&[2, 3])).unwrap().succeeding(ids(&[1, 2]), Index(9)).unwrap();
    let new = new.with_particulars_of(&old);
    assert!(new.is_joint() && new.contains(NodeId(1)) && new.begins_at() == Some(Index(9)));
    assert_eq!(new.store(NodeId(1)), Some(StoreId(7)));
    let over = new.without_outgoing();
    assert!(!over.is_joint() && !over.contains(NodeId(1)) && over.begins_at().is_none());
    assert_eq!((over.store(NodeId(1)), over.store(NodeId(2))), (None, Some(StoreId(8))));
}
