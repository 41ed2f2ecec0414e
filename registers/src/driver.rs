//! [`Driver`]: the task around the pure state machine: it takes in what happened, and carries out what follows.

use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use consensus_api::{
    After, Arrival, Batch, Clock, Effects, Frame, Lane, LogStorage, Message as _, NodeId, StorageError, Time,
    Timer, Transport, WriteSeq,
};
use paxos::register::{Answer, Asked, Change, ChangeId, Ending, Message, Registers, RequestId};
use tokio::sync::{mpsc, oneshot};

use crate::RegisterError;

/// A request on its way to the task.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) key: Bytes,
    pub(crate) id: ChangeId,
    pub(crate) again: bool,
    pub(crate) change: Change,
    pub(crate) answer: oneshot::Sender<Result<Answer, RegisterError>>,
}

pub(crate) struct Driver<L, T> {
    core: Registers,
    log: L,
    transport: T,
    clock: Arc<dyn Clock>,
    timer: Box<dyn Timer>,
    requests: mpsc::Receiver<Call>,
    effects: Effects<Message>,
    /// Who waits for which request.
    waiting: BTreeMap<RequestId, oneshot::Sender<Result<Answer, RegisterError>>>,
    asked: u64,
    /// What is to be written once the write under way is durable: everything that queues goes together.
    queued: Option<(WriteSeq, Batch)>,
    writing: Option<WriteSeq>,
    durable: WriteSeq,
    held: VecDeque<(WriteSeq, NodeId, Message)>,
    scratch: BytesMut,
}

/// Things of one kind taken in per round, and rounds in one go before other tasks get their turn.
const INTAKE_MAX: usize = 256;
const ROUNDS_MAX: usize = 16;

impl<L: LogStorage, T: Transport> Driver<L, T> {
    pub(crate) fn new(
        core: Registers,
        log: L,
        transport: T,
        clock: Arc<dyn Clock>,
        requests: mpsc::Receiver<Call>,
    ) -> Self {
        Self {
            core,
            log,
            transport,
            timer: clock.timer(),
            clock,
            requests,
            effects: Effects::new(),
            waiting: BTreeMap::new(),
            asked: 0,
            queued: None,
            writing: None,
            durable: WriteSeq(0),
            held: VecDeque::new(),
            scratch: BytesMut::new(),
        }
    }

    /// Runs until every handle is gone, or the log fails. Whoever waits then is told that the node has stopped.
    pub(crate) async fn run(mut self) {
        poll_fn(|cx| self.poll(cx)).await;
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        for _ in 0..ROUNDS_MAX {
            let Ok(took) = self.take_in(cx) else { return Poll::Ready(()) };
            if self.carry_out().is_err() {
                return Poll::Ready(());
            }
            let rang = self.timer.poll_until(cx, self.core.deadline()).is_ready();
            if !took && !rang {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Takes in what happened. Whether anything did; an error ends the node.
    fn take_in(&mut self, cx: &mut Context<'_>) -> Result<bool, StorageError> {
        let (now, mut took) = (self.clock.now(), false);
        for _ in 0..INTAKE_MAX {
            match self.requests.poll_recv(cx) {
                Poll::Ready(Some(call)) => self.request(now, call),
                Poll::Ready(None) => return Err(StorageError::Poisoned),
                Poll::Pending => break,
            }
            took = true;
        }
        for _ in 0..INTAKE_MAX {
            let Poll::Ready(arrival) = self.transport.poll_arrival(cx) else { break };
            if let Arrival::Frame { from, frame } = arrival
                && let Ok(message) = Message::decode(frame.head)
            {
                self.core.message(now, from, message, &mut self.effects);
            }
            took = true;
        }
        if let Poll::Ready(durable) = self.log.poll_durable(cx) {
            self.durable = self.durable.max(durable?);
            self.writing = self.writing.filter(|writing| *writing > self.durable);
            self.core.durable(now, self.durable, &mut self.effects);
            took = true;
        }
        if self.core.deadline() <= now {
            self.core.tick(now, &mut self.effects);
            took = true;
        }
        Ok(took)
    }

    fn request(&mut self, now: Time, call: Call) {
        let Call { key, id, again, change, answer } = call;
        self.asked += 1;
        let request = RequestId(self.asked);
        self.waiting.insert(request, answer);
        self.core.request(now, key, Asked { request, id, again, change }, &mut self.effects);
    }

    fn carry_out(&mut self) -> Result<(), StorageError> {
        if let Some((seq, batch)) = self.effects.take_batch() {
            match &mut self.queued {
                Some((queued, earlier)) => {
                    *queued = seq;
                    earlier.merge(batch);
                }
                None => self.queued = Some((seq, batch)),
            }
        }
        for outgoing in std::mem::take(&mut self.effects.sends) {
            match outgoing.after {
                After::Durable(seq) if seq > self.durable => {
                    self.held.push_back((seq, outgoing.to, outgoing.message));
                }
                _ => self.send(outgoing.to, &outgoing.message),
            }
        }
        self.effects.clear();
        while self.held.front().is_some_and(|(seq, ..)| *seq <= self.durable) {
            if let Some((_, to, message)) = self.held.pop_front().filter(|held| self.core.still_true(&held.2))
            {
                self.send(to, &message);
            }
        }
        if self.writing.is_none()
            && let Some((seq, batch)) = self.queued.take()
        {
            self.log.submit(seq, batch)?;
            self.writing = Some(seq);
        }
        for (request, ending) in self.core.take_endings() {
            let outcome = match ending {
                Ending::Done(answer) => Ok(answer),
                Ending::NotDone => Err(RegisterError::NotDone),
                Ending::Unknown => Err(RegisterError::Unknown),
                Ending::Forgotten => Err(RegisterError::Forgotten),
            };
            if let Some(answer) = self.waiting.remove(&request) {
                let _ = answer.send(outcome); // whoever asked may be gone
            }
        }
        Ok(())
    }

    /// A frame that the transport does not take is as good as lost: it is said again.
    fn send(&mut self, to: NodeId, message: &Message) {
        message.encode(&mut self.scratch);
        let frame = Frame { head: self.scratch.split().freeze(), body: Bytes::new() };
        let _ = self.transport.send(to, Lane::Data, frame);
    }
}
