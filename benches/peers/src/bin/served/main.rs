//! etcd and `examples/kv`, each over its own protocol: puts and linearizable gets. `etcd.sh` starts both and calls this.

mod etcd;
mod redis;

use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use clap::Parser;
use quorate_peers::load::{Failure, Outcome, closed_loop};
use quorate_peers::rounds::{Rounds, median, rate};
use tokio::runtime::Builder;

/// Measures two clusters that run already.
#[derive(Parser)]
struct Options {
    /// The members of etcd, such as 127.0.0.1:2379.
    #[arg(long, value_delimiter = ',', required = true)]
    etcd: Vec<String>,
    /// The members of `examples/kv`, where clients connect.
    #[arg(long, value_delimiter = ',', required = true)]
    kv: Vec<String>,
    /// How many clients at once.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 64, 256])]
    clients: Vec<usize>,
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Rounds; both are measured once in each.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
}

/// Keys are spread over so many.
const KEYS: usize = 1000;
const VALUE_BYTES: usize = 256;

/// What a client asks for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Request {
    Put,
    Get,
}

/// A client's connection to one member.
trait Client: Sized {
    /// Connects so many clients to whichever member leads.
    fn connect(members: &[String], clients: usize) -> impl Future<Output = Result<Vec<Self>, Failure>>;
    /// Asks, and waits for the answer.
    fn ask(&self, request: Request, key: String) -> impl Future<Output = Result<(), Failure>>;
}

fn measure<C: Client + 'static>(
    members: &[String],
    clients: usize,
    time: Duration,
    request: Request,
) -> Result<Outcome, Failure> {
    Builder::new_current_thread().enable_all().build()?.block_on(async {
        let connected = Rc::new(C::connect(members, clients).await?);
        let turn = Rc::new(std::cell::Cell::new(0_usize));
        closed_loop(clients, time, move |client| {
            let (connected, turn) = (connected.clone(), turn.clone());
            turn.set(turn.get() + 1);
            let key = format!("key-{}", turn.get() * 7919 % KEYS);
            async move { connected[client].ask(request, key).await }
        })
        .await
    })
}

fn main() -> Result<(), Failure> {
    let options = Options::parse();
    let time = Duration::from_secs_f64(options.seconds);
    let run = |contestant: usize, clients: usize, request: Request| match contestant {
        0 => measure::<etcd::Connection>(&options.etcd, clients, time, request),
        _ => measure::<redis::Connection>(&options.kv, clients, time, request),
    };
    // Every key is there before it is asked for.
    (0..2).try_for_each(|contestant| run(contestant, 16, Request::Put).map(drop))?;
    println!(
        "\nThree members each, one disk, synced; values of {VALUE_BYTES} bytes; clients at the leader; median of {} \
         rounds of {time:?}: per second (p50 / p99 ms)\n",
        options.rounds
    );
    println!("| requests | clients | etcd | quorate examples/kv | ratio |\n|---|---|---|---|---|");
    for (request, name) in [(Request::Put, "puts"), (Request::Get, "linearizable gets")] {
        for clients in &options.clients {
            let mut latencies = [(); 2].map(|()| (Vec::new(), Vec::new()));
            let rounds = Rounds::run(&["etcd", "kv"], options.rounds, |contestant| {
                let outcome = run(contestant, *clients, request)?;
                latencies[contestant].0.push(outcome.p50_ms);
                latencies[contestant].1.push(outcome.p99_ms);
                Ok(outcome.per_second)
            })?;
            let cell = |it: usize| {
                let (p50, p99) = (median(&latencies[it].0), median(&latencies[it].1));
                format!("{} ({p50:.2} / {p99:.2})", rate(rounds.median(it)))
            };
            println!("| {name} | {clients} | {} | {} | {:.2} |", cell(0), cell(1), rounds.ratio(1, &[0]));
        }
    }
    Ok(())
}
