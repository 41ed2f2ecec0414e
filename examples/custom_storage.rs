//! A durable log of one's own, and three nodes on it: a file with a line of JSON per batch, appended and synced, and read
//! again at the next start. A last line that a crash left torn is no JSON, and is cut. One call proves it: see the end.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use quorate::{
    Applied, Batch, Entry, Generation, Identity, Index, LocalNetwork, Membership, Node, NodeId, Op, Outline,
    Recovered, Simple, SimpleLog, SnapshotMark, StateMachine, StorageError, StoreId, record,
    snapshot_with_serde,
};
use serde::{Deserialize, Serialize};

struct OneFile(PathBuf, Mutex<Contents>);

#[derive(Default)]
struct Contents {
    file: Option<File>,
    outline: Outline,
    entries: BTreeMap<Index, Entry>,
}

impl OneFile {
    fn at(path: impl AsRef<Path>) -> Simple<Self> {
        Simple::new(Self(path.as_ref().to_owned(), Mutex::default()))
    }
    fn lock(&self) -> MutexGuard<'_, Contents> {
        self.1.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Contents {
    fn append(&self, line: &impl Serialize) -> io::Result<()> {
        let mut file = self.file.as_ref().ok_or(io::ErrorKind::NotConnected)?;
        file.write_all(&[&serde_json::to_vec(line)?[..], b"\n"].concat())?;
        file.sync_all()
    }
    fn replay(&mut self, op: Op) {
        self.outline.replay(&op);
        match op {
            Op::Put(entry) if entry.index > self.outline.compacted => {
                drop(self.entries.insert(entry.index, entry));
            }
            Op::TruncateFrom(from) => drop(self.entries.split_off(&from)),
            Op::Compact { .. } => self.entries = self.entries.split_off(&self.outline.compacted.next()),
            _ => {}
        }
    }
    fn open(&mut self, path: &Path, owner: &(String, u64)) -> io::Result<u64> {
        let mut file = OpenOptions::new().create(true).read(true).append(true).open(path)?;
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        let (mut kept, mut found) = (0, None::<(String, u64)>);
        for line in text.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n")) {
            let goes_on = line.len() as u64 + kept < text.len() as u64;
            match serde_json::from_slice::<Vec<Row>>(line) {
                _ if found.is_none() => found = Some(serde_json::from_slice(line)?),
                Ok(rows) => rows.into_iter().filter_map(op).for_each(|op| self.replay(op)),
                // More was written behind it, so it was acknowledged: this is damage.
                Err(error) if goes_on => return Err(error.into()),
                Err(_) => break,
            }
            kept += line.len() as u64;
        }
        file.set_len(kept)?;
        file.sync_all()?;
        File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()?;
        self.file = Some(file);
        let Some(found) = found else { return self.append(owner).map(|()| owner.1) };
        if found.0 == owner.0 { Ok(found.1) } else { Err(io::Error::other("it belongs to another node")) }
    }
}

/// One change: its kind, its numbers, its bytes.
type Row = (u8, [u64; 3], Bytes);

fn row(op: &Op) -> Row {
    let place = |index: Index, at: Generation| [index.0, at.round, at.node.0];
    match op {
        Op::HardState(bytes) => (0, [0; 3], bytes.clone()),
        Op::TruncateFrom(from) => (1, [from.0, 0, 0], Bytes::new()),
        Op::Put(entry) => (2, [0; 3], [&record::header(entry)[..], &entry.body[..]].concat().into()),
        Op::Compact { upto, generation } => (3, place(*upto, *generation), Bytes::new()),
        Op::SnapshotMark(mark) => (4, place(mark.index, mark.generation), mark.membership.encode()),
        Op::Watermark(index) => (5, [index.0, 0, 0], Bytes::new()),
    }
}

fn op((kind, [index, round, node], mut bytes): Row) -> Option<Op> {
    let (index, generation) = (Index(index), Generation::new(round, NodeId(node)));
    Some(match kind {
        0 => Op::HardState(bytes),
        1 => Op::TruncateFrom(index),
        2 => Op::Put(record::decode(&mut bytes).ok()?),
        3 => Op::Compact { upto: index, generation },
        4 => {
            let membership = Membership::decode(&bytes).ok()?;
            Op::SnapshotMark(SnapshotMark { index, generation, membership })
        }
        _ => Op::Watermark(index),
    })
}

#[async_trait]
impl SimpleLog for OneFile {
    fn open(&mut self, identity: &Identity) -> Result<Recovered, StorageError> {
        let Identity { cluster, node, engine, incarnation, .. } = identity;
        let owner = (format!("{cluster} {node} {engine}"), incarnation.0);
        let mut contents = self.lock();
        let store = contents.open(&self.0, &owner).map_err(StorageError::io("cannot open", &self.0))?;
        let (outline, store) = (contents.outline.clone(), StoreId(u128::from(store)));
        Ok(Recovered { store, outline, notes: Vec::new() })
    }
    async fn write(&self, batch: Batch) -> Result<(), StorageError> {
        let (mut contents, rows) = (self.lock(), batch.ops().iter().map(row).collect::<Vec<_>>());
        contents.append(&rows).map_err(StorageError::io("cannot write", &self.0))?;
        batch.into_ops().into_iter().for_each(|op| contents.replay(op));
        Ok(())
    }
    async fn read(&self, range: Range<Index>, bytes_max: usize) -> Result<Vec<Entry>, StorageError> {
        let (contents, mut bytes) = (self.lock(), 0);
        let fits = |entry: &&Entry| {
            let fits = bytes == 0 || bytes < bytes_max;
            bytes += entry.record_len();
            fits
        };
        Ok(contents.entries.range(range).map(|(_, entry)| entry).take_while(fits).cloned().collect())
    }
}

#[derive(Clone, Default, Serialize, Deserialize)]
struct Counter(u64);

impl StateMachine for Counter {
    type Command = u64;
    type Response = u64;

    fn apply(&mut self, _at: Applied, add: u64) -> u64 {
        self.0 += add;
        self.0
    }

    snapshot_with_serde!();
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (folder, network) = (tempfile::tempdir()?, LocalNetwork::new());
    let start = |id: u64| {
        Node::builder("counter", id, 1..=3, Counter::default())
            .storage(OneFile::at(folder.path().join(format!("node-{id}.log"))))
            .transport(network.transport(id))
            .start()
    };
    let nodes = [start(1)?, start(2)?, start(3)?];
    println!("engine {}", nodes[0].status().engine);
    nodes[0].propose(2).await?;
    println!("{}", nodes[1].propose(40).await?);
    Ok(())
}

#[test]
fn it_keeps_the_promises_of_a_log_storage() {
    testkit::conformance::log_storage(|| {
        let folder = tempfile::tempdir().expect("a folder");
        move || OneFile::at(folder.path().join("log"))
    });
}
