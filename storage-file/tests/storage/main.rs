//! The store on a simulated disk, which loses what was not synced; and, for what only a real one can show, on that.

#![allow(clippy::unwrap_used, reason = "what helps a test may fail it")]

mod belief;
mod crashes;
mod damage;
mod durability;
mod faults;
mod full;
mod fuzz;
mod golden;
mod harness;
mod layout;
mod matrix;
mod received;
mod refusals;
mod removal;
mod reuse;
mod review;
mod room;
mod snapshots;
mod waiting;
