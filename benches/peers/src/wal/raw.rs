//! The limit: one write and one fdatasync per batch, into a file whose blocks are there already.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

use bytes::Bytes;

use super::Log;
use crate::load::Failure;

const FILE_BYTES: usize = 64 << 20;

/// A file that is written round and round.
pub struct Raw {
    file: File,
    offset: usize,
    buffer: Vec<u8>,
}

impl Log for Raw {
    fn open(dir: &Path) -> Result<(Self, Vec<Bytes>), Failure> {
        fs::create_dir_all(dir)?;
        let file = OpenOptions::new().create(true).truncate(true).write(true).open(dir.join("raw"))?;
        file.write_all_at(&vec![0; FILE_BYTES], 0)?;
        file.sync_all()?;
        Ok((Self { file, offset: 0, buffer: Vec::new() }, Vec::new()))
    }

    fn append(&mut self, _first: u64, payloads: &[Bytes]) -> Result<(), Failure> {
        self.buffer.clear();
        payloads.iter().for_each(|payload| self.buffer.extend_from_slice(payload));
        if self.offset + self.buffer.len() > FILE_BYTES {
            self.offset = 0;
        }
        self.file.write_all_at(&self.buffer, self.offset as u64)?;
        self.file.sync_data()?;
        self.offset += self.buffer.len();
        Ok(())
    }

    fn close(self) -> Result<(), Failure> {
        Ok(())
    }
}
