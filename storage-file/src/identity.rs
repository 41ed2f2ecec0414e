//! `IDENTITY`: whose log this is. Written once, when the log is created, and never changed.

use std::io;

use bytes::{Buf, BufMut};
use consensus_api::{Identity, StorageError, StoreId};

use crate::disk::Folder;
use crate::segment::REMEDY;

/// The file's name.
pub(crate) const FILE: &str = "IDENTITY";
/// Its name while it is being written.
pub(crate) const FILE_NEW: &str = "IDENTITY.new";

const MAGIC: [u8; 8] = *b"QRMIDENT";
/// The version this program writes, and the newest it reads.
const FORMAT_VERSION: u32 = 1;
/// A sane bound: both names are short.
const FILE_BYTES_MAX: u64 = 4096;

/// Writes the file, durably.
pub(crate) fn create(folder: &dyn Folder, identity: &Identity, store: StoreId) -> Result<(), StorageError> {
    let mut bytes = Vec::new();
    bytes.put_slice(&MAGIC);
    bytes.put_u32_le(FORMAT_VERSION);
    bytes.put_u32_le(0);
    bytes.put_u128_le(store.0);
    bytes.put_u64_le(identity.node.0);
    for name in [identity.cluster.as_str(), identity.engine.0] {
        bytes.put_u16_le(name.len() as u16);
        bytes.put_slice(name.as_bytes());
    }
    let checksum = checksum(&bytes);
    bytes[12..16].copy_from_slice(&checksum.to_le_bytes());
    let write = || {
        let file = folder.create(FILE_NEW)?;
        file.write_at(&bytes, 0)?;
        file.sync()?;
        folder.rename(FILE_NEW, FILE)?;
        folder.sync()
    };
    write().map_err(StorageError::io("cannot write", folder.path().join(FILE)))
}

fn read(folder: &dyn Folder) -> io::Result<Vec<u8>> {
    let file = folder.open(FILE)?;
    let mut bytes = vec![0; file.size()?.min(FILE_BYTES_MAX) as usize];
    file.read_at(&mut bytes, 0).map(|()| bytes)
}

/// Reads the file, and refuses it unless it is `identity`'s. Returns the store's id.
pub(crate) fn check(folder: &dyn Folder, identity: &Identity) -> Result<StoreId, StorageError> {
    let path = folder.path().join(FILE);
    let bytes = read(folder).map_err(StorageError::io("cannot read", &path))?;
    let Some((version, found)) = decode(&bytes) else {
        let problem =
            format!("it is not what was written, so the log cannot be told to be this node's; {REMEDY}");
        return Err(StorageError::Corrupt { file: path, offset: 0, problem });
    };
    let Some(found) = found else {
        return Err(StorageError::Version { path, found: version, supported: FORMAT_VERSION });
    };
    let fields = [
        (
            "cluster",
            found.cluster,
            identity.cluster.to_string(),
            "start with that cluster's name, or give this cluster a folder of its own",
        ),
        (
            "node",
            found.node.to_string(),
            identity.node.to_string(),
            "start as that node, or give this node a folder of its own",
        ),
        (
            "engine",
            found.engine,
            identity.engine.to_string(),
            "enable that engine's feature, and name it with `.engine::<E>()` if you name any; its data moves to another with `change_engine`",
        ),
    ];
    for (field, found, expected, remedy) in fields {
        if found != expected {
            let path = folder.path().to_owned();
            return Err(StorageError::Foreign { path, field, found, expected, remedy });
        }
    }
    Ok(found.store)
}

/// The store's id, whoever it belongs to. `None` if there is no such file, or a damaged one.
pub(crate) fn store_of(folder: &dyn Folder) -> Result<Option<StoreId>, StorageError> {
    Ok(found(folder)?.map(|found| found.store))
}

/// The engine whose log this is. `None` if there is no such file, or one that is refused when the log is opened.
pub(crate) fn engine_of(folder: &dyn Folder) -> Result<Option<String>, StorageError> {
    Ok(found(folder)?.map(|found| found.engine))
}

fn found(folder: &dyn Folder) -> Result<Option<Found>, StorageError> {
    match read(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        read => {
            let bytes = read.map_err(StorageError::io("cannot read", folder.path().join(FILE)))?;
            Ok(decode(&bytes).and_then(|(_, found)| found))
        }
    }
}

struct Found {
    store: StoreId,
    node: u64,
    cluster: String,
    engine: String,
}

/// `None` for damage; the version alone if it is newer.
fn decode(bytes: &[u8]) -> Option<(u32, Option<Found>)> {
    let mut from = bytes.strip_prefix(&MAGIC)?;
    let version = from.try_get_u32_le().ok()?;
    let stated = from.try_get_u32_le().ok()?;
    if stated != checksum(bytes) {
        return None;
    }
    if version > FORMAT_VERSION {
        return Some((version, None));
    }
    let store = StoreId(from.try_get_u128_le().ok()?);
    let node = from.try_get_u64_le().ok()?;
    let cluster = take_name(&mut from)?;
    let engine = take_name(&mut from)?;
    from.is_empty().then_some((version, Some(Found { store, node, cluster, engine })))
}

fn take_name(from: &mut &[u8]) -> Option<String> {
    let len = usize::from(from.try_get_u16_le().ok()?);
    let (name, rest) = from.split_at_checked(len)?;
    *from = rest;
    String::from_utf8(name.to_vec()).ok()
}

fn checksum(bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&bytes[..12]), &bytes[16..])
}
