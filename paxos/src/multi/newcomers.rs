//! [`Newcomers`]: those who are to vote, and learn before they do.

use std::time::Duration;

use consensus_api::{Index, NodeId};

use super::peer::Peer;
use super::timers::Timers;
use crate::dice::Moment;

/// Those who are to vote, and how far they have come.
#[derive(Clone, Hash, Debug)]
pub(super) struct Newcomers {
    all: Vec<Newcomer>,
    began: Moment,
}

/// One who is to vote. It catches up in rounds: each brings what was chosen when it began, and is shorter than the one
/// before. Once a round takes less than an election timeout, the rest will too.
#[derive(Clone, Hash, Debug)]
struct Newcomer {
    id: NodeId,
    upto: Index,
    began: Moment,
    caught_up: bool,
}

/// How long newcomers may take to catch up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience(pub(super) Duration);

/// A newcomer that is silent for so many of the longest election timeouts is given up.
const SILENT_TIMEOUTS_MAX: u32 = 5;

impl Newcomers {
    pub(super) fn new(ids: &[NodeId], timers: &Timers, chosen: Index) -> Self {
        let began = Moment(timers.now);
        let newcomer = |id: &NodeId| Newcomer { id: *id, upto: chosen, began, caught_up: false };
        Self { all: ids.iter().map(newcomer).collect(), began }
    }

    pub(super) fn have_caught_up(&self) -> bool {
        self.all.iter().all(|newcomer| newcomer.caught_up)
    }

    /// Looks at how far they have come. One that takes too long, if there is one. Nobody has caught up who is known by no
    /// disk.
    pub(super) fn find_late(
        &mut self,
        peers: &[Peer],
        chosen: Index,
        timers: &Timers,
        patience: Patience,
        is_known: impl Fn(NodeId) -> bool,
    ) -> Option<NodeId> {
        let (now, timing, began) = (timers.now, timers.timing, self.began.0);
        for newcomer in self.all.iter_mut().filter(|newcomer| !newcomer.caught_up) {
            let at = peers.binary_search_by_key(&newcomer.id, |peer| peer.id);
            let peer: Option<&Peer> = at.ok().map(|at| &peers[at]);
            if peer.is_some_and(|peer| peer.commit >= newcomer.upto) {
                let is_near = now.since(newcomer.began.0) < timing.election_timeout_min;
                newcomer.caught_up = is_near && is_known(newcomer.id);
                (newcomer.began, newcomer.upto) = (Moment(now), chosen);
            }
            let heard = peer.map_or(began, |peer| peer.contact.0.max(began));
            let silent = now.since(heard) >= timing.election_timeout_max * SILENT_TIMEOUTS_MAX;
            if !newcomer.caught_up && (silent || now.since(began) >= patience.0) {
                return Some(newcomer.id);
            }
        }
        None
    }
}
