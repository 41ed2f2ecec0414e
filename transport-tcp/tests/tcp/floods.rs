//! What happens again and again costs little each time, and is not told each time.

use std::time::{Duration, Instant};

use consensus_api::{Arrival, ClusterName, Identity, Lane, NodeId, PeerRefusalKind, Transport};
use quorate_transport_tcp::Options;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket};

use crate::journal::lines_with;
use crate::member::{Member, frame, identity, listen, nowhere, options};
use crate::speaker::{HELLO, REFUSAL, Speaker, Wire, hello};

const TIMES: usize = 30;

#[tokio::test]
async fn who_refuses_us_each_time_is_told_of_once() {
    let b = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut a = Member::start(listen().await, &identity(1), &[(2, b.local_addr().unwrap())], options());
    let words = "you are of another orchard, whose apples are sour";
    for _ in 0..TIMES {
        let (stream, _) = b.accept().await.unwrap();
        let mut speaker = Speaker { stream };
        assert_eq!(speaker.hear().await.unwrap().kind, HELLO);
        let refusal = [&[2], words.as_bytes()].concat();
        speaker.say(&Wire { kind: REFUSAL, ..Wire::hello(&refusal) }.bytes()).await;
        speaker.is_hung_up().await;
    }
    assert_eq!(lines_with(&["refused", words]), 1);
    let told = a.for_a_while(Duration::from_millis(100)).await;
    let refusals = told.iter().filter(|arrival| matches!(arrival, Arrival::Refused { .. }));
    assert_eq!(refusals.count(), 1, "{told:?}");
    let shown = a.tcp.peers()[0].refusal.clone().unwrap();
    assert_eq!((shown.kind, &*shown.reason), (PeerRefusalKind::Cluster, words));
}

#[tokio::test]
async fn whom_we_refuse_each_time_is_told_of_once() {
    let a = listen().await;
    let at = a.local_addr();
    let (_held, nowhere) = nowhere();
    let a = Member::start(a, &identity(1), &[(2, nowhere)], options());
    let other = Identity { cluster: ClusterName::new("plantation").unwrap(), ..identity(2) };
    for _ in 0..TIMES {
        let mut speaker = Speaker::dial(at).await;
        speaker.say(&Wire::hello(&hello([1, 1], &other, 1)).bytes()).await;
        assert_eq!(speaker.hear().await.unwrap().kind, REFUSAL);
        speaker.is_hung_up().await;
    }
    assert_eq!(
        lines_with(&["refused", "\\\"plantation\\\""]) + lines_with(&["refused", " \"plantation\""]),
        1
    );
    assert_eq!(a.tcp.peers()[0].refusal.as_ref().unwrap().kind, PeerRefusalKind::Cluster);
}

/// With the waits of the default options, nearly all of the time nothing happens.
#[tokio::test]
async fn a_peer_that_is_down_costs_few_attempts_and_one_line() {
    let b = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = b.local_addr().unwrap();
    let mut a = Member::start(listen().await, &identity(1), &[(2, at)], Options::default());
    let begin = Instant::now();
    let mut attempts = 0_u64;
    while begin.elapsed() < Duration::from_secs(3) {
        let waited = tokio::time::timeout(Duration::from_secs(3), b.accept()).await;
        attempts += u64::from(waited.is_ok()); // and it is closed without a word
    }
    // Waits of 5, 10, 20 .. 320 ms in the mean, then of 500 ms.
    let bound = 20 + 4 * begin.elapsed().as_secs();
    assert!(attempts <= bound, "{attempts} attempts");
    assert_eq!(lines_with(&["unreachable", &at.to_string()]), 1);
    assert_eq!(a.for_a_while(Duration::from_millis(10)).await, [Arrival::Unreachable(NodeId(2))]);
    println!("{attempts} attempts in {:?}", begin.elapsed());
}

/// A stranger that comes back as fast as it can, from an address of its own so that the log tells it from others.
#[tokio::test]
async fn garbage_again_and_again_is_told_once_and_hurts_nobody() {
    let (mut a, mut b) = Member::connected_pair(options()).await;
    let at = a.tcp.local_addr();
    let (garbage, mut said) = (vec![0xa5; 64 << 10], 0);
    for _ in 0..300 {
        let socket = TcpSocket::new_v4().unwrap();
        if let Err(error) = socket.bind("127.0.0.77:0".parse().unwrap()) {
            println!("skipped: this machine has no 127.0.0.77 ({error})");
            return;
        }
        let mut stranger = socket.connect(at).await.unwrap();
        while stranger.write_all(&garbage).await.is_ok() {
            said += garbage.len();
        }
        let mut rest = Vec::new();
        let _end_or_reset = stranger.read_to_end(&mut rest).await;
        assert!(rest.is_empty());
    }
    println!("300 times garbage, {} KiB each before the end", (said / 300) >> 10);
    assert_eq!(lines_with(&["127.0.0.77", "dropped a caller"]), 1);
    b.send(1, Lane::Data, &frame(b"undisturbed"));
    assert_eq!(a.frame().await, (NodeId(2), frame(b"undisturbed")));
    assert_eq!(b.for_a_while(Duration::from_millis(10)).await, [], "its connections are those it had");
}

/// A crowd at the door is dropped one by one, and told of as one. Nobody else in these tests is that many.
#[tokio::test]
async fn a_crowd_is_told_of_once() {
    let options = Options { handshakes_max: 3, handshake_wait_max: Duration::from_secs(600), ..options() };
    let a = listen().await;
    let at = a.local_addr();
    let mut a = Member::start(a, &identity(1), &[], options);
    let before = lines_with(&["trouble at the door", "too many connections"]);
    let mut crowd = Vec::new();
    for _ in 0..200 {
        crowd.push(Speaker::dial(at).await);
    }
    for silent in &mut crowd[..197] {
        silent.is_hung_up().await;
    }
    let told = lines_with(&["trouble at the door", "too many connections"]) - before;
    // The other test of a crowd runs in this process, too.
    assert!((1..=2).contains(&told), "told {told} times of 197");
    assert_eq!(a.for_a_while(Duration::from_millis(10)).await, []);
}

/// One byte after the other, for as long as it takes: it is not the bytes that count but the time.
#[tokio::test]
async fn who_drips_is_dropped_in_time() {
    let wait_max = Duration::from_millis(300);
    let a = listen().await;
    let at = a.local_addr();
    let _a = Member::start(a, &identity(1), &[], Options { handshake_wait_max: wait_max, ..options() });
    let mut dripping = Speaker::dial(at).await;
    let address = dripping.stream.local_addr().unwrap();
    let mut said = 0;
    for byte in Wire::hello(&[0; 1_000]).bytes() {
        if dripping.stream.write_all(&[byte]).await.is_err() {
            break;
        }
        said += 1;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    println!("{said} bytes in {} ms", wait_max.as_millis());
    assert!(said < 1_000);
    assert_eq!(lines_with(&[&address.to_string(), "no handshake within 300 ms"]), 1);
}
