//! Seeds that failed once. Each stays, under the name of what it showed.

use quorate::Engine;
use testkit::simulator::{Plan, Report, Run};

use super::plan;

/// A seed as it was when it failed: what clients and operators have learnt to do since would make another run of it.
fn as_found<E: Engine>(seed: u64, steps: u64) -> Report {
    let plan = plan(seed, steps);
    let faults = LEARNT_SINCE.iter().fold(plan.faults(), |faults, kind| faults.without(kind));
    let ran = Run::of(Plan { faults: Some(faults), ..plan }).go::<E>();
    ran.unwrap_or_else(|failed| panic!("seed {seed} on {}: {:?}", E::NAME, failed.0))
}

/// A seed that failed before removed members were switched off.
fn before_retirements(seed: u64, steps: u64) -> Plan {
    let plan = plan(seed, steps);
    Plan { faults: Some(plan.faults().without("retirements")), ..plan }
}

const LEARNT_SINCE: [&str; 8] =
    ["sessions", "read-levels", "changes", "transfers", "strangers", "relays", "disk-wipes", "retirements"];

#[cfg(feature = "raft")]
mod raft {
    use quorate::Raft;

    use super::super::{in_model, on_files};
    use super::{as_found, before_retirements};

    #[test]
    fn a_founder_that_was_away_is_not_hindered_by_who_was_added_meanwhile() {
        on_files::<Raft>(&before_retirements(300_139, 10_000));
    }

    #[test]
    fn a_removal_that_is_not_committed_lets_no_wiped_disk_take_part() {
        in_model::<Raft>(&before_retirements(7_000_094, 10_000));
    }

    #[test]
    fn a_leader_does_not_wait_for_a_follower_whom_a_peer_refuses() {
        in_model::<Raft>(&before_retirements(7_000_188, 10_000));
    }

    #[test]
    fn who_asks_for_a_change_waits_no_longer_than_was_said() {
        in_model::<Raft>(&before_retirements(2_154, 10_000));
    }

    #[test]
    fn a_retried_proposal_does_not_overtake_a_later_one() {
        as_found::<Raft>(2, 5000);
    }

    #[test]
    fn reads_queued_without_a_leader_do_not_wake_the_node_without_end() {
        assert!(as_found::<Raft>(3, 5000).steps < 100_000);
    }

    #[test]
    fn a_received_snapshot_leaves_committed_entries_alone() {
        as_found::<Raft>(105, 5000);
    }

    #[test]
    fn who_sends_a_snapshot_for_a_leader_and_comes_to_lead_hears_of_its_end() {
        on_files::<Raft>(&before_retirements(2_000_061, 10_000));
    }
}

#[cfg(feature = "multi-paxos")]
mod multi_paxos {
    use quorate::MultiPaxos;

    use super::super::in_model;
    use super::{as_found, before_retirements, plan};

    #[test]
    fn a_learner_does_not_wait_for_a_leader_that_is_gone() {
        in_model::<MultiPaxos>(&plan(60, 10_000));
    }

    #[test]
    fn a_leader_does_not_fill_the_way_to_a_peer_with_what_it_knows_to_be_chosen() {
        in_model::<MultiPaxos>(&before_retirements(200_692, 10_000));
    }

    #[test]
    fn a_refused_proposal_does_not_go_again_behind_a_later_one() {
        in_model::<MultiPaxos>(&before_retirements(496, 10_000));
    }

    #[test]
    fn two_that_send_a_snapshot_to_one_do_not_undo_each_others_work() {
        as_found::<MultiPaxos>(16419, 3000);
    }
}
