//! [`Roster`]: where the members are found, as the membership in force says, for the transport to know.

use std::collections::BTreeMap;
use std::time::Duration;

use consensus_api::{Membership, NodeId, Time};

/// What the transport was told.
#[derive(Debug)]
pub(super) struct Roster {
    known: Membership,
    /// Members no longer, and when the transport is to forget them: what they have to hear goes out before.
    leaving: BTreeMap<NodeId, Time>,
    patience: Duration,
}

/// Tells the transport of a peer: its address, or `None` to forget it.
pub(crate) type AddressChange = (NodeId, Option<String>);

impl Roster {
    pub(super) fn new(patience: Duration) -> Self {
        Self { known: Membership::default(), leaving: BTreeMap::new(), patience }
    }

    pub(super) fn next_deadline(&self) -> Time {
        self.leaving.values().copied().min().unwrap_or(Time::MAX)
    }

    /// Takes note of the membership in force, and of the time.
    pub(super) fn update(&mut self, now: Time, members: &Membership, out: &mut Vec<AddressChange>) {
        // Whoever knows no members yet has not heard that anybody left.
        let is_news = *members != self.known && members.members().next().is_some();
        if is_news {
            for node in members.members() {
                self.leaving.remove(&node);
                let address =
                    members.address(node).filter(|address| self.known.address(node) != Some(address));
                out.extend(address.map(|address| (node, Some(address.to_owned()))));
            }
            for node in self.known.members().filter(|node| !members.contains(*node)) {
                self.leaving.insert(node, now + self.patience);
            }
            self.known = members.clone();
        }
        if self.leaving.is_empty() {
            return;
        }
        let due: Vec<NodeId> =
            self.leaving.iter().filter(|(_, at)| **at <= now).map(|(node, _)| *node).collect();
        for node in due {
            self.leaving.remove(&node);
            out.push((node, None));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_addresses_are_told_at_once_and_those_that_left_are_forgotten_later() {
        let mut roster = Roster::new(Duration::from_secs(1));
        let three = Membership::of_voters([1, 2, 3].map(NodeId)).unwrap();
        let mut out = Vec::new();
        roster.update(Time(0), &three, &mut out);
        assert_eq!(out, [], "nothing is known of them");
        let described = three.clone().with_address(NodeId(2), "b:1").unwrap();
        roster.update(Time(1), &described, &mut out);
        roster.update(Time(2), &described, &mut out);
        assert_eq!(std::mem::take(&mut out), [(NodeId(2), Some("b:1".to_owned()))]);
        let two = Membership::of_voters([1, 3].map(NodeId)).unwrap();
        roster.update(Time(3), &two, &mut out);
        assert_eq!(out, []);
        let at = roster.next_deadline();
        roster.update(at, &two, &mut out);
        assert_eq!(std::mem::take(&mut out), [(NodeId(2), None)]);
        roster.update(at, &described, &mut out);
        assert_eq!(out, [(NodeId(2), Some("b:1".to_owned()))], "and are told anew when they come back");
        assert_eq!(roster.next_deadline(), Time::MAX);
    }

    /// A node on a wiped disk was told of the founders, and is added again: those it knew from its start stay known.
    #[test]
    fn nobody_is_forgotten_for_want_of_a_membership() {
        let mut roster = Roster::new(Duration::from_secs(1));
        let three = Membership::of_voters([1, 2, 3].map(NodeId)).unwrap();
        let mut out = Vec::new();
        roster.update(Time(0), &three, &mut out);
        roster.update(Time(1), &Membership::default(), &mut out);
        assert_eq!((roster.next_deadline(), out), (Time::MAX, Vec::new()));
    }
}
