//! The file layer: all that the store asks of an operating system, as two small traits, and [`RealFolder`] over `std`.
//!
//! Everything above it runs unchanged on the [simulated disk](crate::simulated), which loses what was not synced.

use std::fs;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A folder, and the files in it. Names are plain: no separators.
pub trait Folder: Send + Sync + 'static {
    /// Where it is, for messages.
    fn path(&self) -> &Path;

    /// The names in it, in any order.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Creates an empty file. It is an error if the name is taken. The name is durable after [`sync`](Self::sync).
    fn create(&self, name: &str) -> io::Result<Arc<dyn File>>;

    /// Opens a file for reading and writing.
    fn open(&self, name: &str) -> io::Result<Arc<dyn File>>;

    /// Renames a file, over whatever bore the new name.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a name. Who has the file open keeps it.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes the names durable: everything created, renamed and removed before.
    fn sync(&self) -> io::Result<()>;

    /// A folder in this one, created durably if it is not there.
    fn folder(&self, name: &str) -> io::Result<Arc<dyn Folder>>;

    /// Locks a file against other processes, creating it if need be. `None` if another holds it. Dropping unlocks.
    fn lock(&self, name: &str) -> io::Result<Option<Box<dyn Lock>>>;

    /// The number that the file system gave to a file, and that a copy of it does not have. `None` if it gives none.
    fn file_number(&self, name: &str) -> io::Result<Option<u64>>;

    /// A random number.
    fn random(&self) -> io::Result<u128>;
}

/// An open file. Reads and writes name their place, so that they may run beside each other.
pub trait File: Send + Sync + 'static {
    /// Its length.
    fn size(&self) -> io::Result<u64>;

    /// Fills `into` with the bytes from `offset` on. An error if the file ends before.
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<()>;

    /// Writes all of `bytes` at `offset`, extending the file if need be. Durable after [`sync`](Self::sync).
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Cuts the file, or extends it with zeros.
    fn set_size(&self, bytes: u64) -> io::Result<()>;

    /// Makes what was written durable, and the length with it. After an error nobody knows what is durable.
    fn sync(&self) -> io::Result<()>;
}

/// Whether an operation failed for want of room.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// A lock that is held until it is dropped.
pub trait Lock: Send + Sync {}

/// A folder of the operating system.
#[derive(Debug)]
pub struct RealFolder {
    path: PathBuf,
}

impl RealFolder {
    /// Opens the folder at `path`, created durably with its parents if it is not there.
    pub fn open(path: &Path) -> io::Result<Self> {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let existed = path.is_dir();
        if !existed {
            parent.map_or(Ok(()), |parent| Self::open(parent).map(drop))?;
            match fs::create_dir(path) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
        }
        // One that is there may have been created by a process that was killed before it came to this.
        match sync_folder(parent.unwrap_or(Path::new("."))) {
            Err(error) if existed && error.kind() == io::ErrorKind::PermissionDenied => {}
            synced => synced?,
        }
        Ok(Self { path: path.to_owned() })
    }
}

fn sync_folder(path: &Path) -> io::Result<()> {
    fs::File::open(path)?.sync_all()
}

impl Folder for RealFolder {
    fn path(&self) -> &Path {
        &self.path
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let names = fs::read_dir(&self.path)?;
        names.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let file = fs::File::options().read(true).write(true).create_new(true).open(self.path.join(name))?;
        Ok(Arc::new(file))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        Ok(Arc::new(fs::File::options().read(true).write(true).open(self.path.join(name))?))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path.join(from), self.path.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path.join(name))
    }

    fn sync(&self) -> io::Result<()> {
        sync_folder(&self.path)
    }

    fn folder(&self, name: &str) -> io::Result<Arc<dyn Folder>> {
        Ok(Arc::new(Self::open(&self.path.join(name))?))
    }

    fn lock(&self, name: &str) -> io::Result<Option<Box<dyn Lock>>> {
        let path = self.path.join(name);
        let file = fs::File::options().read(true).write(true).create(true).truncate(false).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Box::new(file))),
            Err(fs::TryLockError::WouldBlock) => Ok(None),
            Err(fs::TryLockError::Error(error)) => Err(error),
        }
    }

    fn file_number(&self, name: &str) -> io::Result<Option<u64>> {
        Ok(Some(fs::metadata(self.path.join(name))?.ino()))
    }

    fn random(&self) -> io::Result<u128> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).map_err(io::Error::other)?;
        Ok(u128::from_le_bytes(bytes))
    }
}

impl Lock for fs::File {}

impl File for fs::File {
    fn size(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<()> {
        self.read_exact_at(into, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn set_size(&self, bytes: u64) -> io::Result<()> {
        self.set_len(bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}
