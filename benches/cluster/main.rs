//! What a cluster of three does on this machine, beside what the machine itself can do in the same run.
//!
//! `cargo bench --bench cluster` prints the disk's and the loopback's limits, then writes per second and latencies of
//! three nodes in one process in memory, and of three nodes over TCP with files. `-- --seconds 0.2` makes each
//! measurement that short.

mod limits;
mod load;
mod scenario;

use std::error::Error;
use std::time::Duration;

use scenario::Durability;

fn main() -> Result<(), Box<dyn Error>> {
    let seconds = seconds_asked_for()?;
    let dir = tempfile::tempdir()?;
    println!(
        "each measurement takes {} s; payload 256 bytes; closed loop; one current-thread runtime",
        seconds.as_secs_f64()
    );
    println!();
    let sync = limits::sync_latency(dir.path(), seconds)?;
    println!(
        "limit: write + fdatasync of 512 bytes, zero-filled file   p50 {:>7.3} ms  p99 {:>7.3} ms",
        sync.p50_ms(),
        sync.p99_ms()
    );
    let trip = limits::loopback_round_trip(seconds)?;
    println!(
        "limit: loopback round trip of 64 bytes                    p50 {:>7.3} ms  p99 {:>7.3} ms",
        trip.p50_ms(),
        trip.p99_ms()
    );
    println!();
    println!(
        "{:<34} {:>8} {:>12} {:>10} {:>10} {:>10}",
        "three nodes, writes", "clients", "per second", "p50 ms", "p99 ms", "p50/sync"
    );
    for durability in [Durability::Memory, Durability::Files] {
        for clients in [1, 64, 1024] {
            let result = scenario::writes(durability, clients, seconds)?;
            let (p50, p99) = (result.latency.p50_ms(), result.latency.p99_ms());
            let syncs = match durability {
                Durability::Memory => String::from("-"),
                Durability::Files => format!("{:.2}", p50 / sync.p50_ms()),
            };
            println!(
                "{:<34} {clients:>8} {:>12.0} {p50:>10.3} {p99:>10.3} {syncs:>10}",
                durability.name(),
                result.per_second
            );
        }
    }
    for clients in [1, 64] {
        let result = scenario::reads(clients, seconds)?;
        let (p50, p99) = (result.latency.p50_ms(), result.latency.p99_ms());
        println!(
            "{:<34} {clients:>8} {:>12.0} {p50:>10.3} {p99:>10.3} {:>10}",
            "linearizable reads, TCP and files", result.per_second, "-"
        );
    }
    Ok(())
}

/// The length of each measurement: 3 s unless `--seconds` says otherwise.
fn seconds_asked_for() -> Result<Duration, Box<dyn Error>> {
    let mut args = std::env::args().skip_while(|arg| arg != "--seconds").skip(1);
    let seconds = args.next().map_or(Ok(3.0), |seconds| seconds.parse::<f64>())?;
    Ok(Duration::try_from_secs_f64(seconds)?)
}
