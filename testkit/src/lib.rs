//! Proof for quorate, and for what is built on it.
//!
//! * [`simulator`]: a whole cluster of real replicas in one thread, in imagined time, on a network, disks and clocks that
//!   go wrong. One seed gives one run, to the last byte; a failing one is replayed by its number.
//! * [`checkers`]: one file per property. They look at every step, and at the whole history in the end.
//! * [`workbench`]: engines alone, driven choice by choice: by chance, by a script ([`transcript`]), or through all there
//!   is ([`workbench::search`], a model checker of the real engines).
//! * [`protocol`]: engines alone again, a few of them in a box whose every packet, write and clock is in a test's hands: for
//!   the tests of a protocol, incident by incident.
//! * [`conformance`]: for authors of engines, storages, transports and state machines; one call proves that theirs keeps
//!   the promises of its trait.
//!
//! The testkit knows no engine: it runs any [`consensus_api::Engine`].
//!
//! # What a run proves, and what not
//!
//! It drives `node::Replica` and `node::Applier`, which is where all decisions are made. It does not run the driver or the
//! sockets; those have tests of their own. Disks are a model that loses what was not acknowledged, and nothing else; or a
//! [`Medium`](simulator::Medium) with a real log on it. Frames arrive unharmed or not at all.
//!
//! # Debugging a failing seed
//!
//! A violation names the property and what was seen. Run the same seed again: the steps are the same.
//! [`shrink`](simulator::shrink) finds a simpler plan that fails in the same way, and a run that is
//! [telling](simulator::Run::telling) says what happened. docs/debugging-a-seed.md goes on from there.

pub mod checkers;
pub mod conformance;
pub mod linearizability;
pub mod protocol;
mod random;
pub mod simulator;
pub mod transcript;
pub mod workbench;

pub use random::Random;
