//! The transport over real sockets on the loopback interface, one chapter per promise.

#![allow(clippy::unwrap_used)] // a test fails by panicking, wherever in it

mod bounds;
#[cfg(feature = "tls")]
mod certificates;
mod delivery;
mod handshake;
mod hostile;
mod journal;
mod life;
mod member;
mod secrets;
mod speaker;
mod strangers;
