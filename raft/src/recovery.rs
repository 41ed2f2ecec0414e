//! How an engine comes to be from what its storage holds.

use consensus_api::{Index, NodeId, Outline, Setup, StartError};

use crate::hard_state::HardState;
use crate::log::Log;
use crate::options::Options;
use crate::raft::{Raft, State};
use crate::timers::Timers;
use crate::{Term, membership};

/// An engine as of what its storage holds: a follower without a leader.
///
/// The commit index starts from what is certain: the snapshot, and the watermark, which is only ever written for
/// entries that are in the log by then. The rest is learnt from the next leader.
pub(crate) fn recover(setup: Setup<Options>, outline: &Outline) -> Result<Raft, StartError> {
    let Setup { node, founders, now, seed, timing, flow, options } = setup;
    timing.check()?;
    options.check()?;
    if flow.inflight_frames_max == 0 || flow.inflight_bytes_max == 0 {
        let problem = "must be greater than zero, or nothing is ever sent";
        return Err(StartError::Options { field: "flow", problem });
    }
    let hard_state = check_outline(node, outline)?;
    let log = Log::recover(outline.clone());
    let membership = membership::in_force(&log, &founders).map_err(|problem| refuse(node, problem))?;
    let snapshot = log.snapshot_index();
    let commit = outline.watermark.min(log.last()).max(snapshot).max(log.compacted());
    let settled = log.generation_at(commit).unwrap_or_default();
    let mut raft = Raft {
        node,
        limits: flow,
        options,
        term: hard_state.term,
        vote: hard_state.vote,
        leader: None,
        membership_at: membership::stands_at(&log),
        membership,
        commit,
        applied: snapshot,
        settled,
        watermark: outline.watermark.min(commit),
        state: State::Follower { following: false },
        succession: None,
        timers: Timers::new(timing, now, seed, node),
        scratch: Vec::with_capacity(founders.members().count()),
        founders,
        log,
    };
    if raft.options.lease_drift_ppm_max.is_some() {
        // A leader's lease rests on what this member may have answered before it stopped (thesis, section 6.4.1).
        raft.timers.votes_from = now + timing.election_timeout_min;
    }
    if raft.is_alone() {
        raft.timers.election = now; // there is nobody to wait for
    }
    Ok(raft)
}

/// What a sound log looks like to Raft: no holes, terms that never fall, none beyond the current one.
fn check_outline(node: NodeId, outline: &Outline) -> Result<HardState, StartError> {
    let hard_state = match &outline.hard_state {
        None => HardState::default(),
        Some(bytes) => HardState::decode(bytes)
            .ok_or_else(|| refuse(node, "its term and vote cannot be read".to_owned()))?,
    };
    let mut next = outline.compacted.next();
    let mut generation = outline.compacted_generation;
    for run in outline.runs() {
        if run.first != next {
            return Err(refuse(node, format!("entry {next} is missing, and Raft's log has no holes")));
        }
        // Two runs that continue each other would be one; only the first may go on where the compacted part ended.
        let goes_on = run.generation == generation && run.first == outline.compacted.next();
        if run.generation.round <= generation.round && !goes_on {
            return Err(refuse(node, format!("the term falls at entry {next}")));
        }
        next = run.last.next();
        generation = run.generation;
    }
    if Term(generation.round) > hard_state.term {
        return Err(refuse(node, format!("its last entry is of a later term than {:?}", hard_state.term)));
    }
    let snapshot = outline.snapshot.as_ref().map_or(Index::ZERO, |mark| mark.index);
    if snapshot >= next {
        return Err(refuse(node, format!("the log ends before its snapshot, which covers entry {snapshot}")));
    }
    if outline.compacted > snapshot {
        return Err(refuse(node, format!("entries after the snapshot at {snapshot} are compacted")));
    }
    Ok(hard_state)
}

fn refuse(node: NodeId, problem: String) -> StartError {
    StartError::Log { node, problem }
}
