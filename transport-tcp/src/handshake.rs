//! The handshake: a hello in each direction, or a hello and a refusal. One round trip.

use consensus_api::{Frame, NodeId};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use crate::decoder::Decoder;
use crate::ending::Ending;
use crate::frame::{FrameError, Kind, Sealer};
use crate::hello::{Agreement, HANDSHAKE_BYTES_MAX, Hello, Purpose, decode_refusal};
use crate::roster::Roster;

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
    fn new(theirs: &Hello, agreement: Agreement, mut sealer: Sealer, mut decoder: Decoder) -> Self {
        sealer.agree(agreement.version);
        decoder.agree(agreement.version, agreement.frame_bytes_max);
        Self { peer: theirs.from, purpose: theirs.purpose, agreement, sealer, decoder }
    }

    /// Calls on a peer.
    pub(crate) async fn call(
        stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
        mine: &Hello,
    ) -> Result<Self, Ending> {
        let (mut sealer, mut decoder) = (Sealer::new(), Decoder::new(HANDSHAKE_BYTES_MAX));
        stream.write_all(&sealer.whole(Kind::Hello, mine.encode().into())).await?;
        let (kind, frame) = first_frame(stream, &mut decoder).await?;
        match kind {
            Kind::Hello => {
                let theirs = Hello::decode(&frame.head)?;
                if theirs.from != mine.to || theirs.purpose != mine.purpose {
                    return Err(FrameError::Malformed { what: "answer" }.into());
                }
                let agreement = theirs.agree(mine)?;
                Ok(Self::new(&theirs, agreement, sealer, decoder))
            }
            Kind::Refusal => {
                let (code, words) = decode_refusal(&frame.head)?;
                Err(Ending::RefusedByPeer { code, words })
            }
            kind => Err(FrameError::OutOfPlace { kind }.into()),
        }
    }

    /// Answers a caller. If the answer is a refusal, it is told to the node as well.
    pub(crate) async fn answer(
        stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
        roster: &Roster,
    ) -> Result<Self, Ending> {
        let (mut sealer, mut decoder) = (Sealer::new(), Decoder::new(HANDSHAKE_BYTES_MAX));
        let (kind, frame) = first_frame(stream, &mut decoder).await?;
        if kind != Kind::Hello {
            return Err(FrameError::OutOfPlace { kind }.into());
        }
        let theirs = Hello::decode(&frame.head)?;
        match roster.admit(&theirs) {
            Ok((mine, agreement)) => {
                stream.write_all(&sealer.whole(Kind::Hello, mine.encode().into())).await?;
                Ok(Self::new(&theirs, agreement, sealer, decoder))
            }
            Err(refusal) => {
                roster.refused(theirs.from, refusal.code(), &refusal.to_string());
                stream.write_all(&sealer.whole(Kind::Refusal, refusal.encode().into())).await?;
                stream.shutdown().await?;
                Err(refusal.into())
            }
        }
    }
}

async fn first_frame(
    stream: &mut (impl AsyncRead + Unpin),
    decoder: &mut Decoder,
) -> Result<(Kind, Frame), Ending> {
    loop {
        if let Some(first) = decoder.next()? {
            return Ok(first);
        }
        if decoder.fill(stream).await? == 0 {
            return Err(Ending::Closed);
        }
    }
}
