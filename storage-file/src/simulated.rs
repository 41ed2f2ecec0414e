//! A simulated disk: it keeps what was written apart from what is durable, and a crash loses any part of the difference.
//!
//! * A file's unsynced writes survive a crash **per sector of 512 bytes, in any combination**, and in any of the
//!   versions written since the last sync. Its length may be the old or the new one.
//! * Creations, renames and removals survive, **each or not**, unless the folder was synced since.
//! * A failed sync leaves the data readable and, as real systems do, takes it for clean: it is gone after a crash, and no
//!   later sync brings it back.
//! * Any operation can be made to fail, or be the one at which the power fails; syncs can be skipped; bytes can be flipped.
//!
//! Everything follows from one seed. After a crash old handles fail, and locks are free.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::disk::{File, Folder, Lock};

const SECTOR_BYTES: usize = 512;

/// A disk in memory. Cloning gives another handle on the same disk.
#[derive(Clone, Default)]
pub struct SimulatedDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    files: Vec<Contents>,
    folders: BTreeMap<PathBuf, Names>,
    locks: BTreeMap<PathBuf, u64>,
    /// Counts crashes and restarts: a handle of an earlier life is dead.
    life: u64,
    random: u64,
    counts: Counts,
    faults: Faults,
    has_power: bool,
}

/// What was done so far.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Counts {
    /// Operations that change something, syncs included. Faults are placed by this number.
    pub operations: u64,
    /// Syncs of files.
    pub syncs: u64,
    /// Syncs of folders.
    pub folder_syncs: u64,
    /// Writes.
    pub writes: u64,
}

/// What is to go wrong.
#[derive(Clone, Copy, Default, Debug)]
pub struct Faults {
    /// The operation of this number fails, once.
    pub fail_at: Option<(u64, io::ErrorKind)>,
    /// The power fails during the operation of this number: it and all that follow fail, until
    /// [`crash`](SimulatedDisk::crash).
    pub power_off_at: Option<u64>,
    /// Syncs of files report success and do nothing.
    pub skip_syncs: bool,
    /// Syncs of folders report success and do nothing.
    pub skip_folder_syncs: bool,
}

#[derive(Clone, Default)]
struct Contents {
    now: Vec<u8>,
    durable: Vec<u8>,
    /// The versions of each sector written since the last sync.
    unsynced: BTreeMap<usize, Vec<Vec<u8>>>,
}

#[derive(Clone, Default)]
struct Names {
    now: BTreeMap<String, usize>,
    durable: BTreeMap<String, usize>,
    unsynced: Vec<NameChange>,
}

#[derive(Clone)]
enum NameChange {
    Created(String, usize),
    Renamed(String, String, usize),
    Removed(String),
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

impl SimulatedDisk {
    /// An empty disk. All that is left to chance follows from `seed`.
    pub fn new(seed: u64) -> Self {
        let state = State { random: seed, has_power: true, ..State::default() };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// A folder on it, created durably if need be.
    pub fn folder(&self, path: impl AsRef<Path>) -> Arc<dyn Folder> {
        let path = path.as_ref().to_owned();
        let mut state = self.state();
        state.folders.entry(path.clone()).or_default();
        Arc::new(SimulatedFolder { path, life: state.life, disk: self.clone() })
    }

    /// What was done so far.
    pub fn counts(&self) -> Counts {
        self.state().counts
    }

    /// Sets what is to go wrong from now on.
    pub fn set_faults(&self, faults: Faults) {
        self.state().faults = faults;
    }

    /// The power fails and comes back: of what was not synced, chance decides what is left. Ends all faults.
    pub fn crash(&self) {
        let mut state = self.state();
        let state = &mut *state;
        for file in &mut state.files {
            file.crash(&mut state.random);
        }
        for names in state.folders.values_mut() {
            for change in std::mem::take(&mut names.unsynced) {
                if random(&mut state.random).is_multiple_of(2) {
                    change.apply(&mut names.durable);
                }
            }
            names.now.clone_from(&names.durable);
        }
        state.restart();
    }

    /// The process is killed: nothing is lost, nothing becomes durable, all handles are dead. Ends all faults.
    pub fn kill(&self) {
        self.state().restart();
    }

    /// An independent copy of the disk as it is now.
    #[must_use]
    pub fn fork(&self, seed: u64) -> Self {
        let state = self.state();
        let forked = State {
            files: state.files.clone(),
            folders: state.folders.clone(),
            locks: BTreeMap::new(),
            life: 0,
            random: seed,
            counts: Counts::default(),
            faults: Faults::default(),
            has_power: true,
        };
        Self { state: Arc::new(Mutex::new(forked)) }
    }

    /// The names in a folder, in ascending order.
    pub fn names(&self, folder: impl AsRef<Path>) -> Vec<String> {
        let state = self.state();
        state
            .folders
            .get(folder.as_ref())
            .map(|names| names.now.keys().cloned().collect())
            .unwrap_or_default()
    }

    /// The bytes of a file, if it is there.
    pub fn bytes(&self, file: impl AsRef<Path>) -> Option<Vec<u8>> {
        let state = self.state();
        Some(state.files[state.find(file.as_ref())?].now.clone())
    }

    /// Damages a file, behind everybody's back and durably. Does nothing if it is not there.
    pub fn damage(&self, file: impl AsRef<Path>, how: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.state();
        if let Some(id) = state.find(file.as_ref()) {
            let contents = &mut state.files[id];
            how(&mut contents.now);
            contents.durable.clone_from(&contents.now);
            contents.unsynced.clear();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts an operation of a handle of that life, and lets it fail if it is to. Then the operation was begun:
    /// `effect` may still reach the disk.
    fn operate<T>(
        &self,
        life: u64,
        kind: Operation,
        effect: impl FnOnce(&mut State) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut state = self.state();
        state.check(life)?;
        state.counts.operations += 1;
        match kind {
            Operation::Write => state.counts.writes += 1,
            Operation::Sync(_) => state.counts.syncs += 1,
            Operation::FolderSync => state.counts.folder_syncs += 1,
            Operation::Name => {}
        }
        let number = state.counts.operations;
        let is_sync = matches!(kind, Operation::Sync(_) | Operation::FolderSync);
        if state.faults.power_off_at == Some(number) {
            if !is_sync {
                drop(effect(&mut state));
            }
            state.has_power = false;
            return Err(io::Error::other("the power failed"));
        }
        if let Some((_, error)) = state.faults.fail_at.filter(|(at, _)| *at == number) {
            // What a failed sync leaves is readable, thought clean, and never to be written.
            if let Operation::Sync(file) = kind {
                state.files[file].unsynced.clear();
            }
            return Err(error.into());
        }
        effect(&mut state)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Operation {
    Write,
    Sync(usize),
    FolderSync,
    Name,
}

impl State {
    fn restart(&mut self) {
        self.life += 1;
        self.has_power = true;
        self.faults = Faults::default();
        self.locks.clear();
    }

    fn check(&self, life: u64) -> io::Result<()> {
        if self.has_power && life == self.life { Ok(()) } else { Err(io::Error::other("the power failed")) }
    }

    fn find(&self, path: &Path) -> Option<usize> {
        let name = path.file_name()?.to_str()?;
        self.folders.get(path.parent()?)?.now.get(name).copied()
    }

    fn names(&mut self, folder: &Path) -> &mut Names {
        self.folders.entry(folder.to_owned()).or_default()
    }
}

impl Contents {
    fn write(&mut self, bytes: &[u8], offset: usize) {
        let end = offset + bytes.len();
        if self.now.len() < end {
            self.now.resize(end, 0);
        }
        self.now[offset..end].copy_from_slice(bytes);
        for sector in offset / SECTOR_BYTES..end.div_ceil(SECTOR_BYTES) {
            let start = sector * SECTOR_BYTES;
            let version = self.now[start..self.now.len().min(start + SECTOR_BYTES)].to_vec();
            self.unsynced.entry(sector).or_default().push(version);
        }
    }

    fn sync(&mut self) {
        let len = self.now.len();
        self.durable.resize(len, 0);
        for sector in std::mem::take(&mut self.unsynced).into_keys() {
            let (start, end) = (sector * SECTOR_BYTES, len.min((sector + 1) * SECTOR_BYTES));
            if start < end {
                self.durable[start..end].copy_from_slice(&self.now[start..end]);
            }
        }
    }

    fn crash(&mut self, seed: &mut u64) {
        let mut len = self.durable.len();
        if len != self.now.len() && random(seed).is_multiple_of(2) {
            len = self.now.len();
        }
        self.durable.resize(len, 0);
        // All, none, or each by chance: the two ends are likelier than chance alone would have them.
        let mood = random(seed) % 4;
        for (sector, versions) in std::mem::take(&mut self.unsynced) {
            let start = sector * SECTOR_BYTES;
            let survives = mood == 0 || (mood > 1 && random(seed).is_multiple_of(2));
            if survives && start < len {
                let last =
                    if mood == 0 { versions.len() - 1 } else { random(seed) as usize % versions.len() };
                let version = &versions[last];
                let end = len.min(start + version.len());
                self.durable[start..end].copy_from_slice(&version[..end - start]);
            }
        }
        self.now.clone_from(&self.durable);
    }
}

/// A step of the generator SplitMix64: small, and good enough to choose by.
fn random(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *seed;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

struct SimulatedFolder {
    path: PathBuf,
    life: u64,
    disk: SimulatedDisk,
}

impl SimulatedFolder {
    fn handle(&self, file: usize) -> Arc<dyn File> {
        Arc::new(SimulatedFile { file, life: self.life, disk: self.disk.clone() })
    }

    fn change(&self, change: impl FnOnce(&mut State) -> io::Result<NameChange>) -> io::Result<()> {
        self.disk.operate(self.life, Operation::Name, |state| {
            let change = change(state)?;
            let names = state.names(&self.path);
            change.apply(&mut names.now);
            names.unsynced.push(change);
            Ok(())
        })
    }
}

impl Folder for SimulatedFolder {
    fn path(&self) -> &Path {
        &self.path
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.disk.state().check(self.life)?;
        Ok(self.disk.names(&self.path))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let mut id = 0;
        self.change(|state| {
            if state.names(&self.path).now.contains_key(name) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            id = state.files.len();
            state.files.push(Contents::default());
            Ok(NameChange::Created(name.to_owned(), id))
        })?;
        Ok(self.handle(id))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let state = self.disk.state();
        state.check(self.life)?;
        let id = state.find(&self.path.join(name)).ok_or(io::ErrorKind::NotFound)?;
        Ok(self.handle(id))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.change(|state| {
            let id = state.find(&self.path.join(from)).ok_or(io::ErrorKind::NotFound)?;
            Ok(NameChange::Renamed(from.to_owned(), to.to_owned(), id))
        })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.change(|state| {
            state.find(&self.path.join(name)).ok_or(io::ErrorKind::NotFound)?;
            Ok(NameChange::Removed(name.to_owned()))
        })
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.operate(self.life, Operation::FolderSync, |state| {
            if !state.faults.skip_folder_syncs {
                let names = state.names(&self.path);
                names.unsynced.clear();
                names.durable.clone_from(&names.now);
            }
            Ok(())
        })
    }

    fn folder(&self, name: &str) -> io::Result<Arc<dyn Folder>> {
        self.disk.state().check(self.life)?;
        Ok(self.disk.folder(self.path.join(name)))
    }

    fn lock(&self, name: &str) -> io::Result<Option<Box<dyn Lock>>> {
        let mut state = self.disk.state();
        state.check(self.life)?;
        let path = self.path.join(name);
        if state.locks.contains_key(&path) {
            return Ok(None);
        }
        let life = state.life;
        state.locks.insert(path.clone(), life);
        Ok(Some(Box::new(SimulatedLock { path, life, disk: self.disk.clone() })))
    }

    fn random(&self) -> io::Result<u128> {
        let seed = &mut self.disk.state().random;
        Ok(u128::from(random(seed)) << 64 | u128::from(random(seed)))
    }
}

struct SimulatedLock {
    path: PathBuf,
    life: u64,
    disk: SimulatedDisk,
}

impl Lock for SimulatedLock {}

impl Drop for SimulatedLock {
    fn drop(&mut self) {
        let mut state = self.disk.state();
        if state.locks.get(&self.path) == Some(&self.life) {
            state.locks.remove(&self.path);
        }
    }
}

struct SimulatedFile {
    file: usize,
    life: u64,
    disk: SimulatedDisk,
}

impl File for SimulatedFile {
    fn size(&self) -> io::Result<u64> {
        let state = self.disk.state();
        state.check(self.life)?;
        Ok(state.files[self.file].now.len() as u64)
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<()> {
        let state = self.disk.state();
        state.check(self.life)?;
        let from = state.files[self.file].now.get(offset as usize..).unwrap_or_default();
        into.copy_from_slice(from.get(..into.len()).ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.disk.operate(self.life, Operation::Write, |state| {
            state.files[self.file].write(bytes, offset as usize);
            Ok(())
        })
    }

    fn set_size(&self, bytes: u64) -> io::Result<()> {
        self.disk.operate(self.life, Operation::Write, |state| {
            let contents = &mut state.files[self.file];
            contents.now.resize(bytes as usize, 0);
            Ok(())
        })
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.operate(self.life, Operation::Sync(self.file), |state| {
            if !state.faults.skip_syncs {
                state.files[self.file].sync();
            }
            Ok(())
        })
    }
}
