//! The suites of the testkit, run on every backend of ours; and on backends that break one promise each, which the
//! suites must tell by its name.

mod broken;
mod kept_log;

use quorate::{FileLog, FileLogOptions, LocalNetwork, MemoryLog, NodeId, Tcp, TcpOptions};
use storage_file::simulated::{Faults, SimulatedDisk};
use testkit::conformance;

/// Small, so that a short sequence goes through many.
const SEGMENT_BYTES: u64 = 16 << 10;

fn in_a_folder() -> impl FnMut() -> FileLog {
    let folder = tempfile::tempdir().expect("a folder");
    let options = FileLogOptions { segment_bytes: SEGMENT_BYTES, inline: false };
    move || FileLog::open_with(folder.path().join("log"), options).expect("it was closed")
}

#[test]
fn file_log() {
    conformance::log_storage(in_a_folder);
}

#[test]
fn file_snapshots() {
    conformance::snapshot_storage(in_a_folder);
}

#[test]
fn file_log_when_the_power_fails() {
    conformance::crashing_log_storage(|| {
        let disk = SimulatedDisk::new(1);
        move |fails_at| {
            disk.crash();
            let power_off_at = fails_at.map(|n| disk.counts().operations + n);
            disk.set_faults(Faults { power_off_at, ..Faults::default() });
            let options = FileLogOptions { segment_bytes: SEGMENT_BYTES, inline: true };
            FileLog::open_in(disk.folder("/log"), options)
        }
    });
}

#[test]
fn memory_log() {
    conformance::volatile_log_storage(MemoryLog::new);
}

#[test]
fn memory_snapshots() {
    conformance::volatile_snapshot_storage(MemoryLog::new);
}

#[tokio::test]
async fn local_network() {
    let make = async || {
        let network = LocalNetwork::new();
        [1, 2, 3].map(|node| network.transport(node))
    };
    conformance::transport(make).await;
}

async fn over_tcp() -> [Tcp; 3] {
    let mut listeners = Vec::new();
    for node in [1, 2, 3].map(NodeId) {
        listeners.push((node, Tcp::listen("127.0.0.1:0").await.expect("a free port")));
    }
    let peers: Vec<_> = listeners.iter().map(|(node, listener)| (*node, listener.local_addr())).collect();
    // Smaller queues are filled sooner.
    let (data_queue_bytes_max, bulk_queue_bytes_max) = (24 << 20, 24 << 20);
    let options = TcpOptions { data_queue_bytes_max, bulk_queue_bytes_max, ..TcpOptions::default() };
    let ends = listeners.into_iter();
    let ends = ends.map(|(node, listener)| listener.with_peers(node, &peers).with_options(options.clone()));
    ends.collect::<Vec<_>>().try_into().expect("three ends")
}

#[tokio::test]
async fn tcp() {
    conformance::transport(over_tcp).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tcp_on_several_threads() {
    conformance::transport(over_tcp).await;
}
