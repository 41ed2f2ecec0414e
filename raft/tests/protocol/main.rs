//! Raft, chapter by chapter: each test is an incident, named after what it shows. Where another implementation shipped
//! the bug, its report is cited; "thesis" is Ongaro 2014.

mod changes;
mod cluster;
mod commit;
mod disk;
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
mod requests;
mod scenarios;
mod snapshots;
mod transfers;
