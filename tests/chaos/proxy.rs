//! [`Wire`]: a proxy between two nodes, in one direction, that can be told to misbehave.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;

/// What a wire does to what goes over it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    /// Nothing.
    None,
    /// Everything arrives later.
    Delay(Duration),
    /// No more than so many bytes a second.
    Throttle { bytes_per_second: u64 },
    /// Each connection is closed after so many bytes, wherever in a frame that is.
    CutAfter { bytes: usize },
    /// As [`CutAfter`](Self::CutAfter), for whoever dialled; what was under way arrives so much later, when its successor
    /// carries frames already.
    LateAfter { bytes: usize, late: Duration },
    /// Every connection is reset as soon as something goes over it.
    Reset,
    /// Bytes are taken and vanish; nobody is told.
    Silent,
}

/// Frames from one node to another go over this: the one dials it, and it dials the other.
pub(crate) struct Wire {
    fault: watch::Sender<Fault>,
    overtaken: Arc<AtomicU64>,
    acceptor: JoinHandle<()>,
}

/// How a connection ends.
enum End {
    Closed,
    Reset,
    /// With these bytes still under way for so long.
    Late(Vec<u8>, Duration),
}

impl Wire {
    /// A wire that listens there and leads to `to`.
    pub(crate) fn new(listener: TcpListener, to: SocketAddr) -> Self {
        let fault = watch::Sender::new(Fault::None);
        let faults = fault.subscribe();
        let overtaken = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&overtaken);
        let acceptor = tokio::spawn(async move {
            let accepted = Arc::new(AtomicU64::new(0));
            let mut connections = JoinSet::new();
            while let Ok((near, _)) = listener.accept().await {
                let number = accepted.fetch_add(1, Ordering::Relaxed) + 1;
                let (faults, counted, accepted) = (faults.clone(), counted.clone(), accepted.clone());
                connections.spawn(async move {
                    let Ok(mut far) = TcpStream::connect(to).await else { return };
                    if let Some((bytes, late)) = carry(near, &mut far, faults).await {
                        sleep(late).await;
                        let is_overtaken = accepted.load(Ordering::Relaxed) > number;
                        counted.fetch_add(u64::from(is_overtaken), Ordering::Relaxed);
                        let _ = far.write_all(&bytes).await;
                        let _until_it_is_closed = far.read_to_end(&mut Vec::new()).await;
                    }
                });
                while connections.try_join_next().is_some() {}
            }
        });
        Self { fault, overtaken, acceptor }
    }

    /// How often what a connection carried came in after another one had been dialled.
    pub(crate) fn overtaken(&self) -> u64 {
        self.overtaken.load(Ordering::Relaxed)
    }

    /// From now on it does that, to connections that there are as well.
    pub(crate) fn set(&self, fault: Fault) {
        self.fault.send_replace(fault);
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.acceptor.abort();
    }
}

/// Carries bytes both ways until one way ends. The answers (hellos and pongs) suffer the same. What the connection leaves
/// under way, and for how long.
async fn carry(
    mut near: TcpStream,
    far: &mut TcpStream,
    faults: watch::Receiver<Fault>,
) -> Option<(Vec<u8>, Duration)> {
    let _ = (near.set_nodelay(true), far.set_nodelay(true));
    let end = {
        let (mut near_in, mut near_out) = near.split();
        let (mut far_in, mut far_out) = far.split();
        tokio::select! {
            end = pump(&mut near_in, &mut far_out, faults.clone()) => end,
            end = pump(&mut far_in, &mut near_out, faults) => match end {
                End::Late(..) => End::Closed, // answers to nobody
                end => end,
            },
        }
    };
    match end {
        End::Closed => None,
        End::Reset => {
            // A socket that is closed with nothing left to wait for is reset.
            let _ = (near.set_zero_linger(), far.set_zero_linger());
            None
        }
        End::Late(bytes, late) => Some((bytes, late)),
    }
}

/// Carries bytes one way.
async fn pump(
    from: &mut (impl AsyncReadExt + Unpin),
    to: &mut (impl AsyncWriteExt + Unpin),
    faults: watch::Receiver<Fault>,
) -> End {
    let mut bytes = vec![0; 16 << 10];
    let mut carried = 0;
    loop {
        let Ok(mut read @ 1..) = from.read(&mut bytes).await else { return End::Closed };
        let fault = *faults.borrow();
        match fault {
            Fault::Delay(wait) => sleep(wait).await,
            Fault::Throttle { bytes_per_second } => {
                sleep(Duration::from_secs(1) * read as u32 / bytes_per_second.max(1) as u32).await;
            }
            Fault::CutAfter { bytes: end } if carried + read >= end => {
                read = end.saturating_sub(carried).max(1);
                let _ = to.write_all(&bytes[..read]).await;
                return End::Closed;
            }
            Fault::LateAfter { bytes: end, late } if carried + read >= end => {
                return End::Late(bytes[..read].to_vec(), late);
            }
            Fault::None | Fault::CutAfter { .. } | Fault::LateAfter { .. } => {}
            Fault::Reset => return End::Reset,
            Fault::Silent => continue,
        }
        carried += read;
        if to.write_all(&bytes[..read]).await.is_err() {
            return End::Closed;
        }
    }
}
