//! Members are killed and restarted at random under load, for a minute; or for as long as `QUORATE_KILL_SECONDS` says:
//!
//! `QUORATE_KILL_SECONDS=600 cargo test --release --test kv_served random_kills -- --nocapture`

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use crate::load::{Load, connect};
use crate::processes::{Cluster, MEMBERS, PATIENCE, command};

/// Clients that write keys of their own, as fast as they can.
const WRITERS: u64 = 6;
/// Clients that write and read the same few keys.
const RIVALS: u64 = 3;
const KEYS_PER_WRITER: u64 = 200;
/// A member's folder holds at most a snapshot, what was logged since the last two, and prepared segments.
const FOLDER_BYTES_MAX: u64 = 640 << 20;

/// What one writer knows of its keys: the number last acknowledged, and the last one tried.
type Known = HashMap<String, (u64, u64)>;

/// Chance enough for a test; the seed is printed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

#[test]
fn random_kills_lose_nothing_that_was_acknowledged_and_every_history_is_linearizable() {
    let seconds =
        std::env::var("QUORATE_KILL_SECONDS").map_or(60, |text| text.parse().expect("a number of seconds"));
    let seed = u64::from(std::process::id());
    let mut cluster = Cluster::start();
    println!("engine {}, {seconds} s of random kills, seed {seed}", cluster.info(1, "engine"));
    let ports = MEMBERS.map(|id| cluster.client_port(id));
    let (stop, written) = (AtomicBool::new(false), AtomicU64::new(0));
    let load = Load::on(ports.to_vec());
    let known: Vec<Known> = scope(|threads| {
        let (stop, written, load) = (&stop, &written, &load);
        let rivals: Vec<_> = (0..RIVALS).map(|id| threads.spawn(move || load.run(id))).collect();
        let writers: Vec<_> =
            (0..WRITERS).map(|id| threads.spawn(move || write(id, ports, stop, written))).collect();
        let kills = kill_at_random(&mut cluster, Duration::from_secs(seconds), &mut Dice(seed), written);
        stop.store(true, Ordering::Relaxed);
        load.stop();
        rivals.into_iter().for_each(|rival| rival.join().expect("no rival panics"));
        println!("{kills} kills, {} writes acknowledged", written.load(Ordering::Relaxed));
        writers.into_iter().map(|writer| writer.join().expect("no writer panics")).collect()
    });
    cluster.assert_converged();
    let contents = cluster.contents(1);
    for (key, (acknowledged, tried)) in known.into_iter().flatten() {
        let held = contents.get(&key).map_or(0, |value| value.parse().expect("a number"));
        assert!((acknowledged..=tried).contains(&held), "{key} is {held}, not {acknowledged} to {tried}");
    }
    assert!(load.answered() > 100, "the rivals wrote next to nothing");
    println!("one order explains {} calls to keys that all share", load.assert_linearizable());
    for id in MEMBERS {
        let bytes = bytes_in(&cluster.data(id));
        println!("the folder of node {id} holds {} MiB", bytes >> 20);
        assert!(bytes < FOLDER_BYTES_MAX, "the folder of node {id} has grown to {bytes} bytes");
    }
}

/// Kills and restarts members; after each kill the cluster must write again. Returns the number of kills.
fn kill_at_random(cluster: &mut Cluster, time: Duration, dice: &mut Dice, written: &AtomicU64) -> u64 {
    let end = Instant::now() + time;
    let mut kills = 0;
    while Instant::now() < end {
        sleep(Duration::from_millis(500 + dice.below(2500)));
        let victim = 1 + dice.below(3);
        if dice.below(8) == 0 {
            cluster.kill_all();
            MEMBERS.into_iter().for_each(|id| cluster.start_member(id));
        } else {
            cluster.kill(victim);
            writes_again(written);
            sleep(Duration::from_millis(dice.below(4000)));
            cluster.start_member(victim);
        }
        kills += 1;
        writes_again(written);
    }
    kills
}

fn writes_again(written: &AtomicU64) {
    let (before, since) = (written.load(Ordering::Relaxed), Instant::now());
    while written.load(Ordering::Relaxed) < before + 20 {
        assert!(since.elapsed() < PATIENCE, "nothing was written for {PATIENCE:?}");
        sleep(Duration::from_millis(20));
    }
}

/// Writes growing numbers to its own keys, through whatever member answers; and reads back now and then.
fn write(id: u64, ports: [u16; 3], stop: &AtomicBool, written: &AtomicU64) -> Known {
    let mut known = Known::new();
    let mut dice = Dice(id);
    let mut connection = None;
    for number in 1.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let Some(open) = connection.as_mut() else {
            connection = connect(ports[dice.below(3) as usize]);
            sleep(Duration::from_millis(5));
            continue;
        };
        let key = format!("{id}-{}", dice.below(KEYS_PER_WRITER));
        let entry = known.entry(key.clone()).or_insert((0, 0));
        entry.1 = number;
        match command(&["SET", &key, &number.to_string()]).query::<String>(open) {
            Ok(_) => {
                entry.0 = number;
                written.fetch_add(1, Ordering::Relaxed);
            }
            Err(_) => connection = None,
        }
        if number % 16 == 0
            && let Some(open) = connection.as_mut()
            && let Ok(held) = command(&["GET", &key]).query::<Option<u64>>(open)
        {
            let (acknowledged, tried) = known[&key];
            let held = held.unwrap_or_default();
            assert!(
                (acknowledged..=tried).contains(&held),
                "{key} reads {held}, not {acknowledged} to {tried}"
            );
        }
    }
    known
}

/// The bytes of all files in a folder.
fn bytes_in(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).expect("the folder is there");
    let size = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(it) if it.is_dir() => bytes_in(&entry.path()),
        Ok(it) => it.len(),
        Err(_) => 0,
    };
    entries.filter_map(Result::ok).map(size).sum()
}
