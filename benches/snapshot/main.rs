//! What a large snapshot on its way to a newcomer costs those who write meanwhile.
//!
//! `cargo bench --bench snapshot` runs three members over TCP with files, each on a thread of its own, and writes at a fixed
//! rate. In turn, nothing else happens for a while; the same bytes go at the same rate from disk to disk, without us; and a
//! newcomer gets a snapshot over the bulk lane, which has a rate. It prints the p99 of the writes in all three, by how much
//! the memory of all grew meanwhile, and whether anybody was elected.
//!
//! The goal is about the last two: what the snapshot costs beyond what its bytes cost in any case. By default it has 64 MiB;
//! the goal is about 1 GiB: `-- --mebibytes 1024 --rate 64 --rounds 5`. `--rate 0` sends as fast as it goes.

mod ballast;
mod courier;
mod load;
mod member;

use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};

use quorate::{Raw, Tcp, TcpListener, TcpOptions};
use tokio::time::sleep;

use ballast::Ballast;
use courier::Courier;
use load::Load;
use member::Member;

pub(crate) type Failure = Box<dyn Error>;

const MEMBERS: [u64; 3] = [1, 2, 3];
/// What a write costs in the log, about, beside its 256 bytes.
const ENTRY_BYTES: u64 = 384;
/// Between a transfer and what is measured next.
const REST: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(300);

/// What is asked for on the command line.
struct Plan {
    snapshot_bytes: u64,
    bytes_per_second: Option<u64>,
    rounds: u64,
    writes_per_second: u64,
}

impl Plan {
    fn parse() -> Result<Self, Failure> {
        let arguments: Vec<String> = std::env::args().collect();
        let number = |name: &str, default: u64| {
            let value = arguments.iter().skip_while(|argument| *argument != name).nth(1);
            value.map_or(Ok(default), |value| value.parse())
        };
        let rate = number("--rate", 32)?;
        Ok(Self {
            snapshot_bytes: number("--mebibytes", 64)? << 20,
            bytes_per_second: (rate > 0).then_some(rate << 20),
            rounds: number("--rounds", 5)?.max(1),
            writes_per_second: number("--writes", 5_000)?,
        })
    }

    /// How long one transfer takes, about, where it has a rate.
    fn seconds(&self) -> u64 {
        self.snapshot_bytes / self.bytes_per_second.unwrap_or(256 << 20) + 1
    }

    /// More log than all runs write: what is written before them makes every member take a snapshot, and trim its log
    /// behind it; what is written during them does not.
    fn log_bytes(&self) -> u64 {
        (64 << 20) + 4 * self.rounds * (self.seconds() + 1) * self.writes_per_second * ENTRY_BYTES
    }

    fn tcp(&self) -> TcpOptions {
        TcpOptions { bulk_bytes_per_second_max: self.bytes_per_second, ..TcpOptions::default() }
    }
}

fn main() -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(measure(&Plan::parse()?))
}

async fn measure(plan: &Plan) -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let cluster = Cluster::start(plan, folder.path()).await?;
    let rate = plan.bytes_per_second.map_or("no limit".to_owned(), |rate| format!("{} MiB/s", rate >> 20));
    println!(
        "a snapshot of {} MiB, {rate}; {} writes/s of 256 bytes, files synced",
        plan.snapshot_bytes >> 20,
        plan.writes_per_second
    );
    let courier = Courier::new(folder.path(), plan.snapshot_bytes, plan.bytes_per_second)?;
    println!(
        "{:>12} {:>13} {:>13} {:>12} {:>15} {:>13} {:>10}",
        "p99 at rest", "bytes moving", "snapshot", "transfer", "over the bytes", "over at rest", "memory"
    );
    let (mut over_bytes, mut over_rest) = (Vec::new(), Vec::new());
    for round in 0..plan.rounds {
        let rest = cluster.load(plan.writes_per_second)?;
        sleep(Duration::from_secs(plan.seconds())).await;
        let rest = rest.end().await?;
        // Whoever goes second may find the disk busy with what is left of the first: they take turns.
        let (moving, Transfer { during, took, grew }) = if round % 2 == 0 {
            let moving = cluster.beside(plan, &courier, folder.path()).await?;
            (moving, cluster.welcome(plan, folder.path(), 4 + round).await?)
        } else {
            let transfer = cluster.welcome(plan, folder.path(), 4 + round).await?;
            (cluster.beside(plan, &courier, folder.path()).await?, transfer)
        };
        println!(
            "{rest:>9.2} ms {moving:>10.2} ms {during:>10.2} ms {:>10.1} s {:>15.2} {:>13.2} {:>6} MiB",
            took.as_secs_f64(),
            during / moving,
            during / rest,
            grew >> 20
        );
        over_bytes.push(during / moving);
        over_rest.push(during / rest);
    }
    println!(
        "medians: {:.2} over the same bytes moving (at most 1.3 is the goal), {:.2} over at rest",
        median(&mut over_bytes),
        median(&mut over_rest)
    );
    let now = cluster.leader().node.status().generation;
    println!("generation {} before, {now} after; the same means that nobody was elected", cluster.generation);
    Ok(())
}

fn median(ratios: &mut [f64]) -> f64 {
    ratios.sort_by(f64::total_cmp);
    ratios[ratios.len() / 2]
}

/// What came of sending a snapshot.
struct Transfer {
    /// The p99 of writes meanwhile, in milliseconds.
    during: f64,
    took: Duration,
    /// By how many bytes this process, with sender and receiver in it, grew at most. The state itself takes none.
    grew: u64,
}

/// The memory of this process that is in use.
fn resident_bytes() -> Result<u64, Failure> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes =
        line.and_then(|line| line.trim().strip_suffix(" kB")).ok_or("the system tells no memory")?;
    Ok(kibibytes.trim().parse::<u64>()? << 10)
}

struct Cluster {
    members: Vec<Member>,
    peers: Vec<(u64, String)>,
    generation: String,
}

impl Cluster {
    async fn start(plan: &Plan, folder: &Path) -> Result<Self, Failure> {
        let (mut listeners, mut peers) = (Vec::new(), Vec::new());
        for id in MEMBERS {
            let listener = Tcp::listen("127.0.0.1:0").await?;
            peers.push((id, listener.local_addr().to_string()));
            listeners.push((id, listener));
        }
        let start = |(id, listener): (u64, TcpListener)| {
            let tcp = listener.with_peers(id, &peers).with_options(plan.tcp());
            let ballast = Ballast::new(plan.snapshot_bytes);
            Member::start(id, &MEMBERS, tcp, &folder.join(id.to_string()), ballast, plan.log_bytes())
        };
        let members = listeners.into_iter().map(start).collect::<Result<Vec<_>, _>>()?;
        let mut cluster = Self { members, peers, generation: String::new() };
        cluster.members[0].node.leader().await?;
        cluster.fill(plan.log_bytes()).await?;
        cluster.generation = cluster.leader().node.status().generation.to_string();
        Ok(cluster)
    }

    fn leader(&self) -> &Member {
        let leader = self.members[0].node.status().leader;
        self.members.iter().find(|member| Some(member.node.id()) == leader).unwrap_or(&self.members[0])
    }

    /// Writes so much that every member takes a snapshot.
    async fn fill(&self, bytes: u64) -> Result<(), Failure> {
        let large = Raw(vec![7; 512 << 10].into());
        for _ in 0..=(bytes >> 19) {
            self.leader().node.propose(large.clone()).await?;
        }
        let end = Instant::now() + PATIENCE;
        while self.members.iter().any(|member| member.node.status().snapshot.0 == 0) {
            if Instant::now() > end {
                return Err("a member took no snapshot".into());
            }
            sleep(Duration::from_millis(50)).await;
        }
        sleep(REST).await; // the log is trimmed behind it
        Ok(())
    }

    fn load(&self, per_second: u64) -> Result<Load, Failure> {
        Load::begin(self.leader(), per_second)
    }

    /// The p99 of writes while the same bytes move without us.
    async fn beside(&self, plan: &Plan, courier: &Courier, folder: &Path) -> Result<f64, Failure> {
        let load = self.load(plan.writes_per_second)?;
        courier.carry(folder).await?;
        let moving = load.end().await?;
        Courier::clear(folder)?;
        sleep(REST).await;
        Ok(moving)
    }

    /// Adds a newcomer, and waits until it has the snapshot.
    async fn welcome(&self, plan: &Plan, folder: &Path, id: u64) -> Result<Transfer, Failure> {
        let folder = folder.join(id.to_string());
        let listener = Tcp::listen("127.0.0.1:0").await?;
        let address = listener.local_addr().to_string();
        let tcp = listener.with_peers(id, &self.peers).with_options(plan.tcp());
        let newcomer = Member::join(id, tcp, &folder, Ballast::new(plan.snapshot_bytes), plan.log_bytes())?;
        let load = self.load(plan.writes_per_second)?;
        let (before, mut most) = (resident_bytes()?, 0);
        let begin = Instant::now();
        self.leader().node.add_learner(id, address).await?;
        while newcomer.node.status().snapshot.0 == 0 {
            if begin.elapsed() > PATIENCE {
                return Err("the newcomer got no snapshot".into());
            }
            most = most.max(resident_bytes()?);
            sleep(Duration::from_millis(5)).await;
        }
        let took = begin.elapsed();
        let during = load.end().await?;
        self.leader().node.remove(id).await?;
        newcomer.stop();
        std::fs::remove_dir_all(folder)?;
        sleep(REST).await;
        Ok(Transfer { during, took, grew: most.saturating_sub(before) })
    }
}
