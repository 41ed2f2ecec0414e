//! The transport over real sockets on the loopback interface, one chapter per promise.

#![allow(clippy::unwrap_used)] // a test fails by panicking, wherever in it

mod addresses;
mod bounds;
#[cfg(feature = "tls")]
mod certificates;
mod delivery;
mod floods;
mod handshake;
mod hostile;
mod journal;
mod life;
mod member;
#[cfg(feature = "tls")]
mod recipe;
mod secrets;
mod speaker;
mod strangers;
