//! [`StoreSnapshot`]: the store at one moment, and its byte form.
//!
//! ```text
//! "KV02"  time: u64  changes: u64  count: u64
//! count x ( end: u64 (0 = none)  version: u64  key_len: u32  value_len: u32  key  value )
//! ```
//! Integers are little-endian, keys in the order of [`Keyspace`](crate::keyspace::Keyspace). The node puts a checksum around it.

use std::io::{self, BufRead, Read, Write};

use bytes::Bytes;
use quorate::{Failure, LogTime, Snapshot};

use crate::keyspace::{Pair, Value};
use crate::store::Store;

const MAGIC: &[u8; 4] = b"KV02";
/// Keys that come in their order leave the leaves of a B-tree half empty: each is split once it is full, and nothing comes to
/// its lower half any more. So every second key goes in first, and the others fill the leaves, in turns of so many.
const INTERLEAVED: usize = 512;
/// Reserved for a key or a value before it is read, at most.
const RESERVED_BYTES_MAX: usize = 64 << 10;

/// The store at one moment; shares its trees with the living one.
#[derive(Clone, Debug)]
pub struct StoreSnapshot(pub(crate) Store);

impl Snapshot for StoreSnapshot {
    fn write_to(self, out: &mut dyn Write) -> io::Result<()> {
        let mut out = io::BufWriter::new(out);
        out.write_all(MAGIC)?;
        out.write_all(&self.0.time.0.to_le_bytes())?;
        out.write_all(&self.0.changes.to_le_bytes())?;
        out.write_all(&(self.0.keys.len() as u64).to_le_bytes())?;
        for Pair { key, value } in self.0.keys.iter() {
            out.write_all(&value.end.unwrap_or_default().0.to_le_bytes())?;
            out.write_all(&value.version.to_le_bytes())?;
            out.write_all(&(key.len() as u32).to_le_bytes())?;
            out.write_all(&(value.bytes.len() as u32).to_le_bytes())?;
            out.write_all(key)?;
            out.write_all(&value.bytes)?;
        }
        out.flush()
    }
}

impl StoreSnapshot {
    /// Reads back what [`write_to`](Snapshot::write_to) wrote.
    pub(crate) fn read_from(from: &mut dyn Read) -> Result<Store, Failure> {
        let from = &mut io::BufReader::new(from);
        if &read_array(from)? != MAGIC {
            return Err(Failure("the snapshot is not one of this store".into()));
        }
        let mut store = Store { time: LogTime(read_u64(from)?), ..Store::default() };
        let changes = read_u64(from)?;
        let mut left = read_u64(from)?;
        let mut second = Vec::with_capacity(INTERLEAVED);
        while left > 0 {
            for number in 0..left.min(2 * INTERLEAVED as u64) {
                let (key, value) = read_pair(from)?;
                left -= 1;
                if number % 2 == 0 {
                    store.place(key, value);
                } else {
                    second.push((key, value));
                }
            }
            second.drain(..).for_each(|(key, value)| store.place(key, value));
        }
        store.changes = changes;
        if !from.fill_buf()?.is_empty() {
            return Err(Failure("bytes are left over behind the snapshot".into()));
        }
        Ok(store)
    }
}

fn read_pair(from: &mut impl Read) -> io::Result<(Bytes, Value)> {
    let end = Some(LogTime(read_u64(from)?)).filter(|end| *end != LogTime::ZERO);
    let version = read_u64(from)?;
    let (key_len, value_len) = (read_u32(from)?, read_u32(from)?);
    let key = read_bytes(from, key_len)?;
    let bytes = read_bytes(from, value_len)?;
    Ok((key, Value { bytes, end, version }))
}

fn read_u64(from: &mut impl Read) -> io::Result<u64> {
    read_array(from).map(u64::from_le_bytes)
}

fn read_u32(from: &mut impl Read) -> io::Result<u32> {
    read_array(from).map(u32::from_le_bytes)
}

fn read_array<const N: usize>(from: &mut impl Read) -> io::Result<[u8; N]> {
    let mut array = [0; N];
    from.read_exact(&mut array)?;
    Ok(array)
}

/// Reserves little that is not there, whatever the length says, and keeps nothing that is not needed.
fn read_bytes(from: &mut impl Read, length: u32) -> io::Result<Bytes> {
    let mut bytes = Vec::with_capacity((length as usize).min(RESERVED_BYTES_MAX));
    from.take(length.into()).read_to_end(&mut bytes)?;
    if bytes.len() < length as usize {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(bytes.into_boxed_slice().into())
}
