//! XChaCha20-Poly1305 with the row's identity authenticated: a row that is moved, renamed or given another
//! version does not open.

use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use rand::Rng;
use zeroize::Zeroizing;

/// A 256-bit key. Wiped when it goes.
#[derive(Clone)]
pub(crate) struct Key(Zeroizing<[u8; Key::LENGTH]>);

impl Key {
    /// Bytes of a key.
    pub(crate) const LENGTH: usize = 32;

    /// A fresh key.
    pub(crate) fn random() -> Self {
        let mut key = Self(Zeroizing::new([0; Self::LENGTH]));
        rand::rng().fill_bytes(&mut *key.0);
        key
    }

    /// A key from bytes that must have its length.
    pub(crate) fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(|bytes| Self(Zeroizing::new(bytes)))
    }

    /// The bytes.
    pub(crate) fn bytes(&self) -> &[u8; Self::LENGTH] {
        &self.0
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(…)")
    }
}

/// Something encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sealed {
    /// 192 random bits: drawn for each value, never reused in practice.
    pub(crate) nonce: [u8; Sealed::NONCE],
    /// The ciphertext with its tag.
    pub(crate) ciphertext: Vec<u8>,
}

impl Sealed {
    const NONCE: usize = 24;

    /// What a row holds, from its text.
    pub(crate) fn from_hex(nonce: &str, ciphertext: &str) -> Option<Self> {
        let nonce = hex::decode(nonce).ok()?.try_into().ok()?;
        Some(Self { nonce, ciphertext: hex::decode(ciphertext).ok()? })
    }

    /// The nonce and the ciphertext as a row holds them.
    pub(crate) fn to_hex(&self) -> (String, String) {
        (hex::encode(self.nonce), hex::encode(&self.ciphertext))
    }
}

/// A sealed value did not open: another key, another identity, or changed bytes. It cannot be told which.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NotAuthentic;

/// Encrypts a value for this identity.
pub(crate) fn seal(key: &Key, identity: &Identity<'_>, value: &[u8]) -> Sealed {
    let mut nonce = [0; Sealed::NONCE];
    rand::rng().fill_bytes(&mut nonce);
    let cipher = XChaCha20Poly1305::new(key.bytes().into());
    let ciphertext = cipher
        .encrypt(&XNonce::from(nonce), Payload { msg: value, aad: &identity.encode() })
        .expect("a value is far below the cipher's limit of 256 GiB");
    Sealed { nonce, ciphertext }
}

/// Decrypts what was sealed for this identity.
pub(crate) fn open(
    key: &Key,
    identity: &Identity<'_>,
    sealed: &Sealed,
) -> Result<Zeroizing<Vec<u8>>, NotAuthentic> {
    let cipher = XChaCha20Poly1305::new(key.bytes().into());
    cipher
        .decrypt(&XNonce::from(sealed.nonce), Payload { msg: &sealed.ciphertext, aad: &identity.encode() })
        .map(Zeroizing::new)
        .map_err(|_| NotAuthentic)
}

/// What a sealed value belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity<'a> {
    /// What kind of thing it is: a value, or a wrapped key.
    pub(crate) purpose: &'static str,
    /// The project.
    pub(crate) project: &'a str,
    /// The secret's name; empty for a key.
    pub(crate) name: &'a str,
    /// The secret's version; 0 for a key.
    pub(crate) version: u32,
    /// The key that seals a value; the key itself where that is what is sealed.
    pub(crate) key_id: &'a str,
}

impl Identity<'_> {
    /// Every field with its length before it, so that no two identities are the same bytes.
    fn encode(&self) -> Vec<u8> {
        let version = self.version.to_be_bytes();
        let fields = [
            self.purpose.as_bytes(),
            self.project.as_bytes(),
            self.name.as_bytes(),
            &version,
            self.key_id.as_bytes(),
        ];
        fields
            .iter()
            .flat_map(|field| (field.len() as u64).to_be_bytes().into_iter().chain(field.to_vec()))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Identity<'_> =
        Identity { purpose: "value", project: "p", name: "addon/db/password", version: 1, key_id: "k" };

    #[test]
    fn opens_what_it_sealed_and_draws_a_nonce_each_time() {
        let key = Key::random();
        let (first, second) = (seal(&key, &HERE, b"hunter2"), seal(&key, &HERE, b"hunter2"));
        assert_eq!(*open(&key, &HERE, &first).unwrap(), b"hunter2");
        assert_ne!(first.nonce, second.nonce);
        assert_ne!(first.ciphertext, second.ciphertext);
        assert!(!first.ciphertext.windows(7).any(|bytes| bytes == b"hunter2"));
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let key = Key::random();
        let sealed = seal(&key, &HERE, b"hunter2");
        for bit in 0..sealed.ciphertext.len() * 8 {
            let mut flipped = sealed.clone();
            flipped.ciphertext[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(open(&key, &HERE, &flipped).unwrap_err(), NotAuthentic);
        }
        for bit in 0..sealed.nonce.len() * 8 {
            let mut flipped = sealed.clone();
            flipped.nonce[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(open(&key, &HERE, &flipped).unwrap_err(), NotAuthentic);
        }
    }

    #[test]
    fn another_key_or_identity_does_not_open_it() {
        let key = Key::random();
        let sealed = seal(&key, &HERE, b"hunter2");
        let others = [
            Identity { purpose: "key", ..HERE },
            Identity { project: "q", ..HERE },
            Identity { name: "addon/db/passwor", ..HERE },
            Identity { version: 2, ..HERE },
            Identity { key_id: "l", ..HERE },
            Identity { project: "pa", name: "ddon/db/password", ..HERE },
        ];
        for other in others {
            assert_eq!(open(&key, &other, &sealed).unwrap_err(), NotAuthentic, "{other:?}");
        }
        assert_eq!(open(&Key::random(), &HERE, &sealed).unwrap_err(), NotAuthentic);
    }

    #[test]
    fn a_key_is_not_printed() {
        assert_eq!(format!("{:?}", Key::random()), "Key(…)");
    }
}
