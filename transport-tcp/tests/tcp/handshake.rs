//! Who does not belong is refused, with a sentence, and told once.

use std::time::Duration;

use consensus_api::{Arrival, ClusterName, EngineName, Identity, Lane, NodeId, PeerRefusalKind, Transport};
use tokio::net::TcpListener;

use crate::member::{Member, frame, identity, listen, nowhere, options};
use crate::speaker::{HELLO, REFUSAL, Speaker, Wire, hello};

/// Long enough for several further attempts, which must not be told.
const A_WHILE: Duration = Duration::from_millis(300);

/// What the status of a member shows of its only peer.
fn shown(member: &Member) -> Option<PeerRefusalKind> {
    member.tcp.peers()[0].refusal.as_ref().map(|refusal| refusal.kind)
}

/// Lets two members meet that must not talk. Both tell it once, in a sentence with these words, show its kind in the
/// status, and nothing arrives.
async fn refuse_each_other(identities: [Identity; 2], kind: PeerRefusalKind, words: &[&str]) {
    let (mut a, mut b) = Member::pair_as(identities, options()).await;
    for (member, other) in [(&mut a, 2), (&mut b, 1)] {
        member.send(other, Lane::Data, &frame(b"not for you"));
        let (peer, reason) = member.refusal().await;
        assert_eq!(peer, Some(NodeId(other)));
        for word in words {
            assert!(reason.contains(word), "{reason:?} lacks {word:?}");
        }
        assert_eq!(shown(member), Some(kind));
    }
    for member in [&mut a, &mut b] {
        for arrival in member.for_a_while(A_WHILE).await {
            assert!(matches!(arrival, Arrival::Unreachable(_)), "{arrival:?} came after the refusal");
        }
    }
}

#[tokio::test]
async fn another_cluster() {
    let other = Identity { cluster: ClusterName::new("vineyard").unwrap(), ..identity(2) };
    let words = ["node 1", "node 2", "\"orchard\"", "\"vineyard\""];
    refuse_each_other([identity(1), other], PeerRefusalKind::Cluster, &words).await;
}

#[tokio::test]
async fn another_engine() {
    let other = Identity { engine: EngineName("multi-paxos"), ..identity(2) };
    let words = ["node 1", "node 2", "\"raft\"", "\"multi-paxos\"", "one engine"];
    refuse_each_other([identity(1), other], PeerRefusalKind::Engine, &words).await;
}

#[tokio::test]
async fn a_copied_disk() {
    let copy = Identity { store: identity(1).store, ..identity(2) };
    refuse_each_other([identity(1), copy], PeerRefusalKind::SameStore, &["node 1", "node 2", "same store"])
        .await;
}

#[tokio::test]
async fn another_node_at_this_address() {
    let (a, c) = (listen().await, listen().await);
    let (a_at, c_at) = (a.local_addr(), c.local_addr());
    let mut a = Member::start(a, &identity(1), &[(1, a_at), (2, c_at)], options());
    let mut c = Member::start(c, &identity(3), &[(1, a_at), (3, c_at)], options());
    // Node 1 takes node 3 for node 2; and does not know node 3 when it calls.
    let mut told = [a.refusal().await, a.refusal().await];
    told.sort();
    assert_eq!([told[0].0, told[1].0], [Some(NodeId(2)), Some(NodeId(3))]);
    assert!(told[0].1.contains("looked for node 2 where node 3 answers"), "{told:?}");
    assert!(told[1].1.contains("node 3 is not among the peers of node 1"), "{told:?}");
    assert_eq!(shown(&a), Some(PeerRefusalKind::WrongNode));
    let mut told = [c.refusal().await.1, c.refusal().await.1];
    // To node 3, whichever was last: that it was taken for another, or that it is a stranger.
    let kinds = [PeerRefusalKind::WrongNode, PeerRefusalKind::Stranger];
    assert!(shown(&c).is_some_and(|kind| kinds.contains(&kind)));
    told.sort();
    assert!(told[0].contains("looked for node 2 where node 3 answers"), "{told:?}");
    assert!(told[1].contains("node 3 is not among the peers of node 1"), "{told:?}");
    for member in [&mut a, &mut c] {
        let later = member.for_a_while(A_WHILE).await;
        assert!(later.iter().all(|arrival| matches!(arrival, Arrival::Unreachable(_))), "{later:?}");
    }
}

#[tokio::test]
async fn our_own_id() {
    let a = listen().await;
    let address = a.local_addr();
    let mut a = Member::start(a, &identity(1), &[(2, address)], options());
    let twin = identity(1);
    for _ in 0..3 {
        let mut speaker = Speaker::dial(address).await;
        speaker.say(&Wire::hello(&hello([1, 1], &twin, 1)).bytes()).await;
        let refusal = speaker.hear().await.unwrap();
        assert_eq!(refusal.kind, REFUSAL);
        assert!(String::from_utf8_lossy(&refusal.head).contains("two processes call themselves node 1"));
        speaker.is_hung_up().await;
    }
    // The member dials itself under the name of node 2, too, which is no different.
    let later = a.for_a_while(A_WHILE).await;
    let told =
        later.iter().filter(|arrival| matches!(arrival, Arrival::Refused { peer: Some(NodeId(1)), .. }));
    assert_eq!(told.count(), 1, "{later:?}");
}

#[tokio::test]
async fn two_processes_under_one_id() {
    let a = listen().await;
    let address = a.local_addr();
    let (_held, nowhere) = nowhere();
    let mut a = Member::start(a, &identity(1), &[(2, nowhere)], options());
    let (first, second) = (identity(2), identity(2));
    let mut older = Speaker::greet(address, &first, 1).await;
    let _newer = Speaker::greet(address, &second, 1).await;
    older.is_hung_up().await;
    // A life that ended does not come back: so it has not ended.
    let mut older = Speaker::dial(address).await;
    older.say(&Wire::hello(&hello([1, 1], &first, 1)).bytes()).await;
    assert_eq!(older.hear().await.unwrap().kind, REFUSAL);
    let (peer, reason) = a.refusal().await;
    assert_eq!(peer, Some(NodeId(2)));
    assert!(reason.contains("two processes call themselves node 2"), "{reason}");
    assert_eq!(shown(&a), Some(PeerRefusalKind::SameNode));
}

#[tokio::test]
async fn a_caller_of_another_version() {
    let a = listen().await;
    let address = a.local_addr();
    let (_held, nowhere) = nowhere();
    let mut a = Member::start(a, &identity(1), &[(2, nowhere)], options());
    let newer = identity(2);
    for _ in 0..3 {
        let mut speaker = Speaker::dial(address).await;
        speaker.say(&Wire::hello(&hello([2, 9], &newer, 1)).bytes()).await;
        assert_eq!(speaker.hear().await.unwrap().kind, REFUSAL);
    }
    let (_, reason) = a.refusal().await;
    assert!(reason.contains("node 2 speaks the protocol versions 2 to 9, node 1 1 to 1"), "{reason}");
    assert_eq!(shown(&a), Some(PeerRefusalKind::Version));
    let later = a.for_a_while(A_WHILE).await;
    assert!(!later.iter().any(|arrival| matches!(arrival, Arrival::Refused { .. })), "{later:?}");
    // One that can also speak ours is welcome, whatever a later version appends to its hello.
    let mut speaker = Speaker::dial(address).await;
    let mut from_the_future = hello([1, 9], &newer, 1);
    from_the_future.extend(b"and a favourite colour");
    speaker.say(&Wire::hello(&from_the_future).bytes()).await;
    assert_eq!(speaker.hear().await.unwrap().kind, HELLO);
    speaker.say(&Wire::message(1, b"hi").bytes()).await;
    assert_eq!(a.frame().await, (NodeId(2), frame(b"hi")));
}

#[tokio::test]
async fn an_answerer_of_another_version() {
    let b = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let me = identity(1);
    let mut a = Member::start(listen().await, &me, &[(2, b.local_addr().unwrap())], options());
    let (stream, _) = b.accept().await.unwrap();
    let mut speaker = Speaker { stream };
    assert_eq!(speaker.hear().await.unwrap().head, hello([1, 1], &me, 2));
    speaker.say(&Wire::hello(&hello([7, 9], &identity(2), 1)).bytes()).await;
    let (peer, reason) = a.refusal().await;
    assert_eq!(peer, Some(NodeId(2)));
    assert!(reason.contains("node 2 speaks the protocol versions 7 to 9"), "{reason}");
    assert_eq!(shown(&a), Some(PeerRefusalKind::Version));
    speaker.is_hung_up().await;
}
