//! [`Wire`]: a proxy between two nodes, in one direction, that can be told to misbehave.

use std::net::SocketAddr;
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
    /// Every connection is reset as soon as something goes over it.
    Reset,
    /// Bytes are taken and vanish; nobody is told.
    Silent,
}

/// Frames from one node to another go over this: the one dials it, and it dials the other.
pub(crate) struct Wire {
    fault: watch::Sender<Fault>,
    acceptor: JoinHandle<()>,
}

impl Wire {
    /// A wire that listens there and leads to `to`.
    pub(crate) fn new(listener: TcpListener, to: SocketAddr) -> Self {
        let fault = watch::Sender::new(Fault::None);
        let faults = fault.subscribe();
        let acceptor = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((near, _)) = listener.accept().await {
                let faults = faults.clone();
                connections.spawn(async move {
                    let Ok(far) = TcpStream::connect(to).await else { return };
                    carry(near, far, faults).await;
                });
                while connections.try_join_next().is_some() {}
            }
        });
        Self { fault, acceptor }
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

/// Carries bytes both ways until one way ends. The answers (hellos and pongs) suffer the same.
async fn carry(mut near: TcpStream, mut far: TcpStream, faults: watch::Receiver<Fault>) {
    let _ = (near.set_nodelay(true), far.set_nodelay(true));
    let is_reset = {
        let (mut near_in, mut near_out) = near.split();
        let (mut far_in, mut far_out) = far.split();
        tokio::select! {
            reset = pump(&mut near_in, &mut far_out, faults.clone()) => reset,
            reset = pump(&mut far_in, &mut near_out, faults) => reset,
        }
    };
    if is_reset {
        // A socket that is closed with nothing left to wait for is reset.
        let _ = (near.set_zero_linger(), far.set_zero_linger());
    }
}

/// Carries bytes one way. Whether the connection is to be reset in the end.
async fn pump(
    from: &mut (impl AsyncReadExt + Unpin),
    to: &mut (impl AsyncWriteExt + Unpin),
    faults: watch::Receiver<Fault>,
) -> bool {
    let mut bytes = vec![0; 16 << 10];
    let mut carried = 0;
    loop {
        let Ok(mut read @ 1..) = from.read(&mut bytes).await else { return false };
        let fault = *faults.borrow();
        match fault {
            Fault::Delay(wait) => sleep(wait).await,
            Fault::Throttle { bytes_per_second } => {
                sleep(Duration::from_secs(1) * read as u32 / bytes_per_second.max(1) as u32).await;
            }
            Fault::CutAfter { bytes: end } if carried + read >= end => {
                read = end.saturating_sub(carried).max(1);
                let _ = to.write_all(&bytes[..read]).await;
                return false;
            }
            Fault::None | Fault::CutAfter { .. } => {}
            Fault::Reset => return true,
            Fault::Silent => continue,
        }
        carried += read;
        if to.write_all(&bytes[..read]).await.is_err() {
            return false;
        }
    }
}
