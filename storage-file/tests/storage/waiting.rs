//! Who waits for a sync, and who does not: on a disk whose syncs end when the test lets them.

use std::io;
use std::path::Path;
use std::sync::mpsc::channel;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use consensus_api::{Generation, Index, LogReader, LogStorage, NodeId, Op, WriteSeq};
use quorate_storage_file::FileLog;
use quorate_storage_file::disk::{File, Folder, Lock};
use quorate_storage_file::simulated::SimulatedDisk;

use crate::harness::*;

/// Holds up the syncs of files while it is shut, and counts those that wait.
#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<(bool, usize)>, Condvar)>);

impl Gate {
    fn shut(&self) {
        self.0.0.lock().unwrap().0 = true;
    }

    fn open(&self) {
        self.0.0.lock().unwrap().0 = false;
        self.0.1.notify_all();
    }

    fn pass(&self) {
        let mut state = self.0.0.lock().unwrap();
        state.1 += 1;
        self.0.1.notify_all();
        state = self.0.1.wait_while(state, |(is_shut, _)| *is_shut).unwrap();
        state.1 -= 1;
    }

    /// Returns once somebody waits in front of it.
    fn until_somebody_waits(&self) {
        let state = self.0.0.lock().unwrap();
        drop(self.0.1.wait_while(state, |(_, waiting)| *waiting == 0).unwrap());
    }
}

/// The gates in front of syncs and of reads.
#[derive(Clone, Default)]
struct Gates {
    syncs: Gate,
    reads: Gate,
}

struct GatedFolder(Arc<dyn Folder>, Gates);
struct GatedFile(Arc<dyn File>, Gates);

impl Folder for GatedFolder {
    fn path(&self) -> &Path {
        self.0.path()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.0.list()
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        Ok(Arc::new(GatedFile(self.0.create(name)?, self.1.clone())))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        Ok(Arc::new(GatedFile(self.0.open(name)?, self.1.clone())))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.0.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.0.remove(name)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync()
    }

    fn folder(&self, name: &str) -> io::Result<Arc<dyn Folder>> {
        Ok(Arc::new(Self(self.0.folder(name)?, self.1.clone())))
    }

    fn lock(&self, name: &str) -> io::Result<Option<Box<dyn Lock>>> {
        self.0.lock(name)
    }

    fn file_number(&self, name: &str) -> io::Result<Option<u64>> {
        self.0.file_number(name)
    }

    fn random(&self) -> io::Result<u128> {
        self.0.random()
    }
}

impl File for GatedFile {
    fn size(&self) -> io::Result<u64> {
        self.0.size()
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<()> {
        self.1.reads.pass();
        self.0.read_at(into, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_at(bytes, offset)
    }

    fn set_size(&self, bytes: u64) -> io::Result<()> {
        self.0.set_size(bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.1.syncs.pass();
        self.0.sync()
    }
}

/// A log with threads, whose next segment is ready and whose last one is closed, so that nobody syncs but its own thread.
fn open_gated(disk: &SimulatedDisk, gate: &Gate) -> FileLog {
    let gates = Gates { syncs: gate.clone(), reads: Gate::default() };
    let folder = Arc::new(GatedFolder(disk.folder(FOLDER), gates));
    let options = quorate_storage_file::FileLogOptions { segment_bytes: 1 << 20, ..THREADED };
    let mut log = FileLog::open_in(folder, options).unwrap();
    log.attach(&identity()).unwrap();
    // The thread that does both does this, too, one after the other.
    assert!(block_on(log.snapshots().latest()).unwrap().is_none());
    assert!(disk.bytes(Path::new(FOLDER).join("0000000000000003.wal")).is_some());
    log
}

#[test]
fn a_reader_waits_for_no_sync_and_submitting_neither() {
    let (disk, gate) = (SimulatedDisk::new(1), Gate::default());
    let mut log = open_gated(&disk, &gate);
    log.submit(WriteSeq(1), put([entry(1, 1, 50)])).unwrap();
    assert_eq!(durable(&mut log).unwrap(), WriteSeq(1));
    gate.shut();
    log.submit(WriteSeq(2), put([entry(2, 1, 50)])).unwrap();
    gate.until_somebody_waits();
    log.submit(WriteSeq(3), put([entry(3, 1, 50)])).unwrap();
    let (told, read) = channel();
    let reader = log.reader();
    std::thread::spawn(move || told.send(block_on(reader.read(Index(1)..Index(4), usize::MAX))));
    let found = read.recv_timeout(Duration::from_secs(60)).expect("the reader does not wait for the sync");
    assert_eq!(found.unwrap(), [entry(1, 1, 50)], "and sees nothing that is not yet durable");
    assert!(poll(&mut log).is_pending());
    gate.open();
    while durable(&mut log).unwrap() < WriteSeq(3) {}
    assert_eq!(read_all(&log).unwrap().len(), 3);
}

#[test]
fn one_sync_serves_all_that_queued_while_the_last_was_under_way() {
    for writers in [16, 64] {
        let (disk, gate) = (SimulatedDisk::new(2), Gate::default());
        let mut log = open_gated(&disk, &gate);
        gate.shut();
        log.submit(WriteSeq(1), put([entry(1, 1, 50)])).unwrap();
        gate.until_somebody_waits();
        let before = disk.counts();
        (2..2 + writers).for_each(|seq| log.submit(WriteSeq(seq), put([entry(seq, 1, 50)])).unwrap());
        gate.open();
        let mut news = 0;
        while durable(&mut log).unwrap() < WriteSeq(1 + writers) {
            news += 1;
        }
        let after = disk.counts();
        // The first write's own sync, and one for all the others. An idle log may mark its end: a write without a sync.
        assert_eq!(after.syncs - before.syncs, 2, "{writers} writers");
        assert!((1..=2).contains(&(after.writes - before.writes)), "{writers} writers");
        assert!(news <= 1, "{news}");
    }
}

/// A file that somebody reads is not used again before the reading is over, however far the log has come meanwhile.
#[test]
fn a_reader_that_is_held_up_gets_what_stood_there_when_it_came() {
    for held_up in [1, 9, 30] {
        let (disk, gates) = (SimulatedDisk::new(3), Gates::default());
        let folder = Arc::new(GatedFolder(disk.folder(FOLDER), gates.clone()));
        let mut log = FileLog::open_in(folder, THREADED).unwrap();
        log.attach(&identity()).unwrap();
        let write = |log: &mut FileLog, index: u64| {
            let mut batch = put([entry(index, 1, 500)]);
            if index > 40 {
                let generation = Generation::new(1, NodeId(1));
                batch.push(Op::Compact { upto: Index(index - 2), generation });
            }
            log.submit(WriteSeq(index), batch).unwrap();
            while durable(log).unwrap() < WriteSeq(index) {}
        };
        (1..=40).for_each(|index| write(&mut log, index));
        gates.reads.shut();
        let (reader, (told, read)) = (log.reader(), channel());
        std::thread::spawn(move || {
            told.send(block_on(reader.read(Index(held_up)..Index(held_up + 9), usize::MAX)))
        });
        gates.reads.until_somebody_waits();
        (41..=200).for_each(|index| write(&mut log, index));
        assert!(disk.names(FOLDER).iter().filter(|name| name.strip_suffix(".wal").is_some()).count() < 12);
        gates.reads.open();
        let expected: Vec<_> = (held_up..held_up + 9).map(|index| entry(index, 1, 500)).collect();
        assert_eq!(read.recv_timeout(Duration::from_secs(60)).unwrap().unwrap(), expected);
    }
}
