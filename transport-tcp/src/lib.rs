//! TCP between the members of a quorate cluster: framed, checked, bounded. [`Tcp`] is a
//! [`Transport`](consensus_api::Transport).
//!
//! With TLS (feature `tls`) it encrypts, and members know each other by certificates; with a [`Secret`], only who knows
//! it is let in. With neither, the handshake keeps members from talking to the wrong cluster by mistake, not an attacker
//! from talking to them on purpose: run it in a network you trust.
//!
//! # In a page
//!
//! ```
//! use quorate_transport_tcp::{Options, Tcp};
//!
//! # #[tokio::main] async fn main() -> Result<(), consensus_api::TransportError> {
//! // Every node gets the same list, and finds its own address in it.
//! let peers = [(1, "127.0.0.1:0"), (2, "10.0.0.2:7000"), (3, "node-3.example:7000")];
//! let transport = Tcp::bind(1, &peers).await?;
//!
//! // Where the address listened on is not the one dialled, and where the defaults do not fit:
//! let listener = Tcp::listen("127.0.0.1:0").await?;
//! let options = Options { frame_bytes_max: 4 << 20, ..Options::default() };
//! let transport = listener.with_peers(1, &peers).with_options(options);
//! # Ok(()) }
//! ```
//!
//! **Connections.** Each node dials every other, and sends on what it dialled; what comes back there is the answer to
//! its hello, and pongs. So there is one connection per direction, which carries the lanes control and data, control
//! first; and a second one, dialled when it is needed, for the lane bulk, which would be in their way.
//!
//! ```text
//!             ┌───────────── node 1 ─────────────┐                 ┌──── node 2 ────┐
//!  send ──►   outbox 2: control, data ──► dialer ──── frames ────► reader ──► inbox ──► poll_arrival
//!             outbox 2: bulk ───────────► dialer ──── frames ────► reader ──►
//!  poll_arrival ◄── inbox ◄────────────── reader ◄─── frames ───── dialer ◄── outbox 1
//! ```
//!
//! **Frames** have a header of 32 bytes with a checksum of its own, and a checksum over the payload. A length is
//! checked before anything is allocated, and a payload is handed to the node in the buffer it was read into. The
//! first thing that does not fit closes the connection, with the reason in the log. `docs/wire-format.md` has every
//! byte.
//!
//! **Handshake.** Both sides say which cluster, node, engine, store, process life and protocol versions they are. If
//! that does not fit, the one called upon refuses in a sentence, both report it as
//! [`Arrival::Refused`](consensus_api::Arrival::Refused) once, and then at growing intervals while it goes on; the caller
//! keeps trying, at longer intervals, too. [`Transport::peers`](consensus_api::Transport::peers) shows how each peer
//! stands.
//!
//! **Loss.** What was queued or under way when a connection broke is lost, and
//! [`Arrival::Unreachable`](consensus_api::Arrival::Unreachable) says so. From then until
//! [`Arrival::Connected`](consensus_api::Arrival::Connected) frames to that peer are taken and dropped: delivered later,
//! they would be stale. When a bulk connection breaks, the two are told one right after the other. A new connection
//! delivers nothing before its predecessor is silenced. A connection on which even pings are not answered is closed.
//!
//! **Bounds.** Each outbox is bounded in bytes per lane; a full one refuses frames. The inbox is bounded in bytes per
//! connection; a full one stops the reading, which in the end fills the sender's outbox. Strangers without a handshake
//! are bounded in number, time and bytes.
//!
//! # Where things are
//!
//! * The byte forms: `frame`, `hello`; reading them: `decoder`; writing them: `batch`.
//! * The tasks: `dialer` (one per connection out), `acceptor` (one), `reader` (one per connection in).
//! * Between node and tasks: `outbox`, `inbox`. What all share: `roster`. Whom it dials, and where: `links`, `resolver`.
//! * Who is let in: `handshake`, `refusal`, `security`, `secret`, `tls`. How often something is logged: `restraint`.

mod acceptor;
mod backoff;
mod batch;
mod decoder;
mod dialer;
mod ending;
mod frame;
#[cfg(test)]
#[path = "tests/fuzz.rs"]
mod fuzz;
mod handshake;
mod hello;
mod inbox;
mod links;
mod options;
mod outbox;
mod pace;
mod peers;
mod reader;
mod refusal;
mod resolver;
mod restraint;
mod roster;
mod secret;
mod security;
mod silence;
mod socket;
mod tcp;
#[cfg(feature = "tls")]
mod tls;

pub use options::Options;
pub use peers::Peers;
pub use resolver::Resolver;
pub use secret::Secret;
pub use tcp::{Listener, Tcp};
#[cfg(feature = "tls")]
pub use tls::Tls;
