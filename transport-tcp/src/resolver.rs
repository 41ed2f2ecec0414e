//! [`Resolver`]: where the address of a peer leads.

use std::fmt::Debug;
use std::io;
use std::net::SocketAddr;

use async_trait::async_trait;
use tokio::net::lookup_host;

/// Says where the address of a peer leads. By default the system is asked: `host:port`, a name or a number, as its DNS and
/// its hosts file know it. One of your own may ask a registry of services instead
/// ([`Tcp::with_resolver`](crate::Tcp::with_resolver)).
#[async_trait]
pub trait Resolver: Debug + Send + Sync + 'static {
    /// Where to dial, best first: each is tried in turn. Asked anew before every attempt to connect, and within
    /// [`Options::dial_wait_max`](crate::Options::dial_wait_max); so an answer is not kept for longer than a connection.
    ///
    /// # Errors
    /// Whatever kept it from being found; the attempt has failed, and another follows.
    async fn resolve(&self, address: &str) -> io::Result<Vec<SocketAddr>>;
}

/// Asks the system.
#[derive(Debug)]
pub(crate) struct System;

#[async_trait]
impl Resolver for System {
    async fn resolve(&self, address: &str) -> io::Result<Vec<SocketAddr>> {
        Ok(lookup_host(address).await?.collect())
    }
}
