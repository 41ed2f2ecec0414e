//! How an engine comes to be from what its storage holds.

use consensus_api::mutation::mutated;
use consensus_api::{Effects, Generation, Outline, Setup, StartError};

use super::following::Following;
use super::learner::Learner;
use super::timers::Timers;
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
    let acceptor = acceptor_of(node, outline)?;
    let log = Log::recover(outline.clone());
    let commit = chosen_in(outline);
    let membership = in_force(&log, commit, &founders).map_err(|problem| refuse(node, problem))?;
    quorums.check(&membership)?;
    let promised = acceptor.promised();
    let mut engine = MultiPaxos {
        node,
        membership,
        quorums,
        limits: flow,
        window: options.window_entries_max,
        lease: options.lease(timing.election_timeout_min),
        acceptor,
        commit,
        applied: log.snapshot_index(),
        learner: Learner::default(),
        round_seen: promised.round,
        given_up: Generation::ZERO,
        watermark: outline.watermark.min(commit),
        state: State::Following(Following::default()),
        successor: None,
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

impl MultiPaxos {
    /// Brings the membership in force up to date after a membership was chosen, or came with a snapshot.
    pub(super) fn refresh_membership(&mut self, effects: &mut Effects<Message>) {
        let found = in_force(&self.log, self.commit, &self.founders);
        let sound = found.and_then(|membership| {
            self.quorums.check(&membership).map_err(|error| error.to_string())?;
            Ok(membership)
        });
        match sound {
            Ok(membership) if membership != self.membership => {
                // Peers, tallies and acknowledgements are those of the old members.
                self.step_down(effects);
                self.membership = membership;
            }
            Ok(_) => {}
            Err(problem) => effects.fatal = Some(problem),
        }
    }
}
