//! Three members with files and client ports, on a network that can be cut.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use quorate::{
    Applied, Client, ClientOptions, ClientPort, ClientPortOptions, Engine, FileLog, LocalNetwork, Node,
    Queryable, StateMachine, snapshot_with_serde,
};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use tokio::time::timeout;

/// A counter that can be asked for its value.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct Counter(pub u64);

/// As much as an answer to this command takes, in bytes, is beyond what is remembered.
pub(crate) const LONG: u64 = 1_000_000;

impl StateMachine for Counter {
    type Command = u64;
    type Response = (u64, Vec<u8>);

    fn apply(&mut self, _at: Applied, add: u64) -> (u64, Vec<u8>) {
        self.0 += add;
        (self.0, vec![0; if add == LONG { 2 << 20 } else { 0 }])
    }

    snapshot_with_serde!();
}

impl Queryable for Counter {
    type Query = ();
    type Answer = u64;

    fn query(&self, (): ()) -> u64 {
        self.0
    }
}

/// Runs a test on an engine, within a runtime; says which engine.
pub(crate) fn on_engine<E: Engine>(test: impl Future<Output = ()>) {
    println!("engine {}", E::NAME);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let longest = Duration::from_secs(240) + crate::exactly_once::duration();
        timeout(longest, test).await.expect("the test ends in time");
    });
}

pub(crate) struct Cluster {
    pub(crate) network: LocalNetwork,
    pub(crate) members: Vec<Option<(Node<Counter>, ClientPort)>>,
    addresses: Vec<SocketAddr>,
    options: ClientPortOptions,
    dir: TempDir,
}

impl Cluster {
    pub(crate) async fn start<E: Engine>(options: ClientPortOptions) -> Self {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let (network, dir) = (LocalNetwork::new(), tempfile::tempdir().unwrap());
        let mut cluster =
            Self { network, members: vec![None, None, None], addresses: vec![any; 3], options, dir };
        for id in 1..=3 {
            cluster.run::<E>(id).await;
        }
        cluster
    }

    pub(crate) async fn run<E: Engine>(&mut self, id: u64) {
        let at = id as usize - 1;
        let node = Node::builder("counters", id, [1, 2, 3], Counter::default())
            .storage(FileLog::open(self.dir.path().join(id.to_string())).unwrap())
            .transport(self.network.transport(id))
            .engine::<E>()
            .start()
            .unwrap();
        let port = open(self.addresses[at], &node, self.options).await;
        self.addresses[at] = port.local_addr();
        self.members[at] = Some((node, port));
    }

    pub(crate) async fn stop(&mut self, id: u64) {
        if let Some((node, port)) = self.members[id as usize - 1].take() {
            drop(port);
            node.shutdown().await;
        }
    }

    /// Closes a member's client port with all its connections, and opens it again.
    pub(crate) async fn reopen(&mut self, id: u64) {
        let at = id as usize - 1;
        let (node, port) = self.members[at].take().expect("the member runs");
        drop(port);
        let port = open(self.addresses[at], &node, self.options).await;
        self.members[at] = Some((node, port));
    }

    pub(crate) fn node(&self, id: u64) -> &Node<Counter> {
        &self.members[id as usize - 1].as_ref().expect("the member runs").0
    }

    pub(crate) fn address(&self, id: u64) -> SocketAddr {
        self.addresses[id as usize - 1]
    }

    pub(crate) fn client(&self, options: ClientOptions) -> Client<Counter> {
        let members = (1..=3_u64).map(|id| (id, self.address(id).to_string()));
        Client::remote("counters", members, options)
    }
}

/// Opens a client port. One that was dropped there closes a moment later.
async fn open(address: SocketAddr, node: &Node<Counter>, options: ClientPortOptions) -> ClientPort {
    loop {
        match ClientPort::open(address, node.clone(), options).await {
            Ok(port) => return port,
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}
