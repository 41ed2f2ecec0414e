//! Real partitions: each member in a network namespace of its own, with a cable that can be pulled. Needs root and the
//! program `ip`; where the machine has them not, the test says so and is skipped.

use std::process::{Child, Command, Stdio};

use quorate::{DefaultEngine, Engine};
use redis::{Client, Connection, RedisResult};
use tempfile::TempDir;

use crate::processes::{MEMBERS, PATIENCE, command, wait_for};
use crate::program::kv;

/// Namespaces, cables and a bridge between them. All of it goes away in the end.
struct Network {
    number: u32,
}

/// Runs `ip` with these words. Whether it went well.
fn ip(words: &str) -> bool {
    let run = Command::new("ip").args(words.split(' ')).stderr(Stdio::null()).status();
    run.is_ok_and(|status| status.success())
}

impl Network {
    /// `None`, with the reason printed, where the machine does not allow it.
    fn build() -> Option<Self> {
        let network = Self { number: std::process::id() % 10_000 };
        let (number, at) = (network.number, network.subnet());
        let mut built = ip(&format!("link add q{number}b type bridge"))
            && ip(&format!("addr add {at}.254/24 dev q{number}b"))
            && ip(&format!("link set q{number}b up"));
        for id in MEMBERS {
            let (inside, end) = (format!("q{number}n{id}"), format!("q{number}e{id}"));
            built = built
                && ip(&format!("netns add {inside}"))
                && ip(&format!("link add {end} type veth peer name eth0 netns {inside}"))
                && ip(&format!("link set {end} master q{number}b up"))
                && ip(&format!("-n {inside} addr add {at}.{id}/24 dev eth0"))
                && ip(&format!("-n {inside} link set eth0 up"))
                && ip(&format!("-n {inside} link set lo up"));
        }
        if !built {
            println!("skipped: this machine allows no network namespaces (root and `ip netns` are needed)");
            return None;
        }
        Some(network)
    }

    /// Addresses for tests of networks, by RFC 2544.
    fn subnet(&self) -> String {
        format!("198.18.{}", self.number % 250)
    }

    fn plug(&self, id: u64) {
        assert!(ip(&format!("link set q{}e{id} up", self.number)));
    }

    /// From now on nothing goes to that member and nothing comes from it, and nobody is told.
    fn pull(&self, id: u64) {
        assert!(ip(&format!("link set q{}e{id} down", self.number)));
    }

    fn start(&self, id: u64, folder: &TempDir) -> Child {
        let (program, at) = (kv(), self.subnet());
        let mut member = Command::new("ip");
        member.args(["netns", "exec", &format!("q{}n{id}", self.number)]).arg(program.get_program());
        member.args(["node", "--id", &id.to_string(), "--client", &format!("{at}.{id}:6379")]);
        member.args(["--peer-listen", "0.0.0.0:7000", "--data"]).arg(folder.path().join(id.to_string()));
        for peer in MEMBERS {
            member.args(["--peer", &format!("{peer}={at}.{peer}:7000")]);
        }
        member.stdout(Stdio::null()).spawn().expect("ip runs kv")
    }

    fn connect(&self, id: u64) -> RedisResult<Connection> {
        let client = Client::open(format!("redis://{}.{id}:6379/", self.subnet()))?;
        let connection = client.get_connection_with_timeout(PATIENCE)?;
        connection.set_read_timeout(Some(PATIENCE))?;
        Ok(connection)
    }

    fn ask<A: redis::FromRedisValue>(&self, id: u64, words: &[&str]) -> RedisResult<A> {
        command(words).query(&mut self.connect(id)?)
    }

    /// The member that leads, among these.
    fn leader(&self, among: &[u64]) -> u64 {
        let leads = |id: &u64| {
            let info: RedisResult<String> = self.ask(*id, &["INFO", "replication"]);
            info.is_ok_and(|info| info.lines().any(|line| line == "role:leader"))
        };
        wait_for("a leader", || among.iter().copied().find(leads))
    }

    fn set(&self, id: u64, value: &str) {
        wait_for("a write to be answered", || self.ask::<String>(id, &["SET", "k", value]).ok());
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for id in MEMBERS {
            ip(&format!("netns del q{}n{id}", self.number));
            ip(&format!("link del q{}e{id}", self.number));
        }
        ip(&format!("link del q{}b", self.number));
    }
}

/// Members that end with the test.
struct Running(Vec<Child>);

impl Drop for Running {
    fn drop(&mut self) {
        for member in &mut self.0 {
            let _ = (member.kill(), member.wait());
        }
    }
}

/// Whoever leads loses its cable, three times; the others elect another and go on, and it comes back as a follower.
#[test]
fn a_leader_whose_cable_is_pulled_gives_way_and_comes_back() {
    if !DefaultEngine::CAPABILITIES.leader {
        return println!("skipped: {} has no leader, as its CAPABILITIES say", DefaultEngine::NAME);
    }
    let folder = TempDir::new().expect("a folder for the test");
    let Some(network) = Network::build() else { return };
    let _running = Running(MEMBERS.iter().map(|id| network.start(*id, &folder)).collect());
    wait_for("the members to serve", || network.connect(3).ok());
    for round in 0..3 {
        let leader = network.leader(&MEMBERS);
        network.set(leader, &format!("before {round}"));
        network.pull(leader);
        let others: Vec<u64> = MEMBERS.into_iter().filter(|id| *id != leader).collect();
        let next = network.leader(&others);
        network.set(next, &format!("meanwhile {round}"));
        network.plug(leader);
        wait_for("the old leader to know what came meanwhile", || {
            let value: RedisResult<String> = network.ask(leader, &["GET", "k"]);
            value.ok().filter(|value| *value == format!("meanwhile {round}"))
        });
    }
}
