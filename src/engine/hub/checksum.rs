//! The two checksums of the Hub: SHA-256 for large files, git's SHA-1 of a blob for small ones.

use sha1::Sha1;
use sha2::{Digest, Sha256};

/// A checksum over bytes as they come.
#[derive(Clone)]
pub(super) enum Checksum {
    Sha256(Sha256),
    /// git hashes `blob <size>\0` before the contents.
    Git(Sha1),
}

impl Checksum {
    /// The one that `etag` is of, for contents of `size` bytes.
    pub fn new(etag: &str, size: u64) -> Checksum {
        let mut new = match etag.len() {
            64 => Checksum::Sha256(Sha256::new()),
            _ => Checksum::Git(Sha1::new()),
        };
        new.reset(size);
        new
    }

    /// Begins again.
    pub fn reset(&mut self, size: u64) {
        match self {
            Checksum::Sha256(hash) => *hash = Sha256::new(),
            Checksum::Git(hash) => *hash = Sha1::new_with_prefix(format!("blob {size}\0")),
        }
    }

    pub fn update(&mut self, bytes: &[u8]) {
        match self {
            Checksum::Sha256(hash) => hash.update(bytes),
            Checksum::Git(hash) => hash.update(bytes),
        }
    }

    pub fn matches(self, etag: &str) -> bool {
        self.hex().eq_ignore_ascii_case(etag)
    }

    /// The checksum as the Hub writes it.
    pub fn hex(self) -> String {
        let bytes = match self {
            Checksum::Sha256(hash) => hash.finalize().to_vec(),
            Checksum::Git(hash) => hash.finalize().to_vec(),
        };
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_are_as_other_programs_compute_them() {
        let of = |etag: &str| {
            let mut checksum = Checksum::new(etag, 6);
            checksum.update(b"hel");
            checksum.update(b"lo\n");
            checksum.hex()
        };
        // printf 'hello\n' | git hash-object --stdin; printf 'hello\n' | sha256sum
        assert_eq!(of(&"0".repeat(40)), "ce013625030ba8dba906f756967f9e9ca394464a");
        assert_eq!(of(&"0".repeat(64)), "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03");
    }
}
