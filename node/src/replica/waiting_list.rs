//! [`WaitingList`]: what waits for an answer, under the name the answer will bear.
//!
//! *Patterns of Distributed Systems*, "Request Waiting List".

use std::collections::BTreeMap;

/// What waits, in the order of its names.
#[derive(Debug)]
pub(super) struct WaitingList<K, V>(BTreeMap<K, V>);

impl<K: Ord + Copy, V> WaitingList<K, V> {
    pub(super) const fn new() -> Self {
        Self(BTreeMap::new())
    }

    pub(super) fn insert(&mut self, name: K, value: V) {
        let old = self.0.insert(name, value);
        debug_assert!(old.is_none(), "a name is given once");
    }

    pub(super) fn get_mut(&mut self, name: K) -> Option<&mut V> {
        self.0.get_mut(&name)
    }

    pub(super) fn remove(&mut self, name: K) -> Option<V> {
        self.0.remove(&name)
    }

    pub(super) fn pop_first(&mut self) -> Option<V> {
        self.0.pop_first().map(|(_, value)| value)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &V> {
        self.0.values()
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.0.values_mut()
    }

    /// Takes out all that `leaves` is true of, in order.
    pub(super) fn take_where(&mut self, leaves: impl Fn(&V) -> bool) -> Vec<(K, V)> {
        let names: Vec<K> = self.0.iter().filter(|(_, value)| leaves(value)).map(|(name, _)| *name).collect();
        names.into_iter().filter_map(|name| self.0.remove_entry(&name)).collect()
    }

    /// Takes out everything.
    pub(super) fn take_all(&mut self) -> impl Iterator<Item = V> + use<K, V> {
        std::mem::take(&mut self.0).into_values()
    }
}
