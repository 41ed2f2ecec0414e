//! All seeded bugs: their names, as they stand in the code, and what each breaks. The crate comes first in a name.

/// A bug that can be switched on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mutation {
    pub(crate) name: &'static str,
    /// What goes wrong, in a sentence.
    pub(crate) what: &'static str,
}

const fn mutation(name: &'static str, what: &'static str) -> Mutation {
    Mutation { name, what }
}

#[rustfmt::skip] // a table
pub(crate) const ALL: &[Mutation] = &[
    mutation("file/ack-before-sync", "a write is reported durable without a sync"),
    mutation("file/corrupt-middle-truncated", "damage to acknowledged batches is taken for a torn tail, and cut"),
    mutation("file/failed-sync-believed", "a failed sync counts as one that succeeded"),
    mutation("file/older-copy-believed", "a copy of the files that was brought back is taken for the original"),
    mutation("file/segment-name-not-synced", "the folder is not synced after a new segment got its name"),
    mutation("file/snapshot-name-not-synced", "the folder is not synced after a snapshot got its name"),
    mutation("file/snapshot-not-synced", "a snapshot gets its name before its bytes are durable"),
    mutation("file/torn-batch-kept", "the intact beginning of a torn batch counts"),
    mutation("node/another-disk-takes-part", "a disk takes part though others know its node by another"),
    mutation("node/answer-to-an-earlier-life", "the answer to a read of an earlier life answers another one"),
    mutation("node/answers-not-remembered", "a command in a session is carried out as often as it is asked for"),
    mutation("node/any-disk-is-believed", "what is said in a member's name counts from whichever disk"),
    mutation("node/applied-before-durable", "entries are applied before they are durable here"),
    mutation("node/behind-for-ever", "who was away refuses a member whose disk has changed since, whatever that one says"),
    mutation("node/cache-never-shrinks", "entries never leave memory"),
    mutation("node/forwarded-twice", "the copy of a forwarded proposal is taken again"),
    mutation("node/founded-without-all", "a disk takes part before it has heard from every founder"),
    mutation("node/held-message-sent-though-overwritten", "what waited for its write is said though it no longer holds"),
    mutation("node/log-time-not-restored", "a snapshot does not bring back the log's time"),
    mutation("node/nothing-is-held-back", "what rests on a write leaves before the write is durable"),
    mutation("node/read-before-applied", "a read does not wait until its index is applied"),
    mutation("node/requests-never-expire", "requests have no deadline"),
    mutation("node/settled-too-early", "a request goes again though its entry is committed and not yet applied"),
    mutation("node/snapshot-of-the-wrong-index", "a snapshot's mark is one short of what it holds"),
    mutation("node/snapshot-without-sessions", "a snapshot does not bring back the sessions"),
    mutation("node/stale-block-shipped", "entries that were encoded before they were replaced go out"),
    mutation("node/stale-without-bound", "a read that may lag is answered however old the state is"),
    mutation("node/truncated-entries-stay-cached", "entries that were truncated stay in memory"),
    mutation("node/unknown-proposed-again", "what has an unknown outcome is proposed again"),
    mutation("paxos/accept-below-the-promise", "an acceptor obeys a ballot lower than its promise"),
    mutation("paxos/acceptance-promises-nothing", "accepting at a higher ballot does not raise the promise"),
    mutation("paxos/ack-before-sync", "an acceptance is spoken of before it is durable"),
    mutation("paxos/ack-of-another-ballot", "an acceptance at another ballot counts for this one"),
    mutation("paxos/ack-over-a-gap", "an acceptance of some slots counts for those before them"),
    mutation("paxos/any-hand-over-ends-a-lease", "a hand-over ends leases granted at other ballots, too"),
    mutation("paxos/beyond-the-window", "a leader proposes in slots of which it is not known yet who decides"),
    mutation("paxos/change-done-too-early", "a change is said to be done before the new voters have what the old ones decided"),
    mutation("paxos/change-in-force-at-once", "new voters decide about slots below the one they begin with"),
    mutation("paxos/commit-of-another-ballot", "what is chosen by the leader's word is believed of a value of another ballot"),
    mutation("paxos/holes-left-open", "a new leader leaves slots open that nobody reported"),
    mutation("paxos/lease-after-handing-over", "a leader reads out of its lease after it has asked another to take over"),
    mutation("paxos/lease-forgotten-in-a-crash", "a member that restarts does not wait for what it may have granted"),
    mutation("paxos/lease-not-granted", "a member promises a ballot though it has granted a lease"),
    mutation("paxos/lowest-ballot-adopted", "of the values reported the one of the lowest ballot is proposed"),
    mutation("paxos/membership-above-open-slots", "a leader proposes a membership while slots below it are undecided"),
    mutation("paxos/new-voters-not-asked", "a leader proposes to new voters without asking what they have accepted"),
    mutation("paxos/nothing-adopted", "a new leader proposes no-ops over the values reported"),
    mutation("paxos/own-vote-before-sync", "a leader counts its own acceptance before it is durable"),
    mutation("paxos/promise-before-sync", "a promise is given before it is durable"),
    mutation("paxos/promise-not-written", "a promise is not written"),
    mutation("paxos/promise-of-another-ballot", "a promise of another ballot counts for this one"),
    mutation("paxos/read-below-the-barrier", "a new leader answers reads before it knows what is chosen"),
    mutation("paxos/read-without-a-quorum", "a leader answers reads without asking whether it still leads"),
    mutation("paxos/reads-outlive-their-quorum", "a read is confirmed by answers that new voters gave before they decided"),
    mutation("quorum/one-short", "half of an even number counts as a majority, and one less of an odd one"),
    mutation("raft/ack-before-sync", "a follower acknowledges entries before they are durable"),
    mutation("raft/ack-of-another-term", "an acknowledgement of an earlier term counts"),
    mutation("raft/ack-of-the-own-tail", "a follower acknowledges its whole log, not what the message covered"),
    mutation("raft/candidacy-before-sync", "votes are asked for, and the own counted, before the own is durable"),
    mutation("raft/change-without-joint", "the new voters decide without the old ones"),
    mutation("raft/commit-of-a-stale-suffix", "a follower commits entries that the message did not cover"),
    mutation("raft/commit-of-an-earlier-term", "entries of an earlier term are committed by counting (figure 8)"),
    mutation("raft/conflict-kept", "a follower keeps entries that conflict with the leader's"),
    mutation("raft/leader-without-a-quorum", "a leader that nobody answers leads on"),
    mutation("raft/old-append-truncates", "a late message removes what newer ones brought"),
    mutation("raft/own-disk-taken-for-granted", "a leader counts its own entries before they are durable"),
    mutation("raft/read-before-an-own-entry", "a new leader answers reads before it knows what is committed"),
    mutation("raft/read-number-used-twice", "a late answer to an earlier read confirms a later one"),
    mutation("raft/read-without-a-quorum", "a leader answers reads without asking whether it still leads"),
    mutation("raft/replaced-write-counts", "the late completion of a write that was replaced makes today's log durable"),
    mutation("raft/snapshot-keeps-a-conflict", "a snapshot leaves conflicting entries behind it"),
    mutation("raft/snapshot-of-the-past", "a snapshot older than the commit index is installed"),
    mutation("raft/term-not-written", "a new term is not written"),
    mutation("raft/two-votes-in-a-term", "a member votes for whoever asks"),
    mutation("raft/vote-before-sync", "a vote is given before it is durable"),
    mutation("raft/vote-for-a-shorter-log", "a vote does not depend on the candidate's log"),
    mutation("raft/vote-not-written", "a vote is not written"),
    mutation("raft/vote-under-a-live-leader", "a vote is given though there is a leader"),
];

pub(crate) fn named(name: &str) -> Mutation {
    *ALL.iter().find(|mutation| mutation.name == name).expect("it is in the catalogue")
}
