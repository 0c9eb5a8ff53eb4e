//! Rows of Parquet files, put together from their columns, which are read a batch at a time.
//!
//! A file is a list of row groups, a row group a list of columns. Only the footer, one page of each column and the values
//! of one batch of rows are in memory.

mod assemble;
mod chunks;
mod pages;
mod schema;
mod values;

use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use ::parquet::basic::Compression;
use ::parquet::column::reader::{ColumnReader, get_column_reader};
use ::parquet::errors::{ParquetError, Result as ParquetResult};
use ::parquet::file::reader::{ChunkReader, FileReader, Length, SerializedFileReader};
use serde_json::{Map, Value};

use self::assemble::{Columns, assemble};
use self::chunks::{Chunks, Place};
use self::pages::{Budget, Pages};
use self::schema::Schema;
use super::bytes::Backing;
use crate::engine::{Error, Result};

/// Rows that are put together at once, at most; fewer where they are long.
const BATCH: u64 = 1024;
/// Bytes of a batch, about.
const BATCH_BYTES: u64 = 4 << 20;
/// Rows of the first batch behind a jump: whoever wants a single row should not wait for many.
const FIRST_BATCH: u64 = 16;

/// A row, or why it cannot be read.
type Fields = std::result::Result<Map<String, Value>, String>;

/// An open Parquet file.
pub(super) struct ParquetFile {
    path: PathBuf,
    file: SerializedFileReader<Chunks>,
    schema: Schema,
    /// Number of the first row of each row group, and of all rows.
    starts: Vec<u64>,
    group: Option<Group>,
    damaged: bool,
}

/// The row group that is read.
struct Group {
    columns: Vec<ColumnReader>,
    /// The row that the columns stand at.
    next: u64,
    end: u64,
    /// The rows before it that were read and not yet put together: their columns, and how many they are.
    ready: Option<Columns>,
    left: u64,
    budget: Budget,
    batch: u64,
    largest_batch: u64,
}

impl ParquetFile {
    pub fn open(backing: &Backing, path: &Path) -> Result<ParquetFile> {
        let chunks = Chunks::new(match backing {
            Backing::Disk => Place::File(Backing::file(path)?),
            Backing::Memory(bytes) => Place::Memory(bytes.clone()),
        });
        let limits = chunks.limits();
        let mut tail = [0; 4];
        let length = chunks.len();
        if let Ok(mut reader) = chunks.get_read(length.saturating_sub(4)) {
            // What cannot be read is no mark either.
            let _ = reader.read_exact(&mut tail);
        }
        if length < 12 || tail != *b"PAR1" {
            let message = "the Parquet file has no end: is it cut off, or still being downloaded or written?";
            return Err(Error::file(message, path));
        }
        let failed = |reason: String| {
            Error::file(format!("the Parquet file is damaged ({reason}): get it or write it again"), path)
        };
        let file = guarded(|| SerializedFileReader::new(chunks)).map_err(failed)?;
        let schema = Schema::of(file.metadata().file_metadata().schema_descr()).map_err(failed)?;
        let mut starts = vec![0];
        let mut rows = 0u64;
        for group in file.metadata().row_groups() {
            if group.num_columns() != schema.leaves.len() {
                return Err(failed("a row group has not all columns".into()));
            }
            for column in group.columns() {
                if matches!(column.compression(), Compression::BROTLI(_) | Compression::LZO) {
                    let message = format!(
                        "its columns are compressed with {}, which is not read: write it with zstd or snappy",
                        column.compression().to_string().to_lowercase()
                    );
                    return Err(Error::file(message, path));
                }
            }
            let count =
                u64::try_from(group.num_rows()).map_err(|_| failed("a row group has less than no rows".into()))?;
            rows = rows.checked_add(count).ok_or_else(|| failed("it claims too many rows".into()))?;
            starts.push(rows);
        }
        guarded(|| {
            limits.set(file.metadata());
            Ok(())
        })
        .map_err(failed)?;
        if schema.leaves.is_empty() && rows > 0 {
            return Err(Error::file("the Parquet file has rows, but no columns", path));
        }
        Ok(ParquetFile { path: path.to_path_buf(), file, schema, starts, group: None, damaged: false })
    }

    /// The number of rows.
    pub fn rows(&self) -> u64 {
        self.starts.last().copied().unwrap_or(0)
    }

    /// Whether a mistake was found behind which no row can be read.
    pub fn is_damaged(&self) -> bool {
        self.damaged
    }

    /// A row. Rows are quickest in ascending order.
    pub fn row(&mut self, row: u64) -> Result<Map<String, Value>> {
        let path = self.path.clone();
        let wrong = |message: String| Error::Row { path, line: row as usize + 1, message };
        match self.ready(row) {
            Ok(Ok(fields)) => Ok(fields),
            Ok(Err(message)) => Err(wrong(message)),
            Err(reason) => {
                let error = wrong(format!("the Parquet file is damaged here ({reason})"));
                (self.group, self.damaged) = (None, true);
                Err(error)
            }
        }
    }

    /// The row, or why it is none, in the inner result; the outer one says what is damaged.
    fn ready(&mut self, row: u64) -> std::result::Result<Fields, String> {
        let reached = |group: &Group| row >= group.next - group.left && row < group.end;
        if !self.group.as_ref().is_some_and(reached) {
            self.group = Some(self.open_group(row)?);
        }
        let group = self.group.as_mut().ok_or("no row group")?;
        loop {
            if row < group.next {
                let columns = group.ready.as_mut().ok_or("a row is missing")?;
                loop {
                    let at = group.next - group.left;
                    group.left -= 1;
                    let fields = assemble(&self.schema, columns)?;
                    if at == row {
                        return Ok(fields);
                    }
                }
            }
            (group.ready, group.left) = (None, 0);
            let (ahead, schema) = (row - group.next, &self.schema);
            if ahead > 0 {
                guarded(|| values::skip(&mut group.columns, ahead as usize))?;
                (group.next, group.batch) = (row, FIRST_BATCH);
            }
            let count = group.batch.min(group.largest_batch).min(group.end - group.next);
            group.budget.renew();
            let columns = guarded(|| values::read(&mut group.columns, &schema.leaves, count as usize))?;
            (group.ready, group.left) = (Some(Columns::new(columns)), count);
            group.next += count;
            group.batch = (2 * group.batch).min(BATCH);
        }
    }

    fn open_group(&self, row: u64) -> std::result::Result<Group, String> {
        // The last group that begins at or before the row: groups may be empty.
        let index = self.starts.partition_point(|start| *start <= row).checked_sub(1).ok_or("no row group")?;
        let end = *self.starts.get(index + 1).ok_or("there is no such row")?;
        let metadata = self.file.metadata().row_group(index);
        let count = end - self.starts[index];
        let row_bytes = u64::try_from(metadata.total_byte_size()).unwrap_or(0) / count.max(1);
        let budget = Budget::default();
        let columns = guarded(|| {
            let group = self.file.get_row_group(index)?;
            let column = |at: usize| {
                let descriptor = metadata.column(at).column_descr_ptr();
                let within_lists = descriptor.max_rep_level() > 0;
                let pages = group.get_column_page_reader(at)?;
                let pages = Pages { pages, budget: within_lists.then(|| budget.clone()) };
                Ok(get_column_reader(descriptor, Box::new(pages)))
            };
            (0..group.num_columns()).map(column).collect::<ParquetResult<Vec<_>>>()
        })?;
        let largest_batch = (BATCH_BYTES / row_bytes.max(1)).clamp(1, BATCH);
        let next = self.starts[index];
        Ok(Group { columns, next, end, ready: None, left: 0, budget, batch: FIRST_BATCH, largest_batch })
    }
}

/// Runs the code that takes a file apart. It is written for files that are whole, and panics on some that are not: that
/// must end neither the program nor the thread.
fn guarded<T>(read: impl FnOnce() -> ParquetResult<T>) -> std::result::Result<T, String> {
    match catch_unwind(AssertUnwindSafe(read)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(match error {
            ParquetError::General(message) | ParquetError::NYI(message) | ParquetError::EOF(message) => message,
            // Without the library's word for where it comes from.
            ParquetError::External(error) => error.to_string(),
            other => other.to_string(),
        }),
        Err(_) => Err("its parts contradict each other".into()),
    }
}
