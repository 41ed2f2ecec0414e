//! quorate and its peers in one harness: same process, same payload, same clients, interleaved rounds.
//!
//! * [`cluster`]: three nodes in one process, in memory: openraft 0.9 and 0.10, quorate on Raft and on Multi-Paxos.
//! * [`engines`]: the same without a runtime: raft-rs, omnipaxos, quorate's engines.
//! * [`wal`]: durable logs: raft-engine, okaywal, storage-file, and the bare file; and what damage does to them.

pub mod cluster;
pub mod engines;
pub mod load;
pub mod rounds;
pub mod wal;
