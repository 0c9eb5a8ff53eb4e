//! The bytes of a Parquet file, as the library asks for them, with an eye on what it would make of them.
//!
//! A page begins with a header of a few bytes that says how long the page is when it is unpacked, and the library makes that
//! much memory ready before it looks at the page. A forged header could ask for 2 GiB; so headers are looked at on
//! their way to the library.

use std::fs::File;
use std::io::Read;
use std::sync::{Arc, OnceLock};

use ::bytes::Bytes;
use ::parquet::basic::Compression;
use ::parquet::errors::{ParquetError, Result};
use ::parquet::file::metadata::ParquetMetaData;
use ::parquet::file::reader::{ChunkReader, Length};

/// Bytes of an unpacked page, at most. Writers aim at 1 MiB, but put at least some hundred rows into one.
const MAX_PAGE: u64 = 512 << 20;
/// What a chunk's own count of its unpacked bytes may be off by: not all writers count headers and levels.
const SLACK: u64 = 1 << 20;

/// Where the bytes are.
pub(super) enum Place {
    File(File),
    Memory(Bytes),
}

/// The bytes of a Parquet file.
pub(super) struct Chunks {
    place: Place,
    limits: Arc<Limits>,
}

/// How long the pages of each column chunk can be, in the order of their places; empty until the file's end is read.
#[derive(Default)]
pub(super) struct Limits(OnceLock<Vec<Chunk>>);

/// The pages of a column in one row group.
#[derive(Clone, Copy)]
struct Chunk {
    start: u64,
    end: u64,
    /// Bytes of all its pages, unpacked.
    unpacked: u64,
    /// How many bytes one packed byte can become.
    ratio: u64,
}

impl Limits {
    /// Takes over what the file's end says about its columns.
    pub fn set(&self, metadata: &ParquetMetaData) {
        let columns = metadata.row_groups().iter().flat_map(|group| group.columns());
        let mut chunks: Vec<Chunk> = columns
            .map(|column| {
                let (start, length) = column.byte_range();
                let unpacked = u64::try_from(column.uncompressed_size()).unwrap_or(0);
                Chunk { start, end: start.saturating_add(length), unpacked, ratio: ratio(column.compression()) }
            })
            .collect();
        chunks.sort_by_key(|chunk| chunk.start);
        // A file is read once, so nothing is there yet.
        let _ = self.0.set(chunks);
    }

    /// The chunk of a page header; `None` while the file's end is read.
    fn chunk(&self, place: u64) -> Result<Option<Chunk>> {
        let Some(chunks) = self.0.get() else { return Ok(None) };
        let before = chunks.partition_point(|chunk| chunk.start <= place);
        let found = before.checked_sub(1).map(|at| chunks[at]).filter(|chunk| place < chunk.end);
        found.map(Some).ok_or_else(|| ParquetError::General("a page lies outside of its column".into()))
    }
}

/// The most that each way of packing can save: a copy of 64 bytes takes three (Snappy), one of 258 two bits (Deflate), each
/// byte of a length counts 255 (LZ4), a block of 128 KiB takes four bytes (Zstandard).
fn ratio(compression: Compression) -> u64 {
    match compression {
        Compression::UNCOMPRESSED => 1,
        Compression::SNAPPY => 22,
        Compression::LZ4 | Compression::LZ4_RAW => 256,
        Compression::GZIP(_) => 1040,
        _ => 1 << 15,
    }
}

impl Chunk {
    /// Checks what a page header says.
    fn check(&self, unpacked: u64, packed: u64) -> Result<()> {
        let of_packed = packed.saturating_mul(self.ratio).saturating_add(SLACK);
        let plausible = (2 * self.unpacked.min(MAX_PAGE) + SLACK).min(of_packed);
        if unpacked > plausible {
            return Err(ParquetError::General(format!(
                "a page claims to unpack to {unpacked} bytes, which its column and its {packed} packed bytes rule out"
            )));
        }
        if unpacked > MAX_PAGE {
            return Err(ParquetError::General(format!(
                "a page unpacks to {} MiB, more than {} MiB: write the file with fewer rows a page",
                unpacked >> 20,
                MAX_PAGE >> 20
            )));
        }
        Ok(())
    }
}

impl Chunks {
    pub fn new(place: Place) -> Chunks {
        Chunks { place, limits: Arc::default() }
    }

    /// What is still to be told about the file's columns.
    pub fn limits(&self) -> Arc<Limits> {
        self.limits.clone()
    }
}

/// The beginning of a page. Its end is an error: the library takes nothing for an answer when it skips parts, so that a
/// header of a few bytes that claims billions of them would keep it busy for minutes.
struct PageStart<R> {
    bytes: R,
    /// Until the lengths are checked: the chunk, and the header so far.
    header: Option<(Chunk, Vec<u8>)>,
}

impl<R: Read> Read for PageStart<R> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let read = match self.bytes.read(into)? {
            0 if !into.is_empty() => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            read => read,
        };
        if let Some((chunk, header)) = &mut self.header {
            header.extend_from_slice(&into[..read]);
            if let Some((unpacked, packed)) = lengths(header).map_err(std::io::Error::other)? {
                chunk.check(unpacked, packed).map_err(std::io::Error::other)?;
                self.header = None;
            }
        }
        Ok(read)
    }
}

/// The two lengths of a page header: its second and third field. `None` if the bytes end before.
fn lengths(header: &[u8]) -> std::result::Result<Option<(u64, u64)>, &'static str> {
    /// In Thrift's compact protocol: one field on, a 32-bit integer. Thrift writes fields in order.
    const NEXT_INTEGER: u8 = 0x15;
    let (mut values, mut at) = ([0u64; 3], 0);
    for value in &mut values {
        match header.get(at) {
            Some(&NEXT_INTEGER) => at += 1,
            Some(_) => return Err("a page does not begin with its kind and its length"),
            None => return Ok(None),
        }
        let mut shift = 0;
        loop {
            let Some(byte) = header.get(at) else { return Ok(None) };
            at += 1;
            *value |= u64::from(byte & 0x7F).checked_shl(shift).unwrap_or(0);
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
            if shift > 63 {
                return Err("the length of a page is no number");
            }
        }
        // Zigzag. Of negative lengths the library says what is wrong.
        *value = if *value & 1 == 0 { *value >> 1 } else { 0 };
    }
    Ok(Some((values[1], values[2])))
}

impl Length for Chunks {
    fn len(&self) -> u64 {
        match &self.place {
            Place::File(file) => file.len(),
            Place::Memory(bytes) => bytes.len() as u64,
        }
    }
}

impl ChunkReader for Chunks {
    type T = Box<dyn Read + Send>;

    fn get_read(&self, start: u64) -> Result<Self::T> {
        // The library also asks here for pages whose header it has: it then reads nothing.
        let header = self.limits.chunk(start)?.map(|chunk| (chunk, Vec::new()));
        Ok(match &self.place {
            Place::File(file) => Box::new(PageStart { bytes: file.get_read(start)?, header }),
            Place::Memory(bytes) => Box::new(PageStart { bytes: bytes.get_read(start)?, header }),
        })
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        // Before memory is made ready for what the file cannot hold.
        let end = start.checked_add(length as u64);
        if end.is_none_or(|end| end > self.len()) {
            return Err(ParquetError::EOF("a part lies behind the file's end".into()));
        }
        match &self.place {
            Place::File(file) => file.get_bytes(start, length),
            Place::Memory(bytes) => bytes.get_bytes(start, length),
        }
    }
}
