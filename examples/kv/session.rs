//! [`Session`]: what a connection knows of itself, and the commands about connections and nodes: HELLO, CLIENT, CONFIG,
//! COMMAND, INFO, READONLY, READWRITE, QUIT.

use bytes::Bytes;
use quorate::Status;

use crate::glob;
use crate::integer;
use crate::level::Level;
use crate::limits::Limits;
use crate::reply::{Protocol, Reply};
use crate::request::{Entry, TABLE, beginning, find, wrong_arity};

/// The version of Redis that clients may take this server for, those that look at it before they use a command.
const REDIS_VERSION: &str = "7.0.0";

/// One client's connection.
#[derive(Debug)]
pub struct Session {
    id: u64,
    name: Bytes,
    pub protocol: Protocol,
    /// What its queries must have seen.
    pub level: Level,
    /// The client has said that it is done.
    pub quits: bool,
}

/// What INFO and CONFIG tell of the member that serves the connection.
#[derive(Debug)]
pub struct Surroundings {
    pub status: Status,
    pub limits: Limits,
    pub port: u16,
    pub connections: usize,
    pub uptime_seconds: u64,
}

impl Session {
    pub fn new(id: u64) -> Self {
        Self { id, name: Bytes::new(), protocol: Protocol::default(), level: Level::default(), quits: false }
    }

    /// Carries out one of the session's commands.
    pub fn answer(&mut self, words: &[Bytes], around: impl Fn() -> Surroundings) -> Reply {
        let (name, arguments) =
            words.split_first().map_or((&b""[..], words), |(name, rest)| (&name[..], rest));
        match lower(name).as_str() {
            "hello" => self.hello(arguments),
            "client" => self.client(arguments),
            "config" => config(arguments, &around().limits),
            "command" => command(arguments),
            "info" => info(arguments, &around()),
            "readonly" => {
                self.level = Level::READONLY;
                Reply::OK
            }
            "readwrite" => {
                self.level = Level::default();
                Reply::OK
            }
            "quit" => {
                self.quits = true;
                Reply::OK
            }
            other => unknown_subcommand(other, b""),
        }
    }

    /// HELLO [2 | 3 [SETNAME name]]
    fn hello(&mut self, arguments: &[Bytes]) -> Reply {
        let (version, mut options) = match arguments.split_first() {
            None => (None, arguments),
            Some((version, options)) => (Some(integer::parse(version)), options),
        };
        let protocol = match version {
            None => self.protocol,
            Some(Some(2)) => Protocol::Resp2,
            Some(Some(3)) => Protocol::Resp3,
            Some(Some(_)) => return Reply::Error("NOPROTO unsupported protocol version".into()),
            Some(None) => {
                return Reply::Error("ERR Protocol version is not an integer or out of range".into());
            }
        };
        while let Some((option, rest)) = options.split_first() {
            match rest.split_first() {
                Some((name, rest)) if lower(option) == "setname" => {
                    if !is_client_name(name) {
                        return BAD_CLIENT_NAME;
                    }
                    self.name = name.clone();
                    options = rest;
                }
                _ => {
                    let option = beginning(option, 128);
                    return Reply::error(format!("ERR Syntax error in HELLO option '{option}'"));
                }
            }
        }
        self.protocol = protocol;
        let version = match protocol {
            Protocol::Resp2 => 2,
            Protocol::Resp3 => 3,
        };
        Reply::Map(vec![
            (Reply::text("server"), Reply::text("redis")),
            (Reply::text("version"), Reply::text(REDIS_VERSION)),
            (Reply::text("proto"), Reply::Integer(version)),
            (Reply::text("id"), Reply::count(self.id)),
            (Reply::text("mode"), Reply::text("standalone")),
            (Reply::text("role"), Reply::text("master")),
            (Reply::text("modules"), Reply::Array(vec![])),
        ])
    }

    /// CLIENT ID | GETNAME | SETNAME name | SETINFO attribute value | INFO | READLEVEL level
    fn client(&mut self, arguments: &[Bytes]) -> Reply {
        let (subcommand, rest) = first_lower(arguments);
        match (subcommand.as_str(), rest) {
            ("id", []) => Reply::count(self.id),
            ("getname", []) if self.name.is_empty() => Reply::Nil,
            ("getname", []) => Reply::Bulk(self.name.clone()),
            ("setname", [name]) if is_client_name(name) => {
                self.name = name.clone();
                Reply::OK
            }
            ("setname", [_]) => BAD_CLIENT_NAME,
            ("setinfo", [_, _]) => Reply::OK,
            ("info", []) => {
                Reply::text(format!("id={} name={} db=0\n", self.id, String::from_utf8_lossy(&self.name)))
            }
            ("readlevel", words) => match Level::read(words) {
                Some(level) => {
                    self.level = level;
                    Reply::OK
                }
                None => BAD_LEVEL,
            },
            ("id" | "getname" | "setname" | "setinfo" | "info", _) => {
                wrong_arity(&format!("client|{subcommand}"))
            }
            _ => unknown_subcommand("CLIENT", &arguments[0]),
        }
    }
}

const BAD_LEVEL: Reply = Reply::Error(std::borrow::Cow::Borrowed(
    "ERR the read levels are LINEARIZABLE, LEASE, OWNWRITES and STALE milliseconds",
));

const BAD_CLIENT_NAME: Reply = Reply::Error(std::borrow::Cow::Borrowed(
    "ERR Client names cannot contain spaces, newlines or special characters.",
));

fn is_client_name(name: &[u8]) -> bool {
    name.iter().all(u8::is_ascii_graphic)
}

/// CONFIG GET pattern...
fn config(arguments: &[Bytes], limits: &Limits) -> Reply {
    let (subcommand, patterns) = first_lower(arguments);
    if subcommand != "get" {
        return unknown_subcommand("CONFIG", &arguments[0]);
    }
    if patterns.is_empty() {
        return wrong_arity("config|get");
    }
    let parameters = [
        ("appendonly", "yes".to_owned()),
        ("databases", "1".to_owned()),
        ("maxclients", limits.connections_max.to_string()),
        ("proto-max-bulk-len", limits.value_bytes_max.to_string()),
        ("save", String::new()),
    ];
    let wanted = |name: &str| {
        patterns.iter().any(|pattern| glob::matches(&pattern.to_ascii_lowercase(), name.as_bytes()))
    };
    let chosen = parameters.into_iter().filter(|(name, _)| wanted(name));
    Reply::Map(chosen.map(|(name, value)| (Reply::text(name), Reply::text(value))).collect())
}

/// COMMAND [COUNT | LIST | INFO name... | DOCS name...]
fn command(arguments: &[Bytes]) -> Reply {
    let (subcommand, names) = first_lower(arguments);
    match subcommand.as_str() {
        "" => Reply::Array(TABLE.iter().map(description).collect()),
        "count" => Reply::count(TABLE.len()),
        "list" => Reply::Array(TABLE.iter().map(|entry| Reply::text(entry.name)).collect()),
        "info" if names.is_empty() => Reply::Array(TABLE.iter().map(description).collect()),
        "info" => Reply::Array(names.iter().map(|name| find(name).map_or(Reply::Nil, description)).collect()),
        "docs" => Reply::Map(vec![]),
        _ => unknown_subcommand("COMMAND", &arguments[0]),
    }
}

/// Name, arity, flags, first key, last key, step: the form that every client understands.
fn description(entry: &Entry) -> Reply {
    let flags = Reply::Array(vec![Reply::Simple(entry.flag.as_str())]);
    let mut parts = vec![Reply::text(entry.name), Reply::Integer(entry.arity), flags];
    parts.extend(entry.keys.map(Reply::Integer));
    Reply::Array(parts)
}

/// INFO [section...]
fn info(sections: &[Bytes], around: &Surroundings) -> Reply {
    let Surroundings { status, limits, port, connections, uptime_seconds } = around;
    let leader = status.leader.map_or("-1".to_owned(), |leader| leader.to_string());
    let server = format!(
        "# Server\r\nredis_version:{REDIS_VERSION}\r\nquorate_version:{}\r\nprocess_id:{}\r\n\
         tcp_port:{port}\r\nuptime_in_seconds:{uptime_seconds}\r\n",
        env!("CARGO_PKG_VERSION"),
        std::process::id()
    );
    let clients =
        format!("# Clients\r\nconnected_clients:{connections}\r\nmaxclients:{}\r\n", limits.connections_max);
    let replication = format!(
        "# Replication\r\nrole:{}\r\nnode_id:{}\r\nleader_id:{leader}\r\nterm:{}\r\ncommit_index:{}\r\n\
         applied_index:{}\r\nengine:{}\r\n",
        status.role.as_str(),
        status.node,
        status.generation.round,
        status.commit,
        status.applied,
        status.engine
    );
    let all = [("server", server), ("clients", clients), ("replication", replication)];
    let wanted = |section: &str| {
        let named = |word: &Bytes| [section, "all", "default", "everything"].contains(&lower(word).as_str());
        sections.is_empty() || sections.iter().any(named)
    };
    let chosen = all.into_iter().filter(|(section, _)| wanted(section)).map(|(_, text)| text);
    Reply::text(chosen.collect::<Vec<_>>().join("\r\n"))
}

fn unknown_subcommand(command: &str, subcommand: &[u8]) -> Reply {
    let subcommand = beginning(subcommand, 128);
    Reply::error(format!("ERR unknown subcommand '{subcommand}'. Try {command} HELP."))
}

fn first_lower(words: &[Bytes]) -> (String, &[Bytes]) {
    words.split_first().map_or((String::new(), words), |(first, rest)| (lower(first), rest))
}

fn lower(word: &[u8]) -> String {
    String::from_utf8_lossy(word).to_ascii_lowercase()
}
