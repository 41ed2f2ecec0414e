//! Three nodes in one process, in memory: clients write at the leader.

pub mod openraft09;
pub mod openraft10;
pub mod ours;

use std::future::Future;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

use crate::load::{Failure, Outcome, closed_loop};
use crate::rounds::{Rounds, rate};

/// A cluster to measure: a handle on the leader that keeps all three nodes alive.
pub trait Cluster: Clone + Send + Sync + 'static {
    /// Starts three nodes on the current runtime, and waits for the first write.
    fn start() -> impl Future<Output = Result<Self, Failure>>;
    /// Writes one command, and waits for the answer of the state machine.
    fn write(&self, command: Bytes) -> impl Future<Output = Result<(), Failure>> + 'static;
    /// Hands over so many commands at once, the way that suits it best, and waits for all answers.
    fn write_many(&self, command: Bytes, count: usize)
    -> impl Future<Output = Result<(), Failure>> + 'static;
    /// Stops the nodes.
    fn stop(self) -> impl Future<Output = ()>;
}

/// What is measured, and for how long.
#[derive(Clone, Copy)]
pub struct Plan {
    pub rounds: usize,
    pub time: Duration,
    pub payload: usize,
    /// Clients run on a runtime of their own, on another thread.
    pub apart: bool,
}

fn runtime() -> Result<Runtime, Failure> {
    Ok(Builder::new_current_thread().enable_all().build()?)
}

/// One measurement. `batch` commands are handed over at once.
fn measure<C: Cluster>(plan: Plan, clients: usize, batch: usize) -> Result<Outcome, Failure> {
    let command = Bytes::from(vec![7; plan.payload]);
    let drive = move |cluster: C| {
        closed_loop(clients, plan.time, move |_| {
            let (cluster, command) = (cluster.clone(), command.clone());
            async move {
                if batch == 1 {
                    cluster.write(command).await
                } else {
                    cluster.write_many(command, batch).await
                }
            }
        })
    };
    if !plan.apart {
        return runtime()?.block_on(async {
            let cluster = C::start().await?;
            let outcome = drive(cluster.clone()).await?;
            cluster.stop().await;
            Ok(outcome)
        });
    }
    let (started, handle) = mpsc::channel();
    let (stop, stopped) = oneshot::channel::<()>();
    let nodes = thread::spawn(move || -> Result<(), Failure> {
        runtime()?.block_on(async {
            let cluster = C::start().await?;
            started.send(cluster.clone())?;
            let _ = stopped.await;
            cluster.stop().await;
            Ok(())
        })
    });
    let outcome = handle.recv().map_err(Into::into).and_then(|cluster| runtime()?.block_on(drive(cluster)));
    drop(stop);
    nodes.join().map_err(|_| "the thread of the nodes panicked")??;
    outcome
}

type Measure = fn(Plan, usize, usize) -> Result<Outcome, Failure>;

const CONTESTANTS: [(&str, Measure); 4] = [
    ("openraft 0.9.25", measure::<openraft09::Nodes>),
    ("openraft 0.10.0-alpha.37", measure::<openraft10::Nodes>),
    ("quorate, raft", measure::<ours::RaftNodes>),
    ("quorate, multi-paxos", measure::<ours::PaxosNodes>),
];

/// Prints the table: a row per number of clients, one for batches, and the ratios.
pub fn table(plan: Plan, clients: &[usize]) -> Result<(), Failure> {
    let names = CONTESTANTS.map(|(name, _)| name);
    let place = if plan.apart { "clients on a runtime of their own" } else { "one current-thread runtime" };
    println!(
        "\nWrites per second: three nodes in one process, in memory, {} bytes, {place}; median of {} rounds of {:?}\n",
        plan.payload, plan.rounds, plan.time
    );
    println!("| clients | {} | raft / better openraft | multi-paxos / better openraft |", names.join(" | "));
    println!("|---|{}", "---|".repeat(names.len() + 2));
    let row = |name: String, clients: usize, batch: usize| -> Result<(), Failure> {
        let mut p50 = vec![Vec::new(); names.len()];
        let rounds = Rounds::run(&names, plan.rounds, |contestant| {
            let outcome = CONTESTANTS[contestant].1(plan, clients, batch)?;
            p50[contestant].push(outcome.p50_ms);
            Ok(outcome.per_second * batch as f64)
        })?;
        let cell =
            |it: usize| format!("{} ({:.3} ms)", rate(rounds.median(it)), crate::rounds::median(&p50[it]));
        let cells: Vec<String> = (0..names.len()).map(cell).collect();
        let ratio = |ours| rounds.ratio(ours, &[0, 1]);
        println!("| {name} | {} | {:.2} | {:.2} |", cells.join(" | "), ratio(2), ratio(3));
        Ok(())
    };
    clients.iter().try_for_each(|clients| row(clients.to_string(), *clients, 1))?;
    row("64, each 64 commands at once".into(), 64, 64)
}
