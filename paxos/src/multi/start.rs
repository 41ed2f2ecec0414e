//! How an engine comes to be from what its storage holds.

use consensus_api::{Effects, Generation, Index, Membership, NodeId, Outline, Setup, StartError};

use super::following::Following;
use super::learner::Learner;
use super::log::Log;
use super::quorum::Quorums;
use super::timers::Timers;
use super::{Message, MultiPaxos, Options, State};
use crate::acceptor::Acceptor;

/// An engine as of what its storage holds: it follows nobody, and has promised what it promised.
///
/// The chosen prefix starts from what is certain: the snapshot, and the watermark, which is only ever written for slots
/// that are written too. The rest is learnt from others, or found out by the next leader.
pub(super) fn recover(setup: Setup<Options>, outline: &Outline) -> Result<MultiPaxos, StartError> {
    let Setup { node, founders, now, seed, timing, flow, options } = setup;
    timing.check()?;
    if flow.inflight_frames_max == 0 || flow.inflight_bytes_max == 0 {
        let problem = "must be greater than zero, or nothing is ever sent";
        return Err(StartError::Options { field: "flow", problem });
    }
    if options.window_entries_max == 0 {
        let problem = "must be greater than zero, or nothing is ever proposed";
        return Err(StartError::Options { field: "window_entries_max", problem });
    }
    let quorums = Quorums { phase_1: options.phase_1_quorum, phase_2: options.phase_2_quorum };
    let acceptor = check_outline(node, outline)?;
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
        acceptor,
        commit,
        applied: log.snapshot_index(),
        learner: Learner::default(),
        round_seen: promised.round,
        given_up: Generation::ZERO,
        watermark: outline.watermark.min(commit),
        state: State::Following(Following::default()),
        supplies: Vec::new(),
        timers: Timers::new(timing, now, seed, node),
        scratch: Vec::with_capacity(founders.members().count()),
        founders,
        log,
    };
    if engine.is_alone() {
        engine.timers.election = now; // there is nobody to wait for
    }
    Ok(engine)
}

fn chosen_in(outline: &Outline) -> Index {
    let start = outline.snapshot.as_ref().map_or(Index::ZERO, |mark| mark.index).max(outline.compacted);
    let unbroken = outline.first_hole(start.next()).prev();
    outline.watermark.min(unbroken).max(start)
}

/// What a sound log looks like: it begins where it was compacted to, behind a snapshot, and its promise can be read.
fn check_outline(node: NodeId, outline: &Outline) -> Result<Acceptor, StartError> {
    let accepted_max = outline.runs().iter().map(|run| run.generation).max().unwrap_or_default();
    let acceptor = Acceptor::recover(outline.hard_state.as_ref(), accepted_max)
        .ok_or_else(|| refuse(node, "its promise cannot be read".to_owned()))?;
    let snapshot = outline.snapshot.as_ref().map_or(Index::ZERO, |mark| mark.index);
    if outline.compacted > snapshot {
        return Err(refuse(node, format!("entries after the snapshot at {snapshot} are compacted")));
    }
    Ok(acceptor)
}

/// The newest membership that is chosen: of the log, else of the snapshot, else the founders'.
pub(super) fn in_force(log: &Log, commit: Index, founders: &Membership) -> Result<Membership, String> {
    let chosen = log.memberships().iter().rev().find(|entry| entry.index <= commit);
    if let Some(entry) = chosen {
        return Membership::decode(&entry.body)
            .map_err(|error| format!("the membership in entry {} cannot be read: {error}", entry.index));
    }
    Ok(log.snapshot().map_or(founders, |mark| &mark.membership).clone())
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

fn refuse(node: NodeId, problem: String) -> StartError {
    StartError::Log { node, problem }
}
