//! Against bitsandbytes: tests/reference/nf4.py made the numbers.

use half::bf16;
use safetensors::SafeTensors;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::*;
use crate::engine::quant::dynamic::dynamic_map;

static FIXTURE: &[u8] = include_bytes!("../../../../tests/fixtures/nf4.safetensors");

/// The inputs of the script, by the same arithmetic.
fn values(n: usize, seed: u64) -> Vec<f32> {
    let mut out: Vec<f32> = (0..n as u64)
        .map(|i| {
            let mut x = (i + seed * 1_000_003 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            x ^= x >> 31;
            let total: i64 = (0..4).map(|b| (x >> (8 * b) & 255) as i64).sum::<i64>() - 510;
            total as f32 * (((i / 16 * 7919 + seed) % 97 + 32) as f32 / 65536.0)
        })
        .collect();
    if seed == 5 {
        out[64..192].fill(0.0);
        out[n - 30..].fill(0.0);
    }
    out
}

fn bytes_of(v: &[f32]) -> Vec<u8> {
    v.iter().flat_map(|v| v.to_le_bytes()).collect()
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
}

fn cases() -> (SafeTensors<'static>, Vec<Value>) {
    let (_, metadata) = SafeTensors::read_metadata(FIXTURE).unwrap();
    let cases = serde_json::from_str(&metadata.metadata().as_ref().unwrap()["cases"]).unwrap();
    (SafeTensors::deserialize(FIXTURE).unwrap(), cases)
}

fn check(case: &Value, part: &str, bytes: &[u8]) {
    let digest: String = Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(digest, case[part].as_str().unwrap(), "{part} of case {}", case["name"]);
}

fn check_values(case: &Value, m: &Nf4Matrix) {
    let mut out = vec![0.0; m.out_features * m.in_features];
    m.dequantize(0, &mut out);
    check(case, "values_f32", &bytes_of(&out));
    let rounded: Vec<u8> = out.iter().flat_map(|v| bf16::from_f32(*v).to_le_bytes()).collect();
    check(case, "values_bf16", &rounded);
}

#[test]
fn quantizes_as_bitsandbytes() {
    let (tensors, cases) = cases();
    for case in cases.iter().filter(|c| c["type"] == "nf4") {
        let name = case["name"].as_str().unwrap();
        let (rows, cols) = (case["rows"].as_u64().unwrap() as usize, case["cols"].as_u64().unwrap() as usize);
        let input = values(rows * cols, case["seed"].as_u64().unwrap());
        let double = case["double"].as_bool().unwrap();
        let m = if case["dtype"] == "bfloat16" {
            let input: Vec<bf16> = input.iter().map(|v| bf16::from_f32(*v)).collect();
            Nf4Matrix::quantize(&input, rows, cols, double)
        } else {
            Nf4Matrix::quantize(&input, rows, cols, double)
        };
        // The small cases number by number, for a message that helps.
        if let Ok(t) = tensors.tensor(&format!("{name}.codes")) {
            assert_eq!(m.codes(), t.data(), "codes of {name}");
        }
        check(case, "codes", m.codes());
        check(case, "quant_map", &bytes_of(m.levels()));
        match m.absmax() {
            Absmax::Plain(v) => check(case, "absmax", &bytes_of(v)),
            Absmax::Double { codes, map, nested, nested_block, offset } => {
                if let Ok(t) = tensors.tensor(&format!("{name}.offset")) {
                    assert_eq!(vec![*offset], floats(t.data()), "offset of {name}");
                }
                assert_eq!(*nested_block, 256);
                check(case, "offset", &offset.to_le_bytes());
                check(case, "nested_absmax", &bytes_of(nested));
                check(case, "nested_quant_map", &bytes_of(map));
                check(case, "absmax", codes);
            }
        }
        check_values(case, &m);
    }
}

#[test]
fn reads_checkpoint_parts() {
    let (tensors, cases) = cases();
    let mut read = 0;
    for case in &cases {
        let part = |part: &str| tensors.tensor(&format!("{}.{part}", case["name"].as_str().unwrap())).ok();
        let Some(codes) = part("codes") else { continue };
        let absmax = part("absmax").unwrap();
        let absmax = match part("nested_absmax") {
            None => Absmax::Plain(floats(absmax.data())),
            Some(nested) => Absmax::Double {
                codes: absmax.data().to_vec(),
                map: floats(tensors.tensor("dynamic_map").unwrap().data()).into(),
                nested: floats(nested.data()),
                nested_block: 256,
                offset: floats(part("offset").unwrap().data())[0],
            },
        };
        let levels = if case["type"] == "fp4" { FP4_LEVELS } else { NF4_LEVELS };
        let m = Nf4Matrix::from_parts(Nf4Parts {
            out_features: case["rows"].as_u64().unwrap() as usize,
            in_features: case["cols"].as_u64().unwrap() as usize,
            codes: codes.data().to_vec(),
            quant_map: levels.to_vec(),
            blocksize: 64,
            absmax,
        });
        check(case, "quant_map", &bytes_of(&levels));
        check_values(case, &m.unwrap());
        read += 1;
    }
    assert_eq!(read, 9);
}

#[test]
fn dynamic_map_is_torchs() {
    let (tensors, _) = cases();
    assert_eq!(dynamic_map(true).to_vec(), floats(tensors.tensor("dynamic_map").unwrap().data()));
}

#[test]
fn parts_that_do_not_fit_are_refused() {
    let good = || Nf4Parts {
        out_features: 2,
        in_features: 64,
        codes: vec![0; 64],
        quant_map: NF4_LEVELS.to_vec(),
        blocksize: 64,
        absmax: Absmax::Plain(vec![1.0; 2]),
    };
    assert!(Nf4Matrix::from_parts(good()).is_ok());
    type Change = fn(&mut Nf4Parts);
    let wrong: [(Change, &str); 6] = [
        (|p| p.codes.truncate(63), "4-bit values"),
        (|p| p.quant_map.truncate(15), "quant_map"),
        (|p| p.blocksize = 0, "block size"),
        (|p| p.absmax = Absmax::Plain(vec![1.0]), "absmax has 1 values instead of 2"),
        (|p| p.out_features = usize::MAX, "too large"),
        (
            |p| {
                let (codes, map, nested) = (vec![0, 300u16 as u8], vec![0.0; 256].into(), vec![]);
                p.absmax = Absmax::Double { codes, map, nested, nested_block: 256, offset: 0.0 }
            },
            "nested_absmax",
        ),
    ];
    for (change, message) in wrong {
        let mut parts = good();
        change(&mut parts);
        let error = Nf4Matrix::from_parts(parts).unwrap_err();
        assert!(error.contains(message), "{error:?} lacks {message:?}");
    }
}

#[test]
fn size_in_memory_is_four_and_an_eighth_bits() {
    let m = Nf4Matrix::quantize(&values(1536 * 576, 1), 1536, 576, true);
    let bits = m.bytes() as f64 * 8.0 / (1536.0 * 576.0);
    // 4.127 and the two tables.
    assert!((4.127..4.140).contains(&bits), "{bits} bits a weight");
}

#[test]
fn any_number_of_threads_gives_the_same_bytes() {
    let input = values(300 * 257, 3);
    let with = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| Nf4Matrix::quantize(&input, 300, 257, true))
    };
    assert_eq!(with(1), with(3));
}

#[test]
fn parts_of_rows_are_parts_of_the_whole() {
    let m = Nf4Matrix::quantize(&values(33 * 77, 6), 33, 77, true);
    let mut whole = vec![0.0; 33 * 77];
    m.dequantize(0, &mut whole);
    for (start, n) in [(0, 1), (1, 64), (63, 3), (65, 200), (33 * 77 - 5, 5)] {
        let mut part = vec![0.0; n];
        m.dequantize(start, &mut part);
        assert_eq!(part, whole[start..start + n]);
    }
}
