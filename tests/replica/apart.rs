//! [`Apart`]: three members whose links can be cut, and whose disks can be slow.

use std::time::Duration;

use bytes::Bytes;
use node::Replica;
use quorate::{Arrival, Frame, Incarnation, LogTime, NodeId, Outline, Raft, Role, Time, WriteSeq};

use crate::pair::member;

pub(crate) struct Apart {
    pub(crate) members: Vec<Replica<Raft, u32, u32>>,
    pub(crate) now: Time,
    /// Nobody hears this one, nor does it hear anyone.
    pub(crate) alone: Option<usize>,
    /// The write of this one's disk does not end.
    pub(crate) slow: Option<usize>,
    writing: Vec<Option<WriteSeq>>,
    frames: Vec<(usize, usize, Frame)>,
}

impl Apart {
    /// Three members of which the first leads.
    pub(crate) fn elected() -> Self {
        let members =
            (1..=3).map(|id| member(id, Incarnation(1), None, Outline::default())).collect::<Vec<_>>();
        let now = Time::ZERO + Duration::from_secs(3);
        let (writing, frames) = (vec![None; 3], Vec::new());
        let mut trio = Self { members, now, alone: None, slow: None, writing, frames };
        for _ in 0..20 {
            trio.step(0, now);
            for at in [1, 2] {
                // Their clocks stand still until there is a leader.
                let led = trio.members[at].standing().leader.is_some();
                trio.step(at, if led { now } else { Time::ZERO });
            }
        }
        assert_eq!(trio.members[0].standing().role, Role::Leader);
        trio
    }

    /// Lets all carry on, at this moment.
    pub(crate) fn run(&mut self) {
        for _ in 0..8 {
            (0..3).for_each(|at| self.step(at, self.now));
        }
    }

    /// Lets time pass, in steps short enough for heartbeats, until this holds.
    pub(crate) fn pass_until(&mut self, holds: impl Fn(&Self) -> bool) {
        let end = self.now + Duration::from_secs(20);
        while !holds(self) {
            assert!(self.now < end, "it never came to that");
            self.now = self.now + Duration::from_millis(20);
            self.run();
        }
    }

    pub(crate) fn propose(&mut self, at: usize, bytes: usize) {
        self.members[at].propose(self.now, Bytes::from(vec![7; bytes]), 0);
        self.run();
    }

    /// The slow disk has done what it was doing. What its node then says to whom.
    pub(crate) fn end_write(&mut self) -> Vec<usize> {
        let at = self.slow.expect("a disk is slow");
        let seq = self.writing[at].take().expect("it is writing");
        self.members[at].durable(self.now, seq);
        self.frames.clear();
        self.take(at, self.now);
        self.frames.iter().map(|(_, to, _)| *to).collect()
    }

    fn step(&mut self, at: usize, now: Time) {
        let (due, rest) = std::mem::take(&mut self.frames).into_iter().partition(|(_, to, _)| *to == at);
        self.frames = rest;
        let due: Vec<(usize, usize, Frame)> = due;
        for (from, _, frame) in due {
            if self.alone != Some(from) && self.alone != Some(at) {
                let from = NodeId(from as u64 + 1);
                self.members[at].arrival(now, LogTime::ZERO, Arrival::Frame { from, frame });
            }
        }
        self.take(at, now);
    }

    fn take(&mut self, at: usize, now: Time) {
        loop {
            self.members[at].advance(now, LogTime::ZERO);
            let out = std::mem::take(self.members[at].outputs());
            let frames = out.frames.into_iter().map(|sent| (at, sent.to.0 as usize - 1, sent.frame));
            self.frames.extend(frames);
            let Some((seq, _)) = out.write else { return };
            if self.slow == Some(at) {
                self.writing[at] = Some(seq);
                return;
            }
            self.members[at].durable(now, seq);
        }
    }
}
