//! Exactly once in a session: a numbered command is carried out once, wherever and however often it is asked for, and
//! each answer to it is the same bytes.

use bytes::Bytes;
use consensus_api::{Error, Payload, StateMachine};
use node::SessionAnswer;

use super::{Checked, violated};
use crate::simulator::{IN_SESSION, Ledger, Numbered, NumberedRequest};

pub(super) const NAME: &str = "sessions";

/// A command was answered once more.
pub(super) fn repeated(ticket: u64, before: &Bytes, answer: &Bytes) -> Checked {
    if before == answer {
        return Ok(());
    }
    let command = ticket & !IN_SESSION;
    let what = format!("command {command} was answered {before:?}, and then {answer:?}");
    violated("a repeated command is answered the same", what)
}

/// A request got a reply that is no answer.
pub(super) fn unanswered(
    ticket: u64,
    request: &NumberedRequest,
    reply: &Result<SessionAnswer, Error>,
) -> Checked {
    let (opening, known) = (request.session.is_none(), request.answer.is_some());
    match reply {
        Ok(SessionAnswer::Opened(_)) if opening => Ok(()),
        Err(Error::OutcomeUnknown { .. }) if known || request.ended => Ok(()),
        other => violated(
            "a numbered command is answered or its session has ended",
            format!("command {} of {request:?}: {other:?}", ticket & !IN_SESSION),
        ),
    }
}

/// The run is over: what was answered stands where it was said to stand, and nothing stands twice.
pub(super) fn ended(numbered: &Numbered, ledger: &Ledger) -> Checked {
    if let Some(twice) = ledger.doubled.iter().find(|command| **command & IN_SESSION != 0) {
        let what = format!("command {} was", twice & !IN_SESSION);
        return violated("no numbered command is carried out twice", what);
    }
    for (ticket, request) in numbered.requests().filter(|(_, request)| request.session.is_some()) {
        let Some(answer) = &request.answer else { continue };
        let told = <Ledger as StateMachine>::Response::decode(answer.clone());
        let stands = ledger.applied.get(&ticket);
        if !told.as_ref().is_ok_and(|told| stands == Some(&(told.0, told.1))) {
            let what = format!("{request:?} stands at {stands:?}");
            return violated("no answered command in a session is lost", what);
        }
    }
    Ok(())
}
