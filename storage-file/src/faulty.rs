//! A file layer that goes wrong on purpose, laid over any other: over the [simulated disk](crate::simulated), or over
//! real files in a real process.
//!
//! * The n-th operation of a kind fails with an error of one's choice; a write may have reached the file in part before.
//! * The disk has only so much room: what goes beyond is written as far as it fits, and fails as a full disk does.
//! * The n-th read comes back with a flipped bit.
//!
//! Operations that fail have no other effect. What a crash loses is the matter of the simulated disk.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use crate::disk::{File, Folder, Lock};
use crate::shared::lock;

/// What can fail.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Operation {
    /// A write to a file, or a change of its length.
    Write,
    /// A sync of a file.
    Sync,
    /// A sync of a folder.
    FolderSync,
    /// A read from a file, or a list of a folder.
    Read,
    /// A creation, renaming or removal of a file.
    Name,
}

/// How it fails.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Failure {
    /// Nothing happens but an error of that kind.
    Error(io::ErrorKind),
    /// The first half is written, then comes an error of that kind.
    ShortWrite(io::ErrorKind),
    /// A read succeeds, but one of its bits is flipped: that one, modulo how many there are.
    FlippedBit(usize),
}

/// What is to go wrong, shared by all folders and files it was given to.
#[derive(Clone, Default)]
pub struct FaultPlan {
    plan: Arc<Mutex<Plan>>,
}

#[derive(Default)]
struct Plan {
    counts: BTreeMap<Operation, u64>,
    failures: BTreeMap<(Operation, u64), Failure>,
    room_bytes: Option<u64>,
}

impl FaultPlan {
    /// Lays this plan over a folder and everything in it.
    pub fn over(&self, inner: Arc<dyn Folder>) -> Arc<dyn Folder> {
        Arc::new(FaultyFolder { inner, plan: self.clone() })
    }

    /// The operation of that kind that comes as the `nth` from now, counted from 1, fails.
    pub fn fail(&self, operation: Operation, nth: u64, failure: Failure) {
        let mut plan = lock(&self.plan);
        let number = plan.counts.get(&operation).copied().unwrap_or_default() + nth;
        plan.failures.insert((operation, number), failure);
    }

    /// Leaves room for that many more bytes; `None` for no limit. What files give back is room again.
    pub fn set_room(&self, bytes: Option<u64>) {
        lock(&self.plan).room_bytes = bytes;
    }

    /// How many operations of that kind there were.
    pub fn count(&self, operation: Operation) -> u64 {
        lock(&self.plan).counts.get(&operation).copied().unwrap_or_default()
    }

    fn begin(&self, operation: Operation) -> Option<Failure> {
        let mut plan = lock(&self.plan);
        let count = plan.counts.entry(operation).or_default();
        *count += 1;
        let number = *count;
        plan.failures.remove(&(operation, number))
    }

    fn check(&self, operation: Operation) -> io::Result<()> {
        match self.begin(operation) {
            Some(Failure::Error(kind) | Failure::ShortWrite(kind)) => Err(kind.into()),
            Some(Failure::FlippedBit(_)) | None => Ok(()),
        }
    }

    /// Takes up to that many bytes of room. Returns how many there were.
    fn take_room(&self, bytes: u64) -> u64 {
        let mut plan = lock(&self.plan);
        let Some(room) = &mut plan.room_bytes else { return bytes };
        let taken = bytes.min(*room);
        *room -= taken;
        taken
    }

    fn give_room(&self, bytes: u64) {
        if let Some(room) = &mut lock(&self.plan).room_bytes {
            *room += bytes;
        }
    }
}

struct FaultyFolder {
    inner: Arc<dyn Folder>,
    plan: FaultPlan,
}

impl FaultyFolder {
    fn file(&self, inner: Arc<dyn File>) -> Arc<dyn File> {
        Arc::new(FaultyFile { inner, plan: self.plan.clone() })
    }
}

impl Folder for FaultyFolder {
    fn path(&self) -> &Path {
        self.inner.path()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.plan.check(Operation::Read)?;
        self.inner.list()
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        self.plan.check(Operation::Name)?;
        Ok(self.file(self.inner.create(name)?))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        Ok(self.file(self.inner.open(name)?))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.plan.check(Operation::Name)?;
        self.inner.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.plan.check(Operation::Name)?;
        let freed = self.inner.open(name)?.size()?;
        self.inner.remove(name)?;
        self.plan.give_room(freed);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.plan.check(Operation::FolderSync)?;
        self.inner.sync()
    }

    fn folder(&self, name: &str) -> io::Result<Arc<dyn Folder>> {
        Ok(self.plan.over(self.inner.folder(name)?))
    }

    fn lock(&self, name: &str) -> io::Result<Option<Box<dyn Lock>>> {
        self.inner.lock(name)
    }

    fn file_number(&self, name: &str) -> io::Result<Option<u64>> {
        self.inner.file_number(name)
    }

    fn random(&self) -> io::Result<u128> {
        self.inner.random()
    }
}

struct FaultyFile {
    inner: Arc<dyn File>,
    plan: FaultPlan,
}

impl File for FaultyFile {
    fn size(&self) -> io::Result<u64> {
        self.inner.size()
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<()> {
        let failure = self.plan.begin(Operation::Read);
        if let Some(Failure::Error(kind) | Failure::ShortWrite(kind)) = failure {
            return Err(kind.into());
        }
        self.inner.read_at(into, offset)?;
        if let Some(Failure::FlippedBit(bit)) = failure
            && !into.is_empty()
        {
            let at = bit / 8 % into.len();
            into[at] ^= 1 << (bit % 8);
        }
        Ok(())
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        match self.plan.begin(Operation::Write) {
            Some(Failure::Error(kind)) => return Err(kind.into()),
            Some(Failure::ShortWrite(kind)) => {
                self.inner.write_at(&bytes[..bytes.len() / 2], offset)?;
                return Err(kind.into());
            }
            Some(Failure::FlippedBit(_)) | None => {}
        }
        let end = offset + bytes.len() as u64;
        let grows = end.saturating_sub(self.inner.size()?.max(offset));
        let missing = grows - self.plan.take_room(grows);
        if missing == 0 {
            return self.inner.write_at(bytes, offset);
        }
        self.inner.write_at(&bytes[..bytes.len() - missing as usize], offset)?;
        Err(io::ErrorKind::StorageFull.into())
    }

    fn set_size(&self, bytes: u64) -> io::Result<()> {
        self.plan.check(Operation::Write)?;
        self.plan.give_room(self.inner.size()?.saturating_sub(bytes));
        self.inner.set_size(bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.plan.check(Operation::Sync)?;
        self.inner.sync()
    }
}
