//! Raft, chapter by chapter: each test is an incident, named after what it shows. Where another implementation shipped
//! the bug, its report is cited; "thesis" is Ongaro 2014.

mod changes;
mod commit;
mod election;
mod incidents;
mod leases;
mod logs;
mod membership;
mod messages;
mod packets;
mod partitions;
mod persistence;
mod random;
mod reads;
mod replication;
mod scenarios;
mod snapshots;
mod transfers;

use quorate_raft::Raft;

/// Members that run Raft, in a test's hands.
type Cluster = testkit::protocol::Cluster<Raft>;
