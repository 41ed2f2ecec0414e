//! Carrying out what a replica asks for: log, network, state machine, and those who wait.

use std::task::Context;

use consensus_api::{Engine, LogReader, LogStorage, StateMachine, Time, Transport};

use super::Driver;
use crate::chunks::ChunkOrder;

impl<S: StateMachine, E: Engine, L: LogStorage, T: Transport> Driver<S, E, L, T> {
    /// Carries out what the replica asks for. Whether it was told of anything meanwhile that more may follow from.
    pub(super) fn carry_out(&mut self, cx: &mut Context<'_>, now: &mut Time) -> bool {
        let written = self.write(cx, now);
        let refused = self.send(*now);
        let applied = self.apply(*now);
        if self.replica.outputs().answers() {
            self.answer();
        }
        if self.replica.outputs().fetches() {
            self.fetch();
        }
        written || refused || applied
    }

    /// Gives the log the next batch. Whether it is durable already, as it is in memory.
    fn write(&mut self, cx: &mut Context<'_>, now: &mut Time) -> bool {
        let Some((seq, batch)) = self.replica.outputs().write.take() else { return false };
        self.meter.write_began(*now);
        if let Err(error) = self.log.submit(seq, batch) {
            self.replica.stop(format!("the log could not be written: {error}"));
            return true;
        }
        if self.replica.is_writing() {
            self.intake.poll_log(cx, &mut self.log);
        }
        if self.intake.durable.is_some() {
            // To write may have taken long: what follows happens now.
            *now = self.clock.now();
        }
        self.take_durable(*now)
    }

    /// Gives the state machine what there is for it. Whether it is done with anything already.
    fn apply(&mut self, now: Time) -> bool {
        let (out, mut is_there) = (self.replica.outputs(), true);
        if !out.apply.is_empty() {
            is_there &= self.worker.apply(&mut out.apply, &mut self.intake.feedback);
        }
        if !out.reads.is_empty() {
            is_there &= self.worker.read(&mut out.reads);
        }
        if !is_there {
            self.replica.stop("the thread of its state machine is gone".to_owned());
        }
        self.take_feedback(now)
    }

    /// Tells those who end without an answer of the state machine, and the transport where members are found.
    fn answer(&mut self) {
        let out = self.replica.outputs();
        for (ticket, error) in out.failed.drain(..) {
            self.meter.failed(&error);
            ticket.fail(error);
        }
        for (ticket, error) in out.failed_reads.drain(..) {
            self.meter.failed(&error);
            ticket.finish(Err(error));
        }
        for (ticket, result) in out.administered.drain(..) {
            // Whoever waited may be gone: it stands all the same.
            let _ = self.errands.remove(&ticket).map(|answer| answer.send(result));
        }
        for (ticket, result) in out.snapshots.drain(..) {
            let _ = self.snapshots.remove(&ticket).map(|answer| answer.send(result));
        }
        for (node, address) in out.addresses.drain(..) {
            match address {
                Some(address) => self.transport.set_address(node, &address),
                None => self.transport.forget(node),
            }
        }
    }

    /// Has read from the log, and read and written of snapshots, what is asked for.
    fn fetch(&mut self) {
        let out = self.replica.outputs();
        for load in out.loads.drain(..) {
            let reader = self.reader.clone();
            self.intake.load(Box::pin(async move {
                let entries = reader.read(load.range.clone(), load.bytes_max).await;
                (load, entries)
            }));
        }
        let reads = out.chunk_reads.drain(..).map(ChunkOrder::Read);
        for order in reads.chain(out.chunk_writes.drain(..).map(ChunkOrder::Write)) {
            // The task that takes orders lives as long as this sender.
            let _ = self.chunk_orders.send(order);
        }
    }

    /// Sends frames. Whether any was not taken, which the replica may have drawn its conclusions from.
    fn send(&mut self, now: Time) -> bool {
        let frames = &mut self.replica.outputs().frames;
        if frames.is_empty() {
            return false;
        }
        std::mem::swap(frames, &mut self.frames);
        let (mut blocked, mut refused) = (None, false);
        for frame in self.frames.drain(..) {
            let (lane, bytes) = (frame.lane, frame.frame.len());
            // Behind a forwarded proposal that was not sent none is: they keep their order.
            let sent = match blocked.filter(|_| frame.forwards.is_some()) {
                Some(error) => Err(error),
                None => self.transport.send(frame.to, frame.lane, frame.frame),
            };
            if let Err(error) = sent {
                refused = true;
                blocked = blocked.or(frame.forwards.map(|_| error));
                self.meter.dropped();
                self.replica.not_sent(now, frame.to, frame.forwards, error);
            } else {
                self.meter.sent(lane, bytes);
            }
        }
        refused
    }
}
