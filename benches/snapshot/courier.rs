//! [`Courier`]: what it costs to move so many bytes as a snapshot moves, with nothing of ours in between.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use crate::Failure;

const PIECE_BYTES: usize = 256 << 10;
/// Synced as often as our own log does with a snapshot.
const SYNC_BYTES: u64 = 8 << 20;

/// Moves a file like a snapshot: written at a rate, synced now and then, in place of the one before; read, sent over loopback
/// at a rate, written to another file and synced in the same way; and that one read.
pub(crate) struct Courier {
    folder: PathBuf,
    bytes: u64,
    bytes_per_second: Option<u64>,
}

impl Courier {
    /// One for so many bytes, sent at that rate.
    pub(crate) const fn new(folder: PathBuf, bytes: u64, bytes_per_second: Option<u64>) -> Self {
        Self { folder, bytes, bytes_per_second }
    }

    /// Writes the file that is carried, in that time.
    #[allow(clippy::cast_precision_loss)] // shares of a time
    pub(crate) fn pack(&self, takes: Duration) -> Result<(), Failure> {
        let (begin, piece) = (Instant::now(), vec![0x5a; PIECE_BYTES]);
        let new = self.folder.join("parcel.new");
        let mut file = Output::create(&new)?;
        while file.written < self.bytes {
            file.write(&piece)?;
            let due = takes.mul_f64((file.written as f64 / self.bytes as f64).min(1.0));
            thread::sleep(due.saturating_sub(begin.elapsed()));
        }
        file.file.sync_all()?;
        Ok(fs::rename(new, self.folder.join("parcel"))?)
    }

    /// Carries it, on two threads of its own.
    pub(crate) fn carry(&self) -> Result<(), Failure> {
        let (bytes, rate) = (self.bytes, self.bytes_per_second);
        let parcel = self.folder.join("parcel");
        let delivered = self.folder.join("delivered");
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let socket = TcpStream::connect(listener.local_addr()?)?;
        let sender = thread::spawn(move || send(File::open(parcel)?, socket, rate));
        let receiver = thread::spawn(move || receive(&listener, Output::create(&delivered)?, bytes));
        receiver.join().map_err(|_| "the receiver of a file panicked")??;
        sender.join().map_err(|_| "the sender of a file panicked")??;
        Ok(())
    }

    /// Reads what was delivered.
    pub(crate) fn unpack(&self) -> Result<(), Failure> {
        let (mut file, mut piece) = (File::open(self.folder.join("delivered"))?, vec![0; PIECE_BYTES]);
        while file.read(&mut piece)? > 0 {}
        Ok(())
    }

    /// Throws away what was delivered: removing a large file holds up a disk, too.
    pub(crate) fn clear(&self) -> Result<(), Failure> {
        Ok(fs::remove_file(self.folder.join("delivered"))?)
    }
}

/// A file that is synced now and then.
struct Output {
    file: File,
    written: u64,
    synced: u64,
}

impl Output {
    fn create(path: &std::path::Path) -> io::Result<Self> {
        Ok(Self { file: File::create(path)?, written: 0, synced: 0 })
    }

    fn write(&mut self, piece: &[u8]) -> io::Result<()> {
        self.file.write_all(piece)?;
        self.written += piece.len() as u64;
        if self.written - self.synced >= SYNC_BYTES {
            self.file.sync_data()?;
            self.synced = self.written;
        }
        Ok(())
    }
}

fn send(mut file: File, mut socket: TcpStream, rate: Option<u64>) -> io::Result<()> {
    let (begin, mut sent, mut piece) = (Instant::now(), 0_u64, vec![0; PIECE_BYTES]);
    loop {
        let read = file.read(&mut piece)?;
        if read == 0 {
            return Ok(());
        }
        socket.write_all(&piece[..read])?;
        sent += read as u64;
        if let Some(rate) = rate {
            let due = Duration::from_micros(sent * 1_000_000 / rate);
            thread::sleep(due.saturating_sub(begin.elapsed()));
        }
    }
}

fn receive(listener: &TcpListener, mut file: Output, bytes: u64) -> io::Result<()> {
    let (mut socket, _) = listener.accept()?;
    let mut piece = vec![0; PIECE_BYTES];
    while file.written < bytes {
        let read = socket.read(&mut piece)?;
        if read == 0 {
            break;
        }
        file.write(&piece[..read])?;
    }
    file.file.sync_all()
}
