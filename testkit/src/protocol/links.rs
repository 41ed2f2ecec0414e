//! [`Links`]: who reaches whom, for tests of partial connectivity.

use std::collections::BTreeSet;
use std::time::Duration;

use consensus_api::Engine;

use super::network::STEP;
use super::{Cluster, timing};

/// Links that carry, each both ways.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Links(BTreeSet<(u64, u64)>);

impl Links {
    /// These pairs reach each other.
    pub fn between(pairs: impl IntoIterator<Item = (u64, u64)>) -> Self {
        Self(pairs.into_iter().flat_map(|(a, b)| [(a, b), (b, a)]).collect())
    }

    /// The hub reaches all of these, and they reach nobody else.
    pub fn star(hub: u64, others: impl IntoIterator<Item = u64>) -> Self {
        Self::between(others.into_iter().map(|other| (hub, other)))
    }

    /// Of members 1 ..= `count`, each reaches its neighbours only.
    pub fn chain(count: u64) -> Self {
        Self::between((1..count).map(|one| (one, one + 1)))
    }

    /// These links, and those.
    #[must_use]
    pub fn and(mut self, others: Self) -> Self {
        self.0.extend(others.0);
        self
    }

    /// How many members this one reaches, itself among them.
    pub fn reach(&self, id: u64) -> usize {
        1 + self.0.iter().filter(|(from, _)| *from == id).count()
    }
}

impl<E: Engine> Cluster<E> {
    /// As [`run`](Self::run), on these links.
    pub fn run_on(&mut self, time: Duration, links: &Links) {
        self.run_where(time, |from, to| links.0.contains(&(from, to)));
    }

    /// Who leads a quorum on these links by the time that a new entry of theirs is committed, and how long that took; if that
    /// comes about within four of the longest election timeouts.
    pub fn until_committed(&mut self, links: &Links) -> Option<(u64, Duration)> {
        let before = self.committed.len();
        let mut took = Duration::ZERO;
        while took < timing().election_timeout_max * 4 {
            self.run_on(STEP, links);
            took += STEP;
            let Some(leader) = self.leader() else { continue };
            self.propose(leader);
            self.run_on(STEP, links);
            if self.committed.len() > before && 2 * links.reach(leader) > self.members.len() {
                return Some((leader, took));
            }
        }
        None
    }

    /// Whoever leads now goes on leading, for five of the longest election timeouts.
    pub fn assert_stays(&mut self, links: &Links, leader: u64) {
        let round = self.round(leader);
        self.run_on(timing().election_timeout_max * 5, links);
        assert_eq!((self.leader(), self.round(leader)), (Some(leader), round), "leadership bounces");
    }
}
