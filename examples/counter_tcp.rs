//! The counter over TCP with its log in files: two more calls on the builder. All nodes stop and start again, and the
//! count is still there.
//!
//! Here the three nodes share a process and the system chooses their ports. A service runs one node on each machine,
//! with `Tcp::bind(me, &peers)` and one list of addresses for all.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;

use quorate::{Applied, FileLog, Node, StateMachine, Tcp, snapshot_with_serde};
use serde::{Deserialize, Serialize};

#[derive(Clone, Default, Serialize, Deserialize)]
struct Counter(u64);

impl StateMachine for Counter {
    type Command = u64;
    type Response = u64;

    fn apply(&mut self, _at: Applied, add: u64) -> u64 {
        self.0 += add;
        self.0
    }

    snapshot_with_serde!();
}

async fn start(folder: &Path) -> Result<Vec<Node<Counter>>, Box<dyn Error>> {
    let mut listeners = BTreeMap::new();
    for id in 1..=3 {
        listeners.insert(id, Tcp::listen("127.0.0.1:0").await?);
    }
    let peers: Vec<_> = listeners.iter().map(|(id, listener)| (*id, listener.local_addr())).collect();
    let mut nodes = Vec::new();
    for (id, listener) in listeners {
        let node = Node::builder("counter", id, 1..=3, Counter::default())
            .storage(FileLog::open(folder.join(format!("node-{id}")))?)
            .transport(listener.with_peers(id, &peers))
            .start()?;
        nodes.push(node);
    }
    Ok(nodes)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let nodes = start(folder.path()).await?;
    println!("engine {}", nodes[0].status().engine);
    println!("node 1 adds 2: {}", nodes[0].propose(2).await?);
    println!("node 2 adds 40: {}", nodes[1].propose(40).await?);
    println!("node 3 reads {}", nodes[2].read(|counter| counter.0).await?);
    for node in &nodes {
        node.shutdown().await;
    }
    let nodes = start(folder.path()).await?;
    println!("after a restart node 3 reads {}", nodes[2].read(|counter| counter.0).await?);
    Ok(())
}
