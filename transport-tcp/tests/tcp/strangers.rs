//! Whatever comes in at the door, it is closed with a reason, and the peers are served all the same.

use std::net::SocketAddr;
use std::time::Duration;

use consensus_api::{Lane, NodeId};
use quorate_transport_tcp::Options;
use tokio::io::AsyncReadExt;
use tokio::time::timeout;

use crate::journal::lines_with;
use crate::member::{Member, frame, identity, options};
use crate::speaker::{HELLO, MESSAGE, PING, PONG, Speaker, Wire, hello};

/// Two members that met. A caller then says these bytes to the first and is hung up on, with the reason in the log; and
/// the second is still served, over the connection it had.
async fn is_hung_up_on(bytes: &[u8], reason: &str) {
    let (mut a, mut b) =
        Member::connected_pair(Options { handshake_wait_max: Duration::from_millis(300), ..options() }).await;
    let mut caller = Speaker::dial(a.tcp.local_addr()).await;
    let address = caller.stream.local_addr().unwrap();
    caller.say(bytes).await;
    let mut rest = Vec::new();
    let end = caller.stream.read_to_end(&mut rest);
    let _end_or_reset = timeout(Duration::from_secs(20), end).await.expect("the end");
    assert!(rest.is_empty(), "no answer for one who does not know the protocol");
    still_talk(&mut a, &mut b).await;
    assert_eq!(lines_with(&[&address.to_string(), reason]), 1, "the log does not say once: {reason}");
}

async fn still_talk(a: &mut Member, b: &mut Member) {
    b.send(1, Lane::Data, &frame(b"still there?"));
    assert_eq!(a.frame().await, (NodeId(2), frame(b"still there?")));
    a.send(2, Lane::Control, &frame(b"yes"));
    assert_eq!(b.frame().await, (NodeId(1), frame(b"yes")));
}

#[tokio::test]
async fn http() {
    is_hung_up_on(b"GET / HTTP/1.1\r\n\r\n", "it may speak HTTP").await;
}

#[tokio::test]
async fn tls() {
    is_hung_up_on(&[0x16, 0x03, 0x01, 0x02, 0x00], "with TLS, and node 1 was given none").await;
}

#[tokio::test]
async fn garbage() {
    is_hung_up_on(&[0xa5; 5_000], "it does not speak this protocol").await;
}

#[tokio::test]
async fn silence() {
    is_hung_up_on(b"", "no handshake within 300 ms").await;
}

#[tokio::test]
async fn half_a_hello() {
    let whole = Wire::hello(&hello([1, 1], &identity(2), 1)).bytes();
    is_hung_up_on(&whole[..whole.len() - 1], "no handshake within 300 ms").await;
}

#[tokio::test]
async fn a_hello_that_is_none() {
    is_hung_up_on(&Wire::hello(b"good morning").bytes(), "its hello cannot be read").await;
}

#[tokio::test]
async fn a_hello_too_large_to_be_one() {
    is_hung_up_on(&Wire::hello(&[0; 2_000]).bytes()[..32], "a frame of 2000 bytes exceeds the limit of 1024")
        .await;
}

#[tokio::test]
async fn a_message_before_the_hello() {
    let rude = Wire { version: 0, ..Wire::message(0, b"open up") };
    is_hung_up_on(&rude.bytes(), "a frame of kind Message has no place here").await;
}

/// As a peer that has been let in, says these bytes and is hung up on. What was said well before them arrives, nothing
/// after them does.
async fn peer_is_hung_up_on(bytes: &[u8], reason: &str) {
    let (mut a, mut b) = Member::connected_pair(options()).await;
    let rogue = identity(2);
    let address: SocketAddr = a.tcp.local_addr();
    let told_before = lines_with(&["closed a connection", reason]);
    let mut peer = Speaker::greet(address, &rogue, 1).await;
    let after = Wire::message(3, b"after").bytes();
    peer.say(&[&Wire::message(1, b"before").bytes(), bytes, &after[..]].concat()).await;
    peer.is_hung_up().await;
    assert_eq!(a.frame().await, (NodeId(2), frame(b"before")));
    assert!(lines_with(&["closed a connection", reason]) > told_before, "the log does not say: {reason}");
    // The member that is really node 2 is refused from now on, as the older of two; but it is still reached.
    a.send(2, Lane::Data, &frame(b"hello"));
    assert_eq!(b.frame().await, (NodeId(1), frame(b"hello")));
    // And the rogue may come back with better manners.
    let mut peer = Speaker::greet(address, &rogue, 1).await;
    peer.say(&Wire::message(1, b"sorry").bytes()).await;
    assert_eq!(a.frame().await, (NodeId(2), frame(b"sorry")));
}

#[tokio::test]
async fn every_damaged_byte_of_a_header() {
    let whole = Wire::message(2, b"damaged").bytes();
    for at in [2, 3, 4, 6, 7, 8, 12, 16, 20, 24, 28, 31] {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x10;
        peer_is_hung_up_on(&damaged, "a frame's header is damaged").await;
    }
}

#[tokio::test]
async fn a_damaged_payload() {
    let mut damaged = Wire { body: b"entries".to_vec(), ..Wire::message(2, b"head") }.bytes();
    for at in [32, 36, 42] {
        damaged[at] ^= 1;
        peer_is_hung_up_on(&damaged, "a frame's payload is damaged").await;
        damaged[at] ^= 1;
    }
}

#[tokio::test]
async fn a_length_beyond_the_limit() {
    let mut header = Wire::message(2, b"").bytes();
    header[8..12].copy_from_slice(&u32::MAX.to_le_bytes());
    header[12..16].copy_from_slice(&u32::MAX.to_le_bytes());
    let checksum = crc32c::crc32c(&header[..28]);
    header[28..].copy_from_slice(&checksum.to_le_bytes());
    peer_is_hung_up_on(&header, "a frame of 8589934590 bytes exceeds the limit of 16777216").await;
}

#[tokio::test]
async fn a_frame_said_twice_or_left_out() {
    peer_is_hung_up_on(&Wire::message(1, b"before").bytes(), "frame 1 arrived where frame 2 was due").await;
    peer_is_hung_up_on(&Wire::message(7, b"later").bytes(), "frame 7 arrived where frame 2 was due").await;
}

#[tokio::test]
async fn a_frame_of_another_version() {
    let newer = Wire { version: 2, ..Wire::message(2, b"") };
    peer_is_hung_up_on(&newer.bytes(), "a frame of protocol version 2 on a connection of version 1").await;
}

#[tokio::test]
async fn an_unknown_kind_that_matters() {
    let newer = Wire { kind: 99, ..Wire::message(2, b"") };
    peer_is_hung_up_on(&newer.bytes(), "a frame of the unknown kind 99").await;
}

#[tokio::test]
async fn a_second_hello() {
    let again = Wire { version: 1, sequence: 2, ..Wire::hello(&hello([1, 1], &identity(2), 1)) };
    peer_is_hung_up_on(&again.bytes(), "a frame of kind Hello has no place here").await;
}

#[tokio::test]
async fn an_unknown_kind_that_does_not_matter_is_skipped_and_pings_are_answered() {
    let (mut a, _b) = Member::connected_pair(options()).await;
    let mut peer = Speaker::greet(a.tcp.local_addr(), &identity(2), 1).await;
    peer.say(&Wire { kind: 99, flags: 0, ..Wire::message(1, b"a new idea") }.bytes()).await;
    peer.say(&Wire { kind: PING, flags: 0, ..Wire::message(2, b"") }.bytes()).await;
    peer.say(&Wire { kind: MESSAGE, ..Wire::message(3, b"an old one") }.bytes()).await;
    assert_eq!(a.frame().await, (NodeId(2), frame(b"an old one")));
    let pong = peer.hear().await.unwrap();
    assert_eq!((pong.kind, pong.version, pong.sequence), (PONG, 1, 1));
}

#[tokio::test]
async fn a_frame_of_another_group_is_skipped() {
    let (mut a, _b) = Member::connected_pair(options()).await;
    let mut peer = Speaker::greet(a.tcp.local_addr(), &identity(2), 1).await;
    let mut other = Wire::message(1, b"for others").bytes();
    other[16] = 5;
    let checksum = crc32c::crc32c(&other[..28]);
    other[28..32].copy_from_slice(&checksum.to_le_bytes());
    peer.say(&other).await;
    peer.say(&Wire::message(2, b"for us").bytes()).await;
    assert_eq!(a.frame().await, (NodeId(2), frame(b"for us")));
}

#[tokio::test]
async fn a_crowd_of_the_silent_keeps_nobody_out() {
    let (mut a, mut b) = Member::connected_pair(Options {
        handshakes_max: 4,
        handshake_wait_max: Duration::from_secs(600), // not what ends them
        ..options()
    })
    .await;
    let mut crowd = Vec::new();
    for _ in 0..40 {
        crowd.push(Speaker::dial(a.tcp.local_addr()).await);
    }
    let mut newcomer = Speaker::dial(a.tcp.local_addr()).await;
    newcomer.say(&Wire::hello(&hello([1, 1], &identity(2), 1)).bytes()).await;
    assert_eq!(newcomer.hear().await.unwrap().kind, HELLO);
    for silent in &mut crowd[..36] {
        silent.is_hung_up().await;
    }
    a.send(2, Lane::Data, &frame(b"hello"));
    assert_eq!(b.frame().await, (NodeId(1), frame(b"hello")));
}
