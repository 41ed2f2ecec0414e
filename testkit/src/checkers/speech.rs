//! Durable before speech: nobody is believed to have on disk what they have not. Seen from outside, by what others take
//! for granted: a leader's round is remembered by a quorum of disks, and what a leader counts as held by a peer is on that
//! peer's disk.

use consensus_api::{Engine, PeerProgress, Role};

use super::memberships::Memberships;
use super::{Checked, violated};
use crate::simulator::{Member, Violation};

pub(super) const NAME: &str = "speech";

pub(super) fn stepped<E: Engine>(
    memberships: &Memberships,
    members: &[Member<E>],
    at: usize,
    began_to_lead: bool,
) -> Result<u64, Violation> {
    let Some(engine) = members[at].engine() else { return Ok(0) };
    let standing = engine.standing();
    if standing.role != Role::Leader {
        return Ok(0);
    }
    if began_to_lead {
        votes_are_durable(memberships, members, at)?;
    }
    // Where a log may have holes, a peer may be known to have learnt what its own disk never held.
    let mut progress = Vec::new();
    if !E::CAPABILITIES.holes {
        engine.progress(&mut progress);
    }
    for peer in &progress {
        acknowledged_is_durable(members, at, *peer)?;
    }
    Ok(1 + progress.len() as u64)
}

/// If all lost their power now, a quorum would still know of this leader's round: nobody could win it again. That is a quorum
/// of those who decide about what it has proposed so far, save where somebody knows already what is chosen; and whom it has
/// to ask for more, depends on that.
fn votes_are_durable<E: Engine>(memberships: &Memberships, members: &[Member<E>], at: usize) -> Checked {
    let Some(standing) = members[at].engine().map(Engine::standing) else { return Ok(()) };
    let (round, last) = (standing.generation.round, standing.last);
    let known = members.iter().filter_map(|member| Some(member.engine()?.standing().commit)).max();
    let proposed = [known.unwrap_or_default().next().min(last), last];
    let remembers =
        |member: &Member<E>| member.remembered().any(|engine| engine.standing().generation.round >= round);
    let remembering: Vec<_> = members.iter().filter(|it| remembers(it)).map(|it| it.id).collect();
    let remembered = |about| memberships.quorum_holds(members, about, |node| remembering.contains(&node));
    if proposed.into_iter().all(remembered) {
        return Ok(());
    }
    let what =
        format!("node {} leads round {round}, which only the disks of {remembering:?} know", members[at].id);
    violated("votes are durable before they are cast", what)
}

fn acknowledged_is_durable<E: Engine>(members: &[Member<E>], at: usize, progress: PeerProgress) -> Checked {
    let Some(peer) = members.iter().find(|member| member.id == progress.peer) else { return Ok(()) };
    let round = |member: &Member<E>| member.engine().map(|engine| engine.standing().generation.round);
    // Another leader may have replaced what was acknowledged to this one.
    if round(peer) != round(&members[at]) {
        return Ok(());
    }
    let outline = peer.disk.outline();
    let covered = outline.snapshot.as_ref().map_or(consensus_api::Index::ZERO, |mark| mark.index);
    if progress.matched <= outline.last().max(covered) {
        return Ok(());
    }
    let (leader, matched, last) = (members[at].id, progress.matched, outline.last());
    let what = format!("node {leader} counts on {matched} at node {}, whose disk ends at {last}", peer.id);
    violated("entries are durable before they are acknowledged", what)
}
