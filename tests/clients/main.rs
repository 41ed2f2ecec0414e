//! Clients in other processes than the members: exactly once through kills, partitions and changes of leadership; and
//! ports that take anything from anybody. Every chapter is mounted once per engine.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod cluster;
#[macro_use]
#[path = "../engines/mod.rs"]
mod engines;
mod exactly_once;
mod ports;

/// Mounts every test of every chapter on one engine.
macro_rules! mount {
    ($name:ident, $engine:ty: $($chapter:ident { $($test:ident),+ $(,)? })+) => {
        mod $name {
            $(mod $chapter {
                $(#[test]
                fn $test() {
                    crate::cluster::on_engine::<$engine>(crate::$chapter::$test::<$engine>());
                })+
            })+
        }
    };
}

/// Every chapter, on the engine given.
macro_rules! all_chapters {
    ($name:ident, $engine:ty) => {
        mount! { $name, $engine:
            exactly_once {
                a_counter_is_incremented_exactly_as_often_as_it_was_told,
                a_client_reads_its_own_writes_on_every_member,
                an_expired_session_is_replaced_when_nothing_can_have_happened,
            }
            ports {
                strangers_and_nonsense_are_turned_away_and_the_port_goes_on,
                clients_beyond_the_limit_are_refused_in_words,
                what_members_refuse_reaches_the_client,
            }
        }
    };
}

on_every_engine!(all_chapters);
