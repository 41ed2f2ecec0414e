//! [`Request`]: what a client asks for, read from its words by the table of commands.

use bytes::Bytes;

use crate::admin::{self, Admin};
use crate::command::{Command, Query};
use crate::grammar;
use crate::limits::Limits;
use crate::reply::Reply;
use crate::transaction::{Boundary, Queue};

/// What is to be done about a client's command.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Request {
    /// Nothing: this is the answer.
    Answered(Reply),
    /// Ask the store.
    Query(Query),
    /// Change the store.
    Command(Command),
    /// It concerns the connection or the node, so the [`Session`](crate::session::Session) sees to it.
    Session(Vec<Bytes>),
    /// It concerns the cluster.
    Admin(Admin),
    /// It begins, ends or guards a transaction.
    Boundary(Boundary),
    /// Carry out a transaction.
    Execute(Queue),
    /// There will be no transaction, and this is the answer.
    Abandon(Reply),
    /// No such command, or not with so many words; this is the answer.
    Rejected(Reply),
}

/// A command that this server knows.
pub struct Entry {
    pub name: &'static str,
    /// How many words it has, itself among them; a negative number is a minimum.
    pub arity: i64,
    pub flag: Flag,
    /// Its first and last key among its words, and from key to key; what COMMAND says.
    pub keys: [i64; 3],
    read: Grammar,
}

/// Reads the words of one command, of which there are as many as its arity asks for.
type Grammar = fn(&[Bytes], &Limits) -> Result<Request, Reply>;

/// What kind of command it is, as COMMAND says it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flag {
    ReadOnly,
    Write,
    Fast,
}

impl Flag {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ReadOnly => "readonly",
            Self::Write => "write",
            Self::Fast => "fast",
        }
    }
}

const NO_KEYS: [i64; 3] = [0, 0, 0];
const ONE_KEY: [i64; 3] = [1, 1, 1];
const ALL_KEYS: [i64; 3] = [1, -1, 1];

const fn entry(name: &'static str, arity: i64, flag: Flag, keys: [i64; 3], read: Grammar) -> Entry {
    Entry { name, arity, flag, keys, read }
}

/// Every command there is, the frequent ones first.
pub const TABLE: &[Entry] = &[
    entry("get", 2, Flag::ReadOnly, ONE_KEY, grammar::get),
    entry("set", -3, Flag::Write, ONE_KEY, grammar::set),
    entry("incr", 2, Flag::Write, ONE_KEY, grammar::increment),
    entry("del", -2, Flag::Write, ALL_KEYS, grammar::delete),
    entry("mget", -2, Flag::ReadOnly, ALL_KEYS, grammar::get_many),
    entry("mset", -3, Flag::Write, [1, -1, 2], grammar::set_many),
    entry("ping", -1, Flag::Fast, NO_KEYS, grammar::ping),
    entry("exists", -2, Flag::ReadOnly, ALL_KEYS, grammar::exists),
    entry("setnx", 3, Flag::Write, ONE_KEY, grammar::set_if_absent),
    entry("getset", 3, Flag::Write, ONE_KEY, grammar::get_and_set),
    entry("cas", 4, Flag::Write, ONE_KEY, grammar::compare_and_set),
    entry("incrby", 3, Flag::Write, ONE_KEY, grammar::increment_by),
    entry("decr", 2, Flag::Write, ONE_KEY, grammar::decrement),
    entry("decrby", 3, Flag::Write, ONE_KEY, grammar::decrement_by),
    entry("append", 3, Flag::Write, ONE_KEY, grammar::append),
    entry("strlen", 2, Flag::ReadOnly, ONE_KEY, grammar::length),
    entry("expire", 3, Flag::Write, ONE_KEY, grammar::expire),
    entry("pexpire", 3, Flag::Write, ONE_KEY, grammar::expire_millis),
    entry("ttl", 2, Flag::ReadOnly, ONE_KEY, grammar::time_to_live),
    entry("pttl", 2, Flag::ReadOnly, ONE_KEY, grammar::time_to_live_millis),
    entry("persist", 2, Flag::Write, ONE_KEY, grammar::persist),
    entry("keys", 2, Flag::ReadOnly, NO_KEYS, grammar::keys),
    entry("scan", -2, Flag::ReadOnly, NO_KEYS, grammar::scan),
    entry("multi", 1, Flag::Fast, NO_KEYS, grammar::multi),
    entry("exec", 1, Flag::Write, NO_KEYS, grammar::exec),
    entry("discard", 1, Flag::Fast, NO_KEYS, grammar::discard),
    entry("watch", -2, Flag::Fast, ALL_KEYS, grammar::watch),
    entry("unwatch", 1, Flag::Fast, NO_KEYS, grammar::unwatch),
    entry("dbsize", 1, Flag::ReadOnly, NO_KEYS, grammar::count),
    entry("type", 2, Flag::ReadOnly, ONE_KEY, grammar::kind),
    entry("flushall", -1, Flag::Write, NO_KEYS, grammar::clear),
    entry("echo", 2, Flag::Fast, NO_KEYS, grammar::echo),
    entry("select", 2, Flag::Fast, NO_KEYS, grammar::select),
    entry("info", -1, Flag::Fast, NO_KEYS, grammar::session),
    entry("command", -1, Flag::Fast, NO_KEYS, grammar::session),
    entry("client", -2, Flag::Fast, NO_KEYS, grammar::session),
    entry("config", -2, Flag::Fast, NO_KEYS, grammar::session),
    entry("hello", -1, Flag::Fast, NO_KEYS, grammar::session),
    entry("readonly", 1, Flag::Fast, NO_KEYS, grammar::session),
    entry("readwrite", 1, Flag::Fast, NO_KEYS, grammar::session),
    entry("admin", -2, Flag::Fast, NO_KEYS, admin::read),
    entry("quit", -1, Flag::Fast, NO_KEYS, grammar::session),
];

/// The command of this name, in whatever case it is written.
pub fn find(name: &[u8]) -> Option<&'static Entry> {
    TABLE.iter().find(|entry| entry.name.as_bytes().eq_ignore_ascii_case(name))
}

impl Request {
    /// Reads a client's words. What is wrong with them is answered at once.
    pub fn read(words: &[Bytes], limits: &Limits) -> Self {
        let Some((name, arguments)) = words.split_first() else {
            return Self::Rejected(unknown(b"", &[]));
        };
        let Some(entry) = find(name) else { return Self::Rejected(unknown(name, arguments)) };
        let count = i64::try_from(words.len()).unwrap_or(i64::MAX);
        if count != entry.arity && (entry.arity > 0 || count < -entry.arity) {
            return Self::Rejected(wrong_arity(entry.name));
        }
        (entry.read)(words, limits).unwrap_or_else(Self::Answered)
    }
}

pub fn wrong_arity(name: &str) -> Reply {
    Reply::error(format!("ERR wrong number of arguments for '{name}' command"))
}

/// How much of a client's own words an error repeats, in bytes.
const REPEATED_BYTES_MAX: usize = 128;

fn unknown(name: &[u8], arguments: &[Bytes]) -> Reply {
    let mut repeated = String::new();
    for argument in arguments {
        let Some(room) = REPEATED_BYTES_MAX.checked_sub(repeated.len()).filter(|room| *room > 0) else {
            break;
        };
        repeated.extend(["'", &beginning(argument, room), "' "]);
    }
    let name = beginning(name, REPEATED_BYTES_MAX);
    Reply::error(format!("ERR unknown command '{name}', with args beginning with: {repeated}"))
}

/// At most the first `bytes_max` bytes, as text.
pub fn beginning(bytes: &[u8], bytes_max: usize) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(bytes_max)]).into_owned()
}
