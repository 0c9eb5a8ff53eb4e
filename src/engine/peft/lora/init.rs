//! How a fresh adapter begins.

use super::{Adapter, LoraConfig};
use crate::engine::Result;
use crate::engine::model::{LinearKind, ModelConfig};
use crate::engine::ops::random::{split_mix64, uniform};

impl Adapter {
    /// A fresh adapter of `model`: B is zero, so that training begins at the base model, and A is Kaiming-uniform with
    /// a = √5 as in PEFT, which is uniform on ±1/√in.
    ///
    /// The numbers are counter-based: element `i` of A is a function of (`seed`, layer, linear, `i`) alone. So a module
    /// begins the same whatever else is adapted, on every machine, with any number of threads.
    pub fn new(model: &ModelConfig, config: LoraConfig, seed: u64) -> Result<Adapter> {
        config.validate(model)?;
        let mut adapter = Adapter::zeros(model, config);
        for module in &adapter.modules {
            let bound = 1.0 / (module.in_features as f64).sqrt();
            let stream = stream(seed, module.layer, module.kind);
            for (i, a) in adapter.params[module.a_range()].iter_mut().enumerate() {
                *a = (bound * (2.0 * uniform(stream, i as u64) - 1.0)) as f32;
            }
        }
        Ok(adapter)
    }
}

/// The key of one module's numbers.
fn stream(seed: u64, layer: usize, kind: LinearKind) -> u64 {
    split_mix64(split_mix64(seed, layer as u64), kind as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::peft::folder::tests::tiny_llama;

    fn config(targets: &[LinearKind]) -> LoraConfig {
        LoraConfig { rank: 64, alpha: 32.0, dropout: 0.0, rslora: false, targets: targets.to_vec() }
    }

    #[test]
    fn a_is_uniform_within_the_bound_of_pefts_and_b_is_zero() {
        let model = tiny_llama();
        let adapter = Adapter::new(&model, config(model.linears()), 7).unwrap();
        for m in &adapter.modules {
            assert!(adapter.params[m.b_range()].iter().all(|b| *b == 0.0));
            let a = &adapter.params[m.a_range()];
            let bound = 1.0 / (m.in_features as f32).sqrt();
            assert!(a.iter().all(|x| x.abs() <= bound));
            // n uniform draws: mean 0 ± b/√(3n), mean square b²/3 ± b²·√(4/45n). Five sigma.
            let n = a.len() as f64;
            let mean = a.iter().map(|x| f64::from(*x)).sum::<f64>() / n;
            let square = a.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / n;
            let b = f64::from(bound);
            assert!(mean.abs() < 5.0 * b / (3.0 * n).sqrt(), "mean {mean}");
            assert!((square - b * b / 3.0).abs() < 5.0 * b * b * (4.0 / 45.0 / n).sqrt(), "mean square {square}");
        }
    }

    #[test]
    fn a_module_begins_the_same_whatever_else_is_adapted() {
        let model = tiny_llama();
        let all = Adapter::new(&model, config(model.linears()), 7).unwrap();
        let one = Adapter::new(&model, config(&[LinearKind::Down]), 7).unwrap();
        let other_seed = Adapter::new(&model, config(&[LinearKind::Down]), 8).unwrap();
        for m in &one.modules {
            let same = all.module(m.layer, m.kind).unwrap();
            assert_eq!(one.params[m.a_range()], all.params[same.a_range()]);
            assert_ne!(one.params[m.a_range()], other_seed.params[m.a_range()]);
        }
        let [first, second] = &one.modules[..] else { panic!("two layers") };
        assert_ne!(one.params[first.a_range()], one.params[second.a_range()]);
    }

    #[test]
    fn settings_without_an_adapter_are_refused() {
        let model = tiny_llama();
        let good = config(&[LinearKind::Q]);
        for (bad, word) in [
            (LoraConfig { rank: 0, ..good.clone() }, "rank"),
            (LoraConfig { alpha: f32::NAN, ..good.clone() }, "alpha"),
            (LoraConfig { dropout: 1.0, ..good.clone() }, "dropout"),
            (LoraConfig { targets: vec![], ..good.clone() }, "target modules"),
            (LoraConfig { targets: vec![LinearKind::Qkv], ..good.clone() }, "qkv_proj"),
        ] {
            let message = Adapter::new(&model, bad, 0).unwrap_err().to_string();
            assert!(message.contains(word), "{message}");
        }
        let message = LoraConfig::targets(&model, &["q_proj", "wq"]).unwrap_err().to_string();
        assert!(message.contains("\"wq\"") && message.contains("down_proj"), "{message}");
        assert_eq!(LoraConfig::targets(&model, &["all-linear"]).unwrap(), model.linears());
        assert_eq!(LoraConfig::targets(&model, &["v_proj", "q_proj"]).unwrap(), [LinearKind::Q, LinearKind::V]);
    }
}
