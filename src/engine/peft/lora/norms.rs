//! How far an adapter has moved each linear: the Frobenius norm of s·B·A, without forming the product.
//!
//! ‖BA‖² = tr(AᵀBᵀBA) = tr(BᵀB·AAᵀ) = Σ (BᵀB) ∘ (AAᵀ): two symmetric r×r matrices instead of one of `[out, in]`.

use rayon::prelude::*;

use super::{Adapter, LoraModule};
use crate::engine::model::LinearKind;
use crate::engine::ops::gram::{gram_of_columns, gram_of_rows};

/// ‖s·B·A‖ of every adapted linear.
#[derive(Clone, Debug, PartialEq)]
pub struct AdapterNorms {
    /// The kinds of linears that are adapted in some layer, in the order of computation.
    pub kinds: Vec<LinearKind>,
    /// Layers of the model.
    pub layers: usize,
    /// `[layers, kinds]`, row by row; `None` where a layer's linear has no adapter.
    pub norms: Vec<Option<f32>>,
}

impl Adapter {
    /// The norm of every module's change, in `f64` until the end. `layers` is the model's number of layers.
    pub fn norms(&self, layers: usize) -> AdapterNorms {
        let kinds: Vec<LinearKind> =
            LinearKind::ALL.into_iter().filter(|k| self.modules.iter().any(|m| m.kind == *k)).collect();
        let computed: Vec<f32> = self.modules.par_iter().map(|m| self.norm(m)).collect();
        let mut norms = vec![None; layers * kinds.len()];
        for (m, norm) in self.modules.iter().zip(computed) {
            if let Some(column) = kinds.iter().position(|k| *k == m.kind)
                && let Some(place) = norms.get_mut(m.layer * kinds.len() + column)
            {
                *place = Some(norm);
            }
        }
        AdapterNorms { kinds, layers, norms }
    }

    fn norm(&self, m: &LoraModule) -> f32 {
        let r = m.rank;
        let (mut outer, mut inner) = (vec![0.0f64; r * r], vec![0.0; r * r]);
        gram_of_columns(&self.params[m.b_range()], r, &mut outer);
        gram_of_rows(&self.params[m.a_range()], r, m.in_features, &mut inner);
        // Both are symmetric and hold their upper half.
        let mut square = 0.0f64;
        for i in 0..r {
            for j in i..r {
                let twice = if i == j { 1.0 } else { 2.0 };
                square += twice * outer[i * r + j] * inner[i * r + j];
            }
        }
        // Rounding may leave a sum of zero a little below it.
        (square.max(0.0).sqrt() * f64::from(m.scale).abs()) as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::peft::LoraConfig;
    use crate::engine::peft::folder::tests::tiny_llama;

    /// s·B·A written out.
    fn explicit(adapter: &Adapter, m: &LoraModule) -> f64 {
        let (a, b) = (&adapter.params[m.a_range()], &adapter.params[m.b_range()]);
        let mut square = 0.0;
        for o in 0..m.out_features {
            for i in 0..m.in_features {
                let sum: f64 =
                    (0..m.rank).map(|k| f64::from(b[o * m.rank + k]) * f64::from(a[k * m.in_features + i])).sum();
                square += (f64::from(m.scale) * sum).powi(2);
            }
        }
        square.sqrt()
    }

    #[test]
    fn norms_are_those_of_the_product_written_out() {
        let model = tiny_llama();
        for (rank, targets) in
            [(1, &[LinearKind::Q][..]), (5, &[LinearKind::V, LinearKind::Down]), (16, model.linears())]
        {
            let config = LoraConfig { rank, alpha: 8.0, dropout: 0.0, rslora: true, targets: targets.to_vec() };
            let mut adapter = Adapter::new(&model, config, 3).unwrap();
            let layers = model.layers.len();
            // B is zero at first, and so is the change.
            assert!(adapter.norms(layers).norms.iter().all(|n| *n == Some(0.0)));
            for (i, p) in adapter.params.iter_mut().enumerate() {
                *p += ((i * 7919 % 1009) as f32 - 504.0) / 3000.0;
            }
            let norms = adapter.norms(layers);
            assert_eq!(norms.kinds, targets);
            assert_eq!(norms.norms.len(), layers * targets.len());
            for m in &adapter.modules {
                let column = targets.iter().position(|k| *k == m.kind).unwrap();
                let found = f64::from(norms.norms[m.layer * targets.len() + column].unwrap());
                let expected = explicit(&adapter, m);
                assert!((found - expected).abs() <= 1e-6 * expected && expected > 0.0, "{found} {expected}");
            }
            // A linear that one layer does not adapt has no number; the others keep theirs.
            adapter.modules.remove(0);
            let fewer = adapter.norms(layers);
            assert_eq!((fewer.norms[0], &fewer.norms[1..]), (None, &norms.norms[1..]));
        }
    }
}
