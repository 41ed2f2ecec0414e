//! Files of segments that are no longer needed, kept for the next spares: their blocks are there, so that even a full disk
//! has room for the log. What else wants room gets theirs.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex};

use crate::disk::{File, Folder, is_full};
use crate::segment::{self, UNFINISHED};
use crate::shared::lock;

/// So many files are kept.
const KEPT_MAX: usize = 4;

/// The files that are kept. A start removes them; it begins with none.
pub(crate) struct Recycled {
    folder: Arc<dyn Folder>,
    segment_bytes: u64,
    /// Their names, oldest first.
    names: Mutex<VecDeque<String>>,
}

impl Recycled {
    /// Keeps files of that length in the log's folder.
    pub(crate) fn new(folder: Arc<dyn Folder>, segment_bytes: u64) -> Self {
        Self { folder, segment_bytes, names: Mutex::default() }
    }

    /// Takes away the file of segment `seq`, durably: keeps it if it can be used again, and nobody reads it.
    pub(crate) fn dispose(&self, seq: u64, unread: Option<&dyn File>) -> io::Result<()> {
        let name = segment::file_name(seq);
        let fits = |file: &dyn File| file.size().is_ok_and(|size| size == self.segment_bytes);
        let is_kept = lock(&self.names).len() < KEPT_MAX && unread.is_some_and(fits);
        let kept = format!("{seq:016x}.recycled{UNFINISHED}");
        let gone = if is_kept { self.folder.rename(&name, &kept) } else { self.folder.remove(&name) };
        match &gone {
            // An earlier attempt came as far as this, and no further. If it kept the file, nobody would know of that.
            Err(error) if error.kind() == io::ErrorKind::NotFound => drop(self.folder.remove(&kept)),
            Err(_) => return gone,
            Ok(()) => {}
        }
        // Until this is done the power may fail and bring the segment back: nobody may write to its file before.
        self.folder.sync()?;
        if is_kept && gone.is_ok() {
            lock(&self.names).push_back(kept);
        }
        Ok(())
    }

    /// Gives the newest of them the name `to`. `false` if there is none. After an error it is kept as before.
    pub(crate) fn take(&self, to: &str) -> io::Result<bool> {
        let Some(name) = lock(&self.names).pop_back() else { return Ok(false) };
        let taken = self.folder.rename(&name, to);
        if taken.is_err() {
            lock(&self.names).push_back(name);
        }
        taken.map(|()| true)
    }

    /// Removes the oldest of them, durably, so that others have its room. `false` if there is none.
    pub(crate) fn give_back(&self) -> io::Result<bool> {
        let Some(name) = lock(&self.names).pop_front() else { return Ok(false) };
        let gone = self.folder.remove(&name);
        if gone.is_err() {
            lock(&self.names).push_front(name);
        }
        gone.and_then(|()| self.folder.sync()).map(|()| true)
    }

    /// Does what needs room; where the disk is full, gives back one file after the other until there is enough. Not for a
    /// sync: after one that failed nobody knows what is on disk, and a second one tells nothing.
    pub(crate) fn with_room<T>(&self, mut attempt: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        loop {
            match attempt() {
                Err(error) if is_full(&error) && self.give_back().is_ok_and(|is_given| is_given) => {}
                done => return done,
            }
        }
    }
}
