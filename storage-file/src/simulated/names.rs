//! The names in a folder, which of them are durable, and what chance leaves of the difference.

use std::collections::BTreeMap;

use super::random;

#[derive(Clone, Default)]
pub(super) struct Names {
    pub(super) now: BTreeMap<String, usize>,
    durable: BTreeMap<String, usize>,
    unsynced: Vec<NameChange>,
}

#[derive(Clone)]
pub(super) enum NameChange {
    Created(String, usize),
    Renamed(String, String, usize),
    Removed(String),
}

impl Names {
    pub(super) fn change(&mut self, change: NameChange) {
        change.apply(&mut self.now);
        self.unsynced.push(change);
    }

    pub(super) fn sync(&mut self) {
        self.unsynced.clear();
        self.durable.clone_from(&self.now);
    }

    /// Gives every file another number, and makes all names durable.
    pub(super) fn renumber(&mut self, other: impl Fn(usize) -> usize) {
        self.now.values_mut().for_each(|file| *file = other(*file));
        self.sync();
    }

    /// Each change since the last sync is kept or lost.
    pub(super) fn crash(&mut self, seed: &mut u64) {
        for change in std::mem::take(&mut self.unsynced) {
            if random(seed).is_multiple_of(2) {
                change.apply(&mut self.durable);
            }
        }
        self.now.clone_from(&self.durable);
    }
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<String, usize>) {
        match self {
            Self::Created(name, file) => drop(names.insert(name.clone(), *file)),
            Self::Renamed(from, to, file) => {
                names.remove(from);
                names.insert(to.clone(), *file);
            }
            Self::Removed(name) => drop(names.remove(name)),
        }
    }
}
