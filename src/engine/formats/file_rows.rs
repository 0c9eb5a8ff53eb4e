//! A matrix that stays in its model's file, of which rows are read as they are needed: the embeddings of tokens.
//!
//! Plain reads, not the memory map: a file that is cut short meanwhile is then an error, and not the end of the process, and
//! what was read does not count as memory of the process.

use std::fs::File;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;

use candle_core::quantized::GgmlDType;
use half::{bf16, f16};
use rayon::prelude::*;

use super::stored::DenseType;
use crate::engine::positioned::read_exact_at;
use crate::engine::quant::GgufBlocks;
use crate::engine::{Error, Result};

/// Type of the elements in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ElementType {
    Dense(DenseType),
    Blocks(GgmlDType),
}

impl ElementType {
    /// Bytes of so many elements, whole blocks of them.
    fn bytes(self, elements: usize) -> usize {
        match self {
            ElementType::Dense(dtype) => elements * dtype.size(),
            ElementType::Blocks(dtype) => elements / dtype.block_size() * dtype.type_size(),
        }
    }
}

/// Rows of a `[rows, columns]` matrix in a file.
#[derive(Clone, Debug)]
pub struct FileRows {
    file: Arc<File>,
    path: PathBuf,
    /// Its name, for messages.
    name: String,
    /// Where its first row begins.
    at: u64,
    rows: usize,
    columns: usize,
    element: ElementType,
    /// Numbers are rounded to bfloat16, as they would be in memory.
    rounded: bool,
}

/// Bytes that one thread reads at a time while all rows are looked through.
const PIECE: usize = 256 * 1024;

impl FileRows {
    /// A matrix of `[rows, columns]` whose elements begin at byte `at` of the file.
    pub(crate) fn open(
        path: PathBuf,
        name: String,
        at: u64,
        [rows, columns]: [usize; 2],
        element: ElementType,
    ) -> Result<FileRows> {
        if let ElementType::Blocks(dtype) = element {
            GgufBlocks::new(dtype, &[], 0, columns).map_err(|message| Error::tensor(&name, message, &path))?;
        }
        let file = File::open(&path).map_err(Error::io("open the file", &path))?;
        Ok(FileRows { file: Arc::new(file), path, name, at, rows, columns, element, rounded: false })
    }

    /// The same with numbers rounded to bfloat16.
    pub(crate) fn rounded(self) -> FileRows {
        FileRows { rounded: true, ..self }
    }

    /// Type of the elements in the file.
    pub(crate) fn element(&self) -> ElementType {
        self.element
    }

    /// Rows and columns.
    pub fn shape(&self) -> [usize; 2] {
        [self.rows, self.columns]
    }

    /// The rows `ids` one after the other as 32-bit numbers, `out` `[ids, columns]`.
    ///
    /// # Errors
    /// The file cannot be read any more, or has become shorter.
    pub fn read(&self, ids: &[u32], out: &mut [f32]) -> Result<()> {
        let mut buffer = RowBuffer::new(self);
        ids.iter().zip(out.chunks_exact_mut(self.columns)).try_for_each(|(&id, out)| {
            self.fill(id as usize, buffer.bytes())?;
            buffer.decode(out);
            Ok(())
        })
    }

    /// Whether the first row is that of `matrix`, the same place of the file as it was opened before.
    pub(crate) fn starts_with(&self, matrix: &[u8]) -> Result<()> {
        let mut row = vec![0; self.row_bytes()];
        if self.rows > 0 {
            self.fill(0, &mut row)?;
        }
        if self.rows == 0 || matrix.starts_with(&row) {
            return Ok(());
        }
        let message = "the file was replaced by another one meanwhile: open the model again";
        Err(Error::tensor(&self.name, message, &self.path))
    }

    /// Looks through all rows, as it is done with matrices that are kept in memory: every value must be a number. What was read
    /// is then in the system's cache, if that has room. Threaded.
    pub(crate) fn check(&self) -> Result<()> {
        let rows = (PIECE / self.row_bytes().max(1)).max(1);
        let pieces = (0..self.rows.div_ceil(rows)).into_par_iter();
        let wrong = pieces.map(|piece| {
            let range = piece * rows..self.rows.min((piece + 1) * rows);
            let mut bytes = vec![0; range.len() * self.row_bytes()];
            self.fill(range.start, &mut bytes)?;
            let mut buffer = RowBuffer::new(self);
            let mut values = vec![0.0; self.columns];
            for (row, bytes) in range.zip(bytes.chunks_exact(self.row_bytes().max(1))) {
                buffer.bytes().copy_from_slice(bytes);
                buffer.decode(&mut values);
                // All of a row first, without a way out of the loop: that is what the compiler vectorizes.
                if values.iter().fold(false, |bad, v| bad | !v.is_finite()) {
                    let message = format!("row {row} has a value that is no number: the file is damaged");
                    return Err(Error::tensor(&self.name, message, &self.path));
                }
            }
            Ok(())
        });
        wrong.find_first(Result::is_err).unwrap_or(Ok(()))
    }

    fn row_bytes(&self) -> usize {
        self.element.bytes(self.columns)
    }

    /// Reads from the beginning of a row.
    fn fill(&self, row: usize, bytes: &mut [u8]) -> Result<()> {
        assert!(row < self.rows, "outside the matrix");
        let at = self.at + row as u64 * self.row_bytes() as u64;
        read_exact_at(&self.file, at, bytes).map_err(|e| match e.kind() {
            ErrorKind::UnexpectedEof => {
                let message = format!(
                    "the file was cut short while it was in use: row {row} of {} is no longer in it; put the whole file \
                     back and begin again",
                    self.name
                );
                Error::file(message, &self.path)
            }
            _ => Error::io("read a token's embedding from the model's file", &self.path)(e),
        })
    }
}

/// Room for a row as it is stored.
struct RowBuffer {
    row: Row,
    rounded: bool,
}

enum Row {
    Dense(DenseType, Vec<u8>),
    Blocks(GgufBlocks),
}

impl RowBuffer {
    fn new(rows: &FileRows) -> RowBuffer {
        let bytes = vec![0; rows.row_bytes()];
        let row = match rows.element {
            ElementType::Dense(dtype) => Row::Dense(dtype, bytes),
            ElementType::Blocks(dtype) => {
                Row::Blocks(GgufBlocks::new(dtype, &bytes, 1, rows.columns).expect("checked when it was opened"))
            }
        };
        RowBuffer { row, rounded: rows.rounded }
    }

    fn bytes(&mut self) -> &mut [u8] {
        match &mut self.row {
            Row::Dense(_, bytes) => bytes,
            Row::Blocks(blocks) => blocks.data_mut(),
        }
    }

    /// The row's numbers, the same bits as [`Stored`](super::Stored) makes of them.
    fn decode(&self, out: &mut [f32]) {
        match &self.row {
            Row::Dense(DenseType::F32, bytes) => each(bytes, out, f32::from_le_bytes),
            Row::Dense(DenseType::F16, bytes) => each(bytes, out, |b| f16::from_le_bytes(b).to_f32()),
            Row::Dense(DenseType::Bf16, bytes) => {
                // Not `to_f32`, whose test for NaN keeps the compiler from using vectors.
                each(bytes, out, |b| f32::from_bits(u32::from(u16::from_le_bytes(b)) << 16));
                return;
            }
            Row::Blocks(blocks) => blocks.dequantize(0, out),
        }
        if self.rounded {
            out.iter_mut().for_each(|v| *v = bf16::from_f32(*v).to_f32());
        }
    }
}

fn each<const N: usize>(bytes: &[u8], out: &mut [f32], one: impl Fn([u8; N]) -> f32) {
    out.iter_mut().zip(bytes.as_chunks::<N>().0).for_each(|(out, bytes)| *out = one(*bytes));
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::engine::formats::gguf::GgufFile;
    use crate::engine::formats::{Bytes, Stored};

    /// Every type that GGUF files are read in, from the fixture that llama.cpp wrote: the numbers that a matrix in memory has.
    #[test]
    fn rows_of_every_type_are_those_of_the_matrix_in_memory() {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/gguf-blocks.gguf");
        let file = GgufFile::open(&path).unwrap();
        let mut kinds = 0;
        for name in file.tensor_names() {
            let tensor = file.tensor(name).unwrap();
            let &[rows, columns] = tensor.shape.as_slice() else { panic!("{name}") };
            let bytes = file.tensor_bytes(name).unwrap();
            let Bytes::Mapped { range, .. } = &bytes else { panic!("{name}") };
            let (element, stored) = match (tensor.kind.dense(), tensor.kind.quantized()) {
                (Some(dtype), _) => {
                    let shape = vec![rows, columns];
                    (ElementType::Dense(dtype), Stored::Dense { shape, dtype, bytes: bytes.clone() })
                }
                (_, Some(dtype)) => {
                    let blocks = GgufBlocks::new(dtype, &bytes, rows, columns).unwrap();
                    (ElementType::Blocks(dtype), Stored::Blocks(blocks))
                }
                _ => panic!("{name}"),
            };
            let in_file =
                FileRows::open(path.clone(), name.clone(), range.start as u64, [rows, columns], element).unwrap();
            in_file.check().unwrap();
            let read = |rows: &FileRows| {
                let mut out = vec![f32::NAN; 3 * columns];
                rows.read(&[1, 0, 1], &mut out).unwrap();
                out.iter().map(|v| v.to_bits()).collect::<Vec<_>>()
            };
            let expected = |values: Vec<f32>| {
                let rows: Vec<&[f32]> = values.chunks_exact(columns).collect();
                [rows[1], rows[0], rows[1]].concat().iter().map(|v| v.to_bits()).collect::<Vec<_>>()
            };
            assert_eq!(read(&in_file), expected(stored.to_f32()), "{name}");
            let rounded = stored.to_bf16().iter().map(|v| v.to_f32()).collect();
            assert_eq!(read(&in_file.rounded()), expected(rounded), "{name}, rounded");
            kinds += 1;
        }
        assert_eq!(kinds, 13);
    }

    #[test]
    fn what_is_wrong_with_the_file_is_said() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let values: Vec<f32> = (0..12).map(|i| if i == 7 { f32::NAN } else { i as f32 }).collect();
        file.write_all(bytemuck::cast_slice(&values)).unwrap();
        let open = |rows| {
            let element = ElementType::Dense(DenseType::F32);
            FileRows::open(file.path().to_path_buf(), "embed".into(), 0, [rows, 4], element).unwrap()
        };
        let message = open(3).check().unwrap_err().to_string();
        assert!(
            message.starts_with("tensor embed: row 1 has a value that is no number: the file is damaged"),
            "{message}"
        );
        let rows = open(3);
        let mut out = [0.0; 8];
        rows.read(&[2, 0], &mut out).unwrap();
        assert_eq!(out, [8.0, 9.0, 10.0, 11.0, 0.0, 1.0, 2.0, 3.0]);
        // Cut in the middle of the last row, while it is open.
        file.as_file().set_len(40).unwrap();
        rows.read(&[0, 1], &mut out).unwrap();
        let message = rows.read(&[0, 2], &mut out).unwrap_err().to_string();
        assert!(
            message.starts_with("the file was cut short while it was in use: row 2 of embed is no longer"),
            "{message}"
        );
        assert!(open(3).check().is_err());
    }
}
