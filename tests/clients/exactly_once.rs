//! Commands of clients, through everything that goes wrong.
//!
//! `QUORATE_CLIENT_SECONDS=600 cargo test --release --test clients exactly_once` is the long form of the first test.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use quorate::{Client, ClientOptions, ClientPortOptions, Engine, Error};

use crate::cluster::{Cluster, Counter, LONG};

/// How long the counter is incremented: a minute, or as the environment says.
pub(crate) fn duration() -> Duration {
    let given = std::env::var("QUORATE_CLIENT_SECONDS").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(given.unwrap_or(60))
}

/// A client that never gives up within the test.
fn stubborn() -> ClientOptions {
    ClientOptions { deadline: Duration::from_secs(3600), ..ClientOptions::default() }
}

/// Increments by one until told to end; the values seen, one for each.
async fn increment(client: Client<Counter>, end: Arc<AtomicBool>) -> Vec<u64> {
    let mut seen = Vec::new();
    while !end.load(Ordering::Relaxed) {
        seen.push(client.execute(&1).await.unwrap().0);
    }
    seen
}

/// Chance, seeded by the clock: which fault comes next need not be the same twice.
struct Chance(u64);

impl Chance {
    fn new() -> Self {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        Self(now.as_nanos() as u64 | 1)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

pub(crate) async fn a_counter_is_incremented_exactly_as_often_as_it_was_told<E: Engine>() {
    let mut cluster = Cluster::start::<E>(ClientPortOptions::default()).await;
    let end = Arc::new(AtomicBool::new(false));
    let clients = [(); 3].map(|()| cluster.client(stubborn()));
    // Four commands of each client are under way at any time.
    let workers = clients.iter().flat_map(|client| [client; 4]);
    let workers: Vec<_> =
        workers.map(|client| tokio::spawn(increment(client.clone(), end.clone()))).collect();

    let (begun, mut chance, mut faults) = (Instant::now(), Chance::new(), 0_u32);
    while begun.elapsed() < duration() {
        let leader = cluster.node(1).status().leader.map_or(1, |leader| leader.0);
        let victim = if chance.below(2) == 0 { leader } else { chance.below(3) + 1 };
        let pause = Duration::from_millis(300 + chance.below(2500));
        match chance.below(3) {
            0 => cluster.network.isolate(victim),
            1 => {
                cluster.stop(victim).await;
                tokio::time::sleep(pause / 2).await;
                cluster.run::<E>(victim).await;
            }
            _ => {
                // The answers under way are lost, and nothing else is.
                cluster.reopen(victim).await;
            }
        }
        faults += 1;
        tokio::time::sleep(pause).await;
        cluster.network.heal();
    }
    end.store(true, Ordering::Relaxed);
    let (mut told, mut seen) = (0, BTreeSet::new());
    for worker in workers {
        let values = worker.await.unwrap();
        told += values.len() as u64;
        seen.extend(values);
    }
    println!("{told} increments through {faults} faults in {:?}", begun.elapsed());
    assert_eq!(clients[0].query(&()).await, Ok(told), "the counter stands at what it was told");
    assert_eq!(seen, (1..=told).collect(), "each increment had an answer of its own");
    assert!(told > 100 && faults > 3, "{told} increments through {faults} faults show nothing");
}

pub(crate) async fn a_client_reads_its_own_writes_on_every_member<E: Engine>() {
    let cluster = Cluster::start::<E>(ClientPortOptions::default()).await;
    let remote = cluster.client(stubborn());
    let near = Client::in_process((1..=3).map(|id| cluster.node(id).clone()), stubborn());
    for round in 1..=30_u64 {
        let (writer, reader) = if round % 2 == 0 { (&remote, &near) } else { (&near, &remote) };
        assert_eq!(writer.execute(&1).await.unwrap().0, round);
        assert!(writer.query_at(writer.own_writes(), &()).await.unwrap() >= round);
        assert_eq!(reader.query(&()).await, Ok(round));
    }
    remote.close().await.unwrap();
    assert_eq!(remote.execute(&1).await.unwrap().0, 31, "a closed client opens another session");
}

pub(crate) async fn an_expired_session_is_replaced_when_nothing_can_have_happened<E: Engine>() {
    let cluster = Cluster::start::<E>(ClientPortOptions::default()).await;
    let forgetful = ClientOptions { session_idle_max: Duration::from_millis(1), ..stubborn() };
    let client = cluster.client(forgetful);
    for round in 1..=5 {
        assert_eq!(client.execute(&1).await.unwrap().0, round);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let long = client.execute(&LONG).await.unwrap();
    assert_eq!(long.1.len(), 2 << 20, "an answer that is not remembered reaches whoever waits for it");
    let late = ClientOptions { deadline: Duration::from_millis(1), ..forgetful };
    let client: Client<Counter> = Client::remote("counters", [(1_u64, "127.0.0.1:1")], late);
    assert!(matches!(client.execute(&1).await, Err(Error::NoLeader { .. })), "it certainly did not happen");
}
