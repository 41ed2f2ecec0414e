//! Wires in trouble: proxies on threads of their own.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// What a wire does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// Each connection breaks after a moment.
    Flaps,
    /// Connections are taken, and nothing ever comes back.
    Swallows,
}

/// How long a flapping connection lasts.
const FLAP: Duration = Duration::from_millis(300);

/// A wire that leads to `to`. Returns where it is dialled.
///
/// Until `begun` it is a good wire.
pub(crate) fn wire(to: SocketAddr, trouble: Trouble, begun: &Arc<AtomicBool>) -> std::io::Result<SocketAddr> {
    let begun = Arc::clone(begun);
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let at = listener.local_addr()?;
    thread::spawn(move || {
        for near in listener.incoming().flatten() {
            let begun = Arc::clone(&begun);
            thread::spawn(move || match trouble {
                Trouble::Swallows if begun.load(Ordering::Relaxed) => swallow(near),
                _ => carry(near, to, &begun),
            });
        }
    });
    Ok(at)
}

fn swallow(mut near: TcpStream) {
    let mut bytes = [0; 4096];
    while matches!(near.read(&mut bytes), Ok(1..)) {}
}

/// Carries bytes both ways, until a moment after the trouble has begun.
fn carry(near: TcpStream, to: SocketAddr, begun: &AtomicBool) {
    let Ok(far) = TcpStream::connect(to) else { return };
    let ends = [(&near, &far), (&far, &near)].map(|(from, to)| (from.try_clone(), to.try_clone()));
    for (from, to) in ends {
        let (Ok(mut from), Ok(mut to)) = (from, to) else { return };
        thread::spawn(move || {
            let mut bytes = [0; 16 << 10];
            while let Ok(read @ 1..) = from.read(&mut bytes) {
                if to.write_all(&bytes[..read]).is_err() {
                    break;
                }
            }
        });
    }
    while !begun.load(Ordering::Relaxed) {
        thread::sleep(FLAP / 10);
    }
    thread::sleep(FLAP);
    let _ = (near.shutdown(Shutdown::Both), far.shutdown(Shutdown::Both));
}
