//! What the disk can do: one write and one sync after the other, on a file of zeros.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

const FILE_BYTES: u64 = 384 << 20;

/// A file of zeros, written from front to back and again.
pub(crate) struct Raw {
    file: File,
    payload: Vec<u8>,
    offset: u64,
}

impl Raw {
    /// A file into which that many bytes go at once.
    pub(crate) fn new(path: &Path, bytes: usize) -> Self {
        let file = File::options().create_new(true).write(true).open(path).unwrap();
        let zeros = vec![0; 1 << 20];
        (0..FILE_BYTES >> 20).for_each(|at| file.write_all_at(&zeros, at << 20).unwrap());
        file.sync_all().unwrap();
        Self { file, payload: vec![7; bytes], offset: 0 }
    }

    /// Writes and syncs, one after the other.
    pub(crate) fn per_second(&mut self, seconds: f64) -> f64 {
        let (begin, mut count) = (Instant::now(), 0);
        while begin.elapsed() < Duration::from_secs_f64(seconds) {
            if self.offset + self.payload.len() as u64 > FILE_BYTES {
                self.offset = 0;
            }
            self.file.write_all_at(&self.payload, self.offset).unwrap();
            self.file.sync_data().unwrap();
            self.offset += self.payload.len() as u64;
            count += 1;
        }
        f64::from(count) / begin.elapsed().as_secs_f64()
    }
}
