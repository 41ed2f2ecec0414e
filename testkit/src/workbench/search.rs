//! [`search`]: every choice, breadth first, up to a bound. What it finds is the shortest way to it.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use consensus_api::Engine;

use super::{Bounds, Choice, Workbench};

/// How far a search goes.
#[derive(Clone, Debug)]
pub struct Search {
    /// What may happen.
    pub bounds: Bounds,
    /// So many choices one after the other.
    pub depth_max: usize,
    /// So many different states.
    pub states_max: usize,
}

/// What a search found.
#[derive(Clone, Debug)]
pub struct Found {
    /// Different states seen.
    pub states: usize,
    /// All states this many choices away from the start were seen.
    pub depth: usize,
    /// There is nothing beyond: the bounds leave no further state.
    pub exhausted: bool,
    /// Invariants evaluated.
    pub checks: u64,
    /// What did not hold, and the choices that lead there.
    pub violation: Option<(String, Vec<Choice>)>,
}

/// Goes through all that may happen from here, breadth first.
pub fn search<E: Engine>(start: &Workbench<E>, search: &Search) -> Found {
    // How each state was reached: from which, and by what.
    let mut reached: HashMap<u64, Option<(u64, Choice)>> = HashMap::from([(start.fingerprint(), None)]);
    let mut level = vec![(start.fingerprint(), start.clone())];
    let mut found = Found { states: 1, depth: 0, exhausted: false, checks: 0, violation: None };
    while !level.is_empty() && found.depth < search.depth_max {
        let mut next = Vec::new();
        for (from, state) in level {
            for choice in state.choices(&search.bounds) {
                let mut after = state.clone();
                let before = after.checks();
                let chosen = catch_unwind(AssertUnwindSafe(|| after.choose(&choice)));
                if let Err(panic) = chosen {
                    let mut choices = path(&reached, from);
                    choices.push(choice);
                    found.violation = Some((words(&*panic), choices));
                    return found;
                }
                found.checks += after.checks() - before;
                after.forget_beyond(search.bounds.packets_max);
                let to = after.fingerprint();
                if let std::collections::hash_map::Entry::Vacant(place) = reached.entry(to) {
                    place.insert(Some((from, choice)));
                    next.push((to, after));
                    found.states += 1;
                }
            }
            if found.states >= search.states_max {
                return found;
            }
        }
        found.depth += 1;
        level = next;
    }
    found.exhausted = level.is_empty();
    found
}

/// The choices that led from the start to a state.
fn path(reached: &HashMap<u64, Option<(u64, Choice)>>, mut state: u64) -> Vec<Choice> {
    let mut choices = Vec::new();
    while let Some(Some((from, choice))) = reached.get(&state) {
        choices.push(choice.clone());
        state = *from;
    }
    choices.reverse();
    choices
}

fn words(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
    text.unwrap_or_else(|| "a panic without words".to_owned())
}

impl<E: Engine> Workbench<E> {
    /// Loses the oldest packets beyond so many.
    fn forget_beyond(&mut self, packets_max: usize) {
        let over = self.packets.len().saturating_sub(packets_max);
        self.packets.drain(..over);
    }
}
