//! Double quantization: the absmax values in 8 bits, as bitsandbytes and torch compute them.

use std::sync::OnceLock;

use super::{Absmax, NESTED_BLOCK};
use crate::engine::quant::dynamic::dynamic_map;

/// Quantizes the absmax values to 8 bits around their mean (`quantize_blockwise` of bitsandbytes, blocks of 256).
pub(super) fn quantize(absmax: &[f32]) -> Absmax {
    let offset = torch_mean(absmax);
    let table = nearest_table();
    let mut codes = vec![0u8; absmax.len()];
    let mut nested = vec![0f32; absmax.len().div_ceil(NESTED_BLOCK)];
    for ((codes, nested), values) in codes.chunks_mut(NESTED_BLOCK).zip(&mut nested).zip(absmax.chunks(NESTED_BLOCK)) {
        *nested = values.iter().fold(0f32, |m, v| m.max((v - offset).abs()));
        if *nested == 0.0 {
            continue;
        }
        let inverse = 1.0 / *nested;
        for (c, v) in codes.iter_mut().zip(values) {
            *c = table[table_index((v - offset) * inverse)];
        }
    }
    Absmax::Double { codes, map: dynamic_map(true).into(), nested, nested_block: NESTED_BLOCK, offset }
}

/// Where a value of [−1, 1] falls among 65536 steps. The multiplication and the addition are one fused operation in
/// bitsandbytes' x86 binaries (GCC contracts them).
fn table_index(value: f32) -> usize {
    ((value.clamp(-1.0, 1.0) + 1.0) * 0.5).mul_add(65535.0, 0.5) as usize
}

/// For each of 65536 steps from −1 to 1 the nearest entry of the dynamic map; a tie goes down. bitsandbytes looks codes up
/// in this table instead of searching the map, so values close to a middle may take the neighbour.
fn nearest_table() -> &'static [u8] {
    static TABLE: OnceLock<Vec<u8>> = OnceLock::new();
    TABLE.get_or_init(|| {
        let map = dynamic_map(true);
        let mut code = 0;
        (0..65536)
            .map(|i| {
                let value = -1.0 + (2.0 * i as f32) / 65535.0;
                while code < 255 && 0.5 * (map[code] + map[code + 1]) < value {
                    code += 1;
                }
                code as u8
            })
            .collect()
    })
}

/// `Tensor.mean()` of torch in 32 bits: a cascade sum over vectors of 8 lanes, four at a time (aten's SumKernel.cpp with
/// AVX2, which AVX-512 machines use too, and one thread). The order of the additions is part of the value.
fn torch_mean(values: &[f32]) -> f32 {
    const LANES: usize = 8;
    const ILP: usize = 4;
    const LEVELS: usize = 4;
    type Row = [[f32; LANES]; ILP];
    fn add(to: &mut [f32; LANES], from: &[f32]) {
        to.iter_mut().zip(from).for_each(|(t, f)| *t += f);
    }
    let vectors = values.len() / LANES;
    let rows = vectors / ILP;
    let level_power = (LEVELS as u32).max(rows.max(1).next_power_of_two().trailing_zeros() / LEVELS as u32);
    let (level_step, level_mask) = (1usize << level_power, (1usize << level_power) - 1);
    let mut acc: [Row; LEVELS] = [[[0.0; LANES]; ILP]; LEVELS];
    let row = |i: usize, acc: &mut Row| {
        for (k, a) in acc.iter_mut().enumerate() {
            add(a, &values[(i * ILP + k) * LANES..][..LANES]);
        }
    };
    let mut i = 0;
    while i + level_step <= rows {
        for _ in 0..level_step {
            row(i, &mut acc[0]);
            i += 1;
        }
        for j in 1..LEVELS {
            let lower = std::mem::replace(&mut acc[j - 1], [[0.0; LANES]; ILP]);
            acc[j].iter_mut().zip(&lower).for_each(|(a, l)| add(a, l));
            if i & (level_mask << (j as u32 * level_power)) != 0 {
                break;
            }
        }
    }
    while i < rows {
        row(i, &mut acc[0]);
        i += 1;
    }
    let [mut sums, higher @ ..] = acc;
    for level in &higher {
        sums.iter_mut().zip(level).for_each(|(s, l)| add(s, l));
    }
    for v in rows * ILP..vectors {
        add(&mut sums[0], &values[v * LANES..][..LANES]);
    }
    let [mut lanes, others @ ..] = sums;
    others.iter().for_each(|o| add(&mut lanes, o));
    let tail: f32 = values[vectors * LANES..].iter().fold(0.0, |s, v| s + v);
    lanes.iter().fold(tail, |s, v| s + v) / values.len() as f32
}
