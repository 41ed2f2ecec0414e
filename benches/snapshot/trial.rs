//! [`Cluster`]: the members, and what is tried on them.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::courier::Courier;
use crate::load::ENTRIES_PER_SECOND_MAX;
use crate::member::Member;
use crate::ports::free_ports;
use crate::{Failure, Plan};

/// The first of them leads.
const MEMBERS: usize = 3;
/// Between a transfer and what is measured next.
const PAUSE: Duration = Duration::from_secs(1);
/// How often is looked whether something has happened.
const LOOK: Duration = Duration::from_millis(10);
const PATIENCE: Duration = Duration::from_secs(300);
/// Of the writes that make a snapshot fall due, so many come with the load.
const LAST_ENTRIES: u64 = 500;

/// Three members that hold the state.
pub(crate) struct Cluster {
    plan: Plan,
    folder: PathBuf,
    members: Vec<Member>,
    peers: Vec<String>,
    courier: Courier,
    /// A snapshot falls due after so many.
    entries: u64,
    /// How long it took last time until a snapshot was written.
    writing: Duration,
    pub(crate) generation: String,
    /// What the state takes in memory, alone in a process.
    pub(crate) state_bytes: u64,
}

/// The p99 of writes, in milliseconds: all in all, and while a snapshot was written, sent, and taken in.
#[derive(Clone, Copy, Default)]
pub(crate) struct Latencies {
    pub(crate) whole: f64,
    parts: [(f64, Duration); 3],
}

/// What came of sending a snapshot.
pub(crate) struct Transfer {
    pub(crate) p99: Latencies,
    /// The sender's memory, and by how much it grew at most.
    pub(crate) sender_before: u64,
    pub(crate) sender_grew: u64,
    /// Bytes of values that were overwritten while the snapshot was being taken.
    pub(crate) overwritten: u64,
    /// The most that the receiver had.
    pub(crate) receiver: u64,
}

impl Cluster {
    /// Starts them, and fills in the state.
    pub(crate) fn start(plan: &Plan, folder: &Path) -> Result<Self, Failure> {
        let peers: Vec<String> =
            (1..).zip(free_ports::<MEMBERS>()).map(|(id, port)| format!("{id}=127.0.0.1:{port}")).collect();
        let state_bytes = weigh(plan, folder)?;
        let bytes = plan.state.bytes();
        let mut cluster = Self {
            plan: *plan,
            folder: folder.to_owned(),
            members: Vec::new(),
            peers,
            courier: Courier::new(folder.to_owned(), bytes, plan.bytes_per_second),
            entries: 0,
            writing: Duration::from_secs(bytes >> 28),
            generation: String::new(),
            state_bytes,
        };
        // Two controls may come between two snapshots, and what is measured at rest.
        cluster.entries = 2 * LAST_ENTRIES + 3 * cluster.seconds() * ENTRIES_PER_SECOND_MAX;
        for id in 1..=MEMBERS as u64 {
            let member = cluster.member(id, "found", &cluster.peers)?;
            cluster.members.push(member);
        }
        cluster.courier.pack(Duration::ZERO)?;
        cluster.leader().ask("lead")?;
        cluster.leader().ask(format!("fill {}", plan.state))?;
        let entries = cluster.entries;
        cluster.leader().ask(format!("charge {entries}"))?;
        cluster.await_snapshot(0)?;
        sleep(PAUSE);
        cluster.generation = cluster.now()?;
        Ok(cluster)
    }

    /// How long one transfer takes, about.
    fn seconds(&self) -> u64 {
        let (bytes, rate) = (self.plan.state.bytes(), self.plan.bytes_per_second.unwrap_or(256 << 20));
        bytes / rate + (bytes >> 26) + 3
    }

    fn member(&self, id: u64, how: &str, peers: &[String]) -> Result<Member, Failure> {
        let folder = self.folder.join(id.to_string());
        let rate = self.plan.bytes_per_second.unwrap_or_default();
        let entries = if id == 1 { self.entries } else { u64::MAX };
        let arguments = ["member".to_owned(), id.to_string(), folder.display().to_string()];
        let options = [rate.to_string(), entries.to_string(), how.to_owned()];
        Member::start(arguments.into_iter().chain(options).chain(peers.iter().cloned()))
    }

    fn leader(&mut self) -> &mut Member {
        &mut self.members[0]
    }

    /// The generation that the leader is in.
    pub(crate) fn now(&mut self) -> Result<String, Failure> {
        self.leader().ask("generation")
    }

    /// Waits until the leader has another snapshot than that one.
    fn await_snapshot(&mut self, before: u64) -> Result<u64, Failure> {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            let now = self.leader().numbers::<u64>("snapshot")?[0];
            if now != before {
                return Ok(now);
            }
            sleep(LOOK);
        }
        Err("the leader took no snapshot".into())
    }

    fn load(&mut self) -> Result<(), Failure> {
        let order = format!("load {} {}", self.plan.writes_per_second, self.plan.state);
        self.leader().ask(order).map(drop)
    }

    fn lap(&mut self) -> Result<f64, Failure> {
        Ok(self.leader().numbers("lap")?[0])
    }

    fn end(&mut self) -> Result<f64, Failure> {
        let p99 = self.leader().numbers("end")?[0];
        sleep(PAUSE);
        Ok(p99)
    }

    /// The p99 of writes while nothing else happens.
    pub(crate) fn rest(&mut self) -> Result<f64, Failure> {
        self.load()?;
        sleep(Duration::from_secs(self.seconds() / 3));
        self.end()
    }

    /// The p99 of writes while the same bytes move without us.
    pub(crate) fn beside(&mut self) -> Result<Latencies, Failure> {
        let before = self.leader().ask("snapshot")?;
        let mut p99 = Latencies::default();
        self.load()?;
        sleep(PAUSE);
        self.lap()?;
        let part = Instant::now();
        self.courier.pack(self.writing)?;
        p99.parts[0] = (self.lap()?, part.elapsed());
        let part = Instant::now();
        self.courier.carry()?;
        p99.parts[1] = (self.lap()?, part.elapsed());
        let part = Instant::now();
        self.courier.unpack()?;
        p99.parts[2] = (self.lap()?, part.elapsed());
        p99.whole = self.end()?;
        self.courier.clear()?;
        if self.leader().ask("snapshot")? != before {
            return Err(
                "the leader took a snapshot beside the control: it is too slow for so large a state".into()
            );
        }
        sleep(PAUSE);
        Ok(p99)
    }

    /// Lets a snapshot be taken, adds a newcomer, and waits until it has all of it in memory.
    pub(crate) fn welcome(&mut self, id: u64) -> Result<Transfer, Failure> {
        let [port] = free_ports::<1>();
        let address = format!("127.0.0.1:{port}");
        let peers = [&self.peers[..], &[format!("{id}={address}")]].concat();
        let mut newcomer = self.member(id, "join", &peers)?;
        let charge = format!("charge {}", self.entries - LAST_ENTRIES);
        self.leader().ask(charge)?;
        let before = self.leader().numbers::<u64>("snapshot")?[0];
        sleep(PAUSE);
        let sender_before = self.leader().resident_bytes()?;
        self.leader().forget_peak()?;

        let mut p99 = Latencies::default();
        self.load()?;
        let part = Instant::now();
        while !self.is_writing()? {
            if part.elapsed() > PATIENCE {
                return Err("no snapshot fell due".into());
            }
            sleep(LOOK);
        }
        let written: u64 = self.leader().numbers("written")?[0];
        self.lap()?;
        let part = Instant::now();
        let snapshot = self.await_snapshot(before)?;
        self.writing = part.elapsed();
        let written = self.leader().numbers::<u64>("written")?[0] - written;
        p99.parts[0] = (self.lap()?, self.writing);
        let part = Instant::now();
        self.leader().ask(format!("add {id} {address}"))?;
        while newcomer.numbers::<u64>("snapshot")?[0] == 0 {
            if part.elapsed() > PATIENCE {
                return Err("the newcomer got no snapshot".into());
            }
            sleep(LOOK);
        }
        p99.parts[1] = (self.lap()?, part.elapsed());
        let part = Instant::now();
        let keys: u64 = newcomer.numbers(format!("keys {snapshot}"))?[0];
        if keys != self.plan.state.keys {
            return Err(format!("the newcomer has {keys} keys").into());
        }
        p99.parts[2] = (self.lap()?, part.elapsed());
        p99.whole = self.end()?;
        // The system counts in strides for each thread, so a peak may be a little less than what was there before.
        let sender_grew = self.leader().peak_bytes()?.saturating_sub(sender_before);
        let receiver = newcomer.peak_bytes()?;
        self.leader().ask(format!("remove {id}"))?;
        drop(newcomer);
        fs::remove_dir_all(self.folder.join(id.to_string()))?;
        sleep(PAUSE);
        let overwritten = written * self.plan.state.value_bytes;
        Ok(Transfer { p99, sender_before, sender_grew, overwritten, receiver })
    }

    /// Whether the leader is writing a snapshot.
    fn is_writing(&self) -> Result<bool, Failure> {
        for file in fs::read_dir(self.folder.join("1").join("snapshots"))? {
            if file?.path().extension().is_some_and(|extension| extension == "new") {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// What the state takes in memory, alone in a process.
fn weigh(plan: &Plan, folder: &Path) -> Result<u64, Failure> {
    let file = folder.join("state");
    let name = file.display().to_string();
    drop(Member::start(["put".to_owned(), plan.state.to_string(), name.clone()])?);
    let scales = Member::start(["weigh".to_owned(), name])?;
    fs::remove_file(file)?;
    Ok(scales.greeting.parse()?)
}

impl fmt::Display for Latencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2} ms", self.whole)?;
        let [written, sent, taken] =
            self.parts.map(|(p99, took)| format!("{p99:.2} in {:.1} s", took.as_secs_f64()));
        write!(f, " (written: {written}, sent: {sent}, taken in: {taken})")
    }
}
