//! A node that believes an older copy of its files: on real files, the simulator finds it.

use consensus_api::mutation::mutate;
use quorate::Raft;
use testkit::simulator::{Faults, Plan, Run};

#[path = "../simulation/files.rs"]
mod files;

const SEEDS: u64 = 60;

#[test]
fn an_older_copy_that_is_believed_is_found_on_files() {
    let faults =
        Faults { disk_damage_every_ms: 1000, crash_every_ms: 1000, down_max_ms: 500, ..Faults::none() };
    let property = |seed| {
        let plan = Plan { seed, steps: 3000, nodes: Some(3), faults: Some(faults) };
        let ran = Run::of(plan).on(|_, seed| files::Files::new(seed)).go::<Raft>();
        ran.err().map(|failed| failed.0.property)
    };
    let first = |bug| {
        mutate(bug);
        let found = (0..SEEDS).find_map(|seed| Some((seed, property(seed)?)));
        mutate(None);
        found
    };
    assert_eq!(first(None), None);
    let found = first(Some("file/older-copy-believed"));
    assert!(matches!(found, Some((_, "a disk holds what was acknowledged"))), "{found:?}");
}
