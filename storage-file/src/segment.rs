//! A segment: one file of the log. Its header, and how it is opened. Until its header is written it is a
//! [spare](crate::spare).

use std::path::PathBuf;
use std::sync::Arc;

use bytes::{Buf, BufMut};
use consensus_api::{StorageError, StoreId};

use crate::batch::{self, BatchHeader};
use crate::disk::{File, Folder};
use crate::operation::Seed;
use crate::spare;

/// The bytes before the first batch.
pub(crate) const HEADER_BYTES: u64 = 4096;
/// Where the second copy of the header stands: in another sector, so that losing one loses nothing.
const COPY_AT: usize = 2048;
const FIELDS_BYTES: usize = 88;
const MAGIC: [u8; 8] = *b"QRMWAL\r\n";
/// A file without a header is read through in pieces of this length.
const BLANK_BYTES: usize = 1 << 20;
/// The version this program writes, and the newest it reads.
pub(crate) const FORMAT_VERSION: u16 = 3;

/// What the header of a segment says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct SegmentHeader {
    pub(crate) store: StoreId,
    /// The segment's number, and its name. They follow each other without a gap, from 1.
    pub(crate) seq: u64,
    /// Random; seeds the checksums of everything in the segment.
    pub(crate) salt: u64,
    /// The file was this long before the header was written. A shorter one has lost bytes.
    pub(crate) prepared_bytes: u64,
    /// Where the segment before this one ends. What stands behind that was cut off.
    pub(crate) prev_end: u64,
    /// The last batch of the segment before this one.
    pub(crate) prev_last_batch: u64,
    /// The number of the first batch in this one.
    pub(crate) first_batch: u64,
    /// The oldest segment that was still needed when this one was begun. Those before it may have been removed.
    pub(crate) oldest_needed: u64,
}

impl SegmentHeader {
    /// The header page, and the checksum in it.
    pub(crate) fn encode(&self) -> (Vec<u8>, u32) {
        let mut fields = Vec::with_capacity(FIELDS_BYTES);
        fields.put_slice(&MAGIC);
        fields.put_u16_le(FORMAT_VERSION);
        fields.put_u16_le(FORMAT_VERSION);
        fields.put_u32_le(0);
        fields.put_u128_le(self.store.0);
        for number in [
            self.seq,
            self.salt,
            self.prepared_bytes,
            self.prev_end,
            self.prev_last_batch,
            self.first_batch,
            self.oldest_needed,
        ] {
            fields.put_u64_le(number);
        }
        let checksum = checksum(&fields);
        fields[12..16].copy_from_slice(&checksum.to_le_bytes());
        (page(&fields), checksum)
    }

    /// Reads a header page: the header with its checksum from whichever copy is whole.
    pub(crate) fn decode(page: &[u8]) -> Result<(Self, u32), HeaderProblem> {
        if page.len() < HEADER_BYTES as usize {
            return Err(HeaderProblem::Damaged);
        }
        if page.iter().all(|byte| *byte == 0) {
            return Err(HeaderProblem::Blank);
        }
        let copies = [&page[..FIELDS_BYTES], &page[COPY_AT..COPY_AT + FIELDS_BYTES]];
        // A header that was torn while it was written over that of the spare counts.
        let found = copies.into_iter().find_map(Self::decode_fields);
        found.unwrap_or_else(|| {
            let is_spare = copies.iter().any(|copy| copy.starts_with(&spare::MAGIC));
            Err(if is_spare { HeaderProblem::Spare } else { HeaderProblem::Damaged })
        })
    }

    fn decode_fields(fields: &[u8]) -> Option<Result<(Self, u32), HeaderProblem>> {
        let mut from = fields.strip_prefix(&MAGIC)?;
        from.advance(2);
        let min_reader_version = from.get_u16_le();
        let stated = from.get_u32_le();
        if stated != checksum(fields) {
            return None;
        }
        if min_reader_version > FORMAT_VERSION {
            return Some(Err(HeaderProblem::Newer(min_reader_version)));
        }
        let store = StoreId(from.get_u128_le());
        let [seq, salt, prepared_bytes, prev_end, prev_last_batch, first_batch, oldest_needed] =
            std::array::from_fn(|_| from.get_u64_le());
        let header =
            Self { store, seq, salt, prepared_bytes, prev_end, prev_last_batch, first_batch, oldest_needed };
        (first_batch <= batch::NUMBER_MAX).then_some(Ok((header, stated)))
    }
}

/// A header page: these bytes, twice.
pub(crate) fn page(fields: &[u8]) -> Vec<u8> {
    let mut page = vec![0; HEADER_BYTES as usize];
    for at in [0, COPY_AT] {
        page[at..at + fields.len()].copy_from_slice(fields);
    }
    page
}

fn checksum(fields: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&fields[..12]), &fields[16..])
}

/// Why a header page holds no header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum HeaderProblem {
    /// It was not written yet: a spare.
    Spare,
    /// It is all zeros, which no header ever was.
    Blank,
    /// It was written, and is not what was written.
    Damaged,
    /// It takes a reader of this version.
    Newer(u16),
}

/// An open segment. Readers keep theirs open, so that one that is removed meanwhile stays readable to them.
pub(crate) struct Segment {
    pub(crate) header: SegmentHeader,
    /// The header's checksum: what the first batch names as the one before it.
    pub(crate) checksum: u32,
    /// What the checksums in it begin with.
    pub(crate) seed: Seed,
    pub(crate) path: PathBuf,
    pub(crate) file: Arc<dyn File>,
}

impl Segment {
    /// Opens the segment of that number. `None` if it is a spare.
    pub(crate) fn open(folder: &dyn Folder, seq: u64) -> Result<Option<Self>, StorageError> {
        let name = file_name(seq);
        let path = folder.path().join(&name);
        let file = folder.open(&name).map_err(StorageError::io("cannot open", &path))?;
        let size = file.size().map_err(StorageError::io("cannot read", &path))?;
        let mut page = vec![0; HEADER_BYTES.min(size) as usize];
        file.read_at(&mut page, 0).map_err(StorageError::io("cannot read", &path))?;
        let (header, checksum) = match SegmentHeader::decode(&page) {
            Ok(found) => found,
            Err(HeaderProblem::Spare) => return Ok(None),
            Err(HeaderProblem::Blank) => return Self::blank(&*file, size, path),
            Err(HeaderProblem::Newer(found)) => {
                let (found, supported) = (found.into(), FORMAT_VERSION.into());
                return Err(StorageError::Version { path, found, supported });
            }
            Err(HeaderProblem::Damaged) => return Err(damaged(path, "its header is not what was written")),
        };
        if header.seq != seq || seq == u64::MAX {
            let problem = format!("it is segment {}, under another's name", header.seq);
            return Err(damaged(path, &problem));
        }
        Ok(Some(Self { header, checksum, seed: Seed::of(header.salt), path, file }))
    }

    /// No header page of ours is blank: if anything stands behind one, something was lost. Spares of version 2 were zeros
    /// throughout.
    fn blank(file: &dyn File, size: u64, path: PathBuf) -> Result<Option<Self>, StorageError> {
        let mut bytes = vec![0; BLANK_BYTES];
        for at in (0..size).step_by(BLANK_BYTES) {
            let piece = &mut bytes[..(size - at).min(BLANK_BYTES as u64) as usize];
            file.read_at(piece, at).map_err(StorageError::io("cannot read", &path))?;
            if piece.iter().any(|byte| *byte != 0) {
                return Err(damaged(path, "its header is gone, though something follows it"));
            }
        }
        Ok(None)
    }

    /// The length of its file.
    pub(crate) fn file_bytes(&self) -> Result<u64, StorageError> {
        self.file.size().map_err(StorageError::io("cannot read", &self.path))
    }
}

/// The error for a segment of which nothing can be read.
pub(crate) fn damaged(file: PathBuf, problem: &str) -> StorageError {
    let problem = format!("{problem}, so none of the entries in this segment can be read; {REMEDY}");
    StorageError::Corrupt { file, offset: 0, problem }
}

/// What an operator can do about damage.
pub(crate) const REMEDY: &str = "remove the node from its cluster, add it again, and open the folder with \
                                 `Confirmed::Readmitted`; docs/storage-refusals.md says why, and what else there is";

/// What the name of a file in the making ends with. It is renamed once it is whole; a start removes what is left of others.
pub(crate) const UNFINISHED: &str = ".new";

/// The name of a segment's file.
pub(crate) fn file_name(seq: u64) -> String {
    format!("{seq:016x}.wal")
}

/// The number of the segment in a file of that name.
pub(crate) fn seq_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".wal").filter(|digits| digits.len() == 16)?;
    u64::from_str_radix(digits, 16).ok()
}

/// How long a segment with these bytes was at most, as its header and its batches say.
pub(crate) fn stated_bytes(bytes: &[u8]) -> u64 {
    let header = bytes.get(..HEADER_BYTES as usize).and_then(|page| SegmentHeader::decode(page).ok());
    let Some((header, _)) = header else { return 0 };
    let seed = Seed::of(header.salt);
    let batches = (HEADER_BYTES..bytes.len() as u64).step_by(batch::ALIGNMENT as usize);
    let found = batches.filter_map(|at| BatchHeader::decode(&bytes[at as usize..], seed, at));
    let pages = found.map(|(batch, _)| batch.file_pages).max().unwrap_or_default();
    header.prepared_bytes.max(u64::from(pages) * batch::PAGE_BYTES)
}
