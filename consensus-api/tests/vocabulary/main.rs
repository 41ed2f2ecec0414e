//! Tests of the vocabulary from outside, as one program: each module takes one file of `src` and tries to break it.

mod batch;
mod effects;
mod entry;
mod membership;
mod naive_log;
mod outline;
mod payload;
mod record;
mod session;
mod simple_log;
mod timing;
