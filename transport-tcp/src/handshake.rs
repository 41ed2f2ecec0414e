//! The handshake: a hello in each direction, or a hello and a refusal. One round trip; where a shared secret is to be
//! proven, a proof in each direction follows, and a second round trip.

use bytes::Bytes;
use consensus_api::{Frame, NodeId};
use tokio::io::AsyncWriteExt;

use crate::decoder::Decoder;
use crate::ending::Ending;
use crate::frame::{FrameError, Kind, Sealer};
use crate::hello::{Agreement, HANDSHAKE_BYTES_MAX, Hello, Purpose};
use crate::refusal::{Refusal, decode_refusal};
use crate::roster::Roster;
use crate::secret::Side;
use crate::socket::Socket;

/// A connection that both sides have agreed to.
#[derive(Debug)]
pub(crate) struct Handshake {
    pub(crate) peer: NodeId,
    pub(crate) purpose: Purpose,
    pub(crate) agreement: Agreement,
    /// For what goes out.
    pub(crate) sealer: Sealer,
    /// For what comes in.
    pub(crate) decoder: Decoder,
}

impl Handshake {
    /// Calls on a peer.
    pub(crate) async fn call(
        socket: &mut Socket,
        roster: &Roster,
        peer: NodeId,
        purpose: Purpose,
    ) -> Result<Self, Ending> {
        let mine = roster.hello(peer, purpose)?;
        let mut talk = Talk::new(socket);
        let said: Bytes = mine.encode().into();
        talk.say(Kind::Hello, said.clone()).await?;
        let heard = talk.hear(Kind::Hello).await?;
        let theirs = Hello::decode(&heard)?;
        if theirs.from != mine.to || theirs.purpose != mine.purpose {
            return Err(FrameError::Malformed { what: "answer" }.into());
        }
        let agreement = theirs.agree(&mine)?;
        if agreement.proofs
            && let Some(secret) = &roster.security.secret
        {
            let proof = secret.proof(Side::Caller, &said, &heard);
            talk.say(Kind::Proof, Bytes::copy_from_slice(&proof)).await?;
            let proof = talk.hear(Kind::Proof).await?;
            if !secret.is_proof(&proof, Side::Called, &said, &heard) {
                return Err(Refusal::WrongSecret { me: mine.from, peer }.into());
            }
        }
        Ok(talk.agreed(&theirs, agreement))
    }

    /// Answers a caller. If the answer is a refusal, it is told to the node as well.
    pub(crate) async fn answer(socket: &mut Socket, roster: &Roster) -> Result<Self, Ending> {
        let mut talk = Talk::new(socket);
        let heard = talk.hear(Kind::Hello).await?;
        let theirs = Hello::decode(&heard)?;
        match Self::answer_hello(&mut talk, roster, &heard, &theirs).await {
            Err(Ending::Refused(refusal)) => {
                roster.refused(theirs.from, refusal.code(), &refusal.to_string());
                talk.say(Kind::Refusal, refusal.encode().into()).await?;
                talk.socket.shutdown().await?;
                Err(refusal.into())
            }
            Err(ending) => Err(ending),
            Ok(agreement) => Ok(talk.agreed(&theirs, agreement)),
        }
    }

    async fn answer_hello(
        talk: &mut Talk<'_>,
        roster: &Roster,
        heard: &Bytes,
        theirs: &Hello,
    ) -> Result<Agreement, Ending> {
        let (me, peer) = (roster.identity.node, theirs.from);
        roster.security.check_caller(talk.socket, &roster.identity, peer)?;
        let mine = roster.hello(peer, theirs.purpose)?;
        let agreement = roster.admit(theirs, &mine)?;
        let said: Bytes = mine.encode().into();
        let secret = roster.security.secret.as_ref().filter(|_| agreement.proofs);
        // Whoever must prove something has not been let in before.
        let Some(secret) = secret else {
            roster.let_live(theirs)?;
            talk.say(Kind::Hello, said).await?;
            return Ok(agreement);
        };
        talk.say(Kind::Hello, said.clone()).await?;
        let proof = talk.hear(Kind::Proof).await?;
        if !secret.is_proof(&proof, Side::Caller, heard, &said) {
            return Err(Refusal::WrongSecret { me, peer }.into());
        }
        roster.let_live(theirs)?;
        let proof = secret.proof(Side::Called, heard, &said);
        talk.say(Kind::Proof, Bytes::copy_from_slice(&proof)).await?;
        Ok(agreement)
    }
}

/// One side of a handshake under way.
struct Talk<'a> {
    socket: &'a mut Socket,
    sealer: Sealer,
    decoder: Decoder,
}

impl<'a> Talk<'a> {
    fn new(socket: &'a mut Socket) -> Self {
        Self { socket, sealer: Sealer::new(), decoder: Decoder::new(HANDSHAKE_BYTES_MAX) }
    }

    async fn say(&mut self, kind: Kind, payload: Bytes) -> Result<(), Ending> {
        self.socket.write_all(&self.sealer.whole(kind, payload)).await?;
        Ok(self.socket.flush().await?)
    }

    /// The payload of the next frame, which must be of this kind, or a refusal.
    async fn hear(&mut self, awaited: Kind) -> Result<Bytes, Ending> {
        match self.next().await? {
            (kind, frame) if kind == awaited => Ok(frame.head),
            (Kind::Refusal, frame) => {
                let (code, words) = decode_refusal(&frame.head)?;
                Err(Ending::RefusedByPeer { code, words })
            }
            (kind, _) => Err(FrameError::OutOfPlace { kind }.into()),
        }
    }

    async fn next(&mut self) -> Result<(Kind, Frame), Ending> {
        loop {
            if let Some(frame) = self.decoder.next()? {
                return Ok(frame);
            }
            if self.decoder.fill(self.socket).await? == 0 {
                return Err(Ending::Closed);
            }
        }
    }

    fn agreed(self, theirs: &Hello, agreement: Agreement) -> Handshake {
        let Self { mut sealer, mut decoder, .. } = self;
        sealer.agree(agreement.version);
        decoder.agree(agreement.version, agreement.frame_bytes_max);
        Handshake { peer: theirs.from, purpose: theirs.purpose, agreement, sealer, decoder }
    }
}
