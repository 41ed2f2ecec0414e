//! The promises of [`StateMachine`], one function each. Two machines are given the same commands, and compared by their
//! answers and their snapshots.

use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::{Bytes, BytesMut};
use consensus_api::{Applied, Index, LogTime, Payload, Snapshot, StateMachine};

use super::{Broken, require};

const DETERMINISTIC: &str = "StateMachine promise 1 (Deterministic)";
const TOTAL: &str = "StateMachine promise 2 (Total)";
const RESTORABLE: &str = "StateMachine promise 3 (Restorable)";

/// All promises, for machines that `make` makes and these commands: as many as it takes to reach every corner of yours.
///
/// # Errors
/// The first that is broken.
pub fn all<S: StateMachine>(
    make: impl Fn() -> S,
    commands: impl Fn() -> Vec<S::Command>,
) -> Result<(), Broken> {
    deterministic(&make, &commands)?;
    total(&make, &commands)?;
    restorable(&make, &commands)
}

/// The position of the command at a place.
fn position(place: usize) -> Applied {
    Applied {
        index: Index(place as u64 / 3 + 1),
        offset: place as u32 % 3,
        time: LogTime(1_000 + place as u64 * 7),
    }
}

fn apply<S: StateMachine>(
    promise: &'static str,
    machine: &mut S,
    place: usize,
    command: S::Command,
) -> Result<Bytes, Broken> {
    let applied = catch_unwind(AssertUnwindSafe(|| machine.try_apply(position(place), command)));
    let answer = match applied {
        Ok(Ok(answer)) => answer,
        Ok(Err(failure)) => return Err(Broken::new(promise, format!("command {place} failed: {failure}"))),
        Err(_) => return Err(Broken::new(promise, format!("command {place} made it panic"))),
    };
    let mut bytes = BytesMut::new();
    let encoded = answer.encode(&mut bytes);
    encoded.map_err(|error| {
        Broken::new(promise, format!("the answer to command {place} has no byte form: {}", error.0))
    })?;
    Ok(bytes.freeze())
}

fn image<S: StateMachine>(promise: &'static str, machine: &S) -> Result<Vec<u8>, Broken> {
    let mut bytes = Vec::new();
    let written = machine.snapshot().write_to(&mut bytes);
    written.map_err(|error| Broken::new(promise, format!("a snapshot cannot be written: {error}")))?;
    Ok(bytes)
}

/// Two machines give the same answers to the same commands, and end in the same state.
///
/// # Errors
/// The command at which they part.
pub fn deterministic<S: StateMachine>(
    make: &impl Fn() -> S,
    commands: &impl Fn() -> Vec<S::Command>,
) -> Result<(), Broken> {
    let (mut one, mut other) = (make(), make());
    for (place, (a, b)) in commands().into_iter().zip(commands()).enumerate() {
        let answers =
            (apply(DETERMINISTIC, &mut one, place, a)?, apply(DETERMINISTIC, &mut other, place, b)?);
        require(answers.0 == answers.1, DETERMINISTIC, || {
            format!("command {place} is answered in two ways")
        })?;
    }
    let images = (image(DETERMINISTIC, &one)?, image(DETERMINISTIC, &other)?);
    require(images.0 == images.1, DETERMINISTIC, || "the same commands lead to two states".to_owned())
}

/// Every command has an answer, which can be read back.
///
/// # Errors
/// The command without one.
pub fn total<S: StateMachine>(
    make: &impl Fn() -> S,
    commands: &impl Fn() -> Vec<S::Command>,
) -> Result<(), Broken> {
    let mut machine = make();
    for (place, command) in commands().into_iter().enumerate() {
        let answer = apply(TOTAL, &mut machine, place, command)?;
        let read = S::Response::decode(answer);
        require(read.is_ok(), TOTAL, || format!("the answer to command {place} cannot be read back"))?;
    }
    Ok(())
}

/// A snapshot taken after any command is of that moment, and a machine restored from it goes on as the original does.
///
/// # Errors
/// Where the two part.
pub fn restorable<S: StateMachine>(
    make: &impl Fn() -> S,
    commands: &impl Fn() -> Vec<S::Command>,
) -> Result<(), Broken> {
    let count = commands().len();
    for taken in [0, count / 3, count / 2, count] {
        let mut original = make();
        let mut rest = commands().into_iter().enumerate();
        for (place, command) in rest.by_ref().take(taken) {
            apply(RESTORABLE, &mut original, place, command)?;
        }
        let point = original.snapshot();
        let at_once = image(RESTORABLE, &original)?;
        let mut answers = Vec::new();
        for (place, command) in rest {
            answers.push(apply(RESTORABLE, &mut original, place, command)?);
        }
        let mut later = Vec::new();
        point.write_to(&mut later).map_err(|error| Broken::new(RESTORABLE, error.to_string()))?;
        require(later == at_once, RESTORABLE, || {
            format!("a snapshot taken after {taken} commands changes with later ones")
        })?;
        let mut restored = make();
        let read = restored.restore(&mut &later[..]);
        read.map_err(|failure| Broken::new(RESTORABLE, format!("after {taken} commands: {failure}")))?;
        for ((place, command), expected) in commands().into_iter().enumerate().skip(taken).zip(answers) {
            let answer = apply(RESTORABLE, &mut restored, place, command)?;
            require(answer == expected, RESTORABLE, || {
                format!("restored after {taken} commands, it answers command {place} otherwise")
            })?;
        }
        let images = (image(RESTORABLE, &original)?, image(RESTORABLE, &restored)?);
        require(images.0 == images.1, RESTORABLE, || {
            format!("restored after {taken} commands, it ends in another state")
        })?;
    }
    Ok(())
}
