//! What queued goes out at once, and what is large is not copied.

use std::task::{Context, Poll};

use super::*;

/// A socket that takes everything, and remembers each write: where its pieces lay, and their bytes.
#[derive(Default)]
struct Taken(Vec<Vec<(usize, Vec<u8>)>>);

impl AsyncWrite for Taken {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        panic!("one piece at a time")
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let pieces: Vec<_> = slices.iter().map(|slice| (slice.as_ptr() as usize, slice.to_vec())).collect();
        let bytes = pieces.iter().map(|(_, piece)| piece.len()).sum();
        self.get_mut().0.push(pieces);
        Poll::Ready(Ok(bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn what_queued_is_one_write_and_entries_are_shared_by_all_peers() {
    let block = Bytes::from(vec![7; COPY_BYTES_MAX + 1]);
    let frames: Vec<Frame> = (0..20_u8)
        .map(|at| Frame { head: Bytes::copy_from_slice(&[at; 30]), body: Bytes::from(vec![at; 200]) })
        .chain([Frame { head: Bytes::from_static(b"entries"), body: block.clone() }])
        .collect();
    for _peer in 0..2 {
        let (mut batch, mut socket) = (Batch::new(Sealer::new()), Taken::default());
        let mut plain = Vec::new();
        let mut sealer = Sealer::new();
        for frame in &frames {
            batch.push(Kind::Message, Lane::Data, frame);
            plain.extend_from_slice(&sealer.seal(Kind::Message, Lane::Data, frame));
            plain.extend_from_slice(&frame.head);
            plain.extend_from_slice(&frame.body);
        }
        batch.write_to(&mut socket, &Silence::default(), None).await.unwrap();
        assert_eq!(socket.0.len(), 1, "21 frames, one write");
        let pieces = &socket.0[0];
        assert_eq!(pieces.iter().flat_map(|(_, piece)| piece.clone()).collect::<Vec<_>>(), plain);
        assert_eq!(pieces.len(), 2, "what is small lies side by side");
        assert_eq!(pieces[1].0, block.as_ptr() as usize, "the very bytes that were encoded");
    }
}
