//! [`shrink`]: makes a failing plan simpler as long as it fails in the same way.

use super::faults::KINDS;
use super::{Plan, Violation};

/// A plan that still fails.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// The simplest that was found.
    pub plan: Plan,
    /// How it fails.
    pub violation: Violation,
    /// How many runs it took.
    pub runs: u64,
    /// The kinds of fault that were not needed.
    pub without: Vec<&'static str>,
}

/// Tries fewer steps, fewer nodes, no faults of a kind, and without single fault events, and keeps whatever still violates
/// the same property. `fails` runs a plan; `runs_max` is how often it may.
pub fn shrink(
    plan: Plan,
    violation: Violation,
    runs_max: u64,
    mut fails: impl FnMut(Plan) -> Option<Violation>,
) -> Shrunk {
    let mut found = Shrunk { plan, violation, runs: 0, without: Vec::new() };
    let mut attempt = |found: &mut Shrunk, plan: Plan| {
        if found.runs >= runs_max || plan == found.plan {
            return false;
        }
        found.runs += 1;
        let same = fails(plan).filter(|violation| violation.property == found.violation.property);
        same.map(|violation| (found.plan, found.violation) = (plan, violation)).is_some()
    };
    fewer_steps(&mut found, &mut attempt);
    for nodes in [1, 3].into_iter().filter(|nodes| *nodes < plan.nodes()) {
        let plan = Plan { nodes: Some(nodes), ..found.plan };
        if attempt(&mut found, plan) {
            break;
        }
    }
    for kind in KINDS {
        let faults = found.plan.faults().without(kind);
        let plan = Plan { faults: Some(faults), ..found.plan };
        if faults != found.plan.faults() && attempt(&mut found, plan) {
            found.without.push(kind);
        }
    }
    // Single events: halves of them first, then ever smaller groups.
    let mut width = 32;
    while width > 0 {
        for from in (0..64).step_by(width) {
            let mut faults = found.plan.faults();
            let group = if width == 64 { u64::MAX } else { ((1 << width) - 1) << from };
            if faults.skip & group != group {
                faults.skip |= group;
                let plan = Plan { faults: Some(faults), ..found.plan };
                attempt(&mut found, plan);
            }
        }
        width /= 2;
    }
    fewer_steps(&mut found, &mut attempt);
    found
}

/// Halves the steps that can be done without, again and again.
fn fewer_steps(found: &mut Shrunk, attempt: &mut impl FnMut(&mut Shrunk, Plan) -> bool) {
    let (mut low, mut tries) = (0, 12);
    while low + 1 < found.plan.steps && tries > 0 {
        tries -= 1;
        let steps = low + (found.plan.steps - low) / 2;
        let plan = Plan { steps, ..found.plan };
        if !attempt(found, plan) {
            low = steps;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn violation() -> Violation {
        Violation { property: "it holds", what: String::new() }
    }

    #[test]
    fn what_is_not_needed_goes_and_what_is_needed_stays() {
        let plan = Plan { seed: 11, steps: 5000, nodes: Some(5), faults: None };
        let needs = |plan: Plan| {
            let faults = plan.faults();
            let fails = plan.steps >= 700
                && plan.nodes() >= 3
                && faults.write_max_us > 0
                && faults.skip >> 9 & 1 == 0;
            fails.then(violation)
        };
        let shrunk = shrink(plan, violation(), 500, needs);
        assert!((700..760).contains(&shrunk.plan.steps), "{}", shrunk.plan.steps);
        assert_eq!(shrunk.plan.nodes, Some(3));
        let faults = shrunk.plan.faults();
        assert_eq!((faults.crash_every_ms, faults.network.loss_one_in), (0, 0));
        assert_eq!(faults.skip, !(1 << 9));
    }

    #[test]
    fn another_violation_is_not_the_same() {
        let plan = Plan { seed: 11, steps: 100, nodes: Some(3), faults: None };
        let other = |_| Some(Violation { property: "something else", what: String::new() });
        assert_eq!(shrink(plan, violation(), 50, other).plan, plan);
    }
}
