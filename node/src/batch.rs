//! Batches: several commands that are proposed together, and answered together.

use std::cell::Cell;

use bytes::{Bytes, BytesMut};
use consensus_api::{Commands, Error, Payload, PayloadError, StateMachine};

use crate::handle::Node;
use crate::shared::Shared;

/// Commands in the form that they have in an entry.
struct Encoded {
    count: u32,
    commands: Bytes,
}

impl<S: StateMachine, D> Node<S, D> {
    /// Proposes several commands at once: they stand in one entry, so they are carried out in this order with nothing
    /// between them, on every node, or none of them is. The answers come in the same order. Works on every node: one
    /// that does not lead forwards.
    ///
    /// It also costs less than as many calls of [`propose`](Self::propose): one place in the queue, one share of the
    /// budget, one waiter. Together the commands may take the larger of
    /// [`Options::entry_bytes_max`](crate::Options::entry_bytes_max) and
    /// [`Options::command_bytes_max`](crate::Options::command_bytes_max), 8 MiB by default, 4 bytes beyond each one's own
    /// included; whoever has more, proposes several batches.
    ///
    /// As with `propose`, the batch is handed over by this call, in the order of calls, and dropping the future does not
    /// take it back. No commands give no answers, at once.
    ///
    /// ```no_run
    /// # use consensus_api::{Error, StateMachine};
    /// # use quorate_node::Node;
    /// # async fn add_up<S: StateMachine<Command = u64, Response = u64>>(node: Node<S>) -> Result<(), Error> {
    /// let totals = node.propose_batch([5, 7, 9]).await?;
    /// assert_eq!(totals.len(), 3);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error`] says whether the commands may have been carried out: all of them, then, or none.
    pub fn propose_batch<I>(
        &self,
        commands: I,
    ) -> impl Future<Output = Result<Vec<S::Response>, Error>> + Send + use<S, D, I>
    where
        I: IntoIterator<Item = S::Command>,
    {
        let handed = self.encode_batch(commands).map(|Encoded { count, commands }| {
            let hand_over =
                move |shared: &Shared<S>, commands, permit| shared.hand_over_batch(count, commands, permit);
            (count > 0).then(|| self.hand_over_when_room(Ok(commands), hand_over))
        });
        async move {
            match handed? {
                Some(answers) => answers.await.map(|(_, answers)| answers),
                None => Ok(Vec::new()),
            }
        }
    }

    fn encode_batch(&self, commands: impl IntoIterator<Item = S::Command>) -> Result<Encoded, Error> {
        let refused = |reason: String| Error::Refused { reason };
        let (mut count, mut body) = (0, BytesMut::new());
        let (command_bytes_max, batch_bytes_max) = (self.command_bytes_max(), self.shared().batch_bytes_max);
        let commands = commands.into_iter();
        let expected = commands.size_hint().0;
        for command in commands {
            let bytes =
                push(&mut body, &command, expected, batch_bytes_max).map_err(|error| refused(error.0))?;
            let too_large = |bytes, bytes_max| Err(Error::TooLarge { bytes, bytes_max });
            if bytes > command_bytes_max {
                return too_large(bytes, command_bytes_max);
            }
            if body.len() > batch_bytes_max {
                return too_large(body.len(), batch_bytes_max);
            }
            count += 1;
        }
        let commands = trimmed(body);
        // As with a single command: what cannot be read back would stop every node that applies it.
        for command in Commands::new(count, commands.clone()) {
            let decoded = command.map_err(|error| error.to_string());
            let decoded = decoded.and_then(|it| S::Command::decode(it).map_err(|error| error.to_string()));
            decoded.map_err(|error| refused(format!("a command does not decode again: {error}")))?;
        }
        Ok(Encoded { count, commands })
    }
}

/// Appends a command. By the first one it is reckoned how much room all that are expected will take.
fn push(
    body: &mut BytesMut,
    command: &impl Payload,
    expected: usize,
    bytes_max: usize,
) -> Result<usize, PayloadError> {
    if !body.is_empty() {
        return Commands::push_payload(body, command);
    }
    // Taken, for the author's code may propose something itself.
    let mut first = FIRST.take();
    let pushed = Commands::push_payload(&mut first, command);
    body.reserve(first.len().saturating_mul(expected).min(bytes_max).max(first.len()));
    body.extend_from_slice(&first);
    if first.capacity() <= FIRST_BYTES_MAX {
        first.clear();
        FIRST.set(first);
    }
    pushed
}

/// The bytes as they stay in the log and in memory, without much room beside them that nobody counts.
fn trimmed(body: BytesMut) -> Bytes {
    let spare = body.capacity() - body.len();
    if spare > body.len() / 4 { Bytes::copy_from_slice(&body) } else { body.freeze() }
}

/// A first command that took more is not kept room for.
const FIRST_BYTES_MAX: usize = 32 << 10;

thread_local! {
    /// The first command of a batch is put into its byte form here, to see how large it is.
    static FIRST: Cell<BytesMut> = Cell::new(BytesMut::new());
}

#[cfg(test)]
mod tests {
    use consensus_api::Raw;

    use super::*;

    /// Whatever an iterator says of its length: it may say less, or lie.
    #[test]
    fn a_body_is_the_same_however_many_commands_were_expected() {
        let commands = [&b"one"[..], b"", b"three"];
        let mut plain = BytesMut::new();
        commands.iter().for_each(|command| Commands::push(&mut plain, command).unwrap());
        for (expected, bytes_max) in [(0, 100), (3, 100), (usize::MAX, 100), (3, 0)] {
            let mut body = BytesMut::new();
            for command in commands {
                let pushed = push(&mut body, &Raw(Bytes::from_static(command)), expected, bytes_max).unwrap();
                assert_eq!(pushed, command.len());
            }
            assert_eq!(trimmed(body), plain);
        }
    }
}
