//! [`Model`]: what a log must hold, in the simplest words. It shares no code with the storages or with
//! [`Outline`](consensus_api::Outline), which it is compared with.

use std::collections::BTreeMap;
use std::fmt::Debug;

use bytes::Bytes;
use consensus_api::{Batch, Entry, EntryKind, Generation, Index, Op, Outline, SnapshotMark};

/// The contents of a log.
#[derive(Clone, PartialEq, Default, Debug)]
pub(crate) struct Model {
    pub(crate) entries: BTreeMap<Index, Entry>,
    pub(crate) hard_state: Option<Bytes>,
    pub(crate) snapshot: Option<SnapshotMark>,
    pub(crate) compacted: Index,
    pub(crate) compacted_generation: Generation,
    pub(crate) watermark: Index,
}

impl Model {
    /// What is there after these batches.
    pub(crate) fn of<'a>(batches: impl IntoIterator<Item = &'a Batch>) -> Self {
        let mut model = Self::default();
        batches.into_iter().for_each(|batch| model.apply(batch));
        model
    }

    /// Takes a batch into account.
    pub(crate) fn apply(&mut self, batch: &Batch) {
        for op in batch.ops() {
            match op {
                Op::HardState(bytes) => self.hard_state = Some(bytes.clone()),
                Op::TruncateFrom(from) => self.entries.retain(|index, _| index < from),
                Op::Put(entry) => {
                    if entry.index > self.compacted {
                        self.entries.insert(entry.index, entry.clone());
                    }
                }
                Op::Compact { upto, generation } => {
                    if *upto > self.compacted {
                        self.entries.retain(|index, _| index > upto);
                        self.compacted = *upto;
                        self.compacted_generation = *generation;
                    }
                }
                Op::SnapshotMark(mark) => self.snapshot = Some(mark.clone()),
                Op::Watermark(index) => self.watermark = self.watermark.max(*index),
            }
        }
    }

    /// The last entry's place.
    pub(crate) fn last(&self) -> Index {
        self.entries.keys().next_back().copied().unwrap_or(self.compacted)
    }

    /// The first difference to what a storage reports and reads, in words.
    pub(crate) fn difference(&self, outline: &Outline, entries: &[Entry]) -> Option<String> {
        self.difference_of_outline(outline).or_else(|| self.difference_of_entries(entries))
    }

    /// The first difference to what a storage reads, in words.
    pub(crate) fn difference_of_entries(&self, entries: &[Entry]) -> Option<String> {
        let expected: Vec<&Entry> = self.entries.values().collect();
        for (at, entry) in expected.iter().enumerate() {
            match entries.get(at) {
                None => return Some(format!("{entry:?} is not read")),
                Some(found) if found == *entry => {}
                Some(found) if found.index == entry.index && found.generation == entry.generation => {
                    return Some(format!("{entry:?} is read with other contents"));
                }
                Some(found) => return Some(format!("{found:?} is read in place of {entry:?}")),
            }
        }
        entries.get(expected.len()).map(|found| format!("{found:?} is read and should not be there"))
    }

    fn difference_of_outline(&self, outline: &Outline) -> Option<String> {
        let runs = outline
            .runs()
            .iter()
            .flat_map(|run| (run.first.0..=run.last.0).map(|index| (Index(index), run.generation)));
        // One more than there should be, so that a run of nonsense is not gone through.
        let runs: Vec<_> = runs.take(self.entries.len() + 1).collect();
        let expected: Vec<_> = self.entries.iter().map(|(index, entry)| (*index, entry.generation)).collect();
        let of_members = |entry: &&Entry| entry.kind == EntryKind::Membership;
        let memberships: Vec<_> = self.entries.values().filter(of_members).collect();
        let reported: Vec<_> = outline.memberships().iter().collect();
        None.or_else(|| differs("hard state", &outline.hard_state, &self.hard_state))
            .or_else(|| differs("snapshot mark", &outline.snapshot, &self.snapshot))
            .or_else(|| differs("compaction mark", &outline.compacted, &self.compacted))
            .or_else(|| {
                let (found, expected) = (&outline.compacted_generation, &self.compacted_generation);
                differs("generation of the compaction mark", found, expected)
            })
            .or_else(|| differs("watermark", &outline.watermark, &self.watermark))
            .or_else(|| differs("list of memberships", &reported, &memberships))
            .or_else(|| differs("list of entries", &runs, &expected))
    }
}

fn differs<V: PartialEq + Debug>(what: &str, found: &V, expected: &V) -> Option<String> {
    (found != expected).then(|| format!("the {what} is {found:?} and should be {expected:?}"))
}
