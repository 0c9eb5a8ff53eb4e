//! Small GGUF files for tests, byte by byte.

/// A small file from its parts: metadata bytes and tensor infos.
pub(crate) fn file(value_count: u64, metadata: &[u8], tensor_count: u64, tensors: &[u8]) -> Vec<u8> {
    let mut bytes = b"GGUF\x03\0\0\0".to_vec();
    bytes.extend(tensor_count.to_le_bytes());
    bytes.extend(value_count.to_le_bytes());
    bytes.extend(metadata);
    bytes.extend(tensors);
    bytes
}

/// A string with its length.
pub(crate) fn text(s: &str) -> Vec<u8> {
    [&(s.len() as u64).to_le_bytes()[..], s.as_bytes()].concat()
}

/// A metadata entry of a type, by its number.
pub(crate) fn entry(key: &str, kind: u32, value: &[u8]) -> Vec<u8> {
    [text(key), kind.to_le_bytes().to_vec(), value.to_vec()].concat()
}

/// An entry that is an array of strings.
pub(crate) fn strings(key: &str, values: &[&str]) -> Vec<u8> {
    let head = [&8u32.to_le_bytes()[..], &(values.len() as u64).to_le_bytes()].concat();
    entry(key, 9, &values.iter().fold(head, |all, s| [all, text(s)].concat()))
}

/// An entry that is an array of numbers of 4 bytes, of a type by its number.
pub(crate) fn numbers(key: &str, kind: u32, values: &[[u8; 4]]) -> Vec<u8> {
    let head = [&kind.to_le_bytes()[..], &(values.len() as u64).to_le_bytes()].concat();
    entry(key, 9, &[head, values.concat()].concat())
}
