//! The byte form of a snapshot: a header with its mark, blocks of equal length with a checksum each, and a footer.
//!
//! Blocks are of equal length, whatever the chunks the snapshot came in, so that any place in it is found by division.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes};
use consensus_api::mutation::mutated;
use consensus_api::{Generation, Index, Membership, NodeId, SnapshotMark, StorageError};

use crate::disk::{File, Folder, is_full};
use crate::recycled::Recycled;

const MAGIC: [u8; 8] = *b"QRMSNAP\n";
/// The version this program writes, and the newest it reads.
const FORMAT_VERSION: u32 = 1;
const END_MAGIC: [u8; 8] = *b"QRMSEND\n";
/// The header without the membership.
const HEADER_BYTES: usize = 64;
/// The most a membership takes.
const MEMBERSHIP_BYTES_MAX: usize = Membership::BYTES_MAX;
/// The bytes of the snapshot in each block but the last, which may be shorter.
const BLOCK_BYTES: usize = 256 << 10;
/// Before each block: its length and its checksum.
const BLOCK_HEADER_BYTES: usize = 8;
const FOOTER_BYTES: usize = 24;
/// Synced now and then, so that the last sync is short and the log's own are not held up.
const SYNC_BYTES: u64 = 8 << 20;

fn checksum(salt: u64, number: u64, bytes: &[u8]) -> u32 {
    let seed = crc32c::crc32c_append(crc32c::crc32c(&salt.to_le_bytes()), &number.to_le_bytes());
    crc32c::crc32c_append(seed, bytes)
}

/// A snapshot's file in the making.
pub(crate) struct FileInMaking {
    file: Arc<dyn File>,
    /// Files whose room it may have.
    recycled: Arc<Recycled>,
    salt: u64,
    /// What does not fill a block yet.
    rest: Vec<u8>,
    blocks: u64,
    /// Where the next block goes.
    end: u64,
    synced: u64,
}

impl FileInMaking {
    pub(crate) fn create(
        folder: &dyn Folder,
        name: &str,
        mark: &SnapshotMark,
        recycled: &Arc<Recycled>,
    ) -> io::Result<Self> {
        let salt = folder.random()? as u64;
        let membership = mark.membership.encode();
        let mut header = Vec::with_capacity(HEADER_BYTES + membership.len());
        header.put_slice(&MAGIC);
        header.put_u32_le(FORMAT_VERSION);
        header.put_u32_le(0);
        header.put_u32_le(membership.len() as u32);
        header.put_u32_le(BLOCK_BYTES as u32);
        header.put_u64_le(salt);
        for number in [mark.index.0, mark.generation.round, mark.generation.node.0, 0] {
            header.put_u64_le(number);
        }
        header.put_slice(&membership);
        let checksum = checksum(0, FORMAT_VERSION.into(), &header[16..]);
        header[12..16].copy_from_slice(&checksum.to_le_bytes());
        let recycled = recycled.clone();
        let file = recycled.with_room(|| folder.create(name))?;
        recycled.with_room(|| file.write_at(&header, 0))?;
        let end = header.len() as u64;
        Ok(Self { file, recycled, salt, rest: Vec::new(), blocks: 0, end, synced: 0 })
    }

    /// Goes on with the file of that name: with its blocks up to the first that is not whole, which a crash or damage may have
    /// left. `None` if it is not there, or not of a snapshot with that mark, which is to have `len` bytes.
    pub(crate) fn resume(
        folder: &dyn Folder,
        name: &str,
        (mark, len): (&SnapshotMark, u64),
        recycled: &Arc<Recycled>,
    ) -> io::Result<Option<Self>> {
        let file = match folder.open(name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        let size = file.size()?;
        let mut head = vec![0; size.min((HEADER_BYTES + MEMBERSHIP_BYTES_MAX) as u64) as usize];
        file.read_at(&mut head, 0)?;
        let header = decode_header(&head).and_then(Result::ok).filter(|(found, ..)| found == mark);
        let Some((_, salt, mut end)) = header else { return Ok(None) };
        let (mut rest, mut blocks) = (Vec::new(), 0);
        while rest.is_empty() {
            let bytes = (len - blocks * BLOCK_BYTES as u64).min(BLOCK_BYTES as u64) as usize;
            let next = end + (BLOCK_HEADER_BYTES + bytes) as u64;
            if bytes == 0 || next > size {
                break;
            }
            match read_block(&*file, end, salt, blocks, bytes)? {
                Some(_) if bytes == BLOCK_BYTES => (blocks, end) = (blocks + 1, next),
                Some(last) => rest = last.to_vec(), // what ends it is written behind it anew
                None => break,
            }
        }
        file.set_size(end)?;
        Ok(Some(Self { file, recycled: recycled.clone(), salt, rest, blocks, end, synced: 0 }))
    }

    /// The bytes of the snapshot that are there.
    pub(crate) fn len(&self) -> u64 {
        self.blocks * BLOCK_BYTES as u64 + self.rest.len() as u64
    }

    pub(crate) fn append(&mut self, mut chunk: &[u8]) -> io::Result<()> {
        while !chunk.is_empty() {
            let (fits, left) = chunk.split_at(chunk.len().min(BLOCK_BYTES - self.rest.len()));
            self.rest.extend_from_slice(fits);
            chunk = left;
            if self.rest.len() == BLOCK_BYTES {
                self.write_block()?;
            }
        }
        Ok(())
    }

    fn write_block(&mut self) -> io::Result<()> {
        let mut block = Vec::with_capacity(BLOCK_HEADER_BYTES + self.rest.len());
        block.put_u32_le(self.rest.len() as u32);
        block.put_u32_le(checksum(self.salt, self.blocks, &self.rest));
        block.append(&mut self.rest);
        self.recycled.with_room(|| self.file.write_at(&block, self.end))?;
        self.end += block.len() as u64;
        self.blocks += 1;
        if self.end - self.synced >= SYNC_BYTES {
            self.sync()?;
            self.synced = self.end;
        }
        Ok(())
    }

    pub(crate) fn finish(mut self) -> io::Result<()> {
        let len = self.len();
        if !self.rest.is_empty() {
            self.write_block()?;
        }
        let mut footer = Vec::with_capacity(FOOTER_BYTES);
        footer.put_slice(&END_MAGIC);
        footer.put_u64_le(len);
        footer.put_u32_le(0);
        footer.put_u32_le(checksum(self.salt, u64::MAX, &footer));
        self.recycled.with_room(|| self.file.write_at(&footer, self.end))?;
        if mutated("file/snapshot-not-synced") { Ok(()) } else { self.sync() }
    }

    /// Where only a sync finds out that the disk is full, this snapshot is lost, and the next one has the room.
    fn sync(&self) -> io::Result<()> {
        let synced = self.file.sync();
        if synced.as_ref().is_err_and(is_full) {
            drop(self.recycled.give_back());
        }
        synced
    }
}

/// A finished snapshot's file.
pub(crate) struct FinishedFile {
    file: Arc<dyn File>,
    path: PathBuf,
    mark: SnapshotMark,
    salt: u64,
    /// Where the first block begins.
    start: u64,
    len: u64,
}

impl FinishedFile {
    pub(crate) fn open(folder: &dyn Folder, name: &str) -> Result<Self, StorageError> {
        let path = folder.path().join(name);
        let file = folder.open(name).map_err(StorageError::io("cannot open", &path))?;
        let size = file.size().map_err(StorageError::io("cannot read", &path))?;
        let read = |at: u64, bytes: u64| {
            let mut into = vec![0; bytes as usize];
            file.read_at(&mut into, at).map_err(StorageError::io("cannot read", &path)).map(|()| into)
        };
        let head = read(0, size.min((HEADER_BYTES + MEMBERSHIP_BYTES_MAX) as u64))?;
        let header = match decode_header(&head) {
            Some(Ok(header)) => header,
            Some(Err(found)) => {
                return Err(StorageError::Version { path, found, supported: FORMAT_VERSION });
            }
            None => return Err(damaged(path, 0, "its header is not what was written")),
        };
        let (mark, salt, start) = header;
        let footer_at = size.saturating_sub(FOOTER_BYTES as u64).max(start);
        let footer = read(footer_at, size.saturating_sub(footer_at))?;
        let len = decode_footer(&footer, salt).filter(|len| blocks_end(start, *len) == Some(footer_at));
        let Some(len) = len else {
            return Err(damaged(path, footer_at, "its end is not what was written"));
        };
        Ok(Self { file, path, mark, salt, start, len })
    }

    pub(crate) fn mark(&self) -> &SnapshotMark {
        &self.mark
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// The bytes from `offset` on, at most to the end of the block they stand in.
    pub(crate) fn read_at(&self, offset: u64, bytes_max: usize) -> Result<Bytes, StorageError> {
        if offset >= self.len {
            return Ok(Bytes::new());
        }
        let number = offset / BLOCK_BYTES as u64;
        let before = number * BLOCK_BYTES as u64;
        let at = self.start + number * (BLOCK_BYTES + BLOCK_HEADER_BYTES) as u64;
        let len = (self.len - before).min(BLOCK_BYTES as u64) as usize;
        let block = read_block(&*self.file, at, self.salt, number, len);
        let block = block.map_err(StorageError::io("cannot read", &self.path))?;
        let block = block.ok_or_else(|| damaged(self.path.clone(), at, "a block is not what was written"))?;
        let from = (offset - before) as usize;
        Ok(block.slice(from..len.min(from.saturating_add(bytes_max.max(1)))))
    }
}

/// The bytes in the block of that number, which begins at `at` and holds `len`. `None` if it is not what was written.
fn read_block(file: &dyn File, at: u64, salt: u64, number: u64, len: usize) -> io::Result<Option<Bytes>> {
    let mut block = vec![0; BLOCK_HEADER_BYTES + len];
    file.read_at(&mut block, at)?;
    let mut block = Bytes::from(block);
    let (stated_len, stated) = (block.get_u32_le() as usize, block.get_u32_le());
    Ok(Some(block).filter(|block| stated_len == len && stated == checksum(salt, number, block)))
}

fn damaged(file: PathBuf, offset: u64, problem: &str) -> StorageError {
    let problem = format!(
        "{problem}; it is a snapshot, so a whole one can be copied from another node of the cluster, or this node be \
         removed and added again with an empty folder"
    );
    StorageError::Corrupt { file, offset, problem }
}

/// The mark, the salt and where the blocks begin; or the version if it is newer. `None` for damage.
fn decode_header(bytes: &[u8]) -> Option<Result<(SnapshotMark, u64, u64), u32>> {
    let mut from = bytes.strip_prefix(&MAGIC)?;
    let version = from.try_get_u32_le().ok()?;
    let stated = from.try_get_u32_le().ok()?;
    let membership_bytes = from.try_get_u32_le().ok()? as usize;
    let start = HEADER_BYTES.checked_add(membership_bytes)?;
    if stated != checksum(0, version.into(), bytes.get(16..start)?) {
        return None;
    }
    if version > FORMAT_VERSION || from.get_u32_le() as usize != BLOCK_BYTES {
        return Some(Err(version));
    }
    let salt = from.get_u64_le();
    let index = Index(from.get_u64_le());
    let round = from.get_u64_le();
    let generation = Generation::new(round, NodeId(from.get_u64_le()));
    let membership = Membership::decode(bytes.get(HEADER_BYTES..start)?).ok()?;
    Some(Ok((SnapshotMark { index, generation, membership }, salt, start as u64)))
}

fn decode_footer(bytes: &[u8], salt: u64) -> Option<u64> {
    let mut from = bytes.strip_prefix(&END_MAGIC)?;
    let len = from.try_get_u64_le().ok()?;
    from.try_get_u32_le().ok()?;
    let stated = from.try_get_u32_le().ok()?;
    (stated == checksum(salt, u64::MAX, &bytes[..FOOTER_BYTES - 4])).then_some(len)
}

/// Where the blocks of that many bytes end.
fn blocks_end(start: u64, len: u64) -> Option<u64> {
    let headers = len.div_ceil(BLOCK_BYTES as u64).checked_mul(BLOCK_HEADER_BYTES as u64)?;
    start.checked_add(len)?.checked_add(headers)
}
