//! [`Member`]: a process of this benchmark, as the one that measures sees it.

use std::fmt::Display;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::str::FromStr;

use crate::Failure;

/// A process that takes orders on its standard input, one a line, and answers each with a line.
pub(crate) struct Member {
    process: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
    /// What it said first.
    pub(crate) greeting: String,
}

impl Member {
    /// Starts one with these arguments. It answers once it is there.
    pub(crate) fn start(arguments: impl IntoIterator<Item = String>) -> Result<Self, Failure> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("--process").args(arguments);
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let orders = process.stdin.take().ok_or("its input is piped")?;
        let answers = BufReader::new(process.stdout.take().ok_or("its output is piped")?);
        let mut member = Self { process, orders, answers, greeting: String::new() };
        member.greeting = member.answer()?;
        Ok(member)
    }

    /// Asks for something, and waits for the answer.
    pub(crate) fn ask(&mut self, order: impl Display) -> Result<String, Failure> {
        writeln!(self.orders, "{order}")?;
        self.answer()
    }

    /// Asks for numbers.
    pub(crate) fn numbers<T: FromStr>(&mut self, order: impl Display) -> Result<Vec<T>, Failure>
    where
        T::Err: std::error::Error + 'static,
    {
        let answer = self.ask(order)?;
        answer.split(' ').map(|number| number.parse().map_err(Failure::from)).collect()
    }

    fn answer(&mut self) -> Result<String, Failure> {
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        let answer = answer.trim_end().strip_prefix("ok ").ok_or("a process ended without an answer")?;
        Ok(answer.to_owned())
    }

    /// The memory that it has, in bytes.
    pub(crate) fn resident_bytes(&self) -> Result<u64, Failure> {
        memory(self.process.id(), "VmRSS:")
    }

    /// The most that it had since [`forget_peak`](Self::forget_peak), in bytes.
    pub(crate) fn peak_bytes(&self) -> Result<u64, Failure> {
        memory(self.process.id(), "VmHWM:")
    }

    /// From now on it is looked at anew how much memory it has at most.
    pub(crate) fn forget_peak(&self) -> Result<(), Failure> {
        // See "clear_refs" in proc(5).
        Ok(fs::write(format!("/proc/{}/clear_refs", self.process.id()), "5")?)
    }
}

/// What the system says of a process's memory, in bytes.
pub(crate) fn memory(process: u32, what: &str) -> Result<u64, Failure> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(what));
    let kibibytes =
        line.and_then(|line| line.trim().strip_suffix(" kB")).ok_or("the system tells no memory")?;
    Ok(kibibytes.trim().parse::<u64>()? << 10)
}

impl Drop for Member {
    fn drop(&mut self) {
        let _ = (self.process.kill(), self.process.wait());
    }
}
