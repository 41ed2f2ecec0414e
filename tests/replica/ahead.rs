//! A node whose disk does nothing, while those of the others do.

use std::time::Duration;

use node::Options;
use quorate::{CompactionPolicy, Engine};

use super::trio::Trio;

/// Time for a write, and too little for anybody to give up a member whose disk hangs.
const MOMENT: Duration = Duration::from_millis(60);

/// Three members, of which the returned one leads, or is asked, and has a disk that stalled when 2 was proposed there.
fn stalled<E: Engine>(options: Options) -> (Trio<E>, u64) {
    let mut trio = Trio::<E>::with_options(0, options);
    trio.decide(1, 1);
    let at = trio.replica(1).standing().leader.map_or(1, |leader| leader.0);
    trio.stall(at);
    trio.propose(at, 2);
    trio.pass(MOMENT);
    (trio, at)
}

fn running_ahead() -> Options {
    Options { apply_ahead_bytes_max: 1 << 20, ..Options::default() }
}

fn nothing_is_applied_before_it_is_durable_here<E: Engine>() {
    let (mut trio, at) = stalled::<E>(Options::default());
    assert!(!trio.is_answered(2) && !trio.applied(at).contains(&2), "{}", E::NAME);
    trio.stall(0);
    trio.pass(MOMENT);
    assert!(trio.is_answered(2), "{}: not even afterwards", E::NAME);
}

fn a_state_machine_may_run_ahead_of_a_disk_that_does_nothing<E: Engine>() {
    let (mut trio, at) = stalled::<E>(running_ahead());
    assert!(trio.is_answered(2), "{}", E::NAME);
    // It loses what it had not written, and learns it again from the others.
    let disk = trio.disk(at).clone();
    trio.stall(0);
    trio.start(at, disk);
    trio.decide(at, 3);
    assert!(trio.applied(at).ends_with(&[1, 2, 3]), "{}: {:?}", E::NAME, trio.applied(at));
}

/// Where a snapshot is handed over, [`Trio`] looks whether the log has all that it holds.
fn no_snapshot_runs_ahead_of_the_disk<E: Engine>() {
    let compaction = CompactionPolicy { snapshot_every_entries: 1, ..CompactionPolicy::default() };
    let (mut trio, at) = stalled::<E>(Options { compaction, ..running_ahead() });
    assert!(trio.is_answered(2), "{}", E::NAME);
    trio.propose(at, 3);
    trio.pass(MOMENT);
    assert!(!trio.is_answered(3), "{}: a snapshot is due, and waits for the disk", E::NAME);
    trio.stall(0);
    trio.pass(MOMENT);
    assert!(trio.is_answered(3), "{}", E::NAME);
}

macro_rules! mount {
    ($name:ident, $engine:ty) => {
        mod $name {
            #[test]
            fn nothing_is_applied_before_it_is_durable_here() {
                super::nothing_is_applied_before_it_is_durable_here::<$engine>();
            }

            #[test]
            fn a_state_machine_may_run_ahead_of_a_disk_that_does_nothing() {
                super::a_state_machine_may_run_ahead_of_a_disk_that_does_nothing::<$engine>();
            }

            #[test]
            fn no_snapshot_runs_ahead_of_the_disk() {
                super::no_snapshot_runs_ahead_of_the_disk::<$engine>();
            }
        }
    };
}

on_every_engine!(mount);
