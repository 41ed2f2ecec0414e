//! Connections come and go.

use std::net::SocketAddr;
use std::time::Duration;

use consensus_api::{
    Arrival, EngineName, Frame, Identity, Lane, NodeId, PeerRefusalKind, Reach, SendError, Transport,
};
use quorate_transport_tcp::{Listener, Options, Tcp};
use tokio::net::TcpListener;

use crate::member::{Member, frame, identity, listen, nowhere, options};
use crate::speaker::{PING, Speaker, Wire};

/// Listens where somebody has just stopped to.
pub(crate) async fn listen_again(address: SocketAddr) -> Listener {
    loop {
        match Tcp::listen(address).await {
            Ok(listener) => return listener,
            Err(_) => tokio::task::yield_now().await, // the tasks of the old one are ending
        }
    }
}

#[tokio::test]
async fn a_peer_restarts() {
    let (mut a, b) = Member::connected_pair(options()).await;
    let (a_at, b_at) = (a.tcp.local_addr(), b.tcp.local_addr());
    drop(b);
    for life in 0..3u8 {
        a.until(&Arrival::Unreachable(NodeId(2))).await;
        a.send(2, Lane::Control, &frame(b"stale"));
        let mut b = Member::start(listen_again(b_at).await, &identity(2), &[(1, a_at)], options());
        a.until(&Arrival::Connected(NodeId(2))).await;
        a.send(2, Lane::Control, &frame(&[life]));
        assert_eq!(b.frame().await, (NodeId(1), frame(&[life])));
        b.send(1, Lane::Control, &frame(&[life]));
        assert_eq!(a.frame().await, (NodeId(2), frame(&[life])));
    }
}

#[tokio::test]
async fn a_peer_that_was_never_there_is_told_unreachable_once() {
    let (_held, gone) = nowhere();
    let peers = [(2, gone.to_string()), (3, "name.invalid:7000".to_owned())];
    let mut a = Member { tcp: listen().await.with_peers(1, &peers).with_options(options()) };
    a.tcp.attach(&identity(1)).unwrap();
    let mut told = [a.next().await, a.next().await];
    told.sort_by_key(|arrival| format!("{arrival:?}"));
    assert_eq!(told, [Arrival::Unreachable(NodeId(2)), Arrival::Unreachable(NodeId(3))]);
    assert_eq!(a.for_a_while(Duration::from_millis(100)).await, []);
}

#[tokio::test]
async fn a_peer_has_a_name() {
    let (a, b) = (listen().await, listen().await);
    let peers = [(1, a.local_addr()), (2, b.local_addr())];
    let names = peers.map(|(node, address)| (node, format!("localhost:{}", address.port())));
    let mut a = Member { tcp: a.with_peers(1, &names).with_options(options()) };
    a.tcp.attach(&identity(1)).unwrap();
    let mut b = Member::start(b, &identity(2), &peers, options());
    a.send(2, Lane::Data, &frame(b"by name"));
    assert_eq!(b.frame().await, (NodeId(1), frame(b"by name")));
}

#[tokio::test]
async fn a_peer_that_vanishes_without_a_word_is_found_out() {
    let b = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let options = Options { silence_max: Duration::from_millis(200), ..options() };
    let a = listen().await;
    let a_at = a.local_addr();
    let mut a = Member::start(a, &identity(1), &[(2, b.local_addr().unwrap())], options);
    // Its system still takes what is sent, and nobody answers a ping.
    let me = identity(2);
    let mut answered = Speaker::answer(&b, &me, 1).await;
    a.until(&Arrival::Connected(NodeId(2))).await;
    // On the connection the other way, nothing comes.
    let mut dialled = Speaker::greet(a_at, &me, 1).await;
    a.until(&Arrival::Unreachable(NodeId(2))).await;
    assert_eq!(answered.hear().await.unwrap().kind, PING);
    answered.is_hung_up().await;
    dialled.is_hung_up().await;
}

#[tokio::test]
async fn a_peer_that_takes_nothing_is_found_out() {
    let b = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let options = Options { silence_max: Duration::from_millis(200), ..options() };
    let mut a = Member::start(listen().await, &identity(1), &[(2, b.local_addr().unwrap())], options);
    let _reads_nothing = Speaker::answer(&b, &identity(2), 1).await;
    let large = Frame { head: crate::member::bytes(1 << 20, 0), ..Frame::default() };
    for _ in 0..60 {
        a.send(2, Lane::Data, &large);
    }
    a.until(&Arrival::Unreachable(NodeId(2))).await;
}

#[tokio::test]
async fn an_idle_connection_stays() {
    let options = Options { silence_max: Duration::from_millis(200), ..options() };
    let (mut a, mut b) = Member::connected_pair(options).await;
    // The bulk connections are dialled now.
    a.send(2, Lane::Bulk, &frame(b"bulk"));
    b.frame().await;
    assert_eq!(a.for_a_while(Duration::from_secs(1)).await, []);
    assert_eq!(b.for_a_while(Duration::from_millis(1)).await, []);
    a.send(2, Lane::Data, &frame(b"on the same connection"));
    assert_eq!(b.next().await, Arrival::Frame { from: NodeId(1), frame: frame(b"on the same connection") });
}

#[tokio::test]
async fn a_new_connection_silences_the_old_one() {
    let a = listen().await;
    let a_at = a.local_addr();
    let (_held, nowhere) = nowhere();
    let mut a = Member::start(a, &identity(1), &[(2, nowhere)], options());
    let me = identity(2);
    let mut old = Speaker::greet(a_at, &me, 1).await;
    old.say(&Wire::message(1, b"first").bytes()).await;
    assert_eq!(a.frame().await.1, frame(b"first"));
    let half = Wire::message(2, b"half a frame").bytes();
    old.say(&half[..40]).await;
    let mut new = Speaker::greet(a_at, &me, 1).await;
    old.is_hung_up().await;
    new.say(&Wire::message(1, b"second").bytes()).await;
    assert_eq!(a.frame().await.1, frame(b"second"));
}

#[tokio::test]
async fn a_lost_bulk_connection_is_told_without_parting_from_the_peer() {
    let b = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let me = identity(2);
    let mut a = Member::start(listen().await, &identity(1), &[(2, b.local_addr().unwrap())], options());
    let mut consensus = Speaker::answer(&b, &me, 1).await;
    a.until(&Arrival::Connected(NodeId(2))).await;
    a.send(2, Lane::Bulk, &frame(b"chunk"));
    let (stream, _) = b.accept().await.unwrap();
    drop(stream);
    assert_eq!(a.next().await, Arrival::Unreachable(NodeId(2)));
    assert_eq!(a.next().await, Arrival::Connected(NodeId(2)));
    a.send(2, Lane::Data, &frame(b"entry"));
    while consensus.hear().await.unwrap().head != b"entry" {}
}

#[tokio::test]
async fn a_dropped_transport_leaves_nothing_behind() {
    let (a, mut b) = Member::connected_pair(options()).await;
    let a_at = a.tcp.local_addr();
    let mut silent = Speaker::dial(a_at).await;
    drop(a);
    silent.is_hung_up().await;
    b.until(&Arrival::Unreachable(NodeId(1))).await;
    drop(listen_again(a_at).await);
}

#[tokio::test]
async fn what_keeps_a_transport_from_starting() {
    let peers = [(1, "127.0.0.1:0")];
    let says = |error: consensus_api::TransportError, words: &str| {
        assert!(error.to_string().contains(words), "{error}");
    };
    says(Tcp::bind(2, &peers).await.unwrap_err(), "node 2 is not among its peers");
    says(Tcp::bind(1, [(1, "nowhere")]).await.unwrap_err(), "cannot listen on nowhere");
    let mut tcp = Tcp::bind(1, &peers).await.unwrap();
    let taken = [(2, tcp.local_addr())];
    says(Tcp::bind(2, &taken).await.unwrap_err(), "is in use; stop the other process");
    says(tcp.attach(&identity(2)).unwrap_err(), "bound for node 1, and node 2 attaches it");
    let wrong = Options { frame_bytes_max: usize::MAX, ..options() };
    let mut unfit = Tcp::bind(1, &peers).await.unwrap().with_options(wrong);
    says(unfit.attach(&identity(1)).unwrap_err(), "frame_bytes_max exceeds 64 MiB");
    let mut elsewhere = Tcp::bind(1, &peers).await.unwrap();
    let attach = move || elsewhere.attach(&identity(1)).unwrap_err();
    says(std::thread::spawn(attach).join().unwrap(), "within a tokio runtime");
    let me: Identity = identity(1);
    tcp.attach(&me).unwrap();
    says(tcp.attach(&me).unwrap_err(), "attached already");
}

/// A node may be bound in one runtime and run in another.
#[test]
fn a_transport_moves_between_runtimes() {
    let runtime =
        || tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (a, b) = runtime().block_on(async { (listen().await, listen().await) });
    let peers = [(1, a.local_addr()), (2, b.local_addr())];
    runtime().block_on(async {
        let mut a = Member::start(a, &identity(1), &peers, options());
        let mut b = Member::start(b, &identity(2), &peers, options());
        a.send(2, Lane::Data, &frame(b"moved"));
        assert_eq!(b.frame().await.1, frame(b"moved"));
    });
}

#[tokio::test]
async fn a_peer_joins_moves_and_is_forgotten() {
    let mut a = Member::start(listen().await, &identity(1), &[], options());
    let a_at = a.tcp.local_addr();
    let me = identity(2);
    // Unknown, it is refused; then it is added, and both ways open.
    let b = listen().await;
    let first = b.local_addr();
    let mut b = Member::start(b, &me, &[(1, a_at)], options());
    assert!(b.refusal().await.1.contains("node 2 is not among the peers of node 1"));
    a.tcp.set_address(NodeId(2), &first.to_string());
    a.until(&Arrival::Connected(NodeId(2))).await;
    a.send(2, Lane::Data, &frame(b"welcome"));
    assert_eq!(b.frame().await.1, frame(b"welcome"));
    b.until_open().await;
    b.send(1, Lane::Data, &frame(b"thanks"));
    assert_eq!(a.frame().await, (NodeId(2), frame(b"thanks")));
    // It moves while its old self is still there.
    let again = listen().await;
    a.tcp.set_address(NodeId(2), &again.local_addr().to_string());
    a.until(&Arrival::Unreachable(NodeId(2))).await;
    drop(b);
    let mut moved = Member::start(again, &me, &[(1, a_at)], options());
    a.until_open().await;
    a.send(2, Lane::Data, &frame(b"here"));
    assert_eq!(moved.frame().await.1, frame(b"here"));
    // The same address again is no news.
    let shown = a.tcp.peers();
    a.tcp.set_address(NodeId(2), &shown[0].address);
    moved.until_open().await;
    moved.send(1, Lane::Data, &frame(b"from here"));
    assert_eq!(a.frame().await.1, frame(b"from here"));
    // Forgotten, it neither reaches nor is reached.
    a.tcp.forget(NodeId(2));
    assert_eq!(a.tcp.send(NodeId(2), Lane::Data, frame(b"")), Err(SendError::UnknownPeer));
    assert_eq!(a.tcp.peers(), []);
    moved.until(&Arrival::Unreachable(NodeId(1))).await;
    assert!(moved.refusal().await.1.contains("node 2 is not among the peers of node 1"));
    a.tcp.set_address(NodeId(2), &shown[0].address);
    moved.until(&Arrival::Connected(NodeId(1))).await;
}

#[tokio::test]
async fn the_state_of_every_connection_is_shown() {
    let (_held, gone) = nowhere();
    let b = listen().await;
    let peers = [(2, b.local_addr()), (3, gone)];
    let mut a = Member::start(listen().await, &identity(1), &peers, options());
    let shown = a.tcp.peers();
    assert_eq!(shown.iter().map(|peer| peer.peer).collect::<Vec<_>>(), [NodeId(2), NodeId(3)]);
    assert!(shown.iter().all(|peer| peer.reach == Reach::Untried && !peer.calls));
    a.until(&Arrival::Unreachable(NodeId(3))).await;
    assert_eq!((a.tcp.peers()[1].reach, &*a.tcp.peers()[1].address), (Reach::Closed, &*gone.to_string()));
    // Another engine answers: refused, and shown so until it is the right one.
    let b_at = b.local_addr();
    let wrong = Identity { engine: EngineName("multi-paxos"), ..identity(2) };
    let a_at = a.tcp.local_addr();
    let b = Member::start(b, &wrong, &[(1, a_at)], options());
    a.refusal().await;
    let refusal = a.tcp.peers()[0].refusal.clone().unwrap();
    assert_eq!(refusal.kind, PeerRefusalKind::Engine);
    assert!(refusal.reason.contains("run one engine on all nodes"), "{}", refusal.reason);
    drop(b);
    let mut b = Member::start(listen_again(b_at).await, &identity(2), &[(1, a_at)], options());
    a.until(&Arrival::Connected(NodeId(2))).await;
    b.until(&Arrival::Connected(NodeId(1))).await;
    let shown = &a.tcp.peers()[0];
    assert_eq!((shown.reach, shown.calls, &shown.refusal), (Reach::Open, true, &None));
}
