//! 4-bit weights of bitsandbytes in a Hugging Face folder.
//!
//! Beside `X.weight` (u8, two values a byte) stand `X.weight.absmax`, `.quant_map`, with double quantization
//! `.nested_absmax` and `.nested_quant_map`, and `.quant_state.bitsandbytes__nf4`: JSON in a u8 tensor.

use super::hf::json::Json;
use super::safetensors::{Dtype, SafetensorsFile};
use crate::engine::quant::Nf4Matrix;
use crate::engine::quant::nf4::{Absmax, Nf4Parts};
use crate::engine::{Error, Result};

/// The key of the quantization state, after the weight's name.
const STATE: [&str; 2] = ["quant_state.bitsandbytes__nf4", "quant_state.bitsandbytes__fp4"];

/// The quantization state of a weight, if it is stored in 4 bits. `name` is the weight's name in the file.
fn state(file: &SafetensorsFile, name: &str) -> Result<Option<Json>> {
    let Some(bytes) = STATE.iter().find_map(|key| file.bytes(&format!("{name}.{key}"))) else { return Ok(None) };
    match serde_json::from_slice(&bytes) {
        Ok(serde_json::Value::Object(map)) => Ok(Some(Json { map, path: file.path().to_path_buf() })),
        _ => Err(Error::tensor(name, "its quantization state is not valid JSON", file.path())),
    }
}

/// Shape of a weight that is stored in 4 bits: the state says what the flat bytes no longer do.
pub(crate) fn shape(file: &SafetensorsFile, name: &str) -> Result<Option<Vec<usize>>> {
    let Some(state) = state(file, name)? else { return Ok(None) };
    let wrong = || Error::tensor(name, "its quantization state names no two-dimensional shape", file.path());
    let shape = state.numbers("shape")?.filter(|s| s.len() == 2).ok_or_else(wrong)?;
    if shape.iter().any(|d| d.fract() != 0.0 || !(0.0..1e12).contains(d)) {
        return Err(wrong());
    }
    Ok(Some(shape.into_iter().map(|d| d as usize).collect()))
}

/// Bytes that a weight takes that is stored in 4 bits, from the header; `None` when it is not.
pub(crate) fn bytes(file: &SafetensorsFile, name: &str) -> Result<Option<usize>> {
    let Some(state) = state(file, name)? else { return Ok(None) };
    let length = |suffix: &str| {
        let full = format!("{name}{suffix}");
        let info = file.info(&full);
        let absent = || Error::tensor(&full, "absent, though the weight is stored in 4 bits", file.path());
        info.map(|info| info.data_offsets.1 - info.data_offsets.0).ok_or_else(absent)
    };
    let mut bytes = length("")? + length(".absmax")? + length(".quant_map")?;
    if state.has("nested_offset") {
        // And the offset itself.
        bytes += length(".nested_quant_map")? + length(".nested_absmax")? + size_of::<f32>();
    }
    Ok(Some(bytes))
}

/// A weight that is stored in 4 bits; `None` when it is not.
pub(crate) fn matrix(file: &SafetensorsFile, name: &str) -> Result<Option<Nf4Matrix>> {
    let (Some(state), Some(shape)) = (state(file, name)?, shape(file, name)?) else { return Ok(None) };
    let codes = part(file, name, None, Dtype::U8)?;
    let absmax = if state.has("nested_offset") {
        let offset = state.f64("nested_offset")?.unwrap_or(0.0) as f32;
        Absmax::Double {
            codes: part(file, name, Some("absmax"), Dtype::U8)?,
            map: floats(file, name, "nested_quant_map")?.into_boxed_slice(),
            nested: floats(file, name, "nested_absmax")?,
            nested_block: state.required_usize("nested_blocksize")?,
            offset,
        }
    } else {
        Absmax::Plain(floats(file, name, "absmax")?)
    };
    let parts = Nf4Parts {
        out_features: shape[0],
        in_features: shape[1],
        codes,
        quant_map: floats(file, name, "quant_map")?,
        blocksize: state.required_usize("blocksize")?,
        absmax,
    };
    Nf4Matrix::from_parts(parts).map(Some).map_err(|message| Error::tensor(name, message, file.path()))
}

/// A tensor beside the weight (or the weight itself) that must have that type.
fn part(file: &SafetensorsFile, name: &str, suffix: Option<&str>, dtype: Dtype) -> Result<Vec<u8>> {
    let full = suffix.map_or_else(|| name.to_string(), |s| format!("{name}.{s}"));
    match (file.info(&full), file.bytes(&full)) {
        (Some(info), Some(bytes)) if info.dtype == dtype => Ok(bytes.to_vec()),
        (Some(info), _) => Err(Error::tensor(full, format!("expected {dtype}, found {}", info.dtype), file.path())),
        (None, _) => Err(Error::tensor(full, "absent, though the weight is stored in 4 bits", file.path())),
    }
}

fn floats(file: &SafetensorsFile, name: &str, suffix: &str) -> Result<Vec<f32>> {
    let bytes = part(file, name, Some(suffix), Dtype::F32)?;
    Ok(bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect())
}

/// What `quantization_config` of config.json says about how to read the weights.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct BnbConfig {
    pub(crate) double_quant: bool,
}

/// Checks that the weights are in a format that is read here; every other is refused by name.
pub(crate) fn quantization(config: &Json) -> Result<Option<BnbConfig>> {
    let Some(quantization) = config.object("quantization_config")? else { return Ok(None) };
    let method = quantization.str("quant_method")?.unwrap_or("");
    let refuse = |message: String| Err(Error::file(message, &config.path));
    let flag = |key: &str| Ok::<_, Error>(quantization.bool(key)?.unwrap_or(false));
    let is_bnb = method.is_empty() && (quantization.has("load_in_4bit") || quantization.has("load_in_8bit"));
    if method != "bitsandbytes" && !is_bnb {
        let method = if method.is_empty() { "an unnamed method" } else { method };
        return refuse(format!(
            "the weights are quantized with {method}, which is not supported; use the unquantized model, a bitsandbytes \
             4-bit folder or a GGUF file"
        ));
    }
    if flag("load_in_8bit")? || flag("_load_in_8bit")? {
        return refuse(
            "the weights are in bitsandbytes' 8-bit format, which is not supported; use the unquantized model, which is \
             quantized to 4 bits here while it is read"
                .into(),
        );
    }
    if !flag("load_in_4bit")? && !flag("_load_in_4bit")? {
        return Ok(None);
    }
    let storage = quantization.str("bnb_4bit_quant_storage")?.unwrap_or("uint8");
    if storage != "uint8" {
        return refuse(format!("4-bit weights stored as {storage} are not supported; only uint8 is"));
    }
    Ok(Some(BnbConfig { double_quant: flag("bnb_4bit_use_double_quant")? }))
}
