//! What the simulator finds: seeds run with one bug switched on.

use consensus_api::mutation::mutate;
use quorate::{Engine, MultiPaxos, Raft};
use testkit::simulator::{Plan, Run};

use crate::catalogue::Mutation;
use crate::options;

/// Events before faults stop, in each seed.
const STEPS: u64 = 3000;

/// What became of a bug in some seeds.
#[derive(Clone, Default, Debug)]
pub(crate) struct Hunt {
    pub(crate) seeds: u64,
    pub(crate) caught: u64,
    /// The first seed that caught it: the engine, and the property violated.
    pub(crate) first: Option<(u64, &'static str, String)>,
}

/// Runs `least` seeds, and goes on up to `most` until one of them shows the bug.
pub(crate) fn hunt(mutation: Mutation, least: u64, most: u64) -> Hunt {
    let mut hunt = Hunt::default();
    while hunt.seeds < least || (hunt.caught == 0 && hunt.seeds < most) {
        let seed = hunt.seeds;
        hunt.seeds += 1;
        let found = if mutation.name.starts_with("raft/") {
            shows::<Raft>(mutation, seed)
        } else if mutation.name.starts_with("paxos/") {
            shows::<MultiPaxos>(mutation, seed)
        } else {
            shows::<Raft>(mutation, seed).or_else(|| shows::<MultiPaxos>(mutation, seed))
        };
        if let Some((engine, property)) = found {
            hunt.caught += 1;
            hunt.first.get_or_insert((seed, engine, property));
        }
    }
    hunt
}

/// The property that this seed shows to be violated, if it does.
fn shows<E: Engine>(mutation: Mutation, seed: u64) -> Option<(&'static str, String)> {
    mutate(Some(mutation.name));
    let plan = Plan { seed, steps: STEPS, nodes: None, faults: None };
    let ran = Run::of(plan).go_with::<E>(options::of::<E>(&plan));
    mutate(None);
    let (violation, _) = *ran.err()?;
    let said =
        if violation.property == "an assertion" { violation.what } else { violation.property.to_owned() };
    Some((E::NAME.0, said.lines().next().unwrap_or_default().to_owned()))
}
