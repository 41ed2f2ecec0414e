//! Clusters of real nodes, from end to end. Every chapter is mounted once per engine.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

#[macro_use]
#[path = "../engines/mod.rs"]
mod engines;
mod faults;
mod ledger;
mod machines;
mod membership;
#[cfg(all(feature = "raft", feature = "multi-paxos"))]
mod moving;
#[path = "../ports/mod.rs"]
mod ports;
mod reads;
mod relays;
mod restarts;
mod room;
mod sessions;
mod survivors;
mod writes;

/// Mounts every test of every chapter on one engine, and checks what is skipped on it.
macro_rules! mount {
    ($name:ident, $engine:ty: $($chapter:ident { $($test:ident $(needs $needs:ident)?),+ $(,)? })+) => {
        mod $name {
            use crate::engines::{Needs, assert_skips};

            $(mod $chapter {
                $(#[test]
                fn $test() {
                    let name = concat!(stringify!($chapter), "::", stringify!($test));
                    let needs = crate::needs!($($needs)?);
                    crate::ledger::on_engine::<$engine>(name, needs, crate::$chapter::$test::<$engine>);
                })+
            })+

            #[test]
            fn what_is_skipped_is_on_the_list() {
                let tests: &[(&str, Needs)] = &[$($(
                    (concat!(stringify!($chapter), "::", stringify!($test)), crate::needs!($($needs)?)),
                )+)+];
                assert_skips::<$engine>("cluster", tests);
            }
        }
    };
}

/// What a test needs of an engine.
macro_rules! needs {
    () => {
        crate::engines::Needs::Nothing
    };
    ($needs:ident) => {
        crate::engines::Needs::$needs
    };
}
use needs;

/// Every chapter, on the engine given.
macro_rules! all_chapters {
    ($name:ident, $engine:ty) => {
        mount! { $name, $engine:
            room {
                a_full_disk_refuses_requests_and_takes_them_again_once_there_is_room,
                a_full_disk_of_one_member_leaves_the_others_at_work,
            }
            writes {
                every_node_takes_writes,
                writes_of_one_handle_keep_their_order,
                dropping_the_future_does_not_take_the_write_back,
                a_command_over_the_limit_is_refused_and_did_not_happen,
                a_batch_stays_together,
                a_batch_over_a_limit_is_refused_and_none_of_it_happened,
                a_full_budget_is_busy_and_waiting_gets_through,
                without_a_majority_nothing_is_acknowledged,
                shutting_down_answers_everyone,
                one_node_is_a_cluster,
            }
            reads {
                a_read_on_any_node_sees_every_answered_write,
                without_a_majority_no_read_is_answered,
                a_read_waits_for_no_write_that_came_after_it,
                reads_of_every_level_see_what_they_promise,
                a_read_of_an_entry_that_does_not_come_ends_at_its_deadline,
                a_node_cut_off_answers_stale_reads_until_its_state_is_too_old,
            }
            membership {
                one_node_grows_to_five_and_back_under_load needs MembershipChange,
                all_three_nodes_are_replaced_one_by_one_under_load needs MembershipChange,
                a_removed_node_stops_disturbing needs MembershipChange,
                a_removed_node_says_so needs MembershipChange,
                a_wiped_node_is_refused_and_comes_back_as_a_learner,
                the_leader_itself_is_removed_and_hands_over needs MembershipChange,
                what_cannot_be_is_refused_and_did_not_happen needs MembershipChange,
                leadership_moves_on_request_and_before_a_shutdown needs LeadershipTransfer,
                without_the_capability_the_request_is_refused,
                a_change_whose_leader_is_lost_ends_in_moments needs MembershipChange,
                members_that_no_entry_has_room_for_are_refused needs MembershipChange,
            }
            faults {
                a_slow_state_machine_causes_no_election,
                a_panicking_state_machine_stops_its_node_with_the_cause,
                a_panicking_read_fails_alone,
                a_failed_write_stops_the_node_and_the_others_go_on,
                a_leader_whose_disk_hangs_gives_way needs Leader,
            }
            sessions {
                a_repeated_command_is_carried_out_once_on_whichever_node,
                commands_in_and_outside_sessions_keep_their_order,
                an_idle_session_expires_through_the_log_and_says_so,
                answers_outlive_snapshots_and_restarts,
            }
            relays {
                whoever_is_a_little_behind_is_sent_no_snapshot,
                a_follower_sends_a_snapshot_and_the_leader_none needs Leader,
                the_leader_sends_when_its_follower_is_gone_midway needs Leader,
                a_receiver_that_is_started_again_goes_on_where_it_was needs Leader,
            }
            survivors {
                a_cluster_founded_from_a_survivor_holds_all_that_it_held,
                a_survivor_grows_back_to_three_and_refuses_who_comes_back needs MembershipChange,
                the_survivor_that_lacks_less_is_found,
            }
            machines {
                a_machine_that_keeps_its_state_is_not_replayed,
                a_machine_that_is_ahead_of_its_log_does_not_start,
                a_replica_whose_state_differs_stops_and_names_the_entry,
            }
            restarts {
                a_restarted_cluster_holds_all_that_was_acknowledged,
                a_node_that_was_away_catches_up,
                a_node_that_was_away_too_long_gets_a_snapshot,
                the_log_is_trimmed_behind_snapshots,
                a_snapshot_is_taken_when_it_is_asked_for,
                other_members_than_the_log_says_are_reported,
                another_nodes_log_is_refused,
            }
        }
    };
}

on_every_engine!(all_chapters);
