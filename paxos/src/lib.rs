//! Paxos as a pure state machine: events in, effects out.
//!
//! [`MultiPaxos`] implements [`consensus_api::Engine`]. It has no clock, no disk, no network and no threads, and holds
//! the shape of the log rather than its payloads: it names the ranges that are to be sent.
//!
//! # Multi-Paxos in a page
//!
//! The log is a row of **slots**, and each is a Paxos instance of its own. A **ballot** is a number that belongs to one
//! node. Each member is an **acceptor**: it promises ballots, one promise for all slots, and accepts values, slot by slot.
//! A value is **chosen** in a slot once a quorum has accepted it there at the same ballot; it stays so.
//!
//! ```text
//!              silence              quorums agree           quorum promises        open slots are proposed
//!   following ─────────► asking ──────────────────► proposing ─────────────► recovering ──────────────► serving
//!       ▲                                                                                                  │
//!       └──────────────────────────────────────────────────────────────────────────────────────────────────┘
//!             a higher ballot; no answer from a quorum; a disk that hangs
//! ```
//!
//! *Elections.* A member that hears no leader asks whether anyone would miss one, and only then begins a ballot, higher
//! than all it has heard of. Its own promise is durable before anyone hears of the ballot, so none is begun twice.
//!
//! *Phase 1*, once per leadership. Whoever promises reports what it has accepted above the chosen prefix. Of the values
//! reported for a slot, the leader proposes that of the highest ballot: if any was chosen, it is this one. Slots for which
//! a quorum reports nothing, below others, get a no-op. The first slot above all of them gets a no-op too, the
//! **barrier**; behind it clients are served.
//!
//! *Phase 2*, per slot. The leader puts a value into its own log and sends it on at the same time. Acceptances are counted
//! by slot and by member, so slots may be chosen out of order; the chosen *prefix* is announced, and applied. A member
//! believes an announcement only of slots that hold what this leader proposed. For all others it asks: any member tells
//! what is chosen.
//!
//! *Reads.* The leader takes the chosen prefix, and answers once a quorum has answered a message that left after the read
//! began, and the barrier is chosen.
//!
//! *Crashes.* A promise and an acceptance leave only once they are durable, and not at all if a higher ballot has been
//! promised meanwhile. The own vote counts from the same moment. Nothing is ever truncated.
//!
//! # Where this departs from the papers
//!
//! The references are Leslie Lamport, *Paxos Made Simple* (2001), and, for quorums, Howard, Malkhi and Spiegelman,
//! *Flexible Paxos* (2016).
//!
//! * Reports are pulled, one run of slots of one ballot at a time, rather than sent whole: no message grows with the log.
//!   The first answer to a ballot carries no entries, since those cannot wait for the promise to be durable.
//! * A proposer reads its own log as it reads the others': by a message to itself, which the node fills.
//! * Agreement to an election takes quorums of both phases: a leader that could never have anything chosen is no help.
//! * A member promises a ballot also when its leader is first heard, by a heartbeat; it had its quorum by then.
//! * What is learnt as chosen is stored with the ballot it was learnt at, and promises that ballot. A slot that is known
//!   to be chosen is not written again, and not acknowledged to later ballots: these learn what it holds.
//! * A ballot that bears one's own number, and that one does not remember, stops the node: its disk went back in time.
//!
//! What an earlier leader left in a slot that no report mentions may still be taken up by a later leader, so this engine
//! never says that a proposal will *not* happen; it says that nobody can tell ([`consensus_api::Effects::give_up`]).
//!
//! Changes of membership and transfer of leadership are refused as unsupported in this version.
//!
//! # Where things are
//!
//! | module | chapter |
//! |---|---|
//! | `acceptor` | the promise |
//! | `multi` | state, dispatch of events |
//! | `multi::start` | start from log and snapshot |
//! | `multi::election` | timeouts, agreement, ballots |
//! | `multi::recovery` | phase 1: reports, and what follows from them |
//! | `multi::proposer`, `peer`, `slots` | phase 2: what to send to whom, what is chosen |
//! | `multi::following` | the acceptor's side |
//! | `multi::learner`, `supply` | what is chosen, and for whom entries are wanted |
//! | `multi::reads`, `snapshot`, `log`, `quorum`, `messages`, `timers` | what their names say |
//! | `multi::invariants` | the laws, as asserts |

mod acceptor;
mod dice;
mod log;
mod multi;
mod quorum;
pub mod single;
mod start;

pub use multi::{Body, Message, MultiPaxos, Options, ReadRound, Tidings};
pub use single::Paxos;
