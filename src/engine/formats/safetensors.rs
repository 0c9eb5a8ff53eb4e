//! Safetensors files: memory-mapped reading one tensor at a time, and writing that is atomic and the same bytes each time.
//!
//! ```
//! use lora_studio::engine::formats::safetensors::{self, SafetensorsFile, TensorData};
//!
//! let folder = tempfile::tempdir()?;
//! let path = folder.path().join("adapter_model.safetensors");
//! let a = [1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0];
//! safetensors::write(&path, &[TensorData::f32("lora_A.weight", &[2, 3], &a)], &[("format", "pt")])?;
//! let file = SafetensorsFile::open(&path)?;
//! let tensor = file.tensor("lora_A.weight")?.expect("just written");
//! assert_eq!(tensor.shape(), [2, 3]);
//! assert_eq!(tensor.to_f32(), a);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::safetensors::SafeTensorError;
use ::safetensors::tensor::{Metadata, SafeTensors};
use half::bf16;
use memmap2::Mmap;

pub use ::safetensors::Dtype;
pub use ::safetensors::tensor::TensorInfo;

use super::atomic::atomic_write_with;
use super::stored::{Bytes, DenseType, Stored, map_file, release_pages};
use crate::engine::positioned::read_exact_at;
use crate::engine::{Error, Result};

/// An open, memory-mapped safetensors file whose header has been checked against the file's length.
#[derive(Clone, Debug)]
pub struct SafetensorsFile {
    path: PathBuf,
    map: Arc<Mmap>,
    /// Where the data begins, after the length and the header.
    data: usize,
    metadata: Arc<Metadata>,
}

impl SafetensorsFile {
    /// Opens and checks a file; tensor data is not read.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref().to_path_buf();
        let map = map_file(&path)?;
        let (header, metadata) =
            SafeTensors::read_metadata(&map).map_err(|e| Error::file(describe(&e, &map), &path))?;
        Ok(Self { path, map, data: 8 + header, metadata: Arc::new(metadata) })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Size of the file, in bytes.
    pub fn file_size(&self) -> u64 {
        self.map.len() as u64
    }

    /// Gives back the pages of the file that were read; they are read again when they are touched again.
    pub(crate) fn release_pages(&self) {
        release_pages(&self.map);
    }

    /// Names of the tensors, in the order of the file.
    pub fn names(&self) -> Vec<String> {
        self.metadata.offset_keys()
    }

    /// Type and shape of a tensor.
    pub fn info(&self, name: &str) -> Option<&TensorInfo> {
        self.metadata.info(name)
    }

    /// An entry of the header's `__metadata__`.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.metadata.metadata().as_ref()?.get(key).map(String::as_str)
    }

    /// The raw bytes of a tensor, little-endian.
    pub fn bytes(&self, name: &str) -> Option<Bytes> {
        let (start, end) = self.info(name)?.data_offsets;
        Some(Bytes::Mapped { map: self.map.clone(), range: self.data + start..self.data + end })
    }

    /// A tensor of plain floating-point numbers; `None` when the file has no tensor of that name.
    pub fn tensor(&self, name: &str) -> Result<Option<Stored>> {
        let (Some(info), Some(bytes)) = (self.info(name), self.bytes(name)) else { return Ok(None) };
        let dtype = dense_type(info.dtype).ok_or_else(|| {
            let message = format!("stored as {}, which is not supported (F32, F16 and BF16 are)", info.dtype);
            Error::tensor(name, message, &self.path)
        })?;
        Ok(Some(Stored::Dense { shape: info.shape.clone(), dtype, bytes }))
    }
}

/// The dense type of a safetensors type, if it is one that models are computed in.
pub fn dense_type(dtype: Dtype) -> Option<DenseType> {
    match dtype {
        Dtype::F32 => Some(DenseType::F32),
        Dtype::F16 => Some(DenseType::F16),
        Dtype::BF16 => Some(DenseType::Bf16),
        _ => None,
    }
}

/// What is wrong with a file whose header was refused, and what to do.
fn describe(error: &SafeTensorError, map: &[u8]) -> String {
    use SafeTensorError::*;
    let truncated = "the file is truncated: it is shorter than its header says; download or copy it again";
    match error {
        HeaderTooSmall => "the file is truncated: too short for a safetensors file; download or copy it again".into(),
        // A Git LFS pointer and an HTML error page are what a failed download usually leaves.
        HeaderTooLarge | InvalidHeaderLength if map.starts_with(b"version https://git-lfs") => {
            "this is a Git LFS pointer, not the file itself; run `git lfs pull` or download it again".into()
        }
        HeaderTooLarge => "not a safetensors file (its header's length is impossible)".into(),
        InvalidHeaderLength => truncated.into(),
        MetadataIncompleteBuffer => truncated.into(),
        InvalidHeader(_) => "not a safetensors file (its header is not text)".into(),
        InvalidHeaderDeserialization(e) | JsonError(e) => format!("not a safetensors file (its header is broken: {e})"),
        InvalidOffset(name) => format!("broken safetensors file: the data of tensor {name} overlaps or leaves a hole"),
        other => format!("broken safetensors file: {other}"),
    }
}

/// A tensor to write.
#[derive(Clone, Debug)]
pub struct TensorData<'a> {
    /// Name in the file.
    pub name: String,
    /// Element type.
    pub dtype: Dtype,
    /// Dimensions, outermost first.
    pub shape: Vec<usize>,
    /// The elements, row-major.
    pub content: Content<'a>,
}

/// The elements of a tensor to write.
#[derive(Clone, Debug)]
pub enum Content<'a> {
    /// In memory, little-endian.
    Bytes(Cow<'a, [u8]>),
    /// In another file, in the machine's byte order: copied piece by piece.
    File {
        /// The file.
        file: &'a File,
        /// Where they begin.
        at: u64,
        /// Their size in bytes.
        len: usize,
    },
}

/// What is copied at a time.
const PIECE: usize = 64 * 1024;

impl Content<'_> {
    fn len(&self) -> usize {
        match self {
            Content::Bytes(bytes) => bytes.len(),
            Content::File { len, .. } => *len,
        }
    }

    /// Writes elements of that many bytes each.
    fn write(&self, element: usize, into: &mut impl Write) -> std::io::Result<()> {
        match self {
            Content::Bytes(bytes) => into.write_all(bytes),
            Content::File { file, at, len } => {
                let mut buffer = vec![0; PIECE.min(*len)];
                for start in (0..*len).step_by(PIECE) {
                    let piece = &mut buffer[..PIECE.min(len - start)];
                    read_exact_at(file, at + start as u64, piece)?;
                    if cfg!(target_endian = "big") {
                        piece.chunks_exact_mut(element.max(1)).for_each(<[u8]>::reverse);
                    }
                    into.write_all(piece)?;
                }
                Ok(())
            }
        }
    }
}

impl<'a> TensorData<'a> {
    /// A tensor of `f32`.
    pub fn f32(name: impl Into<String>, shape: &[usize], values: &'a [f32]) -> Self {
        Self { name: name.into(), dtype: Dtype::F32, shape: shape.to_vec(), content: little_endian(values) }
    }

    /// A tensor of bfloat16.
    pub fn bf16(name: impl Into<String>, shape: &[usize], values: &'a [bf16]) -> Self {
        Self { name: name.into(), dtype: Dtype::BF16, shape: shape.to_vec(), content: little_endian(values) }
    }

    /// A tensor of bytes.
    pub fn u8(name: impl Into<String>, shape: &[usize], values: &'a [u8]) -> Self {
        Self {
            name: name.into(),
            dtype: Dtype::U8,
            shape: shape.to_vec(),
            content: Content::Bytes(Cow::Borrowed(values)),
        }
    }

    /// A tensor of 64-bit integers.
    pub fn u64(name: impl Into<String>, shape: &[usize], values: &'a [u64]) -> Self {
        Self { name: name.into(), dtype: Dtype::U64, shape: shape.to_vec(), content: little_endian(values) }
    }

    /// A tensor of `f32` that lies in a file from `at` on, in the machine's byte order.
    pub fn f32_in_file(name: impl Into<String>, shape: &[usize], file: &'a File, at: u64) -> Self {
        let content = Content::File { file, at, len: 4 * shape.iter().product::<usize>() };
        Self { name: name.into(), dtype: Dtype::F32, shape: shape.to_vec(), content }
    }
}

/// The bytes of numbers as files hold them.
fn little_endian<T: bytemuck::NoUninit>(values: &[T]) -> Content<'_> {
    let bytes: &[u8] = bytemuck::cast_slice(values);
    if cfg!(target_endian = "little") {
        return Content::Bytes(Cow::Borrowed(bytes));
    }
    let mut swapped = bytes.to_vec();
    swapped.chunks_exact_mut(size_of::<T>().max(1)).for_each(<[u8]>::reverse);
    Content::Bytes(Cow::Owned(swapped))
}

/// Writes a safetensors file atomically. The layout is the reference writer's (widest types first, then by name, header
/// padded to 8 bytes), so the same tensors give the same bytes whatever the order in which they come.
pub fn write(path: impl AsRef<Path>, tensors: &[TensorData<'_>], metadata: &[(&str, &str)]) -> Result<()> {
    let path = path.as_ref();
    let mut order: Vec<&TensorData<'_>> = tensors.iter().collect();
    order.sort_by(|a, b| b.dtype.cmp(&a.dtype).then_with(|| a.name.cmp(&b.name)));
    let header = header(&order, metadata).map_err(|message| Error::file(message, path))?;
    atomic_write_with(path, |file| {
        file.write_all(&(header.len() as u64).to_le_bytes())?;
        file.write_all(&header)?;
        order.iter().try_for_each(|t| t.content.write(t.dtype.bitsize() / 8, file))
    })
}

fn header(order: &[&TensorData<'_>], metadata: &[(&str, &str)]) -> std::result::Result<Vec<u8>, String> {
    let mut entries = serde_json::Map::new();
    if !metadata.is_empty() {
        let sorted: BTreeMap<_, _> = metadata.iter().copied().collect();
        entries.insert("__metadata__".into(), serde_json::json!(sorted));
    }
    let mut at = 0;
    for t in order {
        let size = t.shape.iter().product::<usize>() * t.dtype.bitsize() / 8;
        if size != t.content.len() {
            return Err(format!("tensor {}: shape {:?} needs {size} bytes, got {}", t.name, t.shape, t.content.len()));
        }
        let entry = serde_json::json!({"dtype": t.dtype, "shape": t.shape, "data_offsets": [at, at + size]});
        if t.name == "__metadata__" || entries.insert(t.name.clone(), entry).is_some() {
            return Err(format!("two tensors, or a tensor and the metadata, would be named {}", t.name));
        }
        at += size;
    }
    let mut header = serde_json::to_vec(&entries).map_err(|e| e.to_string())?;
    header.resize(header.len().next_multiple_of(8), b' ');
    Ok(header)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(dir: &Path) -> PathBuf {
        let path = dir.join("x.safetensors");
        let b = [bf16::from_f32(1.5), bf16::from_f32(-2.0)];
        let tensors = [
            TensorData::bf16("b", &[2], &b),
            TensorData::u8("codes", &[3], &[1, 2, 3]),
            TensorData::f32("a", &[1, 2], &[0.25, 1e-30]),
            TensorData::u64("step", &[], &[7]),
        ];
        write(&path, &tensors, &[("format", "pt"), ("about", "test")]).unwrap();
        path
    }

    #[test]
    fn the_reference_reader_reads_what_we_write() {
        let dir = tempfile::tempdir().unwrap();
        let bytes = std::fs::read(sample(dir.path())).unwrap();
        let read = SafeTensors::deserialize(&bytes).unwrap();
        assert_eq!(read.tensor("a").unwrap().data(), bytemuck::cast_slice::<f32, u8>(&[0.25, 1e-30]));
        assert_eq!(read.tensor("b").unwrap().data(), [0xC0, 0x3F, 0x00, 0xC0]);
        assert_eq!(read.tensor("codes").unwrap().data(), [1, 2, 3]);
        assert_eq!(read.tensor("step").unwrap().shape(), &[] as &[usize]);
        let (_, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
        assert_eq!(metadata.metadata().as_ref().unwrap()["format"], "pt");
    }

    /// The reference writer, given one metadata entry (its map has no order), gives the same bytes.
    #[test]
    fn a_tensor_in_a_file_is_written_as_one_in_memory() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        // More than a piece, and an end within one.
        let values: Vec<f32> = (0..PIECE / 4 + 1000).map(|i| i as f32 + 0.5).collect();
        std::fs::write(path("values"), bytemuck::cast_slice::<f32, u8>(&values)).unwrap();
        let file = File::open(path("values")).unwrap();
        let n = values.len() - 7;
        let other = TensorData::u8("other", &[2], &[1, 2]);
        write(path("a"), &[TensorData::f32("x", &[n], &values[7..]), other.clone()], &[]).unwrap();
        write(path("b"), &[TensorData::f32_in_file("x", &[n], &file, 28), other], &[]).unwrap();
        assert_eq!(std::fs::read(path("a")).unwrap(), std::fs::read(path("b")).unwrap());
        // A file that is too short is an error, and no file is left.
        let long = TensorData::f32_in_file("x", &[n + 1], &file, 28);
        assert!(write(path("c"), &[long], &[]).is_err() && !path("c").exists());
    }

    #[test]
    fn the_bytes_are_those_of_the_reference_writer() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.safetensors");
        let (a, b, c) = ([1.0f32, 2.0], [bf16::ONE], [9u8]);
        let ours = [TensorData::u8("c", &[1], &c), TensorData::bf16("z", &[1], &b), TensorData::f32("a", &[2, 1], &a)];
        write(&path, &ours, &[("format", "pt")]).unwrap();
        let views: Vec<(String, ::safetensors::tensor::TensorView<'_>)> = ours
            .iter()
            .map(|t| {
                let Content::Bytes(bytes) = &t.content else { panic!("in memory") };
                (t.name.clone(), ::safetensors::tensor::TensorView::new(t.dtype, t.shape.clone(), bytes).unwrap())
            })
            .collect();
        let metadata = std::collections::HashMap::from([("format".to_string(), "pt".to_string())]);
        let reference = ::safetensors::serialize(views, Some(metadata)).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), reference);
    }

    #[test]
    fn reads_back_and_knows_what_is_absent() {
        let dir = tempfile::tempdir().unwrap();
        let file = SafetensorsFile::open(sample(dir.path())).unwrap();
        assert_eq!(file.tensor("a").unwrap().unwrap().to_f32(), [0.25, 1e-30]);
        assert_eq!(file.tensor("b").unwrap().unwrap().to_bf16(), [bf16::from_f32(1.5), bf16::from_f32(-2.0)]);
        assert!(file.tensor("c").unwrap().is_none());
        assert_eq!(file.metadata("about"), Some("test"));
        let error = file.tensor("codes").unwrap_err().to_string();
        assert!(error.starts_with("tensor codes: stored as U8, which is not supported"), "{error}");
    }

    #[test]
    fn broken_files_are_refused_with_a_reason() {
        let dir = tempfile::tempdir().unwrap();
        let whole = std::fs::read(sample(dir.path())).unwrap();
        let path = dir.path().join("broken.safetensors");
        let message = |bytes: &[u8]| {
            std::fs::write(&path, bytes).unwrap();
            SafetensorsFile::open(&path).unwrap_err().to_string()
        };
        for cut in 0..whole.len() {
            let m = message(&whole[..cut]);
            assert!(m.starts_with("the file is truncated"), "{cut}: {m}");
        }
        assert!(message(b"version https://git-lfs.github.com/spec/v1\noid sha256:0").contains("Git LFS pointer"));
        let mut json = 10u64.to_le_bytes().to_vec();
        json.extend(b"{\"a\": nul}");
        assert!(message(&json).contains("its header is broken"));
        let mut unknown = whole.clone();
        let at = unknown.windows(4).position(|w| w == b"BF16").unwrap();
        unknown[at..at + 4].copy_from_slice(b"QF16");
        assert!(message(&unknown).contains("QF16"));
        let missing = SafetensorsFile::open(dir.path().join("none.safetensors")).unwrap_err().to_string();
        assert!(missing.starts_with("could not open the file: "), "{missing}");
    }

    #[test]
    fn a_tensor_whose_bytes_do_not_fit_its_shape_is_not_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.safetensors");
        let error = write(&path, &[TensorData::f32("a", &[3], &[1.0])], &[]).unwrap_err().to_string();
        assert!(error.contains("tensor a: shape [3] needs 12 bytes, got 4"), "{error}");
        assert!(!path.exists());
    }
}
