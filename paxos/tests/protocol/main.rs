//! The Paxos engines, moment by moment.

mod logs;
mod multi;
mod random;
mod single;
