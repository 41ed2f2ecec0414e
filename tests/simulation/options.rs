//! What engines are given in simulations beyond their defaults: leases, where an engine has them, priorities, and small
//! windows, in which changes of membership take effect soon. Shared by the simulations in `tests/` and the program in
//! `examples/`.

use std::any::Any;

use quorate::{Engine, NodeId};
use testkit::Random;
use testkit::simulator::Plan;

/// The options of each node's engine in that run.
pub(crate) fn of<E: Engine>(plan: &Plan) -> impl FnMut(NodeId) -> E::Options + use<E> {
    let faults = plan.faults();
    let mut chance = Random::new(plan.seed).stream("engine options", 0);
    // A lease rests on the timing that all members share, and on a bound on how far their clocks drift apart.
    let lease_drift_ppm_max = (faults.retime_one_in == 0).then_some(faults.drift_max_permille as u32 * 1000);
    let priorities = if chance.one_in(3) { 3 } else { 1 };
    let window = [4, 32, 1024][Random::new(plan.seed).stream("window", 0).below(3) as usize];
    move |_| {
        let mut options = E::Options::default();
        let priority = chance.below(priorities) as u8;
        set(&mut options, lease_drift_ppm_max, priority, window);
        options
    }
}

/// Whatever of this the engine has.
#[allow(unused_variables, clippy::needless_pass_by_ref_mut, reason = "not every engine is compiled in")]
fn set(options: &mut dyn Any, lease_drift_ppm_max: Option<u32>, priority: u8, window: u64) {
    #[cfg(feature = "raft")]
    if let Some(raft) = options.downcast_mut::<quorate::RaftOptions>() {
        raft.lease_drift_ppm_max = lease_drift_ppm_max;
        raft.priority = priority;
    }
    #[cfg(feature = "multi-paxos")]
    if let Some(multi_paxos) = options.downcast_mut::<quorate::MultiPaxosOptions>() {
        multi_paxos.lease_drift_ppm_max = lease_drift_ppm_max;
        multi_paxos.window_entries_max = window;
    }
}
