//! Bodies at rest: encrypted with a key that is in a file beside the database, not in it.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use chacha20poly1305::{
    Key, KeyInit as _, XChaCha20Poly1305, XNonce,
    aead::{Aead as _, AeadInOut as _, Payload},
};
use zeroize::Zeroizing;

const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 24;
const TAG_BYTES: usize = 16;

/// Encrypts and opens what the inbox keeps (XChaCha20-Poly1305, a fresh nonce each time).
pub struct Sealer(XChaCha20Poly1305);

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
#[error("could not {attempting} the inbox's key {}", path.display())]
pub struct KeyError {
    attempting: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// What was sealed with another key or for another row, or was changed since.
#[derive(Debug, thiserror::Error)]
#[error("the stored body cannot be opened: it was sealed with another key (keys/inbox) or has been changed")]
pub struct OpenError;

impl Sealer {
    /// With the key in `<keys>/inbox`, which is made (mode 0600) if it is missing.
    ///
    /// # Errors
    /// If the folder or the key cannot be made or read, or if the file is no key.
    pub fn open(keys: &Path) -> Result<Self, KeyError> {
        let path = keys.join("inbox");
        let failed = |attempting| {
            let path = path.clone();
            move |source| KeyError { attempting, path, source }
        };
        match read_key(&path) {
            Ok(key) => return Ok(Self::with_key(&key)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(failed("read")(e)),
        }
        make_key(keys, &path).map_err(failed("make"))?;
        read_key(&path).map(|key| Self::with_key(&key)).map_err(failed("read"))
    }

    fn with_key(key: &[u8; KEY_BYTES]) -> Self {
        Self(XChaCha20Poly1305::new(&Key::from(*key)))
    }

    /// Encrypts; `row` says which row it is for and must be given again.
    #[must_use]
    pub fn seal(&self, row: &[u8], plain: &[u8]) -> Vec<u8> {
        let mut nonce = [0; NONCE_BYTES];
        rand::fill(&mut nonce);
        // In one piece of memory: a body may be large.
        let mut sealed = Vec::with_capacity(NONCE_BYTES + plain.len() + TAG_BYTES);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(plain);
        let body = (&mut sealed[NONCE_BYTES..]).into();
        let tag = self.0.encrypt_inout_detached(&XNonce::from(nonce), row, body);
        sealed.extend_from_slice(&tag.expect("a body is far below the cipher's limit of 256 GiB"));
        sealed
    }

    /// Opens what was sealed for this row.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn unseal(&self, row: &[u8], sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
        let (nonce, cipher) = sealed.split_at_checked(NONCE_BYTES).ok_or(OpenError)?;
        let nonce: [u8; NONCE_BYTES] = nonce.try_into().map_err(|_| OpenError)?;
        self.0.decrypt(&XNonce::from(nonce), Payload { msg: cipher, aad: row }).map_err(|_| OpenError)
    }
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sealer")
    }
}

fn read_key(path: &Path) -> io::Result<Zeroizing<[u8; KEY_BYTES]>> {
    let bytes = Zeroizing::new(fs::read(path)?);
    let key = bytes.as_slice().try_into().map_err(|_| {
        let says = format!("it has {} bytes instead of {KEY_BYTES}; put the right file back", bytes.len());
        io::Error::new(io::ErrorKind::InvalidData, says)
    })?;
    Ok(Zeroizing::new(key))
}

/// Complete and synced before it has its name; a key that somebody else made meanwhile stays.
fn make_key(keys: &Path, path: &Path) -> io::Result<()> {
    fs::create_dir_all(keys)?;
    fs::set_permissions(keys, fs::Permissions::from_mode(0o700))?;
    let mut key = Zeroizing::new([0_u8; KEY_BYTES]);
    rand::fill(&mut *key);
    let draft = keys.join(format!("inbox.{}", std::process::id()));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    file.write_all(&*key)?;
    file.sync_all()?;
    let linked = fs::hard_link(&draft, path);
    fs::remove_file(&draft)?;
    match linked {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
        _ => {}
    }
    fs::File::open(keys)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_for_its_row_and_key_only() {
        let folder = tempfile::tempdir().unwrap();
        let keys = folder.path().join("keys");
        let sealed = Sealer::open(&keys).unwrap().seal(b"row 1", b"a body");
        assert!(!sealed.windows(6).any(|part| part == b"a body"));
        let again = Sealer::open(&keys).unwrap();
        assert_eq!(again.unseal(b"row 1", &sealed).unwrap(), b"a body");
        assert!(again.unseal(b"row 2", &sealed).is_err());
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(again.unseal(b"row 1", &changed).is_err());
        }
        assert!(again.unseal(b"row 1", &sealed[..10]).is_err());
        let other = Sealer::open(&folder.path().join("other")).unwrap();
        assert!(other.unseal(b"row 1", &sealed).is_err());
        let mode = fs::metadata(keys.join("inbox")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_damaged_key_is_named_and_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("inbox"), b"short").unwrap();
        let error = Sealer::open(folder.path()).unwrap_err();
        assert!(error.to_string().contains("inbox"), "{error}");
        assert_eq!(fs::read(folder.path().join("inbox")).unwrap(), b"short");
    }
}
