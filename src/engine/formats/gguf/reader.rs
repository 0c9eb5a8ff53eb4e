//! The container: header, metadata, where tensors lie. Versions 2 and 3, little-endian
//! (<https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>).
//!
//! Nothing is allocated by a number that the file states: arrays and tensors stay in the memory map, and every length is
//! checked against the file before it is used.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use memmap2::Mmap;

use super::types::GgmlType;
use crate::engine::formats::stored::{Bytes, map_file, release_pages};
use crate::engine::{Error, Result};

/// Type of a metadata value, with its number in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
#[allow(missing_docs)]
pub enum ValueType {
    U8 = 0,
    I8 = 1,
    U16 = 2,
    I16 = 3,
    U32 = 4,
    I32 = 5,
    F32 = 6,
    Bool = 7,
    String = 8,
    Array = 9,
    U64 = 10,
    I64 = 11,
    F64 = 12,
}

impl ValueType {
    fn from_number(number: u32) -> Option<Self> {
        use ValueType::*;
        [U8, I8, U16, I16, U32, I32, F32, Bool, String, Array, U64, I64, F64].get(number as usize).copied()
    }

    /// Bytes of a value of fixed size.
    fn size(self) -> Option<usize> {
        use ValueType::*;
        match self {
            U8 | I8 | Bool => Some(1),
            U16 | I16 => Some(2),
            U32 | I32 | F32 => Some(4),
            U64 | I64 | F64 => Some(8),
            String | Array => None,
        }
    }
}

/// A metadata value: its type and its bytes in the file (of a string: its text; of an array: its elements).
#[derive(Clone, Debug)]
pub struct GgufValue {
    kind: ValueType,
    /// Type and number of elements of an array.
    array: Option<(ValueType, usize)>,
    bytes: Range<usize>,
}

/// Where a tensor lies.
#[derive(Clone, Debug)]
pub struct GgufTensor {
    /// Dimensions, outermost first (the file has them innermost first).
    pub shape: Vec<usize>,
    /// Type of the elements.
    pub kind: GgmlType,
    bytes: Range<usize>,
}

/// An open, memory-mapped GGUF file whose header has been checked against the file's length.
#[derive(Clone, Debug)]
pub struct GgufFile {
    path: PathBuf,
    map: Arc<Mmap>,
    keys: Arc<Vec<String>>,
    values: Arc<HashMap<String, GgufValue>>,
    names: Arc<Vec<String>>,
    tensors: Arc<HashMap<String, GgufTensor>>,
}

impl GgufFile {
    /// Gives back the pages of the file that were read; they are read again when they are touched again.
    pub(crate) fn release_pages(&self) {
        release_pages(&self.map);
    }

    /// Opens and checks a file; tensor data is not read.
    pub fn open(path: impl AsRef<Path>) -> Result<GgufFile> {
        let path = path.as_ref().to_path_buf();
        let map = map_file(&path)?;
        let header = Header::parse(&map).map_err(|message| Error::file(message, &path))?;
        let (keys, values) = index(header.metadata);
        let (names, tensors) = index(header.tensors);
        Ok(GgufFile { path, map, keys, values, names, tensors })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Size of the file, in bytes.
    pub fn file_size(&self) -> u64 {
        self.map.len() as u64
    }

    /// Keys of the metadata, in the order of the file.
    pub fn keys(&self) -> &[String] {
        &self.keys
    }

    /// Names of the tensors, in the order of the file.
    pub fn tensor_names(&self) -> &[String] {
        &self.names
    }

    /// Type and shape of a tensor.
    pub fn tensor(&self, name: &str) -> Option<&GgufTensor> {
        self.tensors.get(name)
    }

    /// The bytes of a tensor.
    pub fn tensor_bytes(&self, name: &str) -> Option<Bytes> {
        let range = self.tensors.get(name)?.bytes.clone();
        Some(Bytes::Mapped { map: self.map.clone(), range })
    }

    /// Type of a metadata value; of an array, that of its elements and their number too.
    pub fn value_type(&self, key: &str) -> Option<(ValueType, Option<(ValueType, usize)>)> {
        self.values.get(key).map(|v| (v.kind, v.array))
    }

    /// A whole number, not negative. An array whose elements are all the same counts as that element.
    pub fn u64(&self, key: &str) -> Result<Option<u64>> {
        let Some(value) = self.values.get(key) else { return Ok(None) };
        let number = match value.array {
            // One number a layer.
            Some((_, count)) if count > 1 << 16 => None,
            Some(_) => {
                let all = self.integers(key)?.unwrap_or_default();
                all.first().copied().filter(|first| all.iter().all(|x| x == first))
            }
            None => self.integer(value.kind, &value.bytes),
        };
        number.and_then(|x| u64::try_from(x).ok()).map(Some).ok_or_else(|| self.wrong(key, "a whole number"))
    }

    /// A whole number that must be there.
    pub fn required_usize(&self, key: &str) -> Result<usize> {
        self.usize(key)?.ok_or_else(|| Error::file(format!("the required metadata {key} is missing"), &self.path))
    }

    /// A whole number, not negative.
    pub fn usize(&self, key: &str) -> Result<Option<usize>> {
        let number = self.u64(key)?;
        number.map(|x| usize::try_from(x).map_err(|_| self.wrong(key, "a smaller number"))).transpose()
    }

    /// A token id; `None` when it is absent or out of range, as the id −1 is that some files write for "none".
    pub fn token_id(&self, key: &str) -> Option<u32> {
        u32::try_from(self.integer(self.values.get(key)?.kind, &self.values.get(key)?.bytes)?).ok()
    }

    /// A number.
    pub fn f64(&self, key: &str) -> Result<Option<f64>> {
        let Some(value) = self.values.get(key) else { return Ok(None) };
        let number =
            self.float(value.kind, &value.bytes).or_else(|| self.integer(value.kind, &value.bytes).map(|x| x as f64));
        number.filter(|x| x.is_finite()).map(Some).ok_or_else(|| self.wrong(key, "a number"))
    }

    /// True or false.
    pub fn bool(&self, key: &str) -> Result<Option<bool>> {
        let Some(value) = self.values.get(key) else { return Ok(None) };
        match value.kind {
            ValueType::Bool => Ok(Some(self.map[value.bytes.start] != 0)),
            _ => Err(self.wrong(key, "true or false")),
        }
    }

    /// A string.
    pub fn str(&self, key: &str) -> Result<Option<Cow<'_, str>>> {
        let Some(value) = self.values.get(key) else { return Ok(None) };
        match value.kind {
            ValueType::String => Ok(Some(String::from_utf8_lossy(&self.map[value.bytes.clone()]))),
            _ => Err(self.wrong(key, "a string")),
        }
    }

    /// An array of strings.
    pub fn strings(&self, key: &str) -> Result<Option<Vec<Cow<'_, str>>>> {
        let Some(value) = self.values.get(key) else { return Ok(None) };
        let Some((ValueType::String, count)) = value.array else { return Err(self.wrong(key, "a list of strings")) };
        let mut cursor = Cursor { bytes: &self.map[value.bytes.clone()], at: 0 };
        let mut all = Vec::new();
        for _ in 0..count {
            let text = cursor.string().map_err(|message| Error::file(message, &self.path))?;
            all.push(String::from_utf8_lossy(text));
        }
        Ok(Some(all))
    }

    /// An array of whole numbers or of true and false.
    pub fn integers(&self, key: &str) -> Result<Option<Vec<i64>>> {
        self.elements(key, "a list of whole numbers", |kind, bytes| self.integer(kind, bytes))
    }

    /// An array of numbers.
    pub fn floats(&self, key: &str) -> Result<Option<Vec<f32>>> {
        self.elements(key, "a list of numbers", |kind, bytes| {
            self.float(kind, bytes).or_else(|| self.integer(kind, bytes).map(|x| x as f64)).map(|x| x as f32)
        })
    }

    fn elements<T>(
        &self,
        key: &str,
        expected: &str,
        read: impl Fn(ValueType, &Range<usize>) -> Option<T>,
    ) -> Result<Option<Vec<T>>> {
        let Some(value) = self.values.get(key) else { return Ok(None) };
        let Some((kind, size)) = value.array.and_then(|(kind, _)| Some((kind, kind.size()?))) else {
            return Err(self.wrong(key, expected));
        };
        let starts = value.bytes.clone().step_by(size);
        let all = starts.map(|at| read(kind, &(at..at + size))).collect::<Option<Vec<T>>>();
        all.map(Some).ok_or_else(|| self.wrong(key, expected))
    }

    fn integer(&self, kind: ValueType, bytes: &Range<usize>) -> Option<i64> {
        let at = bytes.start;
        match kind {
            ValueType::U8 | ValueType::Bool => Some(self.array::<1>(at)?[0].into()),
            ValueType::I8 => Some(i8::from_le_bytes(self.array(at)?).into()),
            ValueType::U16 => Some(u16::from_le_bytes(self.array(at)?).into()),
            ValueType::I16 => Some(i16::from_le_bytes(self.array(at)?).into()),
            ValueType::U32 => Some(u32::from_le_bytes(self.array(at)?).into()),
            ValueType::I32 => Some(i32::from_le_bytes(self.array(at)?).into()),
            ValueType::U64 => i64::try_from(u64::from_le_bytes(self.array(at)?)).ok(),
            ValueType::I64 => Some(i64::from_le_bytes(self.array(at)?)),
            _ => None,
        }
    }

    fn float(&self, kind: ValueType, bytes: &Range<usize>) -> Option<f64> {
        match kind {
            ValueType::F32 => Some(f32::from_le_bytes(self.array(bytes.start)?).into()),
            ValueType::F64 => Some(f64::from_le_bytes(self.array(bytes.start)?)),
            _ => None,
        }
    }

    fn array<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        self.map.get(at..at + N)?.try_into().ok()
    }

    fn wrong(&self, key: &str, expected: &str) -> Error {
        Error::file(format!("metadata {key}: expected {expected}"), &self.path)
    }
}

type Indexed<T> = (Arc<Vec<String>>, Arc<HashMap<String, T>>);

fn index<T>(entries: Vec<(String, T)>) -> Indexed<T> {
    let names = entries.iter().map(|(name, _)| name.clone()).collect();
    (Arc::new(names), Arc::new(entries.into_iter().collect()))
}

/// Dimensions of a tensor, at most (`GGML_MAX_DIMS`).
const MAX_DIMENSIONS: u32 = 4;
/// Arrays in arrays, at most; files have none, the format allows them.
const MAX_DEPTH: usize = 8;

struct Header {
    metadata: Vec<(String, GgufValue)>,
    tensors: Vec<(String, GgufTensor)>,
}

type Parsed<T> = std::result::Result<T, String>;

impl Header {
    fn parse(file: &[u8]) -> Parsed<Header> {
        if file.starts_with(b"version https://git-lfs") {
            return Err(
                "this is a Git LFS pointer, not the file itself; run `git lfs pull` or download it again".into()
            );
        }
        let mut cursor = Cursor { bytes: file, at: 0 };
        if cursor.take(4)? != b"GGUF" {
            return Err("not a GGUF file".into());
        }
        match cursor.u32()? {
            2 | 3 => {}
            1 => return Err("a GGUF file of version 1, which no current tool reads; convert the model again".into()),
            version if version.swap_bytes() <= 3 => return Err("a big-endian GGUF file, which is not supported".into()),
            version => return Err(format!("a GGUF file of version {version}; versions 2 and 3 are supported")),
        }
        let tensor_count = cursor.u64()?;
        let value_count = cursor.u64()?;
        let mut metadata: Vec<(String, GgufValue)> = Vec::new();
        let mut seen = std::collections::HashSet::new();
        for _ in 0..value_count {
            let key = cursor.name()?;
            let value = cursor.value()?;
            if !seen.insert(key.clone()) {
                return Err(format!("broken GGUF file: the metadata {key} is there twice"));
            }
            metadata.push((key, value));
        }
        let mut infos = Vec::new();
        for _ in 0..tensor_count {
            infos.push(cursor.tensor()?);
        }
        let alignment = alignment(file, &metadata)?;
        let data = cursor.at.checked_next_multiple_of(alignment).ok_or("broken GGUF file: impossible size")?;
        let mut tensors: Vec<(String, GgufTensor)> = Vec::new();
        seen.clear();
        for (name, mut tensor, offset) in infos {
            let start = usize::try_from(offset).ok().and_then(|o| data.checked_add(o));
            let end = start.and_then(|s| s.checked_add(tensor.bytes.end)).filter(|end| *end <= file.len());
            let (Some(start), Some(end)) = (start, end) else {
                return Err(format!(
                    "the file is truncated: tensor {name} ends beyond its {} bytes; download or copy it again",
                    file.len()
                ));
            };
            tensor.bytes = start..end;
            if !seen.insert(name.clone()) {
                return Err(format!("broken GGUF file: tensor {name} is there twice"));
            }
            tensors.push((name, tensor));
        }
        Ok(Header { metadata, tensors })
    }
}

/// `general.alignment`, 32 by default.
fn alignment(file: &[u8], metadata: &[(String, GgufValue)]) -> Parsed<usize> {
    let Some((_, value)) = metadata.iter().find(|(key, _)| key == "general.alignment") else { return Ok(32) };
    let bytes: Option<[u8; 4]> = file[value.bytes.clone()].try_into().ok();
    let alignment = bytes.filter(|_| value.kind == ValueType::U32).map(u32::from_le_bytes);
    alignment
        .filter(|a| a.is_power_of_two())
        .map(|a| a as usize)
        .ok_or_else(|| "broken GGUF file: general.alignment is not a power of two".to_string())
}

/// A position in bytes that are read in order.
struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn take(&mut self, count: usize) -> Parsed<&'a [u8]> {
        let rest = &self.bytes[self.at..];
        if count > rest.len() {
            return Err("the file is truncated: it ends inside its header; download or copy it again".into());
        }
        self.at += count;
        Ok(&rest[..count])
    }

    fn u32(&mut self) -> Parsed<u32> {
        let bytes = self.take(4)?;
        Ok(bytes.iter().rev().fold(0, |n, &b| n << 8 | u32::from(b)))
    }

    fn u64(&mut self) -> Parsed<u64> {
        let bytes = self.take(8)?;
        Ok(bytes.iter().rev().fold(0, |n, &b| n << 8 | u64::from(b)))
    }

    fn length(&mut self) -> Parsed<usize> {
        usize::try_from(self.u64()?).map_err(|_| "broken GGUF file: impossible length".to_string())
    }

    fn string(&mut self) -> Parsed<&'a [u8]> {
        let length = self.length()?;
        self.take(length)
    }

    /// A key or a tensor's name.
    fn name(&mut self) -> Parsed<String> {
        let bytes = self.string()?;
        // The specification allows 65535 bytes for a key and 64 for a tensor's name.
        if bytes.len() > 65535 {
            return Err("broken GGUF file: a name is too long".into());
        }
        Ok(String::from_utf8_lossy(bytes).into_owned())
    }

    fn value_type(&mut self) -> Parsed<ValueType> {
        let number = self.u32()?;
        ValueType::from_number(number).ok_or_else(|| format!("broken GGUF file: metadata of unknown type {number}"))
    }

    fn value(&mut self) -> Parsed<GgufValue> {
        let kind = self.value_type()?;
        let start = self.at;
        match kind {
            ValueType::String => {
                let text = self.string()?;
                Ok(GgufValue { kind, array: None, bytes: self.at - text.len()..self.at })
            }
            ValueType::Array => {
                let (element, count) = (self.value_type()?, self.length()?);
                let start = self.at;
                self.skip_elements(element, count, 1)?;
                Ok(GgufValue { kind, array: Some((element, count)), bytes: start..self.at })
            }
            _ => {
                self.take(kind.size().unwrap_or(0))?;
                Ok(GgufValue { kind, array: None, bytes: start..self.at })
            }
        }
    }

    fn skip_elements(&mut self, kind: ValueType, count: usize, depth: usize) -> Parsed<()> {
        if depth > MAX_DEPTH {
            return Err("broken GGUF file: metadata nested too deeply".into());
        }
        if let Some(size) = kind.size() {
            let bytes = count.checked_mul(size).ok_or("broken GGUF file: impossible length")?;
            return self.take(bytes).map(|_| ());
        }
        for _ in 0..count {
            match kind {
                ValueType::String => self.string().map(|_| ())?,
                _ => {
                    let (element, count) = (self.value_type()?, self.length()?);
                    self.skip_elements(element, count, depth + 1)?;
                }
            }
        }
        Ok(())
    }

    /// Name, type, shape and offset of a tensor; its `bytes` is `0..size` until the data's beginning is known.
    fn tensor(&mut self) -> Parsed<(String, GgufTensor, u64)> {
        let name = self.name()?;
        let dimensions = self.u32()?;
        if dimensions > MAX_DIMENSIONS {
            return Err(format!("broken GGUF file: tensor {name} has {dimensions} dimensions"));
        }
        let mut shape = Vec::new();
        for _ in 0..dimensions {
            shape.push(self.length()?);
        }
        let row = shape.first().copied().unwrap_or(1);
        shape.reverse();
        let kind = GgmlType::from_number(self.u32()?);
        let offset = self.u64()?;
        let size = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d)).and_then(|n| kind.bytes(n));
        let size = size.ok_or_else(|| format!("broken GGUF file: tensor {name} has an impossible shape"))?;
        if row % kind.block() != 0 {
            let block = kind.block();
            return Err(format!("broken GGUF file: tensor {name} has rows of {row} in blocks of {block}"));
        }
        Ok((name, GgufTensor { shape, kind, bytes: 0..size }, offset))
    }
}
