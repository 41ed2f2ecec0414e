//! How an engine comes to be from what its storage holds.

use std::collections::BTreeMap;

use consensus_api::{Generation, Outline, Setup, StartError};

use super::learner::Learner;
use super::reads::Reads;
use super::timers::Timers;
use super::{Options, Paxos, Won};
use crate::log::Log;
use crate::quorum::Quorums;
use crate::start::{acceptor_of, check_flow, chosen_in, in_force, refuse};

/// An engine as of what its storage holds. What it wanted to have chosen in an earlier life, it has forgotten; the ballots
/// it began, it has not.
pub(super) fn recover(setup: Setup<Options>, outline: &Outline) -> Result<Paxos, StartError> {
    let Setup { node, founders, now, seed, timing, flow, options } = setup;
    timing.check()?;
    check_flow(flow)?;
    let quorums = Quorums { phase_1: options.phase_1_quorum, phase_2: options.phase_2_quorum };
    let acceptor = acceptor_of(node, outline, 0)?;
    let log = Log::recover(outline.clone());
    let commit = chosen_in(outline);
    let membership = in_force(&log, commit, &founders).map_err(|problem| refuse(node, problem))?;
    quorums.check(&membership)?;
    let mut timers = Timers::new(timing, now, seed, node);
    let reads = Reads::new(timers.roll());
    Ok(Paxos {
        node,
        membership,
        quorums,
        limits: flow,
        round_seen: acceptor.promised().round,
        acceptor,
        applied: log.snapshot_index(),
        watermark: outline.watermark.min(commit),
        log,
        commit,
        names: BTreeMap::new(),
        learner: Learner::default(),
        wanted: None,
        attempt: None,
        held: None,
        won: (Generation::ZERO, Won::default()),
        reads,
        supplies: Vec::new(),
        contacts: BTreeMap::new(),
        timers,
    })
}
