//! [`Disk`]: a log and a snapshot that survive crashes, and writes that may not.
//!
//! By itself it is a model: it loses what was not acknowledged, and nothing else. With a [`Medium`] the writes go to a
//! real log storage, and the model is what that is held to: after every start the log must hold what was acknowledged,
//! and of the write that was under way all or nothing.

use std::fmt;
use std::ops::Range;

use bytes::Bytes;
use consensus_api::{
    Batch, Entry, Identity, Index, Outline, Recovered, SnapshotMark, StorageError, StoreId, WriteSeq,
};

use super::image::Image;
use super::medium::{Backing, DiskFault, Medium, OnMedium};
use crate::Random;

/// The disk of one simulated node.
#[derive(Default)]
pub struct Disk {
    /// What was reported durable.
    durable: Image,
    snapshot: Option<(SnapshotMark, Bytes)>,
    /// Hints, which are written with what comes next.
    put_off: Batch,
    /// The batch being written.
    writing: Option<(WriteSeq, Batch)>,
    /// What a crash interrupted: it is there as a whole or not at all.
    interrupted: Option<Batch>,
    backing: Option<Box<dyn Backing>>,
    /// What was done to what was synced since the last start.
    pub(crate) damaged: Option<DiskFault>,
    /// What was durable on the disk before this one, which was lost.
    before: Option<Image>,
}

/// Why a node does not start.
#[derive(Debug)]
pub(crate) enum NoStart {
    /// The storage refused what lies there.
    Refused(StorageError),
    /// It did not, and should have.
    Wrong(String),
}

impl Disk {
    /// A disk on which a log of one's own lies.
    pub(crate) fn on(medium: impl Medium) -> Self {
        Self { backing: Some(Box::new(OnMedium { medium, log: None })), ..Self::default() }
    }

    /// What a node finds when it starts.
    pub(crate) fn open(&mut self, identity: &Identity) -> Result<Recovered, NoStart> {
        let Some(backing) = &mut self.backing else {
            let store = StoreId(u128::from(identity.node.0) | u128::from(self.before.is_some()) << 64);
            return Ok(Recovered { store, outline: self.durable.outline().clone(), notes: Vec::new() });
        };
        let opened = backing.open(identity).map_err(NoStart::Refused)?;
        let found = Image::of(opened.recovered.outline.clone(), opened.entries);
        let mut with_interrupted = self.durable.clone();
        with_interrupted.write(self.interrupted.take().unwrap_or_default());
        if !found.agrees_with(&self.durable) && !found.agrees_with(&with_interrupted) {
            let what = format!("acknowledged: {:?}; found: {:?}", self.durable.outline(), found.outline());
            return Err(NoStart::Wrong(what));
        }
        let newest = |snapshot: &Option<(SnapshotMark, Bytes)>| snapshot.as_ref().map(|(mark, _)| mark.index);
        if newest(&opened.snapshot) < newest(&self.snapshot) {
            let (found, kept) = (newest(&opened.snapshot), newest(&self.snapshot));
            return Err(NoStart::Wrong(format!("the snapshot at {kept:?} was finished; found: {found:?}")));
        }
        (self.durable, self.snapshot, self.damaged) = (found, opened.snapshot, None);
        Ok(opened.recovered)
    }

    /// Begins a write. Whether there is anything to wait for.
    pub(crate) fn begin(&mut self, seq: WriteSeq, batch: Batch) -> Result<bool, StorageError> {
        assert!(self.writing.is_none(), "one write is under way at a time");
        if let Some(backing) = &mut self.backing {
            backing.submit(seq, batch.clone())?;
        }
        let lazy = batch.is_lazy();
        self.put_off.merge(batch);
        if lazy {
            // Written, if not synced: a medium has hints to do as well.
            self.backing.as_mut().map_or(Ok(None), |backing| backing.work())?;
        } else {
            self.writing = Some((seq, std::mem::take(&mut self.put_off)));
        }
        Ok(!lazy)
    }

    /// Whether a write is under way.
    pub(crate) const fn is_writing(&self) -> bool {
        self.writing.is_some()
    }

    /// The write under way is durable.
    pub(crate) fn finish(&mut self) -> Result<Option<WriteSeq>, StorageError> {
        let Some((seq, batch)) = self.writing.take() else { return Ok(None) };
        if let Some(backing) = &mut self.backing {
            match backing.work() {
                Ok(durable) if durable.is_some_and(|durable| durable >= seq) => {}
                Ok(_) => {
                    self.writing = Some((seq, batch));
                    return Ok(None);
                }
                Err(error) => {
                    self.interrupted = Some(batch);
                    return Err(error);
                }
            }
        }
        self.durable.write(batch);
        Ok(Some(seq))
    }

    /// Power is lost: the write under way is there as a whole or not at all.
    pub(crate) fn crash(&mut self, random: &mut Random) {
        let survives = random.one_in(2);
        let writing = self.writing.take().map(|(_, batch)| batch);
        self.put_off = Batch::new();
        if let Some(backing) = &mut self.backing {
            backing.crash(random);
            self.interrupted = writing.or(self.interrupted.take());
        } else if let Some(batch) = writing.filter(|_| survives) {
            self.durable.write(batch);
        }
    }

    /// The process ends in order.
    pub(crate) fn close(&mut self) {
        let writing = self.writing.take().map(|(_, batch)| batch);
        self.put_off = Batch::new();
        if let Some(backing) = &mut self.backing {
            backing.close();
            self.interrupted = writing.or(self.interrupted.take());
        }
    }

    pub(crate) fn read(&self, range: Range<Index>, bytes_max: usize) -> Result<Vec<Entry>, StorageError> {
        match &self.backing {
            Some(backing) => backing.read(range, bytes_max),
            None => Ok(self.durable.read(range, bytes_max)),
        }
    }

    /// Keeps a snapshot, if it is the newest.
    pub(crate) fn keep(&mut self, mark: SnapshotMark, bytes: Bytes) -> Result<(), StorageError> {
        if self.snapshot.as_ref().is_none_or(|(old, _)| old.index <= mark.index) {
            if let Some(backing) = &mut self.backing {
                backing.keep(&mark, &bytes)?;
            }
            self.snapshot = Some((mark, bytes));
        }
        Ok(())
    }

    /// An empty disk is put in the place of this one.
    pub(crate) fn wipe(&mut self, chance: &mut Random) {
        self.close();
        self.strike(DiskFault::Wiped, chance);
        let before = Some(std::mem::take(&mut self.durable));
        *self = Self { backing: self.backing.take(), before, ..Self::default() };
    }

    /// Lets something go wrong. `false` if this disk cannot.
    pub(crate) fn strike(&mut self, fault: DiskFault, chance: &mut Random) -> bool {
        self.backing.as_mut().is_some_and(|backing| backing.strike(fault, chance))
    }

    /// What was to go wrong and has not yet does not any more.
    pub(crate) fn calm(&mut self) {
        if let Some(backing) = &mut self.backing {
            backing.calm();
        }
    }

    pub(crate) const fn snapshot(&self) -> Option<&(SnapshotMark, Bytes)> {
        self.snapshot.as_ref()
    }

    /// What is durable.
    pub const fn image(&self) -> &Image {
        &self.durable
    }

    /// What is durable, and what was on the disk before this one.
    pub(crate) fn images(&self) -> impl Iterator<Item = &Image> {
        std::iter::once(&self.durable).chain(&self.before)
    }

    /// The shape of what is durable.
    pub fn outline(&self) -> &Outline {
        self.durable.outline()
    }
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Disk").field("durable", &self.durable.outline()).finish_non_exhaustive()
    }
}
