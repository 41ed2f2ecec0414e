//! What a campaign must have seen: a kind of event that never happened was not tested.

use std::collections::BTreeMap;

use consensus_api::Capabilities;

/// Happens on every engine and every disk.
const ALWAYS: [&str; 32] = [
    "writes answered",
    "reads answered",
    "outcomes unknown",
    "requests given up",
    "requests asked again",
    "snapshots taken",
    "snapshots received",
    "snapshots restored",
    "entries overwritten",
    "entries reloaded for a peer",
    "entries reloaded to apply",
    "entries applied ahead of the disk",
    "crashes",
    "crashes in a step",
    "blackouts",
    "restarts with other timing",
    "partitions",
    "pauses",
    "connections broken",
    "frames of nonsense",
    "sessions opened",
    "sessions expired",
    "commands in sessions answered",
    "commands in sessions answered again",
    "lease reads confirmed by a quorum",
    "reads of one's own writes",
    "stale reads at once",
    "stale reads that asked",
    "strangers' frames",
    "nodes of other clusters refused",
    "disks wiped",
    "wiped disks refused",
];

/// Happens where one leads.
const WITH_LEADERS: [&str; 3] = ["elections", "leaders deposed", "snapshots received from a follower"];

/// Happens where members change.
const WITH_CHANGES: [&str; 10] = [
    "learners added",
    "voters promoted",
    "members removed",
    "leaders removed",
    "memberships replaced",
    "addresses changed",
    "errands refused",
    "errands of unknown outcome",
    "wiped members added again",
    "removed members switched off",
];

/// Happens where leadership can be handed over.
const WITH_TRANSFERS: [&str; 1] = ["leadership handed over"];

/// Happens where disks are more than a model.
const ON_MEDIA: [&str; 6] = [
    "disk errors",
    "full disks",
    "disks damaged",
    "damaged disks refused",
    "disks rolled back",
    "rolled back disks refused",
];

/// The kinds of event that these counts lack, of those that a campaign of some hundred seeds must have.
pub fn absent(
    counts: &BTreeMap<&'static str, u64>,
    engine: Capabilities,
    on_media: bool,
) -> Vec<&'static str> {
    let led = WITH_LEADERS.iter().filter(|_| engine.leader);
    let changed = WITH_CHANGES.iter().filter(|_| engine.membership_change);
    let handed = WITH_TRANSFERS.iter().filter(|_| engine.leadership_transfer);
    let expected =
        ALWAYS.iter().chain(led).chain(changed).chain(handed).chain(ON_MEDIA.iter().filter(|_| on_media));
    expected.filter(|mark| counts.get(*mark).is_none_or(|count| *count == 0)).copied().collect()
}
