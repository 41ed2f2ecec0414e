//! [`Queryable`]: questions as values, for clients that are not in the same process.

use crate::{Payload, StateMachine};

/// A state machine that answers questions which travel as bytes. Within a process a closure reads the state; a client
/// elsewhere can only send a value.
///
/// A query changes nothing, and runs on the state as it is, at whichever read level was asked for. A machine without
/// questions says `type Query = ();`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` answers no queries",
    note = "implement `Queryable` for it: a query, an answer, and `query`; or let both be `()`"
)]
pub trait Queryable: StateMachine {
    /// What clients want to know.
    type Query: Payload;
    /// What they are told.
    type Answer: Payload;

    /// Looks it up.
    fn query(&self, query: Self::Query) -> Self::Answer;
}
