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

mod contents;
mod handles;
mod names;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::disk::Folder;
use contents::Contents;
use handles::SimulatedFolder;
use names::Names;

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
            names.crash(&mut state.random);
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

    /// A copy of its files as they are now, file by file, as a backup that is brought back makes it: whoever asks the file
    /// system is told that they are other files.
    #[must_use]
    pub fn copied(&self, seed: u64) -> Self {
        let copy = self.fork(seed);
        let mut state = copy.state();
        let others = state.files.len();
        let copies: Vec<Contents> = state.files.iter().map(|file| Contents::durable(&file.now)).collect();
        state.files.extend(copies);
        for names in state.folders.values_mut() {
            names.renumber(|file| file + others);
        }
        drop(state);
        copy
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

    /// How many bytes were ever written to a file.
    pub fn written_bytes(&self, file: impl AsRef<Path>) -> u64 {
        let state = self.state();
        state.find(file.as_ref()).map_or(0, |id| state.files[id].written)
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

/// A step of the generator SplitMix64: small, and good enough to choose by.
fn random(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *seed;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
