//! `bench data`: from a data file to packed batches, stage by stage, as tests/reference/bench_prepare_trl.py measures TRL.

use std::time::Instant;

use serde::Serialize;

use super::Args;
use crate::cli::model::{expanded, open_model};
use crate::cli::output::{Failure, bytes, duration, grouped, json, say};
use crate::engine::config::DataConfig;
use crate::engine::data::{self, Source};
use crate::engine::memory::process;
use crate::engine::{Error, digest};

/// Rows that the window shows while it reads the rest.
const FIRST: usize = 256;

#[derive(Serialize)]
struct Measured {
    rows: usize,
    bytes: u64,
    tokens: u64,
    /// From the file's name to its first 256 rows as tokens: when a person sees something.
    first_s: f64,
    /// Reading alone.
    read_s: f64,
    /// Reading, rendering, tokenizing, masking and writing, from an empty cache.
    prepare_s: f64,
    /// The same again: found in the cache.
    again_s: f64,
    /// The rows of a run counted and cut.
    cut_s: f64,
    /// Packing of an epoch.
    pack_s: f64,
    /// Everything from an empty cache to packed batches.
    total_s: f64,
    rows_per_second: f64,
    mb_per_second: f64,
    /// Share of the packed sequences that holds tokens.
    fill: f64,
    cache_bytes: u64,
    peak_rss_mb: u64,
    config: serde_json::Value,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let model = open_model(&args.model)?;
    let tokenizer = model.tokenizer()?;
    let max_seq_len = args.seq as usize;
    let settings = DataConfig { train: expanded(args.data()), max_seq_len, packing: true, ..DataConfig::default() };
    let source = Source::find(&settings.train)?;

    let (_, first_s) = timed(|| data::survey_first(&settings, &tokenizer, FIRST, &mut || true).map(drop))?;
    let (_, read_s) = timed(|| source.rows()?.try_for_each(|row| row.map(drop)))?;
    // In the program's cache folder, because a temporary folder may lie in memory.
    let parent = digest::cache_folder().unwrap_or_else(std::env::temp_dir);
    std::fs::create_dir_all(&parent).map_err(Error::io("make the folder", &parent))?;
    let cache = tempfile::Builder::new().prefix("bench-").tempdir_in(&parent);
    let cache = cache.map_err(Error::io("make a folder in", &parent))?;
    let (_, prepare_s) = timed(|| data::survey_in(cache.path(), &settings, &tokenizer).map(drop))?;
    let (survey, again_s) = timed(|| data::survey_in(cache.path(), &settings, &tokenizer))?;
    let (cut, cut_s) = timed(|| survey.cut(&settings, 0))?;
    let lengths = || cut.train.iter().map(|row| row.tokens);
    let (plan, pack_s) = timed(|| Ok(data::plan_epoch(lengths(), 1, &settings, 0, 0)))?;

    let total_s = prepare_s + cut_s + pack_s;
    let rows = survey.train.len();
    let per_second = |amount: f64| amount / total_s.max(1e-9);
    let packed = cut.report.train.tokens;
    let measured = Measured {
        rows,
        bytes: source.bytes(),
        tokens: survey.train.summary.tokens,
        first_s,
        read_s,
        prepare_s,
        again_s,
        cut_s,
        pack_s,
        total_s,
        rows_per_second: per_second(rows as f64).round(),
        mb_per_second: (per_second(source.bytes() as f64) / 1e4).round() / 100.0,
        fill: packed as f64 / (plan.len() * max_seq_len).max(1) as f64,
        cache_bytes: survey.train.bytes(),
        peak_rss_mb: process::peak_resident_bytes() >> 20,
        config: serde_json::json!({
            "model": args.model, "data": args.data(), "seq": args.seq, "threads": rayon::current_num_threads(),
        }),
    };
    if args.json {
        return json(&measured);
    }
    let speed = format!("{} rows/s, {} MB/s", grouped(measured.rows_per_second as u64), measured.mb_per_second);
    say(format!("rows        {}, {} tokens", grouped(rows as u64), grouped(measured.tokens)))?;
    say(format!("first rows  {:.0} ms", 1e3 * first_s))?;
    say(format!("read        {}", duration(read_s)))?;
    say(format!("prepare     {} ({speed})", duration(prepare_s)))?;
    say(format!("again       {:.0} ms", 1e3 * again_s))?;
    say(format!("cut         {:.0} ms", 1e3 * cut_s))?;
    say(format!("pack        {:.0} ms, {:.2} % full", 1e3 * pack_s, 100.0 * measured.fill))?;
    say(format!("memory      {} at most in the process", bytes(measured.peak_rss_mb << 20)))
}

fn timed<T>(work: impl FnOnce() -> crate::engine::Result<T>) -> Result<(T, f64), Failure> {
    let started = Instant::now();
    let done = work()?;
    Ok((done, started.elapsed().as_secs_f64()))
}
