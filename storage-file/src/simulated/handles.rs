//! The handles through which the store sees the simulated disk. They die with the life they were opened in.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::contents::Contents;
use super::names::NameChange;
use super::{Operation, SimulatedDisk, State, random};
use crate::disk::{File, Folder, Lock};

pub(super) struct SimulatedFolder {
    pub(super) path: PathBuf,
    pub(super) life: u64,
    pub(super) disk: SimulatedDisk,
}

impl SimulatedFolder {
    fn handle(&self, file: usize) -> Arc<dyn File> {
        Arc::new(SimulatedFile { file, life: self.life, disk: self.disk.clone() })
    }

    fn change(&self, change: impl FnOnce(&mut State) -> io::Result<NameChange>) -> io::Result<()> {
        self.disk.operate(self.life, Operation::Name, |state| {
            let change = change(state)?;
            state.names(&self.path).change(change);
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
                state.names(&self.path).sync();
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

    fn file_number(&self, name: &str) -> io::Result<Option<u64>> {
        let state = self.disk.state();
        state.check(self.life)?;
        Ok(Some(state.find(&self.path.join(name)).ok_or(io::ErrorKind::NotFound)? as u64))
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
