//! [`SerdeSnapshot`]: the snapshot of a state machine that is known to serde, written and read piece by piece.

use std::cell::{Cell, OnceCell};
use std::io::{self, BufRead, BufReader, Read, Write};

use postcard::de_flavors::Flavor;
use postcard::{Deserializer, Error};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Failure, Snapshot};

/// The snapshot of a state machine that is `Clone` and known to serde: a clone of it.
/// See [`snapshot_with_serde!`](crate::snapshot_with_serde).
#[derive(Clone, Debug)]
pub struct SerdeSnapshot<S>(pub S);

impl<S: Serialize + Send + 'static> Snapshot for SerdeSnapshot<S> {
    fn write_to(self, out: &mut dyn Write) -> io::Result<()> {
        postcard::to_io(&self.0, out).map(drop).map_err(io::Error::other)
    }
}

impl<S: DeserializeOwned> SerdeSnapshot<S> {
    /// Reads back what [`write_to`](Snapshot::write_to) wrote, as it comes: beside the state itself, memory holds its longest
    /// string at most.
    ///
    /// # Errors
    /// [`Failure`] when the bytes are not such a value.
    pub fn read_from(from: &mut dyn Read) -> Result<S, Failure> {
        let (lent, failed) = (Lent::default(), Cell::new(None));
        let source = Source { from: BufReader::new(from), piece: Vec::new(), lent: &lent, failed: &failed };
        let mut deserializer = Deserializer::from_flavor(source);
        let read = S::deserialize(&mut deserializer);
        if let Some(error) = failed.take() {
            return Err(error.into());
        }
        let words = |error: Error| Failure(format!("the snapshot does not decode: {error}"));
        let state = read.map_err(words)?;
        let left = io::copy(&mut deserializer.finalize().map_err(words)?, &mut io::sink())?;
        if left == 0 { Ok(state) } else { Err(Failure(format!("the snapshot has {left} bytes left over"))) }
    }
}

/// The bytes of a snapshot as they come.
struct Source<'de> {
    from: BufReader<&'de mut dyn Read>,
    /// What was read last.
    piece: Vec<u8>,
    lent: &'de Lent,
    /// Why no more could be read, for an error of the decoder has no room for it.
    failed: &'de Cell<Option<io::Error>>,
}

impl Source<'_> {
    /// Reads a piece, and takes no more memory than there are bytes, whatever the length says.
    fn read(&mut self, len: usize) -> postcard::Result<()> {
        self.piece.clear();
        let read = self.from.by_ref().take(len as u64).read_to_end(&mut self.piece);
        match read.map_err(|error| self.fail(error))? {
            read if read < len => Err(Error::DeserializeUnexpectedEnd),
            _ => Ok(()),
        }
    }

    fn fail(&self, error: io::Error) -> Error {
        self.failed.set(Some(error));
        Error::DeserializeUnexpectedEnd
    }
}

impl<'de> Flavor<'de> for Source<'de> {
    type Remainder = BufReader<&'de mut dyn Read>;
    type Source = &'de mut dyn Read;

    fn pop(&mut self) -> postcard::Result<u8> {
        let filled = self.from.fill_buf();
        let byte = match filled.map(|bytes| bytes.first().copied()) {
            Ok(byte) => byte.ok_or(Error::DeserializeUnexpectedEnd)?,
            Err(error) => return Err(self.fail(error)),
        };
        self.from.consume(1);
        Ok(byte)
    }

    fn try_take_n(&mut self, len: usize) -> postcard::Result<&'de [u8]> {
        self.read(len)?;
        let (bytes, next) = self.lent.lend(self.piece.as_slice().into());
        self.lent = next;
        Ok(bytes)
    }

    fn try_take_n_temp<'a>(&'a mut self, len: usize) -> postcard::Result<&'a [u8]>
    where
        'de: 'a,
    {
        self.read(len)?;
        Ok(&self.piece)
    }

    fn finalize(self) -> postcard::Result<Self::Remainder> {
        Ok(self.from)
    }
}

/// Bytes for those types that ask for more than they keep: they are lent to the decoder as long as it decodes.
#[derive(Default)]
struct Lent(OnceCell<(Box<[u8]>, Box<Lent>)>);

impl Lent {
    /// Lends these, once. Where the next are lent.
    fn lend(&self, bytes: Box<[u8]>) -> (&[u8], &Self) {
        let (bytes, next) = self.0.get_or_init(|| (bytes, Box::default()));
        (bytes, next)
    }
}

impl Drop for Lent {
    /// One after the other: there may be more than a stack has room for.
    fn drop(&mut self) {
        let mut next = self.0.take();
        while let Some((_, mut lent)) = next {
            next = lent.0.take();
        }
    }
}

/// Inside an `impl StateMachine`: snapshots by cloning, written with serde. For types that are `Clone`, `Serialize` and
/// `Deserialize`.
#[macro_export]
macro_rules! snapshot_with_serde {
    () => {
        type Snapshot = $crate::SerdeSnapshot<Self>;

        fn snapshot(&self) -> Self::Snapshot {
            $crate::SerdeSnapshot(::core::clone::Clone::clone(self))
        }

        fn restore(&mut self, from: &mut dyn ::std::io::Read) -> ::core::result::Result<(), $crate::Failure> {
            *self = $crate::SerdeSnapshot::<Self>::read_from(from)?;
            Ok(())
        }
    };
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fmt;

    use serde::Deserialize;
    use serde::de::{Deserializer, Visitor};

    use super::*;

    #[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
    struct State {
        names: BTreeMap<String, Vec<u8>>,
        numbers: (u64, i32, f64, char, Option<bool>),
        lent: Vec<Borrowing>,
    }

    /// Asks for bytes that outlive the call, and keeps none, as `Uuid` does.
    #[derive(Clone, PartialEq, Debug)]
    struct Borrowing(u8);

    impl Serialize for Borrowing {
        fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
            to.serialize_bytes(&[self.0; 4])
        }
    }

    impl<'de> Deserialize<'de> for Borrowing {
        fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
            struct First;
            impl<'de> Visitor<'de> for First {
                type Value = Borrowing;

                fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str("four bytes")
                }

                fn visit_borrowed_bytes<E>(self, bytes: &'de [u8]) -> Result<Borrowing, E> {
                    Ok(Borrowing(bytes[0]))
                }
            }
            from.deserialize_bytes(First)
        }
    }

    fn state(borrowing: u32) -> State {
        let names = (0..50_u8).map(|n| ("n".repeat(n.into()), vec![n; 3 * usize::from(n)])).collect();
        let lent = (0..borrowing).map(|n| Borrowing(n as u8)).collect();
        State { names, numbers: (u64::MAX, -5, 0.25, '\u{fffd}', Some(true)), lent }
    }

    fn written<S: Serialize + Send + 'static>(state: S) -> Vec<u8> {
        let mut bytes = Vec::new();
        SerdeSnapshot(state).write_to(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn what_was_written_is_read_and_nothing_else_is() {
        let mut bytes = written(state(20));
        assert_eq!(SerdeSnapshot::<State>::read_from(&mut &bytes[..]), Ok(state(20)));
        for cut in 0..bytes.len() {
            let failure = SerdeSnapshot::<State>::read_from(&mut &bytes[..cut]).unwrap_err();
            assert!(failure.0.contains("does not decode"), "{failure}");
        }
        bytes.extend([0; 7]);
        let failure = SerdeSnapshot::<State>::read_from(&mut &bytes[..]).unwrap_err();
        assert_eq!(failure.0, "the snapshot has 7 bytes left over");
    }

    #[test]
    fn as_many_bytes_are_lent_as_are_asked_for() {
        let many = state(300_000);
        assert_eq!(SerdeSnapshot::<State>::read_from(&mut &written(many.clone())[..]), Ok(many));
    }

    #[test]
    fn a_length_that_is_not_true_takes_no_memory() {
        let hostile = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 1, 2, 3];
        assert!(SerdeSnapshot::<String>::read_from(&mut &hostile[..]).is_err());
    }

    #[test]
    fn why_a_disk_could_not_be_read_is_told() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("the disk is on fire"))
            }
        }
        let bytes = written("word".to_owned());
        let failure = SerdeSnapshot::<String>::read_from(&mut (&bytes[..3]).chain(Broken)).unwrap_err();
        assert_eq!(failure.0, "the disk is on fire");
        let failure = SerdeSnapshot::<u64>::read_from(&mut Broken).unwrap_err();
        assert_eq!(failure.0, "the disk is on fire");
    }

    thread_local! {
        static READ: Cell<usize> = const { Cell::new(0) };
        static READ_BEFORE_THE_FIRST: Cell<Option<usize>> = const { Cell::new(None) };
    }

    /// Counts what was read.
    struct Counted<R>(R);

    impl<R: Read> Read for Counted<R> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let read = self.0.read(into)?;
            READ.set(READ.get() + read);
            Ok(read)
        }
    }

    /// Tells how much was read before it.
    #[derive(Serialize)]
    struct Telling(String);

    impl<'de> Deserialize<'de> for Telling {
        fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
            READ_BEFORE_THE_FIRST.set(READ_BEFORE_THE_FIRST.get().or(Some(READ.get())));
            String::deserialize(from).map(Telling)
        }
    }

    #[test]
    fn a_large_state_is_never_in_memory_as_bytes() {
        let bytes = written((0..1000).map(|_| Telling("x".repeat(1000))).collect::<Vec<_>>());
        let read = SerdeSnapshot::<Vec<Telling>>::read_from(&mut Counted(&bytes[..])).unwrap();
        assert_eq!((read.len(), READ.get()), (1000, bytes.len()));
        let before = READ_BEFORE_THE_FIRST.get().unwrap();
        assert!(before <= 16 << 10, "{before} of {} bytes were read at once", bytes.len());
    }
}
