//! What others say, and which chapter it concerns.
//!
//! Nobody is asked for a pass. Who sends is known from the handshake; whoever promises or accepts something at a ballot
//! counts only if it votes on the slot concerned; and a member that was away while all others changed has to listen to
//! strangers, or it would never learn of them.

use consensus_api::{After, Effects, Entry, NodeId};

use super::recovery::Part;
use super::{Body, Message, MultiPaxos};

impl MultiPaxos {
    pub(super) fn on_message(
        &mut self,
        from: NodeId,
        message: Message,
        entries: &[Entry],
        effects: &mut Effects<Message>,
    ) {
        // From itself a proposer hears only what it accepted, out of its own log.
        let own_report = matches!(message.body, Body::Promise { .. });
        if from == self.node && !own_report {
            return;
        }
        let ballot = message.ballot;
        match message.body {
            Body::PreElect { commit } => self.on_pre_elect(from, ballot, commit, effects),
            Body::PreElectAck { agreed, commit, promised } => {
                self.on_pre_elect_ack(from, ballot, agreed, promised, effects);
                self.hear_commit(from, commit, effects);
            }
            Body::Prepare { from: slot, after, window } => {
                if window == self.window {
                    self.on_prepare(from, ballot, (slot, after), effects);
                }
            }
            Body::Promise { from: slot, upto, accepted, commit, last } => {
                let part = Part { from: slot, upto, accepted, last };
                self.on_promise(from, ballot, part, commit, entries);
                self.hear_commit(from, commit, effects);
            }
            Body::Nack { promised } => self.on_nack(ballot, promised, effects),
            Body::Accept(tidings) => {
                if self.hear_leader(from, ballot, tidings, effects) {
                    self.on_accept(from, ballot, tidings.round, entries, effects);
                    self.follow_commit(effects);
                }
            }
            Body::AcceptNoops { tidings, first, last } => {
                if self.hear_leader(from, ballot, tidings, effects) {
                    self.on_accept_noops(from, ballot, tidings.round, (first, last), effects);
                    self.follow_commit(effects);
                }
            }
            Body::Heartbeat(tidings) => {
                if self.hear_leader(from, ballot, tidings, effects) {
                    self.follow_commit(effects);
                    self.catch_up(effects);
                    let body = self.heard(tidings.round);
                    effects.send(from, After::Now, Message { ballot, body });
                }
            }
            Body::Commit(tidings) => {
                if self.hear_leader(from, ballot, tidings, effects) {
                    self.follow_commit(effects);
                }
            }
            Body::Accepted { first, last, commit, round } => {
                self.hear_peer(from, ballot, round, commit);
                self.on_accepted(from, ballot, first, last);
                self.hear_commit(from, commit, effects);
            }
            Body::Heard { commit, round, remembered } => {
                self.hear_peer(from, ballot, round, commit);
                self.on_heard(from, ballot, remembered);
                self.hear_commit(from, commit, effects);
            }
            Body::TakeOver => self.on_take_over(from, ballot, effects),
            Body::Ask { from: slot } => self.on_ask(from, slot, effects),
            Body::Learn { commit } => self.on_learn(from, ballot, commit, entries, effects),
        }
    }
}
