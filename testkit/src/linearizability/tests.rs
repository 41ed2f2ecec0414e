//! Histories known to be good and bad, small ones by trying every order, and large ones.

use super::*;
use crate::Random;

fn is_good(calls: &[Call]) -> bool {
    check(calls).is_ok()
}

#[test]
fn an_empty_history_and_one_without_overlaps_are_what_they_look_like() {
    assert!(is_good(&[]));
    let good = [
        Call::write(0, Some(1), 5),
        Call::read(2, 3, Some(5)),
        Call::write(4, Some(5), 6),
        Call::read(6, 7, Some(6)),
    ];
    assert!(is_good(&good));
    let stale = [Call::write(0, Some(1), 5), Call::write(2, Some(3), 6), Call::read(4, 5, Some(5))];
    assert_eq!(check(&stale), Err(NotLinearizable::BothFirst { one: Some(5), other: Some(6) }));
}

#[test]
fn overlapping_calls_may_take_either_order_but_only_one() {
    let write = Call::write(0, Some(10), 1);
    assert!(is_good(&[write, Call::read(1, 2, None), Call::read(3, 4, Some(1))]));
    assert!(
        !is_good(&[write, Call::read(1, 2, Some(1)), Call::read(3, 4, None)]),
        "it was seen, and then not"
    );
}

#[test]
fn two_readers_never_see_two_writes_in_different_orders() {
    let writes = [Call::write(0, Some(100), 1), Call::write(0, Some(100), 2)];
    let reads = [Call::read(10, 11, Some(1)), Call::read(12, 13, Some(2)), Call::read(14, 15, Some(1))];
    assert!(!is_good(&[&writes[..], &reads[..]].concat()));
    assert!(is_good(&[&writes[..], &reads[..2]].concat()));
}

#[test]
fn a_write_nobody_knows_of_may_happen_late_or_never_but_not_early_or_twice() {
    let lost = Call::write(5, None, 9);
    assert!(is_good(&[lost, Call::read(6, 7, None), Call::read(100, 101, Some(9))]));
    assert!(is_good(&[lost, Call::read(100, 101, None)]));
    assert!(!is_good(&[Call::read(1, 2, Some(9)), lost]), "before it was asked");
    let other = Call::write(20, Some(21), 3);
    let reads = [Call::read(10, 11, Some(9)), Call::read(30, 31, Some(9))];
    assert!(!is_good(&[&[lost, other][..], &reads[..]].concat()), "once before the other, and once after");
}

#[test]
fn a_value_that_nobody_wrote_is_seen_by_nobody() {
    let history = [Call::write(0, Some(1), 5), Call::read(2, 3, Some(6))];
    assert_eq!(check(&history), Err(NotLinearizable::FromNowhere { value: Some(6) }));
    let twice = [Call::write(0, Some(1), 5), Call::write(2, Some(3), 5)];
    assert_eq!(check(&twice), Err(NotLinearizable::WrittenTwice { value: 5 }));
}

/// Every order that agrees with real time, one by one.
fn by_trying(calls: &[Call], left: &mut Vec<usize>, value: Option<u64>) -> bool {
    if left.iter().all(|at| calls[*at].answered.is_none()) {
        return true;
    }
    let soonest = left.iter().filter_map(|at| calls[*at].answered).min().unwrap_or(u64::MAX);
    for place in 0..left.len() {
        let call = calls[left[place]];
        let value = match call.action {
            _ if call.invoked > soonest => continue,
            Action::Write(value) => Some(value),
            Action::Read(saw) if saw == value => saw,
            Action::Read(_) => continue,
        };
        let at = left.remove(place);
        let found = by_trying(calls, left, value);
        left.insert(place, at);
        if found {
            return true;
        }
    }
    false
}

#[test]
fn small_histories_get_the_verdict_of_trying_every_order() {
    let mut random = Random::new(1);
    let (mut good, mut bad) = (0, 0);
    for _ in 0..4000 {
        let count = random.between(2, 7);
        let calls: Vec<Call> = (0..count)
            .map(|value| {
                let from = random.below(12);
                let upto = from + random.below(6);
                match random.below(5) {
                    0 | 1 => Call::write(from, Some(upto), value),
                    2 => Call::write(from, None, value),
                    _ => Call::read(
                        from,
                        upto,
                        random.one_in(4).then_some(0).or_else(|| Some(random.below(count))),
                    ),
                }
            })
            .collect();
        let expected = by_trying(&calls, &mut (0..calls.len()).collect(), None);
        assert_eq!(is_good(&calls), expected, "{calls:?}");
        if expected { good += 1 } else { bad += 1 }
    }
    assert!(good > 300 && bad > 300, "{good} good, {bad} bad: the test shows nothing");
}

/// What a real register shows to `clients` that overlap.
fn recorded(count: u64, clients: u64, random: &mut Random) -> Vec<Call> {
    let mut calls = Vec::new();
    let (mut value, mut free) = (None, vec![0; clients as usize]);
    let mut now = 0;
    for op in 0..count {
        now += random.below(3);
        let client = random.below(clients) as usize;
        let from = now.max(free[client]);
        // It takes effect at `now`, or when its client is free.
        now = from;
        let (invoked, answered) =
            (from.saturating_sub(random.below(4)).max(free[client]), from + random.below(8));
        free[client] = answered + 1;
        if random.one_in(2) {
            value = Some(op);
            let known = !random.one_in(20);
            calls.push(Call::write(invoked, known.then_some(answered), op));
        } else {
            calls.push(Call::read(invoked, answered, value));
        }
    }
    calls
}

#[test]
fn ten_thousand_calls_to_one_register_are_no_trouble() {
    let mut random = Random::new(2);
    for _ in 0..3 {
        let mut calls = recorded(10_000, 8, &mut random);
        assert_eq!(check(&calls), Ok(()));
        // A value that was long gone is seen once more.
        let (first, last) =
            (calls.iter().find(|call| matches!(call.action, Action::Write(_))).copied(), calls.len() - 1);
        let Some(Call { action: Action::Write(old), .. }) = first else { panic!("it wrote") };
        let end = calls[last].invoked + 1000;
        calls.push(Call::read(end, end + 1, Some(old)));
        assert!(!is_good(&calls));
    }
}

#[test]
fn a_write_at_the_very_beginning_is_seen_by_a_later_read() {
    let write = Call::write(0, Some(10), 7);
    assert!(check(&[write, Call::read(5, 6, None)]).is_ok());
    assert!(check(&[write, Call::read(11, 12, None)]).is_err());
}
