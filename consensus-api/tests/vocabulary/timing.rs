//! `Timing` and the arithmetic of time: limits are told, and nothing overflows.

use std::time::Duration;

use quorate_consensus_api::{Index, LogTime, StartError, Time, Timing};

fn complaint_about(timing: Timing) -> Option<&'static str> {
    match timing.check() {
        Ok(()) => None,
        Err(StartError::Options { field, .. }) => Some(field),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn each_relation_between_the_times_is_checked() {
    let default = Timing::default();
    assert_eq!(complaint_about(default), None);
    let long = Duration::MAX;
    assert_eq!(complaint_about(Timing { heartbeat: Duration::ZERO, ..default }), Some("heartbeat"));
    assert_eq!(complaint_about(Timing { heartbeat: long, ..default }), Some("election_timeout_min"));
    assert_eq!(
        complaint_about(Timing { election_timeout_min: long, ..default }),
        Some("election_timeout_max")
    );
    let (just, short) = (Duration::from_millis(200), Duration::from_nanos(199_999_999));
    assert_eq!(complaint_about(Timing { election_timeout_min: just, ..default }), None);
    assert_eq!(
        complaint_about(Timing { election_timeout_min: short, ..default }),
        Some("election_timeout_min")
    );
}

#[test]
fn time_stops_at_its_ends() {
    assert_eq!(Time::MAX + Duration::from_secs(1), Time::MAX);
    assert_eq!(Time::ZERO + Duration::MAX, Time::MAX);
    assert_eq!(Time(5) - Duration::MAX, Time::ZERO);
    assert_eq!(Time(5).since(Time(9)), Duration::ZERO);
    assert_eq!(Time(9).since(Time(5)), Duration::from_nanos(4));
    assert_eq!(LogTime(5).millis_since(LogTime(9)), 0);
}

#[test]
fn an_index_stops_at_its_ends() {
    assert_eq!(Index::ZERO.prev(), Index::ZERO);
    assert_eq!(Index(u64::MAX).next(), Index(u64::MAX));
    assert_eq!(Index(u64::MAX - 1).plus(7), Index(u64::MAX));
    assert_eq!((Index(7).since(Index(3)), Index(3).since(Index(7))), (4, 0));
}
