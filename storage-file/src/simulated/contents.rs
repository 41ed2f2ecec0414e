//! What a file holds, what of it is durable, and what chance leaves of the difference.

use std::collections::BTreeMap;

use super::random;

const SECTOR_BYTES: usize = 512;

#[derive(Clone, Default)]
pub(super) struct Contents {
    pub(super) now: Vec<u8>,
    pub(super) durable: Vec<u8>,
    /// The versions of each sector written since the last sync.
    pub(super) unsynced: BTreeMap<usize, Vec<Vec<u8>>>,
    /// How much was ever written.
    pub(super) written: u64,
}

impl Contents {
    /// A file that holds this, durably.
    pub(super) fn durable(bytes: &[u8]) -> Self {
        Self { now: bytes.to_vec(), durable: bytes.to_vec(), ..Self::default() }
    }

    pub(super) fn write(&mut self, bytes: &[u8], offset: usize) {
        let end = offset + bytes.len();
        self.written += bytes.len() as u64;
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

    pub(super) fn sync(&mut self) {
        let len = self.now.len();
        self.durable.resize(len, 0);
        for sector in std::mem::take(&mut self.unsynced).into_keys() {
            let (start, end) = (sector * SECTOR_BYTES, len.min((sector + 1) * SECTOR_BYTES));
            if start < end {
                self.durable[start..end].copy_from_slice(&self.now[start..end]);
            }
        }
    }

    pub(super) fn crash(&mut self, seed: &mut u64) {
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
