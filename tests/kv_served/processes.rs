//! A cluster of three `kv node` processes on this machine, and what can be done to it.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use quorate::{DefaultEngine, Engine};
use redis::{Client, Connection, RedisResult};
use tempfile::TempDir;

use crate::ports::free_ports;
use crate::program::kv;

/// The ids of the members.
pub(crate) const MEMBERS: [u64; 3] = [1, 2, 3];
/// Twice the longest election timeout.
pub(crate) const TWO_ELECTION_TIMEOUTS: Duration = Duration::from_secs(4);
/// How long the machine may take over what is not measured. It may be busy with other things.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Three members, each a process with a folder of its own.
pub(crate) struct Cluster {
    folder: TempDir,
    /// Also of members that may yet be added.
    client_ports: [u16; 6],
    peer_ports: [u16; 6],
    session_ports: [u16; 6],
    limits: Vec<String>,
    members: HashMap<u64, Child>,
}

impl Cluster {
    /// Starts three members and waits for a leader.
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// The same with further options for each, in which `{id}` stands for its number and `{sessions}` for where it may
    /// take sessions.
    pub(crate) fn start_with(limits: &[&str]) -> Self {
        let [client_ports, peer_ports, session_ports] = [free_ports(), free_ports(), free_ports()];
        let mut cluster = Self {
            folder: TempDir::new().expect("a folder for the test"),
            client_ports,
            peer_ports,
            session_ports,
            limits: limits.iter().map(|&limit| limit.to_owned()).collect(),
            members: HashMap::new(),
        };
        MEMBERS.into_iter().for_each(|id| cluster.start_member(id));
        cluster.leader();
        // Who was not founded before another is killed waits for it.
        for id in MEMBERS {
            wait_for("each to take part", || cluster.ask::<Option<String>>(id, &["GET", "nothing"]).ok());
        }
        println!("engine {}", DefaultEngine::NAME);
        cluster
    }

    /// Starts a member, anew or again, and waits until it serves.
    pub(crate) fn start_member(&mut self, id: u64) {
        let command = self.command(id);
        self.start_as(id, command);
    }

    /// Starts a member that waits to be added to a cluster of these.
    pub(crate) fn start_joining(&mut self, id: u64, members: &[u64]) {
        let command = self.command_as("join", id, members);
        self.start_as(id, command);
    }

    fn start_as(&mut self, id: u64, mut command: Command) {
        let mut process = command.stdout(Stdio::piped()).spawn().expect("kv starts");
        let mut said = BufReader::new(process.stdout.take().expect("its output is piped"));
        let mut line = String::new();
        said.read_line(&mut line).expect("its output can be read");
        assert!(line.starts_with(&format!("node {id} of cluster kv")), "node {id} said {line:?}");
        self.members.insert(id, process);
    }

    /// What would start a member.
    pub(crate) fn command(&self, id: u64) -> Command {
        self.command_as("node", id, &MEMBERS)
    }

    fn command_as(&self, subcommand: &str, id: u64, members: &[u64]) -> Command {
        let at = |port: u16| format!("127.0.0.1:{port}");
        let mut command = kv();
        command.args([subcommand, "--id", &id.to_string()]).arg("--data").arg(self.data(id));
        command.args(["--client", &at(self.client_port(id)), "--peer-listen", &at(self.peer_port(id))]);
        for peer in members {
            command.args(["--peer", &format!("{peer}={}", at(self.peer_port(*peer)))]);
        }
        let (own, sessions) = (id.to_string(), at(self.session_ports[id as usize - 1]));
        let option = |option: &String| option.replace("{id}", &own).replace("{sessions}", &sessions);
        command.args(self.limits.iter().map(option));
        command
    }

    /// The process of a running member.
    pub(crate) fn process(&self, id: u64) -> u32 {
        self.members[&id].id()
    }

    /// The folder of a member.
    pub(crate) fn data(&self, id: u64) -> PathBuf {
        self.folder.path().join(format!("node-{id}"))
    }

    pub(crate) fn client_port(&self, id: u64) -> u16 {
        self.client_ports[id as usize - 1]
    }

    /// What `kv admin` says to a member, and what that answers.
    pub(crate) fn admin(&self, asked: u64, words: &[&str]) -> Result<String, String> {
        let client = format!("127.0.0.1:{}", self.client_port(asked));
        let output = run_to_end(kv().args(["admin", "--client", &client]).args(words));
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }

    /// `kv client` for the founders, if they take sessions.
    pub(crate) fn session_client(&self) -> Command {
        let server = |id: u64| format!("{id}=127.0.0.1:{}", self.session_ports[id as usize - 1]);
        let mut command = kv();
        command.args(["client", "--servers", &MEMBERS.map(server).join(",")]);
        command
    }

    /// From its next start on a member listens to the others elsewhere: where a sixth member would.
    pub(crate) fn relocate(&mut self, id: u64) {
        self.peer_ports.swap(id as usize - 1, 5);
    }

    pub(crate) fn peer_port(&self, id: u64) -> u16 {
        self.peer_ports[id as usize - 1]
    }

    /// Kills a member at once: nothing is tidied up.
    pub(crate) fn kill(&mut self, id: u64) {
        let mut process = self.members.remove(&id).expect("the member runs");
        process.kill().expect("a process of ours can be killed");
        process.wait().expect("and then it ends");
    }

    /// Kills all members, as close together as it can be done.
    pub(crate) fn kill_all(&mut self) {
        for process in self.members.values_mut() {
            process.kill().expect("a process of ours can be killed");
        }
        for (_, mut process) in self.members.drain() {
            process.wait().expect("and then it ends");
        }
    }

    /// From now on members are started with these options, too.
    pub(crate) fn add_options(&mut self, options: &[&str]) {
        self.limits.extend(options.iter().map(|&option| option.to_owned()));
    }

    /// Asks a member to stop, and returns how it ended.
    pub(crate) fn terminate(&mut self, id: u64) -> std::process::ExitStatus {
        let mut process = self.members.remove(&id).expect("the member runs");
        let asked = Command::new("kill").args(["-TERM", &process.id().to_string()]).status();
        assert!(asked.expect("kill runs").success());
        process.wait().expect("it ends")
    }

    /// A connection to a member.
    pub(crate) fn connect(&self, id: u64) -> RedisResult<Connection> {
        let client = Client::open(format!("redis://127.0.0.1:{}/", self.client_port(id)))?;
        let connection = client.get_connection_with_timeout(PATIENCE)?;
        connection.set_read_timeout(Some(PATIENCE))?;
        Ok(connection)
    }

    /// One command on a connection of its own.
    pub(crate) fn ask<A: redis::FromRedisValue>(&self, id: u64, words: &[&str]) -> RedisResult<A> {
        command(words).query(&mut self.connect(id)?)
    }

    /// A field of INFO.
    pub(crate) fn info(&self, id: u64, field: &str) -> String {
        let info: String = self.ask(id, &["INFO", "replication"]).expect("INFO needs no leader");
        let prefix = format!("{field}:");
        let line = info.lines().find_map(|line| line.strip_prefix(&prefix));
        line.unwrap_or_else(|| panic!("INFO has no {field}: {info}")).to_owned()
    }

    /// Waits until a running member leads, and returns it; on an engine without leaders, any.
    pub(crate) fn leader(&self) -> u64 {
        let decides = if DefaultEngine::CAPABILITIES.leader { "leader" } else { "peer" };
        let leads = || self.members.keys().copied().find(|id| self.info(*id, "role") == decides);
        let leader = wait_for("a leader", leads);
        assert_eq!(self.info(leader, "engine"), DefaultEngine::NAME.0);
        leader
    }

    /// Waits until all members have applied the same, and checks that they hold the same.
    pub(crate) fn assert_converged(&self) {
        wait_for("all members to have applied the same", || {
            let mut applied = MEMBERS.map(|id| self.info(id, "applied_index"));
            applied.sort();
            (applied[0] == applied[2]).then_some(())
        });
        let contents = MEMBERS.map(|id| self.contents(id));
        assert_eq!(contents[0], contents[1]);
        assert_eq!(contents[1], contents[2]);
    }

    /// All keys with their values, as one member tells them.
    pub(crate) fn contents(&self, id: u64) -> HashMap<String, String> {
        let keys: Vec<String> = self.ask(id, &["KEYS", "*"]).expect("KEYS is answered");
        let mut words = vec!["MGET"];
        words.extend(keys.iter().map(String::as_str));
        let values: Vec<String> = match keys.as_slice() {
            [] => Vec::new(),
            _ => self.ask(id, &words).expect("MGET is answered"),
        };
        keys.into_iter().zip(values).collect()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.kill_all();
    }
}

/// A command of the redis crate from its words.
pub(crate) fn command(words: &[&str]) -> redis::Cmd {
    let mut command = redis::cmd(words[0]);
    for word in &words[1..] {
        command.arg(word);
    }
    command
}

/// Runs a command that is to end of itself, and returns how, and what it said.
pub(crate) fn run_to_end(command: &mut Command) -> Output {
    let mut process = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("kv starts");
    let deadline = Instant::now() + PATIENCE;
    while process.try_wait().expect("a process of ours can be waited for").is_none() {
        if Instant::now() > deadline {
            process.kill().expect("a process of ours can be killed");
            panic!("it was not refused: {:?}", process.wait_with_output());
        }
        sleep(Duration::from_millis(10));
    }
    process.wait_with_output().expect("its output can be read")
}

/// Tries again until there is something, and returns it.
pub(crate) fn wait_for<A>(what: &str, mut attempt: impl FnMut() -> Option<A>) -> A {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = attempt() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        sleep(Duration::from_millis(20));
    }
}

/// What a process says on its standard error from now on, until it ends.
pub(crate) fn rest_of(mut errors: impl Read) -> String {
    let mut said = String::new();
    errors.read_to_string(&mut said).expect("its errors can be read");
    said
}
