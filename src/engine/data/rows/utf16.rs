//! UTF-16 to UTF-8, as a stream.

use std::io::{self, Read};

use super::bytes::Damaged;

/// Decodes what it reads.
pub(super) struct Utf16<R> {
    inner: R,
    big_endian: bool,
    /// Bytes that are not decoded yet: at most the first three of a pair of surrogates, after a read.
    raw: Vec<u8>,
    /// Text that was not handed out yet.
    text: Vec<u8>,
    given: usize,
    ended: bool,
    /// What is wrong with what comes behind `text`.
    damage: Option<&'static str>,
}

impl<R: Read> Utf16<R> {
    pub fn new(inner: R, big_endian: bool) -> Utf16<R> {
        Utf16 { inner, big_endian, raw: Vec::new(), text: Vec::new(), given: 0, ended: false, damage: None }
    }

    fn decode(&mut self) {
        let unit = |pair: &[u8]| match self.big_endian {
            true => u16::from_be_bytes([pair[0], pair[1]]),
            false => u16::from_le_bytes([pair[0], pair[1]]),
        };
        let mut whole = self.raw.len() / 2 * 2;
        // The first half of a pair waits for the second.
        if !self.ended && whole >= 2 && (0xD800..0xDC00).contains(&unit(&self.raw[whole - 2..whole])) {
            whole -= 2;
        }
        let units = self.raw[..whole].chunks_exact(2).map(unit);
        for decoded in char::decode_utf16(units) {
            match decoded {
                Ok(decoded) => self.text.extend_from_slice(decoded.encode_utf8(&mut [0; 4]).as_bytes()),
                Err(_) => {
                    self.damage = Some("the UTF-16 text is damaged: save the file as UTF-8");
                    break;
                }
            }
        }
        self.raw.drain(..whole);
        if self.ended && !self.raw.is_empty() {
            self.damage.get_or_insert("the UTF-16 text ends within a character: is the file cut off?");
        }
    }
}

impl<R: Read> Read for Utf16<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.given == self.text.len() && !self.ended && self.damage.is_none() {
            self.text.clear();
            self.given = 0;
            let mut chunk = [0; 8192];
            let read = self.inner.read(&mut chunk)?;
            self.ended = read == 0;
            self.raw.extend_from_slice(&chunk[..read]);
            self.decode();
        }
        if self.given == self.text.len()
            && let Some(damage) = self.damage
        {
            return Err(Damaged::error(damage.to_string()));
        }
        let count = into.len().min(self.text.len() - self.given);
        into[..count].copy_from_slice(&self.text[self.given..self.given + count]);
        self.given += count;
        Ok(count)
    }
}
