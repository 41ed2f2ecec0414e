//! The suites for engines and for state machines, on ours, and on machines that break one promise each.

use std::cell::Cell;

use quorate::{Applied, StateMachine, snapshot_with_serde};
use serde::{Deserialize, Serialize};
use testkit::conformance;

macro_rules! engine {
    ($name:ident, $engine:ty) => {
        #[test]
        fn $name() {
            conformance::engine::<$engine>(&<$engine as quorate::Engine>::Options::default());
        }
    };
}

on_every_engine!(engine);

#[derive(Clone, Default, Serialize, Deserialize)]
struct Sum(u64);

impl StateMachine for Sum {
    type Command = u64;
    type Response = u64;

    fn apply(&mut self, _: Applied, add: u64) -> u64 {
        self.0 += add;
        self.0
    }

    snapshot_with_serde!();
}

fn commands() -> Vec<u64> {
    (0..20).collect()
}

#[test]
fn a_sum() {
    conformance::state_machine(Sum::default, commands);
}

/// Wrong in one way, and otherwise a sum.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Wrong {
    how: u8,
    sum: u64,
    #[serde(skip)]
    forgotten: u64,
}

thread_local! {
    static OUTSIDE: Cell<u64> = const { Cell::new(0) };
}

impl StateMachine for Wrong {
    type Command = u64;
    type Response = u64;

    fn apply(&mut self, _: Applied, add: u64) -> u64 {
        self.sum += add;
        self.forgotten += 1;
        match self.how {
            1 => OUTSIDE.replace(OUTSIDE.get() + 1),
            2 if add == 7 => panic!("seven makes no sense"),
            3 => self.forgotten,
            _ => self.sum,
        }
    }

    snapshot_with_serde!();
}

#[test]
fn a_machine_that_breaks_a_promise_is_told_which() {
    let promises = ["1 (Deterministic)", "2 (Total)", "3 (Restorable)"];
    for (how, promise) in (1..).zip(promises) {
        let make = || Wrong { how, ..Wrong::default() };
        let told = match how {
            2 => conformance::state_machine::total(&make, &commands),
            _ => conformance::state_machine::all(make, commands),
        };
        let told = told.expect_err("it is broken").to_string();
        assert!(told.starts_with(&format!("StateMachine promise {promise}")), "{told}");
    }
}
