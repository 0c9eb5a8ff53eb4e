//! Reading and writing at a place of a file, without moving its cursor, so that threads share one file.

use std::fs::File;
use std::io::Result;

/// Fills the buffer with what lies from `at` on.
#[cfg(unix)]
pub(crate) fn read_exact_at(file: &File, at: u64, into: &mut [u8]) -> Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, into, at)
}

/// Writes all bytes from `at` on.
#[cfg(unix)]
pub(crate) fn write_all_at(file: &File, at: u64, bytes: &[u8]) -> Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, at)
}

/// Fills the buffer with what lies from `at` on.
#[cfg(windows)]
pub(crate) fn read_exact_at(file: &File, mut at: u64, mut into: &mut [u8]) -> Result<()> {
    while !into.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, into, at)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            read => {
                at += read as u64;
                into = &mut into[read..];
            }
        }
    }
    Ok(())
}

/// Writes all bytes from `at` on.
#[cfg(windows)]
pub(crate) fn write_all_at(file: &File, mut at: u64, mut bytes: &[u8]) -> Result<()> {
    while !bytes.is_empty() {
        match std::os::windows::fs::FileExt::seek_write(file, bytes, at)? {
            0 => return Err(std::io::ErrorKind::WriteZero.into()),
            written => {
                at += written as u64;
                bytes = &bytes[written..];
            }
        }
    }
    Ok(())
}
