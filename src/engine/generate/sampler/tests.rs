use super::*;

#[derive(serde::Deserialize)]
struct Case {
    temperature: f64,
    top_k: usize,
    top_p: f64,
    repetition_penalty: f64,
    logits: Vec<f32>,
    history: Vec<u32>,
    probabilities: Vec<f64>,
}

fn cases() -> Vec<Case> {
    // tests/reference/sampler.py
    let cases: Vec<Case> = serde_json::from_str(include_str!("../../../../tests/fixtures/sampler.json")).unwrap();
    assert_eq!(cases.len(), 9);
    cases
}

fn sampler(case: &Case, seed: u64) -> Sampler {
    let &Case { temperature, top_k, top_p, repetition_penalty, .. } = case;
    Sampler::new(Sampling { temperature, top_k, top_p, repetition_penalty, seed }).unwrap()
}

#[test]
fn probabilities_are_those_of_transformers() {
    for case in cases() {
        let mut sampler = sampler(&case, 0);
        let mut scores = case.logits.clone();
        sampler.penalize(&mut scores, &case.history);
        sampler.distribution(&scores, case.temperature);
        let total: f64 = sampler.candidates.iter().map(|c| c.0).sum();
        let mut got = vec![0.0; case.logits.len()];
        sampler.candidates.iter().for_each(|c| got[c.1 as usize] = c.0 / total);
        for (i, (got, want)) in got.iter().zip(&case.probabilities).enumerate() {
            // Two orders of summing fewer than 200 numbers below 1.
            assert!((got - want).abs() < 1e-14, "top_k {} top_p {}: {i}: {got} {want}", case.top_k, case.top_p);
        }
    }
}

#[test]
fn draws_follow_the_probabilities() {
    for (n, case) in cases().into_iter().enumerate() {
        let mut sampler = sampler(&case, n as u64);
        let draws = 20_000;
        let mut counts = vec![0u32; case.logits.len()];
        for _ in 0..draws {
            counts[sampler.sample(&case.logits, &case.history).unwrap() as usize] += 1;
        }
        for (count, p) in counts.iter().zip(&case.probabilities) {
            let expected = p * f64::from(draws);
            let deviation = (expected * (1.0 - p)).sqrt();
            // Five sigma and a half, over some 700 tokens; a token that was cut never comes.
            assert!((f64::from(*count) - expected).abs() <= 5.5 * deviation, "case {n}: {count} for {expected}");
        }
    }
}

#[test]
fn a_seed_fixes_the_tokens_and_neighbours_differ() {
    let case = &cases()[1];
    let run = |seed| {
        let mut sampler = sampler(case, seed);
        (0..50).map(|_| sampler.sample(&case.logits, &[]).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(run(3), run(3));
    assert_ne!(run(3), run(4));
    // Not the same stream one draw later.
    assert_ne!(run(3)[1..], run(4)[..49]);
}

#[test]
fn greedy_takes_the_first_of_the_greatest() {
    let mut greedy = Sampler::new(Sampling::greedy()).unwrap();
    assert_eq!(greedy.sample(&[0.0, 3.0, f32::NEG_INFINITY, 3.0], &[]).unwrap(), 1);
    let mut penalized = Sampler::new(Sampling { repetition_penalty: 2.0, ..Sampling::greedy() }).unwrap();
    // 3 / 2 is below 2; a token counts once however often it occurred; one outside the vocabulary does not matter.
    assert_eq!(penalized.sample(&[0.0, 3.0, 2.0], &[1, 1, 1, 99]).unwrap(), 2);
    assert_eq!(penalized.sample(&[-2.0, -1.5], &[1]).unwrap(), 0);
}

#[test]
fn logits_that_are_not_numbers_and_settings_without_meaning_are_errors() {
    let mut greedy = Sampler::new(Sampling::greedy()).unwrap();
    for bad in [f32::NAN, f32::INFINITY] {
        let message = greedy.sample(&[0.0, bad], &[]).unwrap_err().to_string();
        assert!(message.contains("token 1"), "{message}");
    }
    let good = Sampling::greedy();
    for (bad, word) in [
        (Sampling { temperature: -1.0, ..good.clone() }, "temperature"),
        (Sampling { temperature: f64::NAN, ..good.clone() }, "temperature"),
        (Sampling { top_p: 0.0, ..good.clone() }, "top_p"),
        (Sampling { top_p: 1.1, ..good.clone() }, "top_p"),
        (Sampling { repetition_penalty: 0.0, ..good.clone() }, "repetition_penalty"),
    ] {
        let message = Sampler::new(bad).unwrap_err().to_string();
        assert!(message.contains(word), "{message}");
    }
}
