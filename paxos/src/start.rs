//! What an engine can trust of what its storage holds: the acceptor's memory, the chosen prefix, the membership.

use consensus_api::{FlowLimits, Index, Membership, NodeId, Outline, StartError};

use crate::acceptor::Acceptor;
use crate::log::Log;

/// The acceptor as its disk remembers it. A sound log begins where it was compacted to, behind a snapshot, and its
/// promise can be read; and it works with the window it has always worked with.
pub(crate) fn acceptor_of(node: NodeId, outline: &Outline, window: u64) -> Result<Acceptor, StartError> {
    let accepted_max = outline.runs().iter().map(|run| run.generation).max().unwrap_or_default();
    let acceptor = Acceptor::recover(outline.hard_state.as_ref(), accepted_max, window)
        .ok_or_else(|| refuse(node, "its promise cannot be read".to_owned()))?;
    if acceptor.window() != window {
        let problem =
            "differs from what this node was given before; it cannot change, so give it the former value";
        return Err(StartError::Options { field: "window_entries_max", problem });
    }
    let snapshot = outline.snapshot.as_ref().map_or(Index::ZERO, |mark| mark.index);
    if outline.compacted > snapshot {
        return Err(refuse(node, format!("entries after the snapshot at {snapshot} are compacted")));
    }
    Ok(acceptor)
}

/// The chosen prefix as far as it is certain: the snapshot, and the watermark, which is only ever written for slots that
/// are written too.
pub(crate) fn chosen_in(outline: &Outline) -> Index {
    let start = outline.snapshot.as_ref().map_or(Index::ZERO, |mark| mark.index).max(outline.compacted);
    let unbroken = outline.first_hole(start.next()).prev();
    outline.watermark.min(unbroken).max(start)
}

/// The newest membership that is chosen: of the log, else of the snapshot, else the founders'.
pub(crate) fn in_force(log: &Log, commit: Index, founders: &Membership) -> Result<Membership, String> {
    let chosen = log.memberships().iter().rev().find(|entry| entry.index <= commit);
    if let Some(entry) = chosen {
        return Membership::decode(&entry.body)
            .map_err(|error| format!("the membership in entry {} cannot be read: {error}", entry.index));
    }
    Ok(log.snapshot().map_or(founders, |mark| &mark.membership).clone())
}

/// Something must be allowed on its way.
pub(crate) fn check_flow(flow: FlowLimits) -> Result<(), StartError> {
    if flow.inflight_frames_max == 0 || flow.inflight_bytes_max == 0 {
        let problem = "must be greater than zero, or nothing is ever sent";
        return Err(StartError::Options { field: "flow", problem });
    }
    Ok(())
}

pub(crate) fn refuse(node: NodeId, problem: String) -> StartError {
    StartError::Log { node, problem }
}
