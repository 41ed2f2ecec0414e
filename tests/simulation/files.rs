//! [`Files`]: the real log of files, on a disk that loses what was not synced, tears what was being written, fails, is full
//! and rots. Shared by the simulations in `tests/` and the program in `examples/`.

use std::fmt;
use std::io::ErrorKind;

use consensus_api::StorageError;
use storage_file::simulated::{Faults, SimulatedDisk};
use storage_file::{FileLog, FileLogOptions};
use testkit::Random;
use testkit::simulator::{DiskFault, Medium};

const FOLDER: &str = "/log";
const SECTOR_BYTES: usize = 512;
/// Small, so that a run goes through many.
fn options() -> FileLogOptions {
    FileLogOptions { segment_bytes: 16 << 10, inline: true, ..FileLogOptions::default() }
}

/// One node's disk.
pub(crate) struct Files {
    disk: SimulatedDisk,
    /// A backup: a copy of the files as of the last start.
    older: Option<SimulatedDisk>,
}

impl Files {
    /// An empty disk. All that is left to chance follows from `seed`.
    pub(crate) fn new(seed: u64) -> Self {
        Self { disk: SimulatedDisk::new(seed), older: None }
    }

    /// Brings the backup back.
    fn roll_back(&mut self) -> bool {
        self.older.take().map(|older| self.disk = older).is_some()
    }

    /// Damages a place of some file that holds something.
    fn damage(&self, fault: DiskFault, chance: &mut Random) -> bool {
        let names = self.disk.names(FOLDER);
        let logs: Vec<&String> =
            names.iter().filter(|name| name.split_once('.').is_some_and(|(_, kind)| kind == "wal")).collect();
        let Some(name) = chance.pick(&logs) else { return false };
        let file = format!("{FOLDER}/{name}");
        let Some(used) = self.disk.bytes(&file).and_then(|bytes| bytes.iter().rposition(|byte| *byte != 0))
        else {
            return false;
        };
        let at = chance.below(used as u64 + 1) as usize;
        self.disk.damage(file, |bytes| {
            if fault == DiskFault::FlippedBit {
                bytes[at] ^= 1 << (at % 8);
            } else {
                let sector = at / SECTOR_BYTES * SECTOR_BYTES;
                let end = bytes.len().min(sector + SECTOR_BYTES);
                bytes[sector..end].fill(0);
            }
        });
        true
    }

    fn fails_soon(&self, kind: ErrorKind, chance: &mut Random) {
        let fail_at = Some((self.disk.counts().operations + 1 + chance.below(4), kind));
        self.disk.set_faults(Faults { fail_at, ..Faults::default() });
    }
}

impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Files").field(&self.disk.names(FOLDER)).finish()
    }
}

impl Medium for Files {
    type Log = FileLog;

    fn open(&mut self) -> Result<FileLog, StorageError> {
        // Before that a log is not at home anywhere.
        if self.disk.names(FOLDER).iter().any(|name| name == "PLACE") {
            self.older = Some(self.disk.copied(self.disk.counts().operations));
        }
        FileLog::open_in(self.disk.folder(FOLDER), options())
    }

    fn let_power_fail_after(&mut self, operations: u64) {
        let power_off_at = Some(self.disk.counts().operations + 1 + operations);
        self.disk.set_faults(Faults { power_off_at, ..Faults::default() });
    }

    fn crash(&mut self) {
        self.disk.crash();
    }

    fn kill(&mut self) {
        self.disk.kill();
    }

    fn strike(&mut self, fault: DiskFault, chance: &mut Random) -> bool {
        match fault {
            DiskFault::Error => self.fails_soon(ErrorKind::Other, chance),
            DiskFault::Full => self.fails_soon(ErrorKind::StorageFull, chance),
            DiskFault::FlippedBit | DiskFault::ZeroedSector => return self.damage(fault, chance),
            DiskFault::RolledBack => return self.roll_back(),
            DiskFault::Wiped => *self = Self::new(chance.next()),
        }
        true
    }

    fn calm(&mut self) {
        self.disk.set_faults(Faults::default());
    }
}
