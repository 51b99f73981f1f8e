//! Keys: as text in a file, as a keyring in memory. Nothing here shows a key except the functions that write the file.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

/// Upper bound on the keys of a keyring: the primary one, one that comes, one that goes, and some left over.
const MAX_KEYS: usize = 8;
/// Keeps a key's id apart from every other digest of the same bytes.
const ID_DOMAIN: &[u8] = b"chronik-agent key id 1";

/// Identifies a key without giving it away: the first four bytes of a digest of it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyId(pub(super) [u8; 4]);

impl KeyId {
    /// The four bytes.
    pub fn to_bytes(self) -> [u8; 4] {
        self.0
    }

    /// The id of these four bytes.
    pub fn from_bytes(bytes: [u8; 4]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for KeyId {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let digits = text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = u32::from_str_radix(text, 16).ok().filter(|_| digits);
        number.map(|number| Self(number.to_be_bytes())).ok_or(KeyError::NoId)
    }
}

/// The reason for which text is no keyring, or a change to one was refused. It never quotes the text, which may be
/// most of a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// A line is no key.
    #[error("line {0} is no key: write the base64 of 32 bytes, as `chronik-agent keygen` prints it")]
    Line(usize),
    /// There is no key.
    #[error("there is no key in it: `chronik-agent keygen` makes one")]
    Empty,
    /// There are too many keys.
    #[error("there are more than {MAX_KEYS} keys: remove those that no agent uses any more")]
    TooMany,
    /// A key stands there twice.
    #[error("key {0} is there twice: name it once")]
    Twice(KeyId),
    /// A text that names no key.
    #[error("that is no key id: write eight of the digits 0-9 a-f, as `chronik-agent info` shows them")]
    NoId,
    /// The key is not in the keyring.
    #[error("key {0} is not in the keyring: install it first")]
    Unknown(KeyId),
    /// The key is the primary one.
    #[error("key {0} is the one that sends: use another one first")]
    Sends(KeyId),
}

/// One key. Wiped from memory when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    bytes: Zeroizing<[u8; 32]>,
    id: KeyId,
}

impl Key {
    /// Length of a key, in bytes.
    pub const LEN: usize = 32;

    /// A key of these bytes, which must come from a generator made for secrets.
    pub fn new(bytes: Zeroizing<[u8; 32]>) -> Self {
        let digest = Sha256::new().chain_update(ID_DOMAIN).chain_update(bytes.as_slice()).finalize();
        let id = digest.first_chunk().copied().expect("a digest has 32 bytes");
        Self { bytes, id: KeyId(id) }
    }

    /// Reads a key as [`Self::to_text`] writes it; `None` if the text is no key.
    pub fn parse(text: &str) -> Option<Self> {
        let decoded = Zeroizing::new(STANDARD.decode(text).ok()?);
        let mut bytes = Zeroizing::new([0; Self::LEN]);
        (decoded.len() == Self::LEN).then(|| bytes.copy_from_slice(&decoded))?;
        Some(Self::new(bytes))
    }

    /// The key as it stands in a file.
    pub fn to_text(&self) -> Zeroizing<String> {
        Zeroizing::new(STANDARD.encode(self.bytes.as_slice()))
    }

    /// Its id.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// The bytes themselves.
    pub(crate) fn to_bytes(&self) -> &[u8; Self::LEN] {
        &self.bytes
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "key {}", self.id)
    }
}

/// The keys that open packets, one to eight of them; the first, primary one also seals packets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keyring(Vec<Key>);

impl Keyring {
    /// A keyring of one key.
    pub fn single(key: Key) -> Self {
        Self(vec![key])
    }

    /// Reads a file: a key a line, the primary one first. Empty lines and lines that begin with `#` do not count.
    ///
    /// # Errors
    /// A line is no key, there are none or too many, or one stands there twice.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let lines = text.lines().map(str::trim).zip(1..);
        let lines = lines.filter(|(line, _)| !line.is_empty() && !line.starts_with('#'));
        let keys = lines.map(|(line, number)| Key::parse(line).ok_or(KeyError::Line(number)));
        let mut keyring = Self(Vec::new());
        for key in keys {
            let key = key?;
            if keyring.get(key.id).is_some() {
                return Err(KeyError::Twice(key.id));
            }
            keyring.push(key)?;
        }
        if keyring.0.is_empty() { Err(KeyError::Empty) } else { Ok(keyring) }
    }

    /// The file that reads as this keyring.
    pub fn to_text(&self) -> Zeroizing<String> {
        // The capacity is the largest length, so that growing leaves no copy behind.
        let mut text = Zeroizing::new(String::with_capacity(MAX_KEYS * 64));
        for key in &self.0 {
            text.push_str(&key.to_text());
            text.push('\n');
        }
        text
    }

    fn push(&mut self, key: Key) -> Result<(), KeyError> {
        if self.0.len() == MAX_KEYS {
            return Err(KeyError::TooMany);
        }
        self.0.push(key);
        Ok(())
    }

    /// The primary key, which seals.
    pub fn sending(&self) -> &Key {
        self.0.first().expect("a keyring has a key")
    }

    /// The key of this id.
    pub fn get(&self, id: KeyId) -> Option<&Key> {
        self.0.iter().find(|key| key.id == id)
    }

    /// The ids of all, the primary one first.
    pub fn ids(&self) -> impl Iterator<Item = KeyId> {
        self.0.iter().map(Key::id)
    }

    /// Adds a key that opens packets; a key that is there already keeps its place.
    ///
    /// # Errors
    /// There is no room.
    pub fn install(&mut self, key: Key) -> Result<(), KeyError> {
        if self.get(key.id).is_some() { Ok(()) } else { self.push(key) }
    }

    /// Makes this key the primary one.
    ///
    /// # Errors
    /// The key is not in the keyring.
    pub fn send_with(&mut self, id: KeyId) -> Result<(), KeyError> {
        let at = self.0.iter().position(|key| key.id == id).ok_or(KeyError::Unknown(id))?;
        self.0[..=at].rotate_right(1);
        Ok(())
    }

    /// Removes a key; a key that is not there is no error.
    ///
    /// # Errors
    /// The key is the primary one.
    pub fn remove(&mut self, id: KeyId) -> Result<(), KeyError> {
        if self.sending().id == id {
            return Err(KeyError::Sends(id));
        }
        self.0.retain(|key| key.id != id);
        Ok(())
    }
}

/// A change to a keyring.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyChange {
    /// Opens packets with this key, too.
    Install(Key),
    /// Makes this key the primary one.
    Use(KeyId),
    /// Forgets this key.
    Remove(KeyId),
}

impl KeyChange {
    /// Applies the change.
    ///
    /// # Errors
    /// The change is refused; the keyring is as it was.
    pub fn apply(&self, keyring: &mut Keyring) -> Result<(), KeyError> {
        match self {
            Self::Install(key) => keyring.install(key.clone()),
            Self::Use(id) => keyring.send_with(*id),
            Self::Remove(id) => keyring.remove(*id),
        }
    }

    /// True if a keyring with these keys, the primary one first, is as this change leaves it.
    pub fn is_done(&self, keys: &[KeyId]) -> bool {
        match self {
            Self::Install(key) => keys.contains(&key.id()),
            Self::Use(id) => keys.first() == Some(id),
            Self::Remove(id) => !keys.contains(id),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u8) -> Key {
        Key::new(Zeroizing::new([number; 32]))
    }

    #[test]
    fn a_keyring_reads_as_it_is_written() {
        let text = format!("# the new one\n\n{}\r\n {} \n", *key(1).to_text(), *key(2).to_text());
        let keyring = Keyring::parse(&text).unwrap();
        assert_eq!(keyring.ids().collect::<Vec<_>>(), [key(1).id(), key(2).id()]);
        assert_eq!(Keyring::parse(&keyring.to_text()), Ok(keyring));
    }

    #[test]
    fn what_is_no_keyring_is_named_by_its_line_and_never_shown() {
        let one = key(1).to_text();
        assert_eq!(Keyring::parse("#\n"), Err(KeyError::Empty));
        assert_eq!(Keyring::parse(&format!("{}\n{}", *one, *one)), Err(KeyError::Twice(key(1).id())));
        let short = &one[..40];
        for wrong in [short, "two words", &format!("{}=", *one)] {
            let error = Keyring::parse(&format!("{}\n{wrong}\n", *one)).unwrap_err();
            assert_eq!(error, KeyError::Line(2));
            assert!(!error.to_string().contains(wrong), "{error}");
        }
        let nine: String = (0..9).map(|number| format!("{}\n", *key(number).to_text())).collect();
        assert_eq!(Keyring::parse(&nine), Err(KeyError::TooMany));
        let shown = format!("{:?}", Keyring::single(key(1)));
        assert_eq!(shown, format!("Keyring([key {}])", key(1).id()));
    }

    #[test]
    fn keys_come_send_and_go() {
        let mut keyring = Keyring::single(key(1));
        let ids = |keyring: &Keyring| keyring.ids().collect::<Vec<_>>();
        keyring.install(key(2)).unwrap();
        keyring.install(key(3)).unwrap();
        keyring.install(key(1)).unwrap();
        assert_eq!(ids(&keyring), [key(1).id(), key(2).id(), key(3).id()]);
        keyring.send_with(key(3).id()).unwrap();
        assert_eq!(ids(&keyring), [key(3).id(), key(1).id(), key(2).id()]);
        assert_eq!(keyring.send_with(key(4).id()), Err(KeyError::Unknown(key(4).id())));
        assert_eq!(keyring.remove(key(3).id()), Err(KeyError::Sends(key(3).id())));
        keyring.remove(key(1).id()).unwrap();
        keyring.remove(key(1).id()).unwrap();
        assert_eq!(ids(&keyring), [key(3).id(), key(2).id()]);
    }

    #[test]
    fn an_id_is_eight_hexadecimal_digits() {
        assert_eq!("00ff10ab".parse(), Ok(KeyId([0, 255, 16, 171])));
        assert_eq!(KeyId([0, 255, 16, 171]).to_string(), "00ff10ab");
        for wrong in ["", "00ff10a", "+0ff10ab", "00ff10abc", "00ff10ag"] {
            assert_eq!(wrong.parse::<KeyId>(), Err(KeyError::NoId), "{wrong}");
        }
    }
}
