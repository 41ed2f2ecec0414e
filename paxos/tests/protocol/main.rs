//! Multi-Paxos, chapter by chapter: each test is an incident, named after what it shows. Where another implementation
//! shipped the bug, its report is cited.

mod acceptors;
mod cluster;
mod disk;
mod elections;
mod learning;
mod phase_one;
mod phase_two;
mod random;
mod reads;
mod snapshots;
