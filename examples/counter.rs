//! A counter on three nodes in this process. Whatever node is asked, there is one answer.

use std::error::Error;

use quorate::{Applied, StateMachine, snapshot_with_serde};
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

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let [a, b, c] = quorate::local::cluster(Counter::default)?;
    println!("engine {}", a.status().engine);
    println!("a adds 2: {}", a.propose(2).await?);
    println!("b adds 40: {}", b.propose(40).await?);
    println!("c reads {}", c.read(|counter| counter.0).await?);
    Ok(())
}
