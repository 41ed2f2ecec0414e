//! How an engine comes to be from what its storage holds.

use consensus_api::mutation::mutated;
use consensus_api::{Effects, Generation, Index, Membership, Outline, Setup, StartError};

use super::configurations::Configurations;
use super::following::Following;
use super::learner::Learner;
use super::timers::Timers;
use super::watermark::Watermark;
use super::{Message, MultiPaxos, Options, State};
use crate::log::Log;
use crate::quorum::Quorums;
use crate::start::{acceptor_of, check_flow, chosen_in, in_force, refuse};

/// An engine as of what its storage holds: it follows nobody, and has promised what it promised.
///
/// The chosen prefix starts from what is certain: the snapshot, and the watermark, which is only ever written for slots
/// that are written too. The rest is learnt from others, or found out by the next leader.
pub(super) fn recover(setup: Setup<Options>, outline: &Outline) -> Result<MultiPaxos, StartError> {
    let Setup { node, founders, now, seed, timing, flow, options } = setup;
    timing.check()?;
    check_flow(flow)?;
    options.check()?;
    let quorums = Quorums { phase_1: options.phase_1_quorum, phase_2: options.phase_2_quorum };
    let acceptor = acceptor_of(node, outline, options.window_entries_max)?;
    let log = Log::recover(outline.clone());
    let commit = chosen_in(outline);
    let configurations =
        configurations_of(&log, commit, &founders).map_err(|problem| refuse(node, problem))?;
    for membership in configurations.in_use().filter(|membership| !membership.voters().is_empty()) {
        quorums.check(membership)?; // one that waits to be added knows of no voters
    }
    let promised = acceptor.promised();
    let mut engine = MultiPaxos {
        node,
        configurations,
        quorums,
        limits: flow,
        window: options.window_entries_max,
        lease: options.lease(timing.election_timeout_min),
        patience: options.catch_up_timeout,
        acceptor,
        commit,
        applied: log.snapshot_index(),
        learner: Learner::default(),
        round_seen: promised.round,
        given_up: Generation::ZERO,
        watermark: Watermark::new(commit),
        state: State::Following(Following::default()),
        succession: None,
        supplies: Vec::new(),
        timers: Timers::new(timing, now, seed, node),
        scratch: Vec::with_capacity(founders.members().count()),
        founders,
        log,
    };
    if engine.is_alone() {
        engine.timers.election = now; // there is nobody to wait for
    } else if engine.lease.is_some() && !mutated("paxos/lease-forgotten-in-a-crash") {
        // Some leader's lease may rest on what this member answered before it stopped.
        engine.timers.wary = now + timing.election_timeout_min;
    }
    Ok(engine)
}

fn configurations_of(log: &Log, commit: Index, founders: &Membership) -> Result<Configurations, String> {
    let chosen = in_force(log, commit, founders)?;
    Configurations::new(chosen, commit).map_err(|error| error.to_string())
}

impl MultiPaxos {
    /// Takes note of who takes part, after a membership was chosen, or came with a snapshot.
    pub(super) fn refresh_membership(&mut self, effects: &mut Effects<Message>) {
        let found = configurations_of(&self.log, self.commit, &self.founders);
        let sound = found.and_then(|configurations| {
            self.quorums.check(configurations.newest()).map_err(|error| error.to_string())?;
            Ok(configurations)
        });
        match sound {
            Ok(configurations) => self.configurations = configurations,
            Err(problem) => effects.fatal = Some(problem),
        }
        self.refresh_peers();
    }
}
