//! What the machine itself can do: a synced write, a packet there and back.

use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::load::Latency;

/// Writes and syncs 512 bytes after 512 bytes, into a file whose blocks are there already.
pub(crate) fn sync_latency(dir: &Path, time: Duration) -> io::Result<Latency> {
    const FILE_BYTES: usize = 16 << 20;
    let file = OpenOptions::new().create_new(true).write(true).open(dir.join("sync"))?;
    file.write_all_at(&vec![0; FILE_BYTES], 0)?;
    file.sync_all()?;
    let mut latency = Latency::new();
    let begin = Instant::now();
    let mut offset = 0;
    while begin.elapsed() < time {
        let start = Instant::now();
        file.write_all_at(&[7; 512], offset as u64)?;
        file.sync_data()?;
        latency.record(start.elapsed());
        offset = (offset + 512) % FILE_BYTES;
    }
    Ok(latency)
}

/// Sends 64 bytes to another thread and waits for them to come back.
pub(crate) fn loopback_round_trip(time: Duration) -> io::Result<Latency> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let echo = thread::spawn(move || -> io::Result<()> {
        let (mut socket, _) = listener.accept()?;
        socket.set_nodelay(true)?;
        let mut bytes = [0; 64];
        while socket.read_exact(&mut bytes).is_ok() {
            socket.write_all(&bytes)?;
        }
        Ok(())
    });
    let mut socket = TcpStream::connect(address)?;
    socket.set_nodelay(true)?;
    let mut latency = Latency::new();
    let begin = Instant::now();
    let mut bytes = [1; 64];
    while begin.elapsed() < time {
        let start = Instant::now();
        socket.write_all(&bytes)?;
        socket.read_exact(&mut bytes)?;
        latency.record(start.elapsed());
    }
    drop(socket);
    echo.join().map_err(|_| io::Error::other("the echo panicked"))??;
    Ok(latency)
}
