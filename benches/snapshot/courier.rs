//! [`Courier`]: what it costs to move so many bytes from disk to disk through a socket, with nothing of ours in between.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::Failure;

const DELIVERED: &str = "delivered";
const PIECE_BYTES: usize = 256 << 10;
/// Synced as often as our own log does with a snapshot that arrives.
const SYNC_BYTES: u64 = 8 << 20;

/// Moves a file like a snapshot: read, sent over loopback at a rate, written to another file, synced now and then.
pub(crate) struct Courier {
    parcel: PathBuf,
    bytes: u64,
    bytes_per_second: Option<u64>,
}

impl Courier {
    /// One with a file of that size to carry, in that folder.
    pub(crate) fn new(folder: &Path, bytes: u64, bytes_per_second: Option<u64>) -> Result<Self, Failure> {
        let parcel = folder.join("parcel");
        let (mut file, piece) = (File::create(&parcel)?, vec![0x5a; PIECE_BYTES]);
        for _ in 0..bytes / PIECE_BYTES as u64 {
            file.write_all(&piece)?;
        }
        file.sync_all()?;
        Ok(Self { parcel, bytes, bytes_per_second })
    }

    /// Throws away what was delivered: removing a large file holds up a disk, too.
    pub(crate) fn clear(to: &Path) -> Result<(), Failure> {
        Ok(fs::remove_file(to.join(DELIVERED))?)
    }

    /// Carries it, on two threads of its own. How long that took.
    pub(crate) async fn carry(&self, to: &Path) -> Result<Duration, Failure> {
        let (begin, bytes, rate) = (Instant::now(), self.bytes, self.bytes_per_second);
        let (parcel, to) = (self.parcel.clone(), to.join(DELIVERED));
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let socket = TcpStream::connect(listener.local_addr()?)?;
        let sender = thread::spawn(move || send(&parcel, socket, rate));
        let (done, is_done) = oneshot::channel();
        thread::spawn(move || {
            let _ = done.send(receive(&listener, &to, bytes));
        });
        is_done.await??;
        sender.join().map_err(|_| "the sender of a file panicked")??;
        Ok(begin.elapsed())
    }
}

fn send(parcel: &Path, mut socket: TcpStream, rate: Option<u64>) -> std::io::Result<()> {
    let (mut file, mut piece) = (File::open(parcel)?, vec![0; PIECE_BYTES]);
    let (begin, mut sent) = (Instant::now(), 0_u64);
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

fn receive(listener: &TcpListener, to: &Path, bytes: u64) -> std::io::Result<()> {
    let (mut socket, _) = listener.accept()?;
    let (mut file, mut piece) = (File::create(to)?, vec![0; PIECE_BYTES]);
    let (mut received, mut synced) = (0, 0);
    while received < bytes {
        let read = socket.read(&mut piece)?;
        if read == 0 {
            break;
        }
        file.write_all(&piece[..read])?;
        received += read as u64;
        if received - synced >= SYNC_BYTES {
            file.sync_data()?;
            synced = received;
        }
    }
    file.sync_all()
}
