//! [`Member`]: one node of the cluster with its server, on a thread of its own.

use std::error::Error;
use std::fmt::Display;
use std::io;
use std::path::PathBuf;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use clap::ValueEnum;
use quorate::{FileLog, Node, NodeId, Peers, StartError, TcpListener as PeerListener};
use tokio::net::{TcpSocket, lookup_host};
use tokio::runtime;
use tokio::sync::{oneshot, watch};
use tokio::time::sleep;

use crate::credentials::Shown;
use crate::options::Common;
use crate::server::serve;
use crate::sessions;
use crate::store::Store;

/// What a member is made of.
pub struct Member {
    pub id: NodeId,
    pub common: Common,
    /// The folder of its log. It is created.
    pub data: PathBuf,
    /// Where clients connect.
    pub client: String,
    /// Where clients with sessions connect.
    pub sessions: Option<String>,
    /// Where the other members connect.
    pub peer_listener: PeerListener,
    /// Where the members are, as seen from here.
    pub peers: Peers,
    /// What it shows and demands of the other members.
    pub shown: Shown,
    /// It founds nothing, and waits to be added.
    pub joins: bool,
}

/// The engines that are compiled in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum EngineChoice {
    #[cfg(feature = "raft")]
    Raft,
    #[cfg(feature = "multi-paxos")]
    MultiPaxos,
    #[cfg(feature = "paxos")]
    Paxos,
}

/// A member that serves.
pub struct Running {
    pub node: Node<Store>,
    thread: JoinHandle<Result<(), String>>,
}

/// Clients that the system holds until they are let in.
const CLIENTS_WAITING_MAX: u32 = 1024;
/// How long clients have, after the node has stopped, to receive what they were answered.
const FAREWELL: Duration = Duration::from_millis(100);

impl Member {
    /// Starts the member and returns once it serves. It stops when `stop` is set, and sets it should it have to stop of
    /// itself: a cluster in one process stops as a whole.
    ///
    /// # Errors
    /// A sentence that says why it cannot serve, and what to do.
    pub async fn start(self, stop: watch::Sender<bool>) -> Result<Running, String> {
        let id = self.id;
        let sentence = move |error: &dyn Display| format!("node {id}: {error}");
        let runtime = runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| sentence(&error))?;
        let (serving, served) = oneshot::channel();
        let run = move || {
            let outcome = runtime.block_on(self.run(serving, &stop));
            stop.send_replace(true);
            outcome.map_err(|error| sentence(&error))
        };
        let thread = thread::Builder::new().name(format!("node-{id}")).spawn(run);
        let thread = thread.map_err(|error| sentence(&error))?;
        match served.await {
            Ok(node) => Ok(Running { node, thread }),
            Err(_) => Err(join(thread).err().unwrap_or_else(|| sentence(&"it was stopped before it served"))),
        }
    }

    async fn run(
        self,
        serving: oneshot::Sender<Node<Store>>,
        stop: &watch::Sender<bool>,
    ) -> Result<(), Box<dyn Error>> {
        let limits = self.common.limits;
        let reserved = reserve(&self.client).await;
        let socket = reserved.map_err(|error| match error.kind() {
            io::ErrorKind::AddrInUse => {
                format!("{} is in use; stop the other process, or serve clients elsewhere", self.client)
            }
            _ => format!("cannot serve clients on {}: {error}", self.client),
        })?;
        let sessions = self.sessions.clone();
        let node = self.assemble()?;
        let sessions = match sessions {
            Some(address) => Some(sessions::open(&address, node.clone(), &limits).await?),
            None => None,
        };
        let listener = socket.listen(CLIENTS_WAITING_MAX)?;
        let _ = serving.send(node.clone());
        let mut stopping = stop.subscribe();
        let stopped = async {
            tokio::select! {
                _ = stopping.wait_for(|stopping| *stopping) => {}
                () = report(&node) => {}
            }
        };
        let clients = serve(listener, node.clone(), limits, stopped).await?;
        let cause = node.status().stopped;
        // What is under way is answered first, and the answers get some time to leave.
        node.shutdown().await;
        sleep(FAREWELL).await;
        drop((clients, sessions));
        cause.map_or(Ok(()), |cause| Err(cause.as_ref().into()))
    }

    /// Puts the node together and starts it.
    fn assemble(self) -> Result<Node<Store>, StartError> {
        let members: Vec<NodeId> = self.peers.iter().map(|(id, _)| id).collect();
        let options = self.common.node_options();
        let builder = Node::builder(self.common.cluster, self.id, members, Store::default())
            .options(options)
            .storage(FileLog::open(&self.data)?)
            .transport(self.shown.secure(self.peer_listener.with_peers(self.id, self.peers)));
        let builder = if self.joins { builder.join() } else { builder };
        match self.common.engine {
            None => builder.start(),
            #[cfg(feature = "raft")]
            Some(EngineChoice::Raft) => builder.engine::<quorate::Raft>().start(),
            #[cfg(feature = "multi-paxos")]
            Some(EngineChoice::MultiPaxos) => builder.engine::<quorate::MultiPaxos>().start(),
            #[cfg(feature = "paxos")]
            Some(EngineChoice::Paxos) => builder.engine::<quorate::Paxos>().start(),
        }
    }
}

impl Running {
    /// Waits for the member's end.
    ///
    /// # Errors
    /// A sentence that says why it stopped of itself.
    pub fn join(self) -> Result<(), String> {
        join(self.thread)
    }
}

fn join(thread: JoinHandle<Result<(), String>>) -> Result<(), String> {
    thread.join().unwrap_or_else(|_| Err("a node's thread has panicked".into()))
}

/// Takes the address clients connect to, and lets none in yet: before the node runs, nobody would answer them.
async fn reserve(address: &str) -> io::Result<TcpSocket> {
    let address = lookup_host(address).await?.next().ok_or(io::ErrorKind::AddrNotAvailable)?;
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A restart need not wait for what the system remembers of connections before it.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// Tells the operator what the node has to say, until it stops.
async fn report(node: &Node<Store>) {
    let (mut status, mut told) = (node.watch(), Vec::new());
    loop {
        let now = status.borrow_and_update().clone();
        for note in now.notes.iter().filter(|note| !told.contains(*note)) {
            eprintln!("kv: node {}: {note}", now.node);
        }
        told = now.notes;
        if now.stopped.is_some() || status.changed().await.is_err() {
            return;
        }
    }
}
