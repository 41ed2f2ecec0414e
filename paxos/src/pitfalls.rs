//! What went wrong in other implementations, and what shows that it does not here. The reports are cited at the tests. Where
//! a bug can be switched on that brings the pitfall about, the last column names it; `docs/mutations.md` says what catches it.
//!
//! | # | pitfall | the test, or why it cannot occur | the bug, seeded |
//! |---|---|---|---|
//! | 1 | a promise is sent before it is durable | `a_promise_leaves_only_once_it_is_durable` | `paxos/promise-before-sync`, `paxos/promise-not-written` |
//! | 2 | an acceptance, or one's own vote, counts before it is durable | `an_acceptance_leaves_only_once_it_is_durable_and_then_survives`, `the_leaders_own_vote_counts_once_it_is_durable` | `paxos/ack-before-sync`, `paxos/own-vote-before-sync` |
//! | 3 | a ballot below the promise is accepted | `a_ballot_below_the_promise_is_refused_and_changes_nothing` | `paxos/accept-below-the-promise` |
//! | 4 | accepting a ballot does not promise it | `accepting_a_ballot_promises_it` | `paxos/acceptance-promises-nothing` |
//! | 5 | the promised ballot is stored as the accepted one | `a_report_names_the_ballot_at_which_the_value_was_accepted`, `a_promise_names_the_ballot_at_which_the_value_was_accepted` | |
//! | 6 | the lowest or the first value is taken up | `of_two_values_the_one_of_the_higher_ballot_is_taken_up_in_either_order` | `paxos/lowest-ballot-adopted`, `paxos/first-value-adopted`, `paxos/nothing-adopted` |
//! | 7 | values are chosen log by log | `values_are_chosen_slot_by_slot_and_not_log_by_log` | |
//! | 8 | a ballot is used again after a restart | `a_ballot_is_begun_once_whatever_a_crash_takes`, `nobody_hears_of_a_ballot_before_its_owner_remembers_it` | `paxos/ballot-before-sync` |
//! | 9 | ballots without a node, ties | `of_two_candidates_in_one_round_one_wins`, `of_two_ballots_in_one_round_the_lower_is_refused` | `paxos/ballots-tie` |
//! | 10 | a report leaves out what is chosen or compacted | `what_is_chosen_and_compacted_is_reported_as_chosen_and_not_as_empty`, `a_chosen_slot_is_promised_to_nobody` | `paxos/chosen-not-reported` |
//! | 11 | the next slot ignores what is chosen | `the_first_free_slot_lies_above_all_that_is_chosen`, `what_is_chosen_and_compacted_is_reported_as_chosen_and_not_as_empty` | `paxos/next-slot-by-votes-alone` |
//! | 12 | a hole is never filled | `a_hole_left_by_a_lost_accept_becomes_a_no_op`, `what_a_dead_proposer_left_is_finished` | `paxos/holes-left-open` |
//! | 13 | the window frees a slot that nobody looked at | `no_slot_is_free_before_all_that_was_left_is_taken_up` | `paxos/window-frees-slots` |
//! | 14 | a leader raises its ballot without phase 1 | `a_leader_that_meets_a_higher_ballot_steps_down_and_begins_anew` | `paxos/ballot-raised-while-leading` |
//! | 15 | old or repeated answers are counted | `voters_are_counted_and_not_their_answers`, `acknowledgements_are_counted_by_member_and_by_ballot`, `repeated_answers_make_no_quorum` | `paxos/promise-of-another-ballot`, `paxos/ack-of-another-ballot`, `paxos/votes-not-voters` |
//! | 16 | an announcement is believed of a value of another ballot | `a_follower_believes_an_announcement_only_of_what_this_leader_proposed`, `an_announcement_counts_for_values_of_its_ballot_only` | `paxos/commit-of-another-ballot` |
//! | 17 | an acknowledgement covers a gap | `an_acknowledgement_speaks_of_no_slot_below_a_gap` | `paxos/ack-over-a-gap` |
//! | 18 | quorums are taken across configurations | `two_of_three_are_replaced_and_the_leader_dies_at_any_moment`, `a_change_is_not_in_force_before_its_slot`, `old_voters_decide_below_and_new_ones_above`, `new_voters_are_asked_before_a_slot_of_theirs_is_used`, `a_membership_waits_until_all_below_it_is_chosen`, `once_a_change_is_done_the_new_voters_need_nobody_who_left`; without a leader members are fixed | `paxos/change-in-force-at-once`, `paxos/new-voters-not-asked`, `paxos/membership-above-open-slots` |
//! | 19 | slots are proposed beyond the window | `nothing_is_proposed_beyond_the_window`, `no_hole_is_as_wide_as_the_window`, `one_grows_to_five_and_back` with a window of one; `a_member_with_another_window_takes_no_part` | `paxos/beyond-the-window` |
//! | 20 | quorums that may miss each other | `quorums_that_may_miss_each_other_are_refused`, `flexible_sizes_that_may_miss_each_other_are_told` | `paxos/quorums-may-miss`, `quorum/one-short` |
//! | 21 | a wiped disk rejoins under its old number | what is said in a member's name counts only from the disk that the membership knows it by: `a_wiped_node_is_refused_and_comes_back_as_a_learner`, `a_wiped_member_is_told_so_and_comes_back_by_being_added_again`; `a_node_that_forgot_its_own_ballot_stops` | `node/any-disk-is-believed`, `node/another-disk-takes-part` |
//! | 22 | recovery by asking others, without stable storage | an acceptor starts from its own disk and nothing else: `a_promise_leaves_only_once_it_is_durable` | |
//! | 23 | a damaged slot counts as never accepted | the storage refuses the log: `a_flipped_bit_at_any_byte_is_refused_or_harmless` | |
//! | 24 | a suffix behind a break is cut off | `what_was_accepted_behind_a_hole_is_kept`, `a_snapshot_leaves_what_was_accepted_above_it` | |
//! | 25 | an acceptor's memory expires | nothing expires: slots go only behind a snapshot, registers keep their tombstones | |
//! | 26 | a read does not finish what is half done | `a_read_finishes_what_is_half_done_before_it_answers`, `a_read_finishes_what_it_finds_half_done` | |
//! | 27 | a condition that fails is answered from anything | `a_compare_and_set_that_fails_tells_what_is_there`, `random_schedules_keep_registers_linearizable` | |
//! | 28 | proposers duel for ever | `duelling_candidates_come_to_an_end`, `duels_end` | |
//! | 29 | ballots that spread by gossip depose healthy leaders | `in_a_chain_the_leader_at_its_end_stays_and_the_other_end_keeps_up`, `an_isolated_member_disturbs_nobody_when_it_returns` | |
//! | 30 | a leader without a quorum stays one | `a_leader_that_was_cut_off_answers_nothing`, `a_member_that_is_cut_off_answers_nothing` | `paxos/read-without-a-quorum` |
//! | 31 | a read at the wrong barrier, or answered by an earlier life | `a_read_waits_until_the_barrier_is_chosen`, `answers_to_an_earlier_life_answer_nothing` | `paxos/read-below-the-barrier`, `reads/number-used-twice`, `node/answer-to-an-earlier-life` |
//! | 32 | leases that clocks or restarts break | `a_paused_leader_finds_its_lease_ended`, `a_member_that_restarts_keeps_what_it_granted`, `a_late_answer_does_not_prolong_a_lease`, `a_hand_over_ends_only_the_lease_of_its_own_ballot`; a clock that drifts more than was said is beyond what a lease promises | `paxos/lease-not-granted`, `paxos/lease-forgotten-in-a-crash`, `paxos/any-hand-over-ends-a-lease` |
//! | 33 | a proposal is lost, or applied twice | `a_value_that_a_rival_took_up_is_not_proposed_again`, `a_value_that_may_be_in_a_snapshot_is_not_proposed_again`, `whole_replicas_keep_every_promise_while_everything_goes_wrong` | |
//! | 34 | a stop-sign is lost, or something follows it | there are no stop-signs: a log goes on, and never ends | |
//! | 35 | a snapshot with the wrong members or index | `a_restart_takes_the_membership_from_the_snapshot`, `a_snapshot_between_a_change_and_its_effect_knows_both` | |
//! | 36 | a whole log in one message | `a_long_report_comes_in_frames_of_bounded_size`, `a_member_that_was_away_catches_up_in_frames`, `a_message_speaks_of_no_more_slots_than_a_frame_holds_entries` | |
//! | 37 | a failed write is tried again, or memory is ahead of the disk | `any_failed_write_or_sync_poisons_the_log_once_told_and_for_good`, `a_failed_write_stops_the_node_and_the_others_go_on` | `file/failed-sync-believed` |
//! | 38 | messages of another cluster are accepted | `another_cluster`, `another_engine`; within a cluster strangers are heard, for all members may have changed while one was away, and are counted nowhere: `a_message_in_anothers_name_changes_nothing` | |
//! | 39 | numbers of nodes used as places in a list | `node_numbers_may_be_far_apart` | |
//! | 40 | applying depends on clock or hash order | a state machine is given neither; states are compared at every index: `whole_replicas_keep_every_promise_while_everything_goes_wrong` | |
