//! What three peers in trouble cost the others: one paused, one flapping, one out of reach, of seven.
//!
//! `cargo bench --bench troubled` runs two clusters of processes side by side and loads them in turn. In both, four of
//! seven members are well. In the one the other three are absent: nobody listens at their addresses. In the other one
//! is stopped by SIGSTOP, every connection to and from one is reset again and again, and the address of one swallows
//! whatever is sent there. `-- --rounds 3 --seconds 1` makes it shorter.

mod member;
#[path = "../../tests/ports/mod.rs"]
mod ports;
mod wires;

use std::error::Error;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use member::Member;
use ports::free_ports;
use wires::{Trouble, wire};

/// Members that are well. Four of seven are a quorum.
const WELL: u64 = 4;
const PAUSED: u64 = 5;
const FLAPPING: u64 = 6;
const UNREACHABLE: u64 = 7;
const CLIENTS: usize = 64;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(at) = arguments.iter().position(|argument| argument == "--member") {
        return member::run(&arguments[at + 1..]);
    }
    let number = |name: &str, default: u64| {
        let value = arguments.iter().skip_while(|argument| *argument != name).nth(1);
        value.map_or(Ok(default), |value| value.parse())
    };
    let (rounds, seconds) = (number("--rounds", 7)?, number("--seconds", 3)?);
    let folder = tempfile::tempdir()?;
    let mut healthy = Cluster::start(&folder.path().join("healthy"), false)?;
    let mut troubled = Cluster::start(&folder.path().join("troubled"), true)?;
    println!("{CLIENTS} clients at the leader, 256 bytes, files synced; {seconds} s each, in turn");
    println!("{:>14} {:>14} {:>7}", "absent/s", "troubled/s", "ratio");
    let mut ratios = Vec::new();
    for _ in 0..rounds {
        let (absent, trouble) = (healthy.load(seconds)?, troubled.load(seconds)?);
        println!("{absent:>14.0} {trouble:>14.0} {:>7.2}", trouble / absent);
        ratios.push(trouble / absent);
    }
    ratios.sort_by(f64::total_cmp);
    println!("median ratio {:.2}; at least 0.8 is the goal", ratios[ratios.len() / 2]);
    for cluster in [&healthy, &troubled] {
        println!(
            "generation {} at the start, {} at the end; node {} leads",
            cluster.generation, cluster.now, cluster.leader
        );
    }
    Ok(())
}

/// Seven members, of which the last three are absent or in trouble.
struct Cluster {
    members: Vec<Member>,
    leader: u64,
    /// When it started, and when it was last loaded.
    generation: String,
    now: String,
}

impl Cluster {
    fn start(folder: &Path, in_trouble: bool) -> Result<Self, Box<dyn Error>> {
        let at =
            free_ports::<{ UNREACHABLE as usize }>().map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let begun = Arc::new(AtomicBool::new(false));
        let address = |from: u64, to: u64| -> Result<SocketAddr, Box<dyn Error>> {
            let real = at[to as usize - 1];
            Ok(match (from, to) {
                _ if !in_trouble || from == to => real,
                (_, UNREACHABLE) => wire(real, Trouble::Swallows, &begun)?,
                (FLAPPING, _) | (_, FLAPPING) => wire(real, Trouble::Flaps, &begun)?,
                _ => real,
            })
        };
        let start = |id: u64| -> Result<Member, Box<dyn Error>> {
            let peers: Result<Vec<_>, _> =
                (1..=UNREACHABLE).map(|to| Ok::<_, Box<dyn Error>>((to, address(id, to)?))).collect();
            Member::start(id, &folder.join(id.to_string()), &peers?)
        };
        // All found the cluster together; what comes over three of them comes afterwards.
        let mut members = (1..=UNREACHABLE).map(start).collect::<Result<Vec<_>, _>>()?;
        members[0].leader()?;
        members[0].load(1, 1)?;
        begun.store(true, Ordering::Relaxed);
        if in_trouble {
            members.truncate(FLAPPING as usize);
            let paused = members[PAUSED as usize - 1].process().to_string();
            Command::new("kill").args(["-STOP", &paused]).status()?;
        } else {
            members.truncate(WELL as usize);
        }
        // Had one of them led, another does by now.
        std::thread::sleep(Duration::from_secs(5));
        let (leader, generation) = members[0].leader()?;
        let now = generation.clone();
        Ok(Self { members, leader, generation, now })
    }

    /// Writes per second at the leader.
    fn load(&mut self, seconds: u64) -> Result<f64, Box<dyn Error>> {
        (self.leader, self.now) = self.members[0].leader()?;
        self.members[self.leader as usize - 1].load(CLIENTS, seconds)
    }
}
