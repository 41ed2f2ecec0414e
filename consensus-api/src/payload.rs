//! [`Payload`]: how commands and answers become bytes. Any serde type is one; [`Raw`] is for those who bring their own
//! encoding.

use bytes::{BufMut, Bytes, BytesMut};
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

/// A value that travels through the log as bytes.
///
/// Implemented for every type that serde can write and read back (in the `postcard` format), and for [`Raw`]. There is
/// nothing to implement by hand: a type with an encoding of its own is carried as [`Raw`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot travel through the log",
    note = "derive `serde::Serialize` and `serde::Deserialize` for it, or use `Raw` and encode it yourself"
)]
pub trait Payload: Sized + Send + 'static {
    /// Appends the value's bytes.
    ///
    /// # Errors
    /// [`PayloadError`] when the value has no byte form; what was appended is to be thrown away.
    fn encode(&self, out: &mut BytesMut) -> Result<(), PayloadError>;

    /// Reads the value back from exactly these bytes.
    ///
    /// # Errors
    /// [`PayloadError`] when the bytes are not such a value.
    fn decode(bytes: Bytes) -> Result<Self, PayloadError>;
}

/// A value that could not be encoded or decoded.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct PayloadError(pub String);

impl<T: Serialize + DeserializeOwned + Send + 'static> Payload for T {
    fn encode(&self, out: &mut BytesMut) -> Result<(), PayloadError> {
        let written = postcard::to_io(self, out.writer());
        written.map(drop).map_err(|error| PayloadError(error.to_string()))
    }

    fn decode(bytes: Bytes) -> Result<Self, PayloadError> {
        match postcard::take_from_bytes(&bytes) {
            Ok((value, [])) => Ok(value),
            Ok((_, rest)) => Err(PayloadError(format!("{} bytes are left over", rest.len()))),
            Err(error) => Err(PayloadError(error.to_string())),
        }
    }
}

/// Bytes as they are, for users who bring their own encoding: they reach the state machine without a copy.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Raw(pub Bytes);

impl Payload for Raw {
    fn encode(&self, out: &mut BytesMut) -> Result<(), PayloadError> {
        out.put_slice(&self.0);
        Ok(())
    }

    fn decode(bytes: Bytes) -> Result<Self, PayloadError> {
        Ok(Self(bytes))
    }
}
