//! The bytes of a data file, unpacked and as UTF-8, with a look-ahead and a line count.

use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use ::bytes::Bytes;

use super::MAX_ROW_BYTES;
use super::kind::{self, Encoding, Kind, Packing};
use crate::engine::{Error, Result};

/// First bytes that are looked at to tell what a file is.
const HEAD: u64 = 4096;
/// Bytes read at once.
pub(super) const CHUNK: usize = 1 << 16;

/// Where a file's bytes are.
#[derive(Clone, Debug)]
pub(super) enum Backing {
    Disk,
    Memory(Bytes),
}

impl Backing {
    pub fn file(path: &Path) -> Result<File> {
        File::open(path).map_err(Error::io("read the data file", path))
    }

    fn open(&self, path: &Path) -> Result<Box<dyn Read + Send>> {
        Ok(match self {
            Backing::Disk => Box::new(Backing::file(path)?),
            Backing::Memory(bytes) => Box::new(Cursor::new(bytes.clone())),
        })
    }
}

/// A file whose kind is known.
pub(super) enum Opened {
    Text(TextFile),
    Parquet,
}

/// A file of text.
pub(super) struct TextFile {
    pub kind: Kind,
    /// Whether a place in the text is the same place in the file.
    pub seekable: bool,
    pub bytes: BufferedBytes,
}

/// What other threads know and decide of a reading.
#[derive(Clone, Debug, Default)]
pub(super) struct Watch {
    /// Bytes of the file itself that were read.
    pub read: Arc<AtomicU64>,
    /// Reading ends at the next look into the file, with an error: behind a row there may be gigabytes that are none.
    pub stop: Arc<AtomicBool>,
}

/// Opens a file and finds out what it is.
pub(super) fn open(backing: &Backing, path: &Path, watch: Watch, chunk: usize) -> Result<Opened> {
    let raw = Counted { inner: backing.open(path)?, read: watch.read };
    let mut reader: Box<dyn Read + Send> = Box::new(raw);
    let mut packed = false;
    // Twice: people pack what was packed already.
    for _ in 0..3 {
        let head = head_of(&mut reader, path)?;
        if let Some(message) = kind::foreign(&head, path) {
            return Err(Error::file(message, path));
        }
        if kind::is_parquet(&head) {
            return match packed {
                false => Ok(Opened::Parquet),
                true => Err(Error::file("a Parquet file cannot be read while it is packed: unpack it first", path)),
            };
        }
        let whole = Cursor::new(head.clone()).chain(reader);
        match kind::packing(&head) {
            None => return text(head, Box::new(whole), packed, path, chunk, watch.stop).map(Opened::Text),
            Some(packing) => {
                packed = true;
                reader = unpack(Box::new(whole), packing).map_err(Error::io("unpack the data file", path))?;
            }
        }
    }
    Err(Error::file("the file is packed more than twice: unpack it first", path))
}

fn text(
    head: Vec<u8>,
    reader: Box<dyn Read + Send>,
    packed: bool,
    path: &Path,
    chunk: usize,
    stop: Arc<AtomicBool>,
) -> Result<TextFile> {
    let (encoding, mark) = kind::encoding(&head);
    let (reader, head, mark) = match encoding {
        Encoding::Utf8 => (reader, head, mark),
        wide => {
            let mut reader = reader;
            skip(&mut reader, mark as u64).map_err(Error::io("read the data file", path))?;
            let mut reader: Box<dyn Read + Send> =
                Box::new(super::utf16::Utf16::new(reader, wide == Encoding::Utf16Be));
            let head = head_of(&mut reader, path)?;
            (Box::new(Cursor::new(head.clone()).chain(reader)) as Box<dyn Read + Send>, head, 0)
        }
    };
    // A zero byte here and there is a mistake in a row, which can be named; many are no text.
    let zeros = head.iter().filter(|byte| **byte == 0).count();
    if zeros > 0 && (zeros * 20 >= head.len() || !starts_as_text(&head[mark..])) {
        let message =
            "the file holds zero bytes: it is binary, not text (or text in another encoding: save it as UTF-8)";
        return Err(Error::file(message, path));
    }
    let kind = kind::of_text(&head[mark..], path);
    let mut bytes = BufferedBytes { stop, ..BufferedBytes::new(reader, path, chunk) };
    bytes.peek_many(mark)?;
    bytes.consume(mark);
    bytes.line_start = mark as u64;
    Ok(TextFile { kind, seekable: !packed && encoding == Encoding::Utf8, bytes })
}

fn head_of(reader: &mut Box<dyn Read + Send>, path: &Path) -> Result<Vec<u8>> {
    let mut head = Vec::new();
    match reader.by_ref().take(HEAD).read_to_end(&mut head) {
        Ok(_) => Ok(head),
        Err(e) => match Damaged::of(&e) {
            Some(message) if head.is_empty() => Err(Error::file(message, path)),
            // What comes before the damage is read; the damage is found again where it stands, with its line.
            Some(message) => {
                *reader = Box::new(Broken(message.to_string()));
                Ok(head)
            }
            None => Err(Error::io("read the data file", path)(e)),
        },
    }
}

/// What follows cannot be read, and why.
struct Broken(String);

impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(Damaged::error(self.0.clone()))
    }
}

/// Whether bytes, which may end within a character, are UTF-8.
fn starts_as_text(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).map_or_else(|error| error.error_len().is_none(), |_| true)
}

fn skip(reader: &mut dyn Read, bytes: u64) -> io::Result<()> {
    io::copy(&mut reader.take(bytes), &mut io::sink()).map(|_| ())
}

fn unpack(reader: Box<dyn Read + Send>, packing: Packing) -> io::Result<Box<dyn Read + Send>> {
    Ok(match packing {
        Packing::Gzip => {
            let inner = flate2::bufread::MultiGzDecoder::new(BufReader::with_capacity(CHUNK, reader));
            Box::new(Unpacked { inner, name: "gzip" })
        }
        Packing::Zstd => Box::new(Unpacked { inner: zstd::stream::read::Decoder::new(reader)?, name: "zstd" }),
    })
}

/// Says what is wrong with packed or encoded data, within an [`io::Error`].
#[derive(Debug)]
pub(super) struct Damaged(String);

impl Damaged {
    pub fn error(message: String) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, Damaged(message))
    }

    fn of(error: &io::Error) -> Option<&str> {
        error.get_ref()?.downcast_ref::<Damaged>().map(|damaged| damaged.0.as_str())
    }
}

impl fmt::Display for Damaged {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Damaged {}

struct Unpacked<R> {
    inner: R,
    name: &'static str,
}

impl<R: Read> Read for Unpacked<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        use io::ErrorKind::{InvalidData, InvalidInput, Other, UnexpectedEof};
        self.inner.read(into).map_err(|e| match e.kind() {
            // What was packed twice is already in words.
            _ if Damaged::of(&e).is_some() => e,
            UnexpectedEof => Damaged::error(format!("the {} data ends early: is the file cut off?", self.name)),
            Other if self.name == "zstd" && e.to_string().contains("requires too much memory") => Damaged::error(
                "the zstd data needs more than 128 MiB to be unpacked: pack it again without the option --long".into(),
            ),
            InvalidData | InvalidInput | Other => Damaged::error(format!("the {} data is damaged ({e})", self.name)),
            _ => e,
        })
    }
}

struct Counted {
    inner: Box<dyn Read + Send>,
    read: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(into)?;
        self.read.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

/// Bytes with a look-ahead, a place and a line count.
pub(super) struct BufferedBytes {
    reader: Box<dyn Read + Send>,
    path: PathBuf,
    chunk: usize,
    buffer: Vec<u8>,
    /// The next byte in the buffer.
    at: usize,
    /// Line of the next byte, from 1.
    pub line: usize,
    /// Where that line begins.
    line_start: u64,
    /// Bytes that were taken.
    pub done: u64,
    /// Where the row that is being read begins, and in which column of its line, from 1.
    pub row_start: u64,
    pub row_column: usize,
    /// A row was too long and not read to its end.
    pub cut: bool,
    /// Nobody knows where the next row begins.
    pub lost: bool,
    /// Nothing more can be read.
    pub failed: bool,
    /// See [`Watch::stop`].
    stop: Arc<AtomicBool>,
}

impl BufferedBytes {
    pub fn new(reader: Box<dyn Read + Send>, path: &Path, chunk: usize) -> BufferedBytes {
        let path = path.to_path_buf();
        BufferedBytes {
            reader,
            path,
            chunk,
            buffer: Vec::new(),
            at: 0,
            line: 1,
            line_start: 0,
            done: 0,
            row_start: 0,
            row_column: 1,
            cut: false,
            lost: false,
            failed: false,
            stop: Arc::default(),
        }
    }

    /// Column of the next byte, from 0, in bytes.
    pub fn column(&self) -> usize {
        (self.done - self.line_start) as usize
    }

    /// A row begins here; its place.
    pub fn begin_row(&mut self) -> u64 {
        (self.row_start, self.row_column) = (self.done, self.column() + 1);
        self.done
    }

    pub fn row_error(&self, line: usize, message: impl Into<String>) -> Error {
        Error::Row { path: self.path.clone(), line, message: message.into() }
    }

    /// Takes bytes without line ends in them.
    pub fn consume(&mut self, bytes: usize) {
        self.at += bytes;
        self.done += bytes as u64;
    }

    /// Takes bytes and counts their lines.
    pub fn consume_lines(&mut self, bytes: usize) {
        let taken = &self.buffer[self.at..self.at + bytes];
        let (mut lines, mut last) = (0, 0);
        for (at, _) in taken.iter().enumerate().filter(|(_, b)| **b == b'\n') {
            lines += 1;
            last = at + 1;
        }
        if lines > 0 {
            self.line += lines;
            self.line_start = self.done + last as u64;
        }
        self.consume(bytes);
    }

    /// The bytes at hand; at least one, but at the end.
    pub fn fill(&mut self) -> Result<&[u8]> {
        self.peek_many(1)
    }

    /// At least `count` of the next bytes, fewer only at the end.
    pub fn peek_many(&mut self, count: usize) -> Result<&[u8]> {
        while self.buffer.len() - self.at < count {
            if self.stop.load(Ordering::Relaxed) {
                self.failed = true;
                return Err(Error::Cancelled("reading the rows"));
            }
            self.buffer.drain(..self.at);
            self.at = 0;
            let kept = self.buffer.len();
            self.buffer.resize(kept + self.chunk, 0);
            let read = self.reader.read(&mut self.buffer[kept..]);
            self.buffer.truncate(kept + *read.as_ref().unwrap_or(&0));
            match read {
                Ok(0) => break,
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => {
                    self.failed = true;
                    let line = self.line;
                    return Err(match Damaged::of(&e) {
                        Some(message) => self.row_error(line, message),
                        None => Error::io("read the data file", &self.path)(e),
                    });
                }
            }
        }
        Ok(&self.buffer[self.at..])
    }

    pub fn peek(&mut self) -> Result<Option<u8>> {
        Ok(self.fill()?.first().copied())
    }

    /// Takes bytes as long as they are wanted.
    pub fn skip_while(&mut self, wanted: impl Fn(u8) -> bool) -> Result<()> {
        loop {
            let available = self.fill()?;
            let count = available.iter().position(|b| !wanted(*b)).unwrap_or(available.len());
            if count == 0 {
                return Ok(());
            }
            self.consume_lines(count);
        }
    }

    pub fn skip_whitespace(&mut self) -> Result<()> {
        self.skip_while(|b| b.is_ascii_whitespace())
    }

    /// Takes what is left of the line.
    pub fn skip_line(&mut self) -> Result<()> {
        self.skip_while(|b| b != b'\n')?;
        if self.peek()?.is_some() {
            self.consume_lines(1);
        }
        Ok(())
    }

    /// Goes to a place that lies ahead; false if the file ends before it.
    pub fn skip_to(&mut self, place: u64) -> Result<bool> {
        while self.done < place {
            let available = self.fill()?.len();
            if available == 0 {
                return Ok(false);
            }
            self.consume_lines(available.min(usize::try_from(place - self.done).unwrap_or(available)));
        }
        Ok(true)
    }

    /// Reads this many bytes; false if the file ends before.
    pub fn read_exact(&mut self, count: usize, into: &mut Vec<u8>) -> Result<bool> {
        into.clear();
        while into.len() < count {
            let available = self.fill()?;
            let taken = available.len().min(count - into.len());
            if taken == 0 {
                return Ok(false);
            }
            into.extend_from_slice(&available[..taken]);
            self.consume_lines(taken);
        }
        Ok(true)
    }

    /// Reads up to and without the end of the line; `false` at the end of the file.
    pub fn read_line(&mut self, into: &mut Vec<u8>) -> Result<bool> {
        into.clear();
        let mut any = false;
        loop {
            let available = self.fill()?;
            if available.is_empty() {
                return Ok(any);
            }
            any = true;
            let end = available.iter().position(|b| *b == b'\n');
            let taken = end.unwrap_or(available.len());
            into.extend_from_slice(&available[..taken]);
            self.consume(taken);
            if end.is_some() {
                self.consume_lines(1);
            }
            self.check_size(self.line - usize::from(end.is_some()), into.len())?;
            if end.is_some() {
                return Ok(true);
            }
        }
    }

    /// Refuses a row that is too long.
    pub fn check_size(&mut self, line: usize, bytes: usize) -> Result<()> {
        if bytes > MAX_ROW_BYTES {
            self.cut = true;
            return Err(self.row_error(line, format!("the row is longer than {} MiB", MAX_ROW_BYTES >> 20)));
        }
        Ok(())
    }
}
