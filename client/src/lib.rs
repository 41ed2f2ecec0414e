//! Clients of a quorate cluster: commands that are carried out exactly once, and reads, from any process.
//!
//! ```text
//!   Client ──► Endpoint ──► InProcess ────────────────────────────► Node
//!      │          └───────► Remote ──── TCP ────► ClientPort ─────► Node
//!      └ session, numbers, retries
//! ```
//!
//! * [`Client`]: numbers each command, asks one member after the other until one answers, follows the leader, and spreads
//!   reads. The replicas remember what they answered (see the sessions of the `node` crate), so a retry is harmless.
//! * [`Endpoint`]: a way to one member. [`InProcess`] wraps a node; [`Remote`] speaks TCP. Yours may do otherwise.
//! * [`ClientPort`]: the other end of [`Remote`], beside a node. Bounded in connections, requests, bytes and time. What
//!   is said between the two stands in `wire`, byte by byte.
//!
//! # What holds
//!
//! * **Exactly once by construction.** A command keeps its number through all attempts; a new number is only given when no
//!   attempt under the old one can have been carried out. If nobody can tell, the command ends as
//!   [`OutcomeUnknown`](consensus_api::Error::OutcomeUnknown), and never happens twice.
//! * **A process that starts again is another client.** Its commands are not recognised as an earlier process' ones: what
//!   must survive that needs a name of its own inside the command.
//! * **Hostile bytes close a connection.** Nothing is allocated for a length that was not checked, and nothing panics.
//! * No encryption and no authentication yet: for networks you trust.

mod client;
mod connection;
mod endpoint;
mod options;
mod sequences;
mod server;
mod session;
mod wire;

pub use client::Client;
pub use connection::Remote;
pub use endpoint::{Endpoint, InProcess, Reply, Request};
pub use options::ClientOptions;
pub use server::{ClientPort, ClientPortOptions};
