//! Three nodes over TCP with files that compete for registers, without a leader: who is to be in charge is decided once,
//! and a count is kept by compare-and-set, whatever fails in between.

use std::error::Error;

use bytes::Bytes;
use futures::future::{try_join_all, try_join3};
use quorate::registers::{Change, Keepers, RegisterError, Registers};
use quorate::{FileLog, SystemClock, Tcp};

/// Adds one to the number in a register, as often as it takes.
async fn increment(registers: &Registers, key: &'static str) -> Result<u64, RegisterError> {
    loop {
        let found = registers.read(key).await?;
        let number: u64 = found.value.and_then(|text| str::from_utf8(&text).ok()?.parse().ok()).unwrap_or(0);
        let value = Bytes::from((number + 1).to_string());
        // If the answer is lost, the same change is asked for again: it takes effect once.
        let (id, change) =
            (Registers::name_a_change()?, Change::CompareAndSet { version: found.version, value });
        let mut answer = registers.change_again(key, id, change.clone()).await;
        while answer == Err(RegisterError::Unknown) {
            answer = registers.change_again(key, id, change.clone()).await;
        }
        if answer?.changed {
            return Ok(number + 1);
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let mut listeners = Vec::new();
    for node in 1..=3_u64 {
        listeners.push((node, Tcp::listen("127.0.0.1:0").await?));
    }
    let peers: Vec<_> = listeners.iter().map(|(node, listener)| (*node, listener.local_addr())).collect();
    let mut nodes = Vec::new();
    for (node, listener) in listeners {
        let log = FileLog::open(dir.path().join(node.to_string()))?;
        let transport = listener.with_peers(node, peers.clone());
        let keepers = Keepers::new("registers", node, [1_u64, 2, 3]);
        nodes.push(Registers::start(keepers, log, transport, SystemClock::new()).await?);
    }

    // All three want to be in charge. One is, and all are told the same.
    let [a, b, c] = [0, 1, 2].map(|at| nodes[at].propose("in charge", format!("node {}", at + 1)));
    let (a, b, c) = try_join3(a, b, c).await?;
    assert!(a == b && b == c);
    println!("all agree on who is in charge: {}", a.starts_with(b"node "));

    // Each adds ten to the same count, all at the same time.
    let work = nodes.iter().map(async |node| {
        for _ in 0..10 {
            increment(node, "count").await?;
        }
        Ok::<_, RegisterError>(())
    });
    try_join_all(work).await?;
    let count = nodes[0].read("count").await?;
    println!("the count is {}", String::from_utf8_lossy(&count.value.unwrap_or_default()));

    // With one node gone the others go on: nobody was in charge of the registers.
    nodes.pop();
    println!("and then {}", increment(&nodes[0], "count").await?);
    Ok(())
}
