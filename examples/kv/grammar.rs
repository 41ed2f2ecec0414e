//! What the words of each command mean. Each function is handed as many words as the table asks for, the command's name
//! first.

#![allow(clippy::unnecessary_wraps, reason = "all of them fit one table, those that never fail among them")]

use bytes::Bytes;

use crate::command::{Command, Condition, Lifetime, Query, Set, SetAnswer, Unit};
use crate::integer;
use crate::limits::Limits;
use crate::reply::Reply;
use crate::request::{Request, wrong_arity};
use crate::transaction::Boundary;

type Read = Result<Request, Reply>;

/// The longest a key may live, in milliseconds. Less than what an integer holds by more than a date takes, so that no
/// end is beyond counting.
const LIFETIME_MILLIS_MAX: i64 = i64::MAX - (1 << 42);

pub fn get(words: &[Bytes], limits: &Limits) -> Read {
    Ok(Request::Query(Query::Get(key(&words[1], limits)?)))
}

pub fn get_many(words: &[Bytes], limits: &Limits) -> Read {
    Ok(Request::Query(Query::GetMany(keys_of(&words[1..], limits)?)))
}

pub fn length(words: &[Bytes], limits: &Limits) -> Read {
    Ok(Request::Query(Query::Length(key(&words[1], limits)?)))
}

pub fn exists(words: &[Bytes], limits: &Limits) -> Read {
    Ok(Request::Query(Query::Exists(keys_of(&words[1..], limits)?)))
}

pub fn time_to_live(words: &[Bytes], limits: &Limits) -> Read {
    Ok(Request::Query(Query::TimeToLive { key: key(&words[1], limits)?, unit: Unit::Seconds }))
}

pub fn time_to_live_millis(words: &[Bytes], limits: &Limits) -> Read {
    Ok(Request::Query(Query::TimeToLive { key: key(&words[1], limits)?, unit: Unit::Millis }))
}

pub fn keys(words: &[Bytes], limits: &Limits) -> Read {
    Ok(Request::Query(Query::Keys(key(&words[1], limits)?)))
}

/// SCAN cursor [MATCH pattern] [COUNT count] [TYPE type]
pub fn scan(words: &[Bytes], limits: &Limits) -> Read {
    const COUNT_MAX: u64 = 10_000;
    let invalid = Reply::Error("ERR invalid cursor".into());
    let cursor = std::str::from_utf8(&words[1]).ok().and_then(|word| word.parse().ok()).ok_or(invalid)?;
    let (mut pattern, mut count) = (Bytes::from_static(b"*"), 10);
    let mut options = words[2..].iter();
    while let Some(option) = options.next() {
        let value = options.next().ok_or(Reply::SYNTAX_ERROR)?;
        match option.to_ascii_lowercase().as_slice() {
            b"match" => pattern = key(value, limits)?,
            b"count" => {
                let asked = u64::try_from(number(value)?).ok().filter(|count| *count > 0);
                count = asked.ok_or(Reply::SYNTAX_ERROR)?.min(COUNT_MAX);
            }
            // Everything is a string. Of other types there are no keys.
            b"type" if value.eq_ignore_ascii_case(b"string") => {}
            b"type" => {
                return Ok(Request::Answered(Reply::Array(vec![Reply::text("0"), Reply::Array(vec![])])));
            }
            _ => return Err(Reply::SYNTAX_ERROR),
        }
    }
    Ok(Request::Query(Query::Scan { cursor, pattern, count }))
}

pub fn multi(_: &[Bytes], _: &Limits) -> Read {
    Ok(Request::Boundary(Boundary::Multi))
}

pub fn exec(_: &[Bytes], _: &Limits) -> Read {
    Ok(Request::Boundary(Boundary::Exec))
}

pub fn discard(_: &[Bytes], _: &Limits) -> Read {
    Ok(Request::Boundary(Boundary::Discard))
}

pub fn watch(words: &[Bytes], limits: &Limits) -> Read {
    Ok(Request::Boundary(Boundary::Watch(keys_of(&words[1..], limits)?)))
}

pub fn unwatch(_: &[Bytes], _: &Limits) -> Read {
    Ok(Request::Boundary(Boundary::Unwatch))
}

pub fn count(_: &[Bytes], _: &Limits) -> Read {
    Ok(Request::Query(Query::Count))
}

pub fn kind(words: &[Bytes], limits: &Limits) -> Read {
    Ok(Request::Query(Query::Type(key(&words[1], limits)?)))
}

/// SET key value [NX | XX] [GET] [EX seconds | PX milliseconds | KEEPTTL]
pub fn set(words: &[Bytes], limits: &Limits) -> Read {
    let mut set = plain_set(&words[1], &words[2], limits)?;
    let mut lifetime: Option<(Unit, &Bytes)> = None;
    let mut options = words[3..].iter();
    while let Some(option) = options.next() {
        let kept = set.lifetime == Lifetime::Kept;
        let in_unit = |unit| !kept && lifetime.is_none_or(|(before, _)| before == unit);
        match option.to_ascii_lowercase().as_slice() {
            b"nx" if set.condition != Condition::IfPresent => set.condition = Condition::IfAbsent,
            b"xx" if set.condition != Condition::IfAbsent => set.condition = Condition::IfPresent,
            b"get" => set.answer = SetAnswer::Previous,
            b"keepttl" if lifetime.is_none() => set.lifetime = Lifetime::Kept,
            b"ex" if in_unit(Unit::Seconds) => {
                lifetime = Some((Unit::Seconds, options.next().ok_or(Reply::SYNTAX_ERROR)?));
            }
            b"px" if in_unit(Unit::Millis) => {
                lifetime = Some((Unit::Millis, options.next().ok_or(Reply::SYNTAX_ERROR)?));
            }
            _ => return Err(Reply::SYNTAX_ERROR),
        }
    }
    if let Some((unit, amount)) = lifetime {
        let millis = u64::try_from(millis(amount, unit, "set")?).ok().filter(|millis| *millis > 0);
        set.lifetime = Lifetime::Millis(millis.ok_or_else(|| invalid_expiry("set"))?);
    }
    Ok(Request::Command(Command::Set(set)))
}

pub fn set_if_absent(words: &[Bytes], limits: &Limits) -> Read {
    let plain = plain_set(&words[1], &words[2], limits)?;
    let set = Set { condition: Condition::IfAbsent, answer: SetAnswer::Flag, ..plain };
    Ok(Request::Command(Command::Set(set)))
}

pub fn get_and_set(words: &[Bytes], limits: &Limits) -> Read {
    let plain = plain_set(&words[1], &words[2], limits)?;
    Ok(Request::Command(Command::Set(Set { answer: SetAnswer::Previous, ..plain })))
}

pub fn set_many(words: &[Bytes], limits: &Limits) -> Read {
    let (pairs, []) = words[1..].as_chunks::<2>() else { return Err(wrong_arity("mset")) };
    let pairs = pairs.iter().map(|[name, content]| Ok((key(name, limits)?, value(content, limits)?)));
    let pairs: Result<Vec<_>, Reply> = pairs.collect();
    Ok(Request::Command(Command::SetMany(pairs?)))
}

pub fn delete(words: &[Bytes], limits: &Limits) -> Read {
    Ok(Request::Command(Command::Delete(keys_of(&words[1..], limits)?)))
}

pub fn increment(words: &[Bytes], limits: &Limits) -> Read {
    add(&words[1], 1, limits)
}

pub fn increment_by(words: &[Bytes], limits: &Limits) -> Read {
    add(&words[1], number(&words[2])?, limits)
}

pub fn decrement(words: &[Bytes], limits: &Limits) -> Read {
    add(&words[1], -1, limits)
}

pub fn decrement_by(words: &[Bytes], limits: &Limits) -> Read {
    let overflow = Reply::Error("ERR decrement would overflow".into());
    add(&words[1], number(&words[2])?.checked_neg().ok_or(overflow)?, limits)
}

pub fn append(words: &[Bytes], limits: &Limits) -> Read {
    let (key, tail) = (key(&words[1], limits)?, value(&words[2], limits)?);
    Ok(Request::Command(Command::Append { key, tail, value_bytes_max: limits.value_bytes_max as u64 }))
}

pub fn expire(words: &[Bytes], limits: &Limits) -> Read {
    let millis = millis(&words[2], Unit::Seconds, "expire")?;
    Ok(Request::Command(Command::Expire { key: key(&words[1], limits)?, millis }))
}

pub fn expire_millis(words: &[Bytes], limits: &Limits) -> Read {
    let millis = millis(&words[2], Unit::Millis, "pexpire")?;
    Ok(Request::Command(Command::Expire { key: key(&words[1], limits)?, millis }))
}

pub fn persist(words: &[Bytes], limits: &Limits) -> Read {
    Ok(Request::Command(Command::Persist { key: key(&words[1], limits)? }))
}

/// CAS key old new: 1 if the value was `old` and is `new` now, otherwise 0.
pub fn compare_and_set(words: &[Bytes], limits: &Limits) -> Read {
    let (old, new) = (value(&words[2], limits)?, value(&words[3], limits)?);
    Ok(Request::Command(Command::CompareAndSet { key: key(&words[1], limits)?, old, new }))
}

/// FLUSHALL [ASYNC | SYNC]: it is the same to us.
pub fn clear(words: &[Bytes], _: &Limits) -> Read {
    match &words[1..] {
        [] => Ok(Request::Command(Command::Clear)),
        [mode] if mode.eq_ignore_ascii_case(b"async") || mode.eq_ignore_ascii_case(b"sync") => {
            Ok(Request::Command(Command::Clear))
        }
        _ => Err(Reply::SYNTAX_ERROR),
    }
}

pub fn ping(words: &[Bytes], _: &Limits) -> Read {
    match &words[1..] {
        [] => Ok(Request::Answered(Reply::Simple("PONG"))),
        [text] => Ok(Request::Answered(Reply::Bulk(text.clone()))),
        _ => Err(wrong_arity("ping")),
    }
}

pub fn echo(words: &[Bytes], _: &Limits) -> Read {
    Ok(Request::Answered(Reply::Bulk(words[1].clone())))
}

/// SELECT 0: there is one database.
pub fn select(words: &[Bytes], _: &Limits) -> Read {
    match number(&words[1])? {
        0 => Ok(Request::Answered(Reply::OK)),
        _ => Err(Reply::Error("ERR DB index is out of range".into())),
    }
}

pub fn session(words: &[Bytes], _: &Limits) -> Read {
    Ok(Request::Session(words.to_vec()))
}

fn plain_set(name: &Bytes, content: &Bytes, limits: &Limits) -> Result<Set, Reply> {
    Ok(Set {
        key: key(name, limits)?,
        value: value(content, limits)?,
        condition: Condition::Always,
        lifetime: Lifetime::Unlimited,
        answer: SetAnswer::Done,
    })
}

fn add(name: &Bytes, delta: i64, limits: &Limits) -> Read {
    Ok(Request::Command(Command::Add { key: key(name, limits)?, delta }))
}

fn keys_of(words: &[Bytes], limits: &Limits) -> Result<Vec<Bytes>, Reply> {
    words.iter().map(|word| key(word, limits)).collect()
}

fn key(word: &Bytes, limits: &Limits) -> Result<Bytes, Reply> {
    if word.len() > limits.key_bytes_max {
        let bytes_max = limits.key_bytes_max;
        return Err(Reply::error(format!("ERR key exceeds maximum allowed size ({bytes_max} bytes)")));
    }
    Ok(word.clone())
}

fn value(word: &Bytes, limits: &Limits) -> Result<Bytes, Reply> {
    if word.len() > limits.value_bytes_max { Err(Reply::TOO_LONG) } else { Ok(word.clone()) }
}

fn number(word: &[u8]) -> Result<i64, Reply> {
    integer::parse(word).ok_or(Reply::NOT_AN_INTEGER)
}

fn millis(word: &[u8], unit: Unit, command: &str) -> Result<i64, Reply> {
    let factor = match unit {
        Unit::Seconds => 1000,
        Unit::Millis => 1,
    };
    let millis = number(word)?.checked_mul(factor).filter(|millis| *millis <= LIFETIME_MILLIS_MAX);
    millis.ok_or_else(|| invalid_expiry(command))
}

fn invalid_expiry(command: &str) -> Reply {
    Reply::error(format!("ERR invalid expire time in '{command}' command"))
}
