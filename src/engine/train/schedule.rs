//! The learning rate of each step.

use crate::engine::config::Schedule;

/// The learning rate over a known number of optimizer steps, as transformers' `get_scheduler` computes it.
///
/// ```
/// use lora_studio::engine::config::Schedule;
/// use lora_studio::engine::train::LrSchedule;
/// let schedule = LrSchedule::new(Schedule::Linear, 100, 0.1);
/// assert_eq!(schedule.factor(5), 0.5); // the sixth of ten warm-up steps
/// assert_eq!(schedule.factor(55), 0.5); // half way down
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LrSchedule {
    kind: Schedule,
    total: usize,
    warmup: usize,
}

impl LrSchedule {
    /// A schedule over `total` steps of which `warmup_ratio` (0 to 1) warm up, rounded up to a whole step as in
    /// transformers' `TrainingArguments`.
    pub fn new(kind: Schedule, total: usize, warmup_ratio: f64) -> LrSchedule {
        let warmup = (total as f64 * warmup_ratio.clamp(0.0, 1.0)).ceil() as usize;
        LrSchedule { kind, total, warmup }
    }

    /// The factor on the peak learning rate in step `step`, counted from 0. With a warm-up, step 0 has factor 0.
    pub fn factor(&self, step: usize) -> f64 {
        if step < self.warmup {
            return step as f64 / self.warmup as f64;
        }
        let falling = self.total.saturating_sub(self.warmup).max(1) as f64;
        match self.kind {
            Schedule::Constant => 1.0,
            Schedule::Linear => self.total.saturating_sub(step) as f64 / falling,
            Schedule::Cosine => {
                let progress = (step - self.warmup) as f64 / falling;
                (0.5 * (1.0 + (std::f64::consts::PI * progress).cos())).max(0.0)
            }
        }
    }

    /// Steps of the warm-up.
    pub fn warmup_steps(&self) -> usize {
        self.warmup
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize)]
    struct Case {
        kind: Schedule,
        total: usize,
        warmup_ratio: f64,
        warmup_steps: usize,
        learning_rates: Vec<f64>,
    }

    #[test]
    fn every_step_equals_transformers() {
        // tests/reference/schedule.py
        let cases: Vec<Case> = serde_json::from_str(include_str!("../../../tests/fixtures/schedule.json")).unwrap();
        assert_eq!(cases.len(), 15);
        for case in cases {
            let schedule = LrSchedule::new(case.kind, case.total, case.warmup_ratio);
            assert_eq!(schedule.warmup_steps(), case.warmup_steps, "{:?} {}", case.kind, case.total);
            for (step, want) in case.learning_rates.iter().enumerate() {
                let got = 2e-4 * schedule.factor(step);
                // The cosines of two maths libraries: an ulp of the 1 that is added.
                assert!((got - want).abs() <= 2e-4 * f64::EPSILON, "{:?} step {step}: {got} {want}", case.kind);
            }
        }
    }
}
