//! Clients that write and read a few keys that all of them share, and whether one order explains what they saw.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use redis::Connection;
use testkit::linearizability::{Call, check};

use crate::processes::{command, wait_for};

const KEYS: u64 = 8;

/// The load, and what it saw.
pub(crate) struct Load {
    since: Instant,
    stop: AtomicBool,
    /// Whom clients may ask.
    ports: Mutex<Vec<u16>>,
    /// Each value is written once.
    values: AtomicU64,
    calls: Mutex<HashMap<u64, Vec<Call>>>,
    /// When writes were answered.
    answered: Mutex<Vec<u64>>,
}

impl Load {
    /// A load on the members that serve at these ports.
    pub(crate) fn on(ports: Vec<u16>) -> Self {
        Self {
            since: Instant::now(),
            stop: AtomicBool::new(false),
            ports: Mutex::new(ports),
            values: AtomicU64::new(1),
            calls: Mutex::default(),
            answered: Mutex::default(),
        }
    }

    fn now(&self) -> u64 {
        self.since.elapsed().as_nanos() as u64
    }

    pub(crate) fn ask_also(&self, port: u16) {
        self.ports.lock().unwrap().push(port);
    }

    pub(crate) fn ask_no_longer(&self, gone: u16) {
        self.ports.lock().unwrap().retain(|port| *port != gone);
    }

    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// How many writes were answered.
    pub(crate) fn answered(&self) -> usize {
        self.answered.lock().unwrap().len()
    }

    /// Waits until many more writes were answered.
    pub(crate) fn goes_on(&self) {
        let before = self.answered();
        wait_for("writes to go on", || (self.answered() > before + 200).then_some(()));
    }

    /// One client: writes and reads, on whichever member answers, until told to stop.
    pub(crate) fn run(&self, client: u64) {
        let mut connection: Option<Connection> = None;
        for turn in client.. {
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            let Some(open) = connection.as_mut() else {
                let port = {
                    let ports = self.ports.lock().unwrap();
                    ports[turn as usize % ports.len()]
                };
                connection = connect(port);
                sleep(Duration::from_millis(2));
                continue;
            };
            let (key, begun) = (turn % KEYS, self.now());
            let name = format!("key-{key}");
            let call = if turn % 3 == 0 {
                let saw = command(&["GET", &name]).query::<Option<u64>>(open);
                if saw.is_err() {
                    connection = None;
                }
                saw.ok().map(|saw| Call::read(begun, self.now(), saw))
            } else {
                let value = self.values.fetch_add(1, Ordering::Relaxed);
                let written = command(&["SET", &name, &value.to_string()]).query::<String>(open).is_ok();
                let answered = written.then(|| self.now());
                match answered {
                    Some(at) => self.answered.lock().unwrap().push(at),
                    None => connection = None,
                }
                Some(Call::write(begun, answered, value))
            };
            self.calls.lock().unwrap().entry(key).or_default().extend(call);
        }
    }

    /// The longest time in which no write was answered.
    pub(crate) fn longest_pause(&self) -> Duration {
        let mut answered = self.answered.lock().unwrap().clone();
        answered.sort_unstable();
        let pause = answered.windows(2).map(|pair| pair[1] - pair[0]).max();
        Duration::from_nanos(pause.unwrap_or_default())
    }

    /// Checks that one order explains all calls, key by key. Returns how many calls there were.
    pub(crate) fn assert_linearizable(&self) -> usize {
        let calls = self.calls.lock().unwrap();
        for (key, calls) in calls.iter() {
            check(calls).unwrap_or_else(|why| panic!("key {key}: {why}"));
        }
        calls.values().map(Vec::len).sum()
    }
}

/// A connection to the member that serves there, if it answers at once.
pub(crate) fn connect(port: u16) -> Option<Connection> {
    let client = redis::Client::open(format!("redis://127.0.0.1:{port}/")).unwrap();
    let connection = client.get_connection_with_timeout(Duration::from_secs(1)).ok()?;
    connection.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
    Some(connection)
}
