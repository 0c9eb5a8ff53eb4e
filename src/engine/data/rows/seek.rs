//! Single rows, in any order.

use std::fs::File;
use std::io::{Cursor, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::bytes::{Backing, BufferedBytes, CHUNK, Opened, Watch, open};
use super::layout::Layout;
use super::parquet::ParquetFile;
use super::source::Source;
use super::{MAX_ROW_BYTES, Row};
use crate::engine::{Error, Result};

/// Files that are kept open.
const OPEN: usize = 8;

/// Reads single rows of a source.
pub struct RowReader {
    source: Source,
    /// The files that were used last, the newest first.
    open: Vec<(u32, FileReader)>,
    /// Bytes read at once.
    chunk: usize,
}

/// A file in which rows are looked up.
enum FileReader {
    Seekable {
        bytes: Box<dyn ReadSeek>,
        layout: Layout,
    },
    /// Packed or encoded: it can only be read from its beginning on.
    Forward {
        bytes: BufferedBytes,
        layout: Layout,
    },
    Parquet(Box<ParquetFile>),
}

trait ReadSeek: Read + Seek + Send {}

impl<T: Read + Seek + Send> ReadSeek for T {}

impl RowReader {
    pub(super) fn new(source: Source) -> RowReader {
        RowReader { source, open: Vec::new(), chunk: CHUNK }
    }

    /// The row at a place that [`Row::file`] and [`Row::bytes`] gave, with its index and line.
    ///
    /// Quick in files of plain text and in Parquet files, there best when the places ascend. A packed file is read on to
    /// the place, and from its beginning if the place lies behind.
    ///
    /// # Errors
    /// The file has changed since the source was found, or it cannot be read.
    pub fn read(&mut self, file: u32, bytes: &Range<u64>, index: usize, line: usize) -> Result<Row> {
        let path = self.unchanged(file, line)?;
        let length = bytes.end.checked_sub(bytes.start).and_then(|length| usize::try_from(length).ok());
        // A row's line end is not counted in its own length.
        let Some(length) = length.filter(|length| *length <= MAX_ROW_BYTES + 2) else {
            return Err(changed(&path, line));
        };
        match self.opened(file, &path, bytes.start)?.read(&path, bytes.start, length)? {
            Some(fields) => Ok(Row { index, file, line, bytes: bytes.clone(), fields }),
            None => Err(changed(&path, line)),
        }
    }

    /// The beginning of what stands in the file at a place, at most `limit` bytes; for a row that cannot be read. Bytes that
    /// are no text are replaced. `None` in a Parquet file, which has no text.
    ///
    /// # Errors
    /// The file has changed since the source was found, or it cannot be read.
    pub fn raw(&mut self, file: u32, bytes: &Range<u64>, line: usize, limit: usize) -> Result<Option<String>> {
        let path = self.unchanged(file, line)?;
        let length = usize::try_from(bytes.end.saturating_sub(bytes.start)).unwrap_or(limit).min(limit);
        let raw = self.opened(file, &path, bytes.start)?.raw(&path, bytes.start, length)?;
        Ok(raw.map(|raw| String::from_utf8_lossy(&raw).into_owned()))
    }

    /// The path of a file that is still the one that was found.
    fn unchanged(&mut self, file: u32, line: usize) -> Result<PathBuf> {
        let path = self.source.files().get(file as usize);
        match path.filter(|_| self.source.is_unchanged(file as usize)) {
            Some(path) => Ok(path.clone()),
            None => {
                let error = changed(path.map_or(self.source.path(), |path| path), line);
                self.open.retain(|(open, _)| *open != file);
                Err(error)
            }
        }
    }

    /// The file, opened so that `place` can be reached.
    fn opened(&mut self, file: u32, path: &Path, place: u64) -> Result<&mut FileReader> {
        let at = self.open.iter().position(|(open, reader)| *open == file && reader.reaches(place));
        let entry = match at {
            Some(at) => self.open.remove(at),
            None => {
                self.open.retain(|(open, _)| *open != file);
                self.open.truncate(OPEN - 1);
                (file, FileReader::open(&self.source, path, self.chunk)?)
            }
        };
        self.open.insert(0, entry);
        Ok(&mut self.open[0].1)
    }

    #[cfg(test)]
    pub(super) fn with_chunk(mut self, chunk: usize) -> RowReader {
        self.chunk = chunk;
        self
    }
}

fn changed(path: &Path, line: usize) -> Error {
    let message = "the file has changed since it was read: read it again".to_string();
    Error::Row { path: path.to_path_buf(), line, message }
}

impl FileReader {
    fn open(source: &Source, path: &Path, chunk: usize) -> Result<FileReader> {
        match open(source.backing(), path, Watch::default(), chunk)? {
            Opened::Parquet => Ok(FileReader::Parquet(Box::new(ParquetFile::open(source.backing(), path)?))),
            Opened::Text(mut file) => {
                let layout = Layout::of(&mut file)?;
                if !file.seekable {
                    return Ok(FileReader::Forward { bytes: file.bytes, layout });
                }
                let bytes: Box<dyn ReadSeek> = match source.backing() {
                    Backing::Disk => Box::new(File::open(path).map_err(Error::io("read the data file", path))?),
                    Backing::Memory(bytes) => Box::new(Cursor::new(bytes.clone())),
                };
                Ok(FileReader::Seekable { bytes, layout })
            }
        }
    }

    fn reaches(&self, place: u64) -> bool {
        match self {
            FileReader::Forward { bytes, .. } => bytes.done <= place,
            _ => true,
        }
    }

    /// What stands at a place, up to the end of the file; `None` if it is no text.
    fn raw(&mut self, path: &Path, place: u64, length: usize) -> Result<Option<Vec<u8>>> {
        let mut buffer = Vec::new();
        match self {
            FileReader::Seekable { bytes, .. } => {
                bytes.seek(SeekFrom::Start(place)).map_err(Error::io("read the data file", path))?;
                let read = bytes.take(length as u64).read_to_end(&mut buffer);
                read.map_err(Error::io("read the data file", path))?;
            }
            FileReader::Forward { bytes, .. } => {
                // Damaged data gives what comes before the damage.
                let _ = bytes.skip_to(place)? && bytes.read_exact(length, &mut buffer).unwrap_or(false);
            }
            FileReader::Parquet(_) => return Ok(None),
        }
        Ok(Some(buffer))
    }

    /// The row at a place; `None` if there is none.
    fn read(&mut self, path: &Path, place: u64, length: usize) -> Result<Option<Map<String, Value>>> {
        let mut buffer = Vec::new();
        match self {
            FileReader::Seekable { bytes, layout } => {
                bytes.seek(SeekFrom::Start(place)).map_err(Error::io("read the data file", path))?;
                let read = bytes.take(length as u64).read_to_end(&mut buffer);
                read.map_err(Error::io("read the data file", path))?;
                Ok(if buffer.len() == length { layout.parse(&buffer) } else { None })
            }
            FileReader::Forward { bytes, layout } => {
                let there = bytes.skip_to(place)? && bytes.read_exact(length, &mut buffer)?;
                Ok(if there { layout.parse(&buffer) } else { None })
            }
            FileReader::Parquet(file) => match place < file.rows() {
                true => file.row(place).map(Some),
                false => Ok(None),
            },
        }
    }
}
