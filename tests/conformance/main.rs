//! The suites of the testkit, run on every backend of ours; and on backends that break one promise each, which the
//! suites must tell by its name.

mod broken;
#[macro_use]
#[path = "../engines/mod.rs"]
mod engines;
mod engines_and_machines;
mod kept_log;

use quorate::{FileLog, FileLogOptions, LocalNetwork, MemoryLog, NodeId, Secret, Tcp, TcpOptions};
use storage_file::simulated::{Faults, SimulatedDisk};
use testkit::conformance;

/// Small, so that a short sequence goes through many.
const SEGMENT_BYTES: u64 = 16 << 10;

fn in_a_folder() -> impl FnMut() -> FileLog {
    let folder = tempfile::tempdir().expect("a folder");
    let options = FileLogOptions { segment_bytes: SEGMENT_BYTES, inline: false, ..FileLogOptions::default() };
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
            let options =
                FileLogOptions { segment_bytes: SEGMENT_BYTES, inline: true, ..FileLogOptions::default() };
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
    over_tcp_with(|_, tcp| tcp).await
}

async fn over_tcp_with(secure: impl Fn(NodeId, Tcp) -> Tcp) -> [Tcp; 3] {
    let mut listeners = Vec::new();
    for node in [1, 2, 3].map(NodeId) {
        listeners.push((node, Tcp::listen("127.0.0.1:0").await.expect("a free port")));
    }
    let peers: Vec<_> = listeners.iter().map(|(node, listener)| (*node, listener.local_addr())).collect();
    // Smaller queues are filled sooner.
    let (data_queue_bytes_max, bulk_queue_bytes_max) = (24 << 20, 24 << 20);
    let options = TcpOptions { data_queue_bytes_max, bulk_queue_bytes_max, ..TcpOptions::default() };
    let ends = listeners.into_iter();
    let ends = ends.map(|(node, listener)| {
        secure(node, listener.with_peers(node, &peers).with_options(options.clone()))
    });
    ends.collect::<Vec<_>>().try_into().expect("three ends")
}

#[tokio::test]
async fn tcp() {
    conformance::transport(over_tcp).await;
}

#[tokio::test]
async fn tcp_with_a_secret() {
    let secret = Secret::new("a secret that all members share").expect("it is long enough");
    conformance::transport(async || over_tcp_with(|_, tcp| tcp.with_secret(secret.clone())).await).await;
}

/// The strangers of the suite are of another cluster, too, for which their certificates must be good.
#[cfg(feature = "tls")]
#[tokio::test]
async fn tcp_with_tls() {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

    let mut params = CertificateParams::new([]).expect("no names are good names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    let authority = CertifiedIssuer::self_signed(params, key).expect("an authority");
    let certificate = |node: NodeId| {
        let names = ["conformance", "another"].map(|cluster| {
            let cluster = quorate::ClusterName::new(cluster).expect("a short name");
            quorate::Tls::name_of(&cluster, node)
        });
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(names).expect("good names");
        let certificate = params.signed_by(&key, &authority).expect("a certificate").pem();
        let (key, authority) = (key.serialize_pem(), authority.pem());
        quorate::Tls::from_pem(certificate.as_bytes(), key.as_bytes(), authority.as_bytes())
            .expect("they fit")
    };
    let certificates = [1, 2, 3].map(|node| certificate(NodeId(node)));
    let secure = |node: NodeId, tcp: Tcp| tcp.with_tls(&certificates[node.0 as usize - 1]);
    conformance::transport(async || over_tcp_with(secure).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tcp_on_several_threads() {
    conformance::transport(over_tcp).await;
}
