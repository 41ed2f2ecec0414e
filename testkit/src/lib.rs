//! Proof for quorate, and for what is built on it.
//!
//! * [`simulator`]: a whole cluster of real replicas in one thread, in imagined time, on a network, disks and clocks that
//!   go wrong. One seed gives one run, to the last byte; a failing one is replayed by its number.
//! * [`checkers`]: one file per property. They look at every step, and at the whole history in the end.
//! * [`conformance`]: for authors of storages and transports; one call proves that theirs keeps the promises of its trait.
//!
//! The testkit knows no engine: it runs any [`consensus_api::Engine`].
//!
//! # What a run proves, and what not
//!
//! It drives `node::Replica` and `node::Applier`, which is where all decisions are made. It does not run the driver, the
//! sockets or the files; those have tests of their own. Disks lose what was not acknowledged and nothing else, and
//! frames arrive unharmed or not at all.
//!
//! # Debugging a failing seed
//!
//! A violation names the property and what was seen. Run the same seed again: the steps are the same. Fewer steps, fewer
//! nodes, or a [`Faults`](simulator::Faults) with kinds switched off often fail as well, and say more.

pub mod checkers;
pub mod conformance;
pub mod linearizability;
mod random;
pub mod simulator;

pub use random::Random;
