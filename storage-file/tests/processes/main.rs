//! The store in processes of its own, on the real file system: killed under load, with a disk that fails; and the tool.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod killed;
#[cfg(feature = "tool")]
mod tool;
mod writer;
