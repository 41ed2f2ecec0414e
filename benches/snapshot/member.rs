//! [`Member`]: a node on a thread of its own, as if it were a process.

use std::path::Path;
use std::sync::mpsc;
use std::thread;

use quorate::{
    ApplyOn, Builder, CompactionPolicy, FileLog, NoStorage, NoTransport, Node, Options, Raft, Tcp, Unnamed,
};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::Failure;
use crate::ballast::Ballast;

/// A node, and the runtime that drives it.
pub(crate) struct Member {
    pub(crate) node: Node<Ballast>,
    pub(crate) runtime: Handle,
    stop: oneshot::Sender<()>,
    thread: thread::JoinHandle<()>,
}

type Unfinished = Builder<Ballast, Unnamed, Unnamed, NoStorage, NoTransport>;

impl Member {
    /// A founder.
    pub(crate) fn start(
        id: u64,
        members: &[u64],
        tcp: Tcp,
        folder: &Path,
        ballast: Ballast,
        snapshot_every_bytes: u64,
    ) -> Result<Self, Failure> {
        let builder = Node::<Ballast>::builder("snapshot", id, members.iter().copied(), ballast);
        Self::run(builder, tcp, folder, snapshot_every_bytes)
    }

    /// One that waits to be added.
    pub(crate) fn join(
        id: u64,
        tcp: Tcp,
        folder: &Path,
        ballast: Ballast,
        snapshot_every_bytes: u64,
    ) -> Result<Self, Failure> {
        let builder = Node::<Ballast>::builder("snapshot", id, [id], ballast).join();
        Self::run(builder, tcp, folder, snapshot_every_bytes)
    }

    fn run(builder: Unfinished, tcp: Tcp, folder: &Path, snapshot_every_bytes: u64) -> Result<Self, Failure> {
        let compaction =
            CompactionPolicy { snapshot_every_bytes, snapshot_every_entries: u64::MAX, keep_bytes: 1 << 20 };
        let log = FileLog::open(folder)?;
        let (started, starts) = mpsc::channel();
        let (stop, stopped) = oneshot::channel();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = match runtime {
                Ok(runtime) => runtime,
                Err(error) => return drop(started.send(Err(error.to_string()))),
            };
            runtime.block_on(async move {
                let options = Options { apply_on: ApplyOn::Inline, compaction, ..Options::default() };
                let builder = builder.storage(log).transport(tcp).engine::<Raft>().options(options);
                match builder.start() {
                    Ok(node) => {
                        let _ = started.send(Ok((node.clone(), Handle::current())));
                        let _ = stopped.await;
                        node.shutdown().await;
                    }
                    Err(error) => drop(started.send(Err(error.to_string()))),
                }
            });
        });
        let (node, runtime) = starts.recv()??;
        Ok(Self { node, runtime, stop, thread })
    }

    /// Stops it, and waits until it has.
    pub(crate) fn stop(self) {
        let Self { node, runtime, stop, thread } = self;
        drop((node, runtime));
        let _ = (stop.send(()), thread.join());
    }
}
