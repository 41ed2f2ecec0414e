//! The listed commands against Debian's redis-server and against kv: the same bytes in, the same bytes out.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use redis_protocol::resp2::decode::decode;
use tempfile::TempDir;

use crate::ports::free_ports;
use crate::processes::{Cluster, MEMBERS, PATIENCE, wait_for};

/// A server of the original, if it is installed. Ends with the test.
pub(crate) struct Original {
    process: Child,
    pub(crate) port: u16,
    _folder: TempDir,
}

impl Original {
    pub(crate) fn start() -> Option<Self> {
        let [port] = free_ports();
        let folder = TempDir::new().expect("a folder for the test");
        let started = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""])
            .args(["--proto-max-bulk-len", "1mb", "--databases", "1"])
            .current_dir(folder.path())
            .stdout(Stdio::null())
            .spawn();
        let Ok(process) = started else {
            println!("skipped: no redis-server is installed to compare with");
            return None;
        };
        let original = Self { process, port, _folder: folder };
        wait_for("redis-server", || TcpStream::connect(("127.0.0.1", port)).ok());
        Some(original)
    }
}

impl Drop for Original {
    fn drop(&mut self) {
        let ended = self.process.kill().and_then(|()| self.process.wait());
        ended.expect("a process of ours can be killed");
    }
}

/// A connection that hands over bytes and takes bytes.
pub(crate) struct Wire(TcpStream);

impl Wire {
    pub(crate) fn connect(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("the server listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time limit");
        stream.set_nodelay(true).expect("no delay");
        Self(stream)
    }

    /// Sends these bytes and one more command behind them, whose answer shows where theirs end.
    pub(crate) fn exchange(&mut self, bytes: &[u8]) -> String {
        const LAST: &[u8] = b"$13\r\nthat was all.\r\n";
        self.0.write_all(&[bytes, &encode(&["ECHO", "that was all."])].concat()).expect("it takes bytes");
        let (mut answer, mut chunk) = (Vec::new(), [0; 4096]);
        while !answer.ends_with(LAST) {
            let count = self.0.read(&mut chunk).expect("it answers in time");
            assert!(count > 0, "closed after {}", answer.escape_ascii());
            answer.extend(&chunk[..count]);
        }
        answer.truncate(answer.len() - LAST.len());
        answer.escape_ascii().to_string()
    }

    /// Sends one command and returns its one answer, in the second version of the protocol.
    pub(crate) fn ask(&mut self, bytes: &[u8]) -> String {
        self.0.write_all(bytes).expect("it takes bytes");
        let (mut answer, mut chunk) = (Vec::new(), [0; 4096]);
        while decode(&answer).expect("it is an answer").is_none_or(|(_, length)| length < answer.len()) {
            let count = self.0.read(&mut chunk).expect("it answers in time");
            assert!(count > 0, "closed after {}", answer.escape_ascii());
            answer.extend(&chunk[..count]);
        }
        answer.escape_ascii().to_string()
    }

    /// Sends these bytes and returns all that is answered until the server closes the connection.
    fn last_words(mut self, bytes: &[u8]) -> String {
        self.0.write_all(bytes).expect("it takes bytes");
        let mut answer = Vec::new();
        let closed = self.0.read_to_end(&mut answer);
        closed.unwrap_or_else(|error| panic!("{} and then {error}", answer.escape_ascii()));
        answer.escape_ascii().to_string()
    }
}

pub(crate) fn encode(words: &[&str]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend(format!("${}\r\n{word}\r\n", word.len()).bytes());
    }
    bytes
}

/// The words of a line; `''` is the empty word.
pub(crate) fn words(line: &str) -> Vec<&str> {
    line.split(' ').map(|word| if word == "''" { "" } else { word }).collect()
}

/// Commands in order; a digit alone means: wait so many tenths of a second.
const LINES: &str = include_str!("commands.txt");

#[test]
fn every_command_is_answered_as_redis_answers_it() {
    let Some(original) = Original::start() else { return };
    let cluster = Cluster::start();
    let mut redis = Wire::connect(original.port);
    let mut members = MEMBERS.map(|id| Wire::connect(cluster.client_port(id)));
    let lines = LINES.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    for (turn, line) in lines.enumerate() {
        if let Ok(tenths) = line.parse::<u64>() {
            sleep(Duration::from_millis(100 * tenths));
            continue;
        }
        let bytes = encode(&words(line));
        // Each command goes through another member: it must make no difference.
        let ours = members[turn % MEMBERS.len()].exchange(&bytes);
        assert_eq!(comparable(line, ours), comparable(line, redis.exchange(&bytes)), "{line}");
    }
}

/// KEYS has no order in Redis.
fn comparable(line: &str, answer: String) -> String {
    if !line.to_ascii_lowercase().starts_with("keys ") {
        return answer;
    }
    let mut parts: Vec<&str> = answer.split("\\r\\n").collect();
    parts.sort_unstable();
    parts.join(" ")
}

#[test]
fn pipelines_of_random_commands_are_answered_as_redis_answers_them() {
    let Some(original) = Original::start() else { return };
    let cluster = Cluster::start();
    let mut redis = Wire::connect(original.port);
    let mut members = MEMBERS.map(|id| Wire::connect(cluster.client_port(id)));
    let mut random = Random(7);
    for round in 0..60 {
        let lines: Vec<String> = (0..=random.below(200)).map(|_| random.command()).collect();
        let bytes: Vec<u8> = lines.iter().flat_map(|line| encode(&words(line))).collect();
        let ours = members[round % MEMBERS.len()].exchange(&bytes);
        assert_eq!(ours, redis.exchange(&bytes), "round {round}: {lines:?}");
    }
}

/// The same sequence in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }

    fn one_of<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }

    fn command(&mut self) -> String {
        const FORMS: [&str; 30] = [
            "GET k",
            "GET k",
            "GET k",
            "MGET k k k",
            "STRLEN k",
            "EXISTS k k",
            "TYPE k",
            "DBSIZE",
            "PING",
            "TTL k",
            "SET k v",
            "SET k v",
            "SET k v NX",
            "SET k v XX",
            "SET k v GET",
            "SET k v KEEPTTL",
            "SET k v EX 1000",
            "SETNX k v",
            "GETSET k v",
            "MSET k v k v",
            "DEL k k",
            "INCR k",
            "DECR k",
            "INCRBY k v",
            "DECRBY k v",
            "APPEND k v",
            "EXPIRE k 1000",
            "PERSIST k",
            "EXPIRE k -1",
            "GETX k",
        ];
        let form = self.one_of(&FORMS);
        let fill = |word: &str| {
            match word {
                "k" => self.one_of(&["a", "b", "c", "d"]),
                "v" => self.one_of(&["1", "-7", "text", "''", "9223372036854775807"]),
                _ => return word.to_owned(),
            }
            .to_owned()
        };
        form.split(' ').map(fill).collect::<Vec<_>>().join(" ")
    }
}

#[test]
fn what_is_not_the_protocol_ends_the_connection_as_in_redis() {
    let Some(original) = Original::start() else { return };
    let cluster = Cluster::start();
    let table: [&[u8]; 10] = [
        b"*x\r\n",
        b"*2147483648\r\n",
        b"*1\r\n*1\r\n",
        b"*1\r\n:1\r\n",
        b"*1\r\n$x\r\n",
        b"*1\r\n$-1\r\n",
        b"*2\r\n$3\r\nGET\r\n$999999999999\r\n",
        b"PING\r\nset k 'a\r\n",
        b"*1\r\n$4\r\nPING\r\n*1\r\n$4\r\nQUIT\r\n*1\r\n$4\r\nPING\r\n",
        b"echo \"a b\"\r\n\r\n*0\r\nquit\r\n",
    ];
    for bytes in table {
        let ours = Wire::connect(cluster.client_port(2)).last_words(bytes);
        let redis = Wire::connect(original.port).last_words(bytes);
        assert_eq!(ours, redis, "{}", bytes.escape_ascii());
    }
}

#[test]
fn the_third_version_of_the_protocol_is_spoken_as_redis_speaks_it() {
    let Some(original) = Original::start() else { return };
    let cluster = Cluster::start();
    let mut redis = Wire::connect(original.port);
    let mut ours = Wire::connect(cluster.client_port(3));
    for line in ["HELLO 4", "HELLO x", "HELLO 3 SETNAME a SETNAME", "HELLO 3 SETNAME a", "CLIENT GETNAME"] {
        let bytes = encode(&words(line));
        let (ours, redis) = (ours.exchange(&bytes), redis.exchange(&bytes));
        if line.ends_with("SETNAME a") {
            assert!(ours.starts_with("%7\\r\\n$6\\r\\nserver\\r\\n"), "{ours}");
            assert!(redis.starts_with("%7\\r\\n$6\\r\\nserver\\r\\n"), "{redis}");
        } else {
            assert_eq!(ours, redis, "{line}");
        }
    }
    for line in ["GET none", "MSET a 1", "MGET a none", "SET b 2 GET", "CONFIG GET databases", "INCR a"] {
        let bytes = encode(&words(line));
        assert_eq!(ours.exchange(&bytes), redis.exchange(&bytes), "{line}");
    }
}
