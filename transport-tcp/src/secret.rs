//! [`Secret`]: what all members of a cluster know and nobody else.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use consensus_api::TransportError;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

/// Fewer bytes could be guessed from a handshake that was overheard.
const SECRET_BYTES_MIN: usize = 16;
/// More bytes are a wrong file.
const SECRET_BYTES_MAX: usize = 4096;
/// The bytes of an HMAC's key. Shorter secrets are padded with zeros, longer ones hashed, as RFC 2104 has it.
const KEY_BYTES: usize = 64;
/// The bytes of a proof.
pub(crate) const PROOF_BYTES: usize = 32;

/// A secret that all members share. Each proves to the other, at every connection, that it knows the secret, without
/// telling it: HMAC-SHA256 over both hellos, which carry a fresh random number each.
///
/// It keeps out whoever does not know it. It protects against nobody who can meddle with connections under way: nothing
/// is encrypted, and nothing after the handshake is authenticated. Where that matters, use TLS (feature `tls`).
#[derive(Clone)]
pub struct Secret(Arc<[u8; KEY_BYTES]>);

/// Which side of a connection proves. A proof of one side is none of the other's, so that none can be sent back.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Side {
    Caller,
    Called,
}

impl Secret {
    /// From its bytes: at least 16, and not a word that somebody could guess. `openssl rand -hex 32` makes a good one.
    ///
    /// # Errors
    /// A sentence, when it is too short or too long.
    pub fn new(bytes: impl AsRef<[u8]>) -> Result<Self, TransportError> {
        let bytes = bytes.as_ref();
        match bytes.len() {
            ..SECRET_BYTES_MIN => Err(TransportError(format!(
                "the shared secret has {} bytes, at least {SECRET_BYTES_MIN} are needed; `openssl rand -hex 32` makes one",
                bytes.len()
            ))),
            SECRET_BYTES_MIN..=SECRET_BYTES_MAX => {
                let digest = Sha256::digest(bytes);
                let short = if bytes.len() <= KEY_BYTES { bytes } else { &digest[..] };
                let mut key = [0; KEY_BYTES];
                key[..short.len()].copy_from_slice(short);
                Ok(Self(Arc::new(key)))
            }
            _ => Err(TransportError(format!(
                "the shared secret has {} bytes, at most {SECRET_BYTES_MAX} are taken; is it the right file?",
                bytes.len()
            ))),
        }
    }

    /// From a file. White space at its ends does not count.
    ///
    /// # Errors
    /// A sentence, when the file cannot be read or does not hold a secret.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, TransportError> {
        let bytes = std::fs::read(path.as_ref());
        let path = path.as_ref().display();
        let bytes = bytes.map_err(|error| {
            TransportError(format!(
                "cannot read the shared secret from {path}: {error}; correct its path or its rights"
            ))
        })?;
        Self::new(bytes.trim_ascii()).map_err(|error| TransportError(format!("{path}: {error}")))
    }

    /// What one side sends to prove that it knows the secret, given both hellos as they were on the wire.
    pub(crate) fn proof(&self, side: Side, caller_hello: &[u8], called_hello: &[u8]) -> [u8; PROOF_BYTES] {
        self.mac(side, caller_hello, called_hello).finalize().into_bytes().into()
    }

    /// Whether this is the other side's proof. Takes equally long whatever is wrong with it.
    pub(crate) fn is_proof(
        &self,
        proof: &[u8],
        side: Side,
        caller_hello: &[u8],
        called_hello: &[u8],
    ) -> bool {
        self.mac(side, caller_hello, called_hello).verify_slice(proof).is_ok()
    }

    fn mac(&self, side: Side, caller_hello: &[u8], called_hello: &[u8]) -> Hmac<Sha256> {
        let label: &[u8] = match side {
            Side::Caller => b"quorate proof of the caller",
            Side::Called => b"quorate proof of the called",
        };
        let mut mac = Hmac::<Sha256>::new(&(*self.0).into());
        mac.update(label);
        for hello in [caller_hello, called_hello] {
            mac.update(&(hello.len() as u64).to_le_bytes());
            mac.update(hello);
        }
        mac
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(byte: u8) -> Secret {
        Secret::new([byte; 32]).unwrap()
    }

    #[test]
    fn a_proof_holds_for_one_secret_one_side_and_one_pair_of_hellos() {
        let proof = secret(1).proof(Side::Caller, b"hello", b"you too");
        assert!(secret(1).is_proof(&proof, Side::Caller, b"hello", b"you too"));
        assert!(!secret(2).is_proof(&proof, Side::Caller, b"hello", b"you too"));
        assert!(!secret(1).is_proof(&proof, Side::Called, b"hello", b"you too"));
        assert!(!secret(1).is_proof(&proof, Side::Caller, b"hello", b"you to0"));
        assert!(!secret(1).is_proof(&proof, Side::Caller, b"helloy", b"ou too"), "where one ends counts");
        for len in 0..PROOF_BYTES {
            assert!(!secret(1).is_proof(&proof[..len], Side::Caller, b"hello", b"you too"));
        }
    }

    /// The key and text of test case 6 of RFC 4231, whose key is longer than a block, and of case 7.
    #[test]
    fn it_is_hmac() {
        for (len, text, expected) in [
            (
                131,
                &b"Test Using Larger Than Block-Size Key - Hash Key First"[..],
                [0x60, 0xe4, 0x31, 0x59],
            ),
            (
                131,
                b"This is a test using a larger than block-size key and a larger than block-size data. The key needs to be hashed before being used by the HMAC algorithm.",
                [0x9b, 0x09, 0xff, 0xa7],
            ),
        ] {
            let Secret(key) = Secret::new(vec![0xaa; len]).unwrap();
            let mut mac = Hmac::<Sha256>::new(&(*key).into());
            mac.update(text);
            assert_eq!(mac.finalize().into_bytes()[..4], expected);
        }
    }

    #[test]
    fn a_secret_is_neither_short_nor_shown() {
        assert!(Secret::new("sesame").unwrap_err().to_string().contains("has 6 bytes, at least 16"));
        assert!(Secret::new([0; 5_000]).unwrap_err().to_string().contains("at most 4096"));
        assert_eq!(format!("{:?}", secret(65)), "Secret(..)");
    }

    #[test]
    fn a_file_may_end_in_a_new_line() {
        let file = std::env::temp_dir().join(format!("quorate-secret-{}", std::process::id()));
        std::fs::write(&file, "0123456789abcdef\n").unwrap();
        let from_file = Secret::from_file(&file).unwrap();
        std::fs::remove_file(&file).unwrap();
        let expected = Secret::new("0123456789abcdef").unwrap();
        assert_eq!(from_file.proof(Side::Caller, b"", b""), expected.proof(Side::Caller, b"", b""));
        assert!(Secret::from_file(&file).unwrap_err().to_string().contains("cannot read the shared secret"));
    }
}
