//! Where a node listens, and where it is found.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use consensus_api::{Arrival, Lane, NodeId, Transport};
use quorate_transport_tcp::{Resolver, Tcp};

use crate::member::{Member, frame, identity, listen, options};

#[tokio::test]
async fn ipv6() {
    crate::journal::start();
    let (Ok(a), Ok(b)) = (Tcp::listen("[::1]:0").await, Tcp::listen("[::1]:0").await) else {
        println!("skipped: this machine has no ::1");
        return;
    };
    let peers = [(1, a.local_addr()), (2, b.local_addr())];
    assert!(peers.iter().all(|(_, address)| address.is_ipv6()));
    let mut a = Member::start(a, &identity(1), &peers, options());
    let mut b = Member::start(b, &identity(2), &peers, options());
    a.talk(&mut b).await;
}

/// Bound to every address of the machine, and dialled at one of them.
#[tokio::test]
async fn bound_to_one_address_and_advertised_at_another() {
    crate::journal::start();
    let (a, b) = (Tcp::listen("0.0.0.0:0").await.unwrap(), Tcp::listen("0.0.0.0:0").await.unwrap());
    let at = |bound: SocketAddr| SocketAddr::from(([127, 0, 0, 1], bound.port()));
    let peers = [(1, at(a.local_addr())), (2, at(b.local_addr()))];
    let mut a = Member::start(a, &identity(1), &peers, options());
    let mut b = Member::start(b, &identity(2), &peers, options());
    a.talk(&mut b).await;
    assert_eq!(*a.tcp.peers()[0].address, *peers[1].1.to_string(), "the status has what is dialled");
}

/// Names and where they lead, which may change.
#[derive(Clone, Default, Debug)]
struct Names(Arc<Mutex<HashMap<String, Vec<SocketAddr>>>>);

impl Names {
    fn set(&self, name: &str, addresses: &[SocketAddr]) {
        self.0.lock().unwrap().insert(name.to_owned(), addresses.to_vec());
    }
}

#[async_trait]
impl Resolver for Names {
    async fn resolve(&self, address: &str) -> io::Result<Vec<SocketAddr>> {
        let found = self.0.lock().unwrap().get(address).cloned();
        found.ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

#[tokio::test]
async fn a_name_is_looked_up_again_for_every_connection() {
    const NAME: &str = "node-2.orchard:7000";
    let names = Names::default();
    let a = listen().await;
    let a_at = a.local_addr();
    let tcp = a.with_peers(1, [(2, NAME)]).with_options(options()).with_resolver(names.clone());
    let mut a = Member::attach(tcp, &identity(1));
    a.until(&Arrival::Unreachable(NodeId(2))).await; // nobody knows the name
    let (_held, nobody) = crate::member::nowhere();
    for life in 0..3_u8 {
        // The peer comes up elsewhere, and its name follows. An address where nobody answers is passed over.
        let b = listen().await;
        names.set(NAME, &[nobody, b.local_addr()]);
        let mut b = Member::start(b, &identity(2), &[(1, a_at)], options());
        a.until(&Arrival::Connected(NodeId(2))).await;
        a.send(2, Lane::Data, &frame(&[life]));
        assert_eq!(b.frame().await, (NodeId(1), frame(&[life])));
        assert_eq!(&*a.tcp.peers()[0].address, NAME);
        drop(b);
        a.until(&Arrival::Unreachable(NodeId(2))).await;
    }
}
