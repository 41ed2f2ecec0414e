//! The Paxos engines, moment by moment.

mod cluster;
mod disk;
mod multi;
mod random;
mod single;
