use super::*;
use crate::engine::ops::testing::{normal, relative_error, with_threads};
use crate::engine::positioned::read_exact_at;

const KINDS: [OptimizerKind; 3] = [OptimizerKind::Adamw, OptimizerKind::Adamw8bit, OptimizerKind::PagedAdamw];

/// More than the pages in memory hold, sizes that are no multiple of anything, and one that stays in 32 bits.
const TENSORS: [usize; 5] = [300_000, 250_001, 4095, 4096, 5000];

fn optimizer(kind: OptimizerKind) -> Optimizer {
    let settings = AdamW { weight_decay: 0.1, ..AdamW::default() };
    Optimizer::new(kind, settings, TENSORS, &std::env::temp_dir()).unwrap()
}

/// Parameters after some steps with a gradient that has to be clipped, and the optimizer.
fn stepped(kind: OptimizerKind, steps: u64) -> (Vec<f32>, Optimizer) {
    let n: usize = TENSORS.iter().sum();
    let (mut params, mut optimizer) = (normal(1, n, 1.0), optimizer(kind));
    for t in 0..steps {
        step(&mut optimizer, &mut params, t);
    }
    (params, optimizer)
}

fn step(optimizer: &mut Optimizer, params: &mut [f32], t: u64) {
    let grads = normal(100 + t, params.len(), 0.1);
    optimizer.step(params, &grads, adamw::grad_norm(&grads), 1.0, 1e-3).unwrap();
}

fn moments(optimizer: &Optimizer) -> Vec<TensorMoments> {
    let owned = |(t, n): (TensorView, &usize)| match t {
        TensorView::Full { m, v } => TensorMoments::Full { m: m.to_vec(), v: v.to_vec() },
        TensorView::Blocks(moments) => TensorMoments::Blocks(moments.clone()),
        TensorView::File { file, m, v } => {
            let read = |at| {
                let mut numbers = vec![0.0f32; *n];
                read_exact_at(file, at, bytemuck::cast_slice_mut(&mut numbers)).unwrap();
                numbers
            };
            TensorMoments::Full { m: read(m), v: read(v) }
        }
    };
    optimizer.tensors().into_iter().zip(&TENSORS).map(owned).collect()
}

#[test]
fn paged_is_the_same_bits() {
    let (params, plain) = stepped(OptimizerKind::Adamw, 4);
    let (paged_params, paged) = stepped(OptimizerKind::PagedAdamw, 4);
    assert!(params == paged_params && moments(&plain) == moments(&paged));
}

#[test]
fn decay_and_clipping_are_the_same_for_all() {
    // After one step from nothing the moments have not been rounded yet.
    let (params, _) = stepped(OptimizerKind::Adamw, 1);
    for kind in KINDS {
        assert!(stepped(kind, 1).0 == params, "{kind:?}");
    }
}

#[test]
fn the_same_bits_for_any_number_of_threads() {
    for kind in KINDS {
        let run = |threads| with_threads(threads, || stepped(kind, 3));
        let ((one_params, one), (four_params, four)) = (run(1), run(4));
        assert!(one_params == four_params && moments(&one) == moments(&four), "{kind:?}");
    }
}

#[test]
fn the_state_takes_what_was_said() {
    for kind in KINDS {
        let optimizer = optimizer(kind);
        let of_tensor = |t: &TensorMoments| match t {
            TensorMoments::Full { m, v } => 4 * (m.len() + v.len()),
            TensorMoments::Blocks(b) => b.m.len() + b.v.len() + 4 * (b.m_absmax.len() + b.v_absmax.len()),
        };
        let bytes: usize = match &optimizer.state {
            State::Memory(tensors) => tensors.iter().map(of_tensor).sum(),
            State::Paged(moments) => moments.bytes_in_memory(),
        };
        assert_eq!(bytes as u64, Optimizer::state_bytes(kind, TENSORS), "{kind:?}");
    }
}

#[test]
fn moments_of_another_kind_are_taken_over() {
    for from in KINDS {
        let (params, old) = stepped(from, 3);
        let saved = moments(&old);
        for to in KINDS {
            let mut new = optimizer(to);
            let converted = new.restore(3, saved.iter().cloned().map(Ok)).unwrap();
            let of = |kind| kind == OptimizerKind::Adamw8bit;
            assert_eq!(converted, of(from) != of(to), "{from:?} {to:?}");
            for ((n, was), is) in TENSORS.iter().zip(&saved).zip(&moments(&new)) {
                assert_eq!(matches!(is, TensorMoments::Blocks(_)), of(to) && *n >= 4096);
                let ((m, v), (new_m, new_v)) = (was.clone().into_full(), is.clone().into_full());
                // To 8 bits the moments are rounded; from there they are taken as they are.
                for (x, new) in [(m, new_m), (v, new_v)] {
                    let exact: Vec<f64> = x.iter().map(|x| f64::from(*x)).collect();
                    let error = relative_error(&new, &exact);
                    assert!(error < if converted && of(to) { 0.02 } else { f64::MIN_POSITIVE }, "{error:e}");
                }
            }
            if from == to {
                // As if nothing had happened.
                let (mut going_on, mut resumed) = (params.clone(), params.clone());
                let mut old = stepped(from, 3).1;
                step(&mut old, &mut going_on, 3);
                step(&mut new, &mut resumed, 3);
                assert!(going_on == resumed && moments(&old) == moments(&new), "{from:?}");
            }
        }
    }
}

#[test]
fn all_kinds_go_down_the_same_way() {
    // Least squares in 8,192 numbers with noisy gradients, whose sizes differ from block to block.
    let n = 8192;
    let target = normal(1, n, 1.0);
    let sizes: Vec<f32> = (0..n).map(|i| 10f32.powi(i as i32 / 1024 % 5 - 3)).collect();
    let run = |kind| {
        let mut optimizer = Optimizer::new(kind, AdamW::default(), [n], &std::env::temp_dir()).unwrap();
        let mut x = vec![0.0f32; n];
        let loss = |x: &[f32]| {
            let square = |i: usize| f64::from(x[i] - target[i]).powi(2);
            (0..n).map(square).sum::<f64>() / n as f64
        };
        let mut losses = Vec::new();
        for t in 0..300 {
            let noise = normal(1000 + t, n, 0.1);
            let grads: Vec<f32> = (0..n).map(|i| sizes[i] * (x[i] - target[i] + noise[i])).collect();
            optimizer.step(&mut x, &grads, adamw::grad_norm(&grads), 0.0, 1e-2).unwrap();
            losses.push(loss(&x));
        }
        losses
    };
    let full = run(OptimizerKind::Adamw);
    assert!(full[299] < 0.05 * full[0], "{} {}", full[0], full[299]);
    assert_eq!(run(OptimizerKind::PagedAdamw), full);
    let eight = run(OptimizerKind::Adamw8bit);
    // Beside the loss, and where that is small beside a hundredth of what it was.
    let worst = full.iter().zip(&eight).map(|(a, b)| (a - b).abs() / (a + 0.01 * full[0])).fold(0.0, f64::max);
    println!("8-bit: worst step {worst:.2e}, last {:.2e} against {:.2e}", eight[299], full[299]);
    // A second moment changes by a thousandth a step, which 8 bits round away: steps stay a little too small or too large.
    assert!(worst < 0.2, "{worst}");
}

#[test]
fn a_folder_that_takes_no_file_is_named() {
    let folder = Path::new("no/such/folder");
    let error = Optimizer::new(OptimizerKind::PagedAdamw, AdamW::default(), [10], folder).unwrap_err().to_string();
    assert!(error.contains("optimizer's file") && error.contains("no/such/folder"), "{error}");
}
