//! What a client port does with strangers, nonsense, and too many.

use std::time::Duration;

use quorate::{ClientOptions, ClientPortOptions, Engine, Error};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::cluster::Cluster;

fn quick() -> ClientOptions {
    ClientOptions { deadline: Duration::from_secs(20), ..ClientOptions::default() }
}

fn hello(cluster: &str) -> Vec<u8> {
    [b"qrclnt01", &[cluster.len() as u8][..], cluster.as_bytes()].concat()
}

/// Everything that the port says before it closes the connection.
async fn last_words(stream: &mut TcpStream) -> Vec<u8> {
    let mut words = Vec::new();
    // A reset is an end like any other.
    let _ = stream.read_to_end(&mut words).await;
    words
}

pub(crate) async fn strangers_and_nonsense_are_turned_away_and_the_port_goes_on<E: Engine>() {
    let cluster = Cluster::start::<E>(ClientPortOptions::default()).await;
    let address = cluster.address(1);
    let mut nonsense: Vec<Vec<u8>> = vec![b"GET / HTTP/1.1\r\nHost: here\r\n\r\n".to_vec(), vec![0xff; 4096]];
    let frames: [&[u8]; 5] = [
        &[0xff; 64],                                          // a length beyond all limits
        &[9, 0, 0, 0, 1, 2, 3, 4, 0, 0, 0, 0, 0, 0, 0, 0, 1], // a wrong checksum
        &[0; 8],                                              // nothing, with the checksum of nothing
        &[1, 0, 0, 0, 0, 0, 0, 0, 7],                         // too short
        &[64, 0, 0, 0, 0, 0, 0, 0],                           // contents that never come
    ];
    nonsense.extend(frames.map(|frame| [hello("counters"), frame.to_vec()].concat()));
    for bytes in nonsense {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let _ = stream.write_all(&bytes).await;
        let _ = stream.shutdown().await;
        assert!(last_words(&mut stream).await.len() <= 1, "no more than a welcome");
    }
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(&hello("others")).await.unwrap();
    let refusal = String::from_utf8_lossy(&last_words(&mut stream).await).into_owned();
    assert!(refusal.contains("it belongs to the cluster counters, not to others"), "{refusal}");
    assert!(cluster.client(quick()).execute(&1).await.is_ok(), "the port goes on");
}

pub(crate) async fn clients_beyond_the_limit_are_refused_in_words<E: Engine>() {
    let few = ClientPortOptions { connections_max: 1, ..ClientPortOptions::default() };
    let cluster = Cluster::start::<E>(few).await;
    let mut first = TcpStream::connect(cluster.address(1)).await.unwrap();
    first.write_all(&hello("counters")).await.unwrap();
    assert_eq!(first.read_u8().await.unwrap(), 0);
    let mut second = TcpStream::connect(cluster.address(1)).await.unwrap();
    second.write_all(&hello("counters")).await.unwrap();
    let refusal = String::from_utf8_lossy(&last_words(&mut second).await).into_owned();
    assert!(refusal.contains("as many clients as it takes"), "{refusal}");
    assert!(cluster.client(quick()).execute(&1).await.is_ok(), "another member takes the client");
}

pub(crate) async fn what_members_refuse_reaches_the_client<E: Engine>() {
    let cluster = Cluster::start::<E>(ClientPortOptions::default()).await;
    let mut stream = TcpStream::connect(cluster.address(1)).await.unwrap();
    drop(stream.write_all(&hello("counters")).await);
    for id in 2..=3 {
        cluster.node(id).shutdown().await;
    }
    let impatient = ClientOptions { deadline: Duration::from_secs(4), ..ClientOptions::default() };
    let refused = cluster.client(impatient).query(&()).await;
    assert!(matches!(refused, Err(Error::NoLeader { .. })), "{refused:?}");
    let refused = cluster.client(impatient).execute(&1).await.unwrap_err();
    // A session could not even be opened.
    assert!(!refused.may_have_happened(), "{refused}");
}
