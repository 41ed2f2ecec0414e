//! Three processes with files, over TCP, that compete for registers without a leader: who is to be in charge is decided once,
//! and a count is kept by compare-and-set, whatever fails in between.
//!
//! Without arguments it starts three of itself, tells them where they find each other, and lets them compete. What each is
//! told on its standard input it answers in a line.

use std::error::Error;
use std::io::{BufRead, BufReader, Lines, Write, stdin};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use bytes::Bytes;
use quorate::registers::{Change, Keepers, RegisterError, Registers};
use quorate::{FileLog, SystemClock, Tcp};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Adds one to the number in a register, as often as it takes.
async fn increment(registers: &Registers, key: &'static str) -> Result<u64, RegisterError> {
    loop {
        let found = registers.read(key).await?;
        let number: u64 = found.value.and_then(|text| str::from_utf8(&text).ok()?.parse().ok()).unwrap_or(0);
        let value = Bytes::from((number + 1).to_string());
        // If the answer is lost, the same change is asked for again: it takes effect once.
        let (id, change) =
            (Registers::name_a_change()?, Change::CompareAndSet { version: found.version, value });
        let mut answer = registers.change_as(key, id, change.clone()).await;
        while answer == Err(RegisterError::Unknown) {
            answer = registers.change_again(key, id, change.clone()).await;
        }
        if answer?.changed {
            return Ok(number + 1);
        }
    }
}

/// One process: says where it listens, is told where all are, and then carries out a command per line.
async fn keep(node: u64, folder: &str) -> Outcome<()> {
    let listener = Tcp::listen("127.0.0.1:0").await?;
    println!("{}", listener.local_addr());
    let mut lines = stdin().lines();
    let told = lines.next().ok_or("nobody said where the others are")??;
    let peers = told.split(' ').zip(1..).map(|(at, id)| Ok((id, at.parse()?)));
    let peers: Vec<(u64, SocketAddr)> = peers.collect::<Outcome<_>>()?;
    let transport = listener.with_peers(node, peers);
    let keepers = Keepers::new("registers", node, [1_u64, 2, 3]);
    let registers = Registers::start(keepers, FileLog::open(folder)?, transport, SystemClock::new()).await?;
    for line in lines {
        let answer = match line?.as_str() {
            "take charge" => registers.propose("in charge", format!("node {node}")).await?,
            "count ten" => {
                for _ in 0..9 {
                    increment(&registers, "count").await?;
                }
                increment(&registers, "count").await?.to_string().into()
            }
            "count" => increment(&registers, "count").await?.to_string().into(),
            _ => registers.read("count").await?.value.unwrap_or_default(),
        };
        println!("{}", String::from_utf8_lossy(&answer));
    }
    Ok(())
}

/// A process that was started, until it is let go of: then it is killed.
struct Keeper {
    process: Child,
    tells: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Keeper {
    fn start(node: u64, folder: &str) -> Outcome<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args([&node.to_string(), folder]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn()?;
        let tells = process.stdin.take().ok_or("its input is piped")?;
        let answers = BufReader::new(process.stdout.take().ok_or("its output is piped")?).lines();
        Ok(Self { process, tells, answers })
    }

    fn tell(&mut self, line: &str) -> Outcome<()> {
        Ok(writeln!(self.tells, "{line}")?)
    }

    fn answer(&mut self) -> Outcome<String> {
        Ok(self.answers.next().ok_or("it has ended")??)
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        let _ = (self.process.kill(), self.process.wait());
    }
}

/// Tells all the same at the same time, and waits for their answers.
fn ask_all(keepers: &mut [Keeper], line: &str) -> Outcome<Vec<String>> {
    keepers.iter_mut().try_for_each(|keeper| keeper.tell(line))?;
    keepers.iter_mut().map(Keeper::answer).collect()
}

#[tokio::main]
async fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    if let (Some(node), Some(folder)) = (arguments.next(), arguments.next()) {
        return keep(node.parse()?, &folder).await;
    }
    let dir = tempfile::tempdir()?;
    let folder = |node: u64| dir.path().join(node.to_string()).display().to_string();
    let mut keepers = (1..=3).map(|node| Keeper::start(node, &folder(node))).collect::<Outcome<Vec<_>>>()?;
    let addresses = keepers.iter_mut().map(Keeper::answer).collect::<Outcome<Vec<_>>>()?;
    keepers.iter_mut().try_for_each(|keeper| keeper.tell(&addresses.join(" ")))?;

    // All three want to be in charge. One is, and all are told the same.
    let told = ask_all(&mut keepers, "take charge")?;
    assert!(told.iter().all(|one| *one == told[0]));
    println!("all agree on who is in charge: {}", told[0].starts_with("node "));

    // Each adds ten to the same count, all at the same time.
    ask_all(&mut keepers, "count ten")?;
    println!("the count is {}", ask_all(&mut keepers[..1], "read")?[0]);

    // With one process killed the others go on: nobody was in charge of the registers.
    keepers.pop();
    println!("and then {}", ask_all(&mut keepers[..1], "count")?[0]);
    Ok(())
}
