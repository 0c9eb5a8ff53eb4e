//! The rows of a source, one after the other.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::bytes::{BufferedBytes, CHUNK, Opened, Watch, open};
use super::layout::Layout;
use super::parquet::ParquetFile;
use super::source::Source;
use super::{Found, Row, WrongRow};
use crate::engine::{Error, Result};

/// Iterator over the rows of a source, file by file. After an error it ends.
pub struct Rows {
    source: Source,
    /// Bytes read at once.
    chunk: usize,
    file: usize,
    open: Option<FileRows>,
    /// Bytes of the files that are done.
    before: u64,
    index: usize,
    finished: bool,
    /// The error that ended it was of one row.
    of_row: bool,
    stop: Arc<AtomicBool>,
}

enum FileRows {
    Text { bytes: BufferedBytes, layout: Layout, buffer: Vec<u8>, first: bool, watch: Watch },
    Parquet { file: Box<ParquetFile>, row: u64 },
}

impl Rows {
    pub(super) fn new(source: &Source) -> Result<Rows> {
        Rows::with_chunk(source, CHUNK)
    }

    /// Rows read through a buffer of `chunk` bytes.
    pub(super) fn with_chunk(source: &Source, chunk: usize) -> Result<Rows> {
        let source = source.clone();
        Ok(Rows {
            source,
            chunk,
            file: 0,
            open: None,
            before: 0,
            index: 0,
            finished: false,
            of_row: false,
            stop: Arc::default(),
        })
    }

    /// Set by another thread, it ends the reading with [`Error::Cancelled`], also far from the next row.
    pub fn stop(&self) -> Arc<AtomicBool> {
        self.stop.clone()
    }

    /// Bytes of the files that were read so far; of packed files, packed bytes.
    pub fn bytes_read(&self) -> u64 {
        let now = match &self.open {
            None => 0,
            Some(FileRows::Text { watch, .. }) => watch.read.load(Ordering::Relaxed),
            Some(FileRows::Parquet { file, row }) => {
                let share = *row as f64 / file.rows().max(1) as f64;
                (self.source.file_bytes(self.file) as f64 * share) as u64
            }
        };
        self.before + now
    }

    /// Goes on behind an [`Error::Row`]: with the next row, or where nobody knows where that begins (behind an array's element
    /// whose brackets do not add up, or damaged packed data) with the next file. False if nothing more can come.
    pub fn resume(&mut self) -> bool {
        if !self.finished {
            return true;
        }
        if !std::mem::take(&mut self.of_row) {
            return false;
        }
        let goes_on = match &mut self.open {
            Some(FileRows::Text { bytes, layout, .. }) => {
                let rest = std::mem::take(&mut bytes.cut);
                layout.resumes(bytes) && (!rest || bytes.skip_line().is_ok())
            }
            Some(FileRows::Parquet { file, row }) => {
                *row += 1;
                *row < file.rows() && !file.is_damaged()
            }
            None => false,
        };
        if !goes_on {
            self.next_file();
        }
        self.finished = !goes_on && self.file >= self.source.files().len();
        !self.finished
    }

    /// In which column of its line the row begins that was just read, from 1, in bytes: in an array several rows may stand
    /// on one line.
    pub fn column(&self) -> usize {
        match &self.open {
            Some(FileRows::Text { bytes, .. }) => bytes.row_column,
            _ => 1,
        }
    }

    /// The row that the last error was about, and where it lies; it says so if nothing behind it can be read. An error that
    /// is not of a row comes back.
    pub fn wrong(&mut self, error: Error) -> Result<WrongRow> {
        let Error::Row { line, mut message, .. } = error else { return Err(error) };
        let bytes = match &mut self.open {
            Some(FileRows::Text { bytes, layout, .. }) => {
                let place = bytes.row_start..bytes.done;
                if bytes.failed || (!layout.resumes(bytes) && matches!(bytes.peek(), Ok(Some(_)))) {
                    message.push_str(" (what follows in the file is not read)");
                }
                place
            }
            Some(FileRows::Parquet { file, row }) => {
                if file.is_damaged() && *row + 1 < file.rows() {
                    message.push_str(" (the rows behind it are not read)");
                }
                *row..*row + 1
            }
            // The file's very beginning is not what it should be.
            None => {
                message.push_str(" (nothing of the file is read)");
                0..0
            }
        };
        Ok(WrongRow { file: self.file as u32, line, bytes, message })
    }

    fn next_file(&mut self) {
        self.before += self.source.file_bytes(self.file);
        self.open = None;
        self.file += 1;
    }

    fn next_row(&mut self) -> Result<Option<Row>> {
        while let Some(path) = self.source.files().get(self.file) {
            let open = match &mut self.open {
                Some(open) => open,
                closed => closed.insert(FileRows::open(&self.source, &path.clone(), self.chunk, self.stop.clone())?),
            };
            if let Some(Found { line, bytes, fields }) = open.next()? {
                let row = Row { index: self.index, file: self.file as u32, line, bytes, fields };
                self.index += 1;
                return Ok(Some(row));
            }
            self.next_file();
        }
        Ok(None)
    }
}

impl FileRows {
    fn open(source: &Source, path: &Path, chunk: usize, stop: Arc<AtomicBool>) -> Result<FileRows> {
        let watch = Watch { stop, ..Watch::default() };
        match open(source.backing(), path, watch.clone(), chunk)? {
            Opened::Parquet => {
                Ok(FileRows::Parquet { file: Box::new(ParquetFile::open(source.backing(), path)?), row: 0 })
            }
            Opened::Text(mut file) => {
                let layout = Layout::of(&mut file)?;
                Ok(FileRows::Text { bytes: file.bytes, layout, buffer: Vec::new(), first: true, watch })
            }
        }
    }

    fn next(&mut self) -> Result<Option<Found>> {
        match self {
            FileRows::Text { bytes, layout, buffer, first, .. } => {
                layout.next(bytes, buffer, std::mem::replace(first, false))
            }
            FileRows::Parquet { file, row } if *row < file.rows() => {
                let at = *row;
                let fields = file.row(at)?;
                *row += 1;
                Ok(Some(Found { line: at as usize + 1, bytes: at..at + 1, fields }))
            }
            FileRows::Parquet { .. } => Ok(None),
        }
    }
}

impl Iterator for Rows {
    type Item = Result<Row>;

    fn next(&mut self) -> Option<Result<Row>> {
        if self.finished {
            return None;
        }
        let row = self.next_row().transpose();
        self.finished = !matches!(row, Some(Ok(_)));
        self.of_row = matches!(row, Some(Err(Error::Row { .. })));
        row
    }
}
