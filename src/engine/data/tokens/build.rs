//! From rows to tokens, on all cores: one thread reads, the others tokenize, the caller writes.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use rayon::prelude::*;
use sha2::{Digest, Sha256};

use super::bytes::Growing;
use super::record::{Record, WrongRecord};
use super::{Summary, Tokenized};
use crate::engine::config::{DataConfig, MASK_FAULTS};
use crate::engine::data::check::{Seen, kind, severity};
use crate::engine::data::format::{Fields, Reading};
use crate::engine::data::rows::{Row, Source, WrongRow};
use crate::engine::data::{Encoded, Encoder, Example, MaskFault, Oddity};
use crate::engine::{Error, Result};

/// Rows that are tokenized together.
const CHUNK_ROWS: usize = 1024;
/// Bytes of rows that are tokenized together: long rows make small chunks.
const CHUNK_BYTES: u64 = 4 << 20;
/// Rows that the format is recognised from.
pub(in crate::engine::data) const LOOKED_AT: usize = 64;
/// The first rows, whose masks are looked at a second time; see [`is_verified`].
const VERIFIED: u64 = 64;
/// Rows that cannot be read which are at hand without looking into the list of all.
const LISTED: usize = 100;
/// Different reasons kept why rows cannot be trained on.
const REASONS: usize = 200;

/// Who waits for rows is asked after this time whether to go on.
const PAUSE: Duration = Duration::from_millis(100);

/// What to do about a row that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tolerance {
    /// The first one is an error.
    Stop,
    /// List and count them.
    List,
}

/// Rows that were read together.
struct Chunk {
    rows: Vec<Row>,
    /// In which columns of their lines they begin.
    columns: Vec<usize>,
    wrong: Vec<WrongRow>,
    /// Bytes of the source that were read so far.
    done: u64,
}

/// Reads and tokenizes a source, or its first `limit` rows, into two files or into memory. `progress` is told the bytes of it
/// that are done; false ends with [`Error::Cancelled`].
pub(super) fn tokenize(
    source: &Source,
    settings: &DataConfig,
    encoder: &Encoder,
    tolerance: Tolerance,
    into: [Growing; 3],
    limit: usize,
    progress: &mut dyn FnMut(u64) -> bool,
) -> Result<Tokenized> {
    let rows = source.rows()?;
    let stop = rows.stop();
    let [index, tokens, wrong] = into;
    let mut writer = Writer { index, tokens, wrong, offset: 0, summary: Summary::default(), reasons: HashMap::new() };
    std::thread::scope(|scope| {
        // The channel is short: what is read and not yet tokenized is memory.
        let (send, receive) = bounded::<Result<Chunk>>(1);
        let reader = std::thread::Builder::new().name("read-rows".into());
        reader
            .spawn_scoped(scope, move || read(rows, limit, &send))
            .map_err(|e| Error::Other(format!("the system gives no thread for reading: {e}")))?;
        let consumed = consume(source, settings, encoder, tolerance, &mut writer, receive, progress);
        // The reader may be where no row ends.
        stop.store(true, Ordering::Relaxed);
        consumed
    })?;
    let Writer { index, tokens, wrong, summary, .. } = writer;
    Ok(Tokenized::new(source.clone(), summary, [index.finish()?, tokens.finish()?, wrong.finish()?]))
}

/// Sends chunks until the rows end, there are enough, an error ends them, or nobody listens.
fn read(mut rows: crate::engine::data::Rows, mut limit: usize, send: &Sender<Result<Chunk>>) {
    while limit > 0 {
        let mut chunk = Chunk { rows: Vec::new(), columns: Vec::new(), wrong: Vec::new(), done: 0 };
        let (mut bytes, mut ended) = (0, false);
        while chunk.rows.len() + chunk.wrong.len() < CHUNK_ROWS.min(limit) && bytes < CHUNK_BYTES {
            match rows.next() {
                Some(Ok(row)) => {
                    bytes += row.size();
                    chunk.rows.push(row);
                    chunk.columns.push(rows.column());
                }
                Some(Err(error)) => match rows.wrong(error) {
                    Ok(wrong) => {
                        chunk.wrong.push(wrong);
                        if !rows.resume() {
                            ended = true;
                            break;
                        }
                    }
                    Err(error) => {
                        let _ = send.send(Err(error));
                        return;
                    }
                },
                None => {
                    ended = true;
                    break;
                }
            }
        }
        chunk.done = rows.bytes_read();
        limit -= (chunk.rows.len() + chunk.wrong.len()).min(limit);
        if send.send(Ok(chunk)).is_err() || ended {
            return;
        }
    }
}

fn consume(
    source: &Source,
    settings: &DataConfig,
    encoder: &Encoder,
    tolerance: Tolerance,
    writer: &mut Writer,
    chunks: Receiver<Result<Chunk>>,
    progress: &mut dyn FnMut(u64) -> bool,
) -> Result<()> {
    let mut reading: Option<Reading> = None;
    let verify_all = settings.leaves_out(MASK_FAULTS);
    let mut before = 0;
    loop {
        let chunk = match chunks.recv_timeout(PAUSE) {
            Ok(chunk) => chunk?,
            Err(RecvTimeoutError::Timeout) if progress(before) => continue,
            Err(RecvTimeoutError::Timeout) => return Err(Error::Cancelled("loading")),
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        };
        let Chunk { rows, columns, mut wrong, done } = chunk;
        before = done;
        if !progress(done) {
            return Err(Error::Cancelled("loading"));
        }
        if reading.is_none() && !rows.is_empty() {
            let chosen = choose_reading(source, settings, &rows)?;
            writer.summary.reading = chosen.clone();
            reading = Some(chosen);
        }
        let stop = AtomicBool::new(false);
        let encode = |(row, reading): (&Row, &Reading)| -> Result<Outcome> {
            if stop.load(Ordering::Relaxed) {
                return Err(Error::Cancelled("loading"));
            }
            let example = match reading.read(&row.fields) {
                Ok(example) => example,
                Err(message) => return Ok(Outcome::Wrong(message)),
            };
            let encoded = encoder.encode(&example, settings.loss_on)?;
            let faults = match &encoded {
                Ok(encoded) if verify_all || is_verified(row.index) => {
                    Some(encoder.verify(&example, encoded, settings.loss_on)?)
                }
                _ => None,
            };
            let odd = match &example {
                Example::Conversation(conversation) => encoder.oddities(conversation),
                Example::Document(text) => Oddity::of_document(text),
            };
            Ok(Outcome::Encoded(content_of(row), encoded, Looked { odd, faults }))
        };
        let readable = rows.par_iter().filter_map(|row| Some((row, reading.as_ref()?)));
        let all = || readable.map(encode).collect::<Vec<Result<Outcome>>>();
        // A row can take seconds, with a template that does much: who waits can give up in the middle.
        let outcomes = while_waiting(all, || {
            if !progress(done) {
                stop.store(true, Ordering::Relaxed);
            }
        });
        for ((row, column), outcome) in rows.iter().zip(columns).zip(outcomes) {
            match outcome? {
                Outcome::Encoded(content, encoded, looked) => {
                    let bits = writer.look(looked);
                    writer.row(row, content, encoded, bits)?;
                }
                Outcome::Wrong(reason) => wrong.push(WrongRow::of(row, column, reason)),
            }
        }
        // Those that are none stand among those of another shape.
        wrong.sort_by_key(|wrong| (wrong.file, wrong.bytes.start));
        for wrong in wrong {
            writer.wrong(wrong, tolerance, source)?;
        }
    }
}

/// Does some work on another thread, and asks a few times a second meanwhile.
fn while_waiting<T: Send>(work: impl FnOnce() -> T + Send, mut ask: impl FnMut()) -> T {
    std::thread::scope(|scope| {
        let (ended, ends) = bounded::<()>(1);
        let working = scope.spawn(move || {
            // Also when it panics: the end of the channel ends the waiting.
            let _ended = ended;
            work()
        });
        while matches!(ends.recv_timeout(PAUSE), Err(RecvTimeoutError::Timeout)) {
            ask();
        }
        working.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// How to read a file that begins with these rows.
pub(in crate::engine::data) fn choose_reading(source: &Source, settings: &DataConfig, rows: &[Row]) -> Result<Reading> {
    let first: Vec<&Fields> = rows.iter().take(LOOKED_AT).map(|row| &row.fields).collect();
    Reading::choose(settings, &first).map_err(|message| match rows.first() {
        Some(row) => row_error(source, row, message),
        None => Error::file(message, source.path()),
    })
}

enum Outcome {
    /// What identifies the row's content, its tokens, and what was seen in it.
    Encoded(u64, std::result::Result<Encoded, String>, Looked),
    /// Why it is not of the file's shape.
    Wrong(String),
}

/// What was seen in a row.
struct Looked {
    odd: Vec<Oddity>,
    /// `None` for a row that was not looked at a second time.
    faults: Option<Vec<MaskFault>>,
}

/// Whether the mask of a row is looked at a second time: the first rows, and of the rest ever fewer, by chance but always
/// the same ones. Some 700 of a million.
fn is_verified(row: usize) -> bool {
    let row = row as u64;
    // SplitMix64's output function.
    let mix = |z: u64| {
        let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    };
    row < VERIFIED || mix(row.wrapping_mul(0x9E37_79B9_7F4A_7C15)) < (u64::MAX / row).saturating_mul(VERIFIED)
}

fn row_error(source: &Source, row: &Row, message: String) -> Error {
    Error::Row { path: source.file_of(row).to_path_buf(), line: row.line, message }
}

/// The first 64 bits of the SHA-256 of the row's columns.
fn content_of(row: &Row) -> u64 {
    let digest = Sha256::digest(serde_json::to_vec(&row.fields).unwrap_or_default());
    digest.iter().take(8).fold(0, |whole, byte| whole << 8 | u64::from(*byte))
}

struct Writer {
    index: Growing,
    tokens: Growing,
    wrong: Growing,
    /// Bytes in `tokens`.
    offset: u64,
    summary: Summary,
    reasons: HashMap<String, u32>,
}

impl Writer {
    /// Counts what was seen in the next row; the bits of its record that say so: oddities, faults.
    fn look(&mut self, looked: Looked) -> [u32; 2] {
        let summary = &mut self.summary;
        let row = summary.rows;
        let odd = looked.odd.into_iter();
        let odd = odd.map(|oddity| Seen::count(&mut summary.odd, oddity.words(), oddity.severity(), row));
        let odd = odd.fold(0, |bits, bit| bits | bit);
        summary.verified += usize::from(looked.faults.is_some());
        let mut kinds: Vec<_> = looked.faults.iter().flatten().map(|fault| (kind(fault), severity(fault))).collect();
        // Each kind once a row, however many of its turns have it.
        kinds.sort();
        kinds.dedup();
        let faults = kinds.iter().map(|(what, severity)| Seen::count(&mut summary.faults, what, *severity, row));
        [odd, faults.fold(0, |bits, bit| bits | bit)]
    }

    fn row(
        &mut self,
        row: &Row,
        content: u64,
        encoded: std::result::Result<Encoded, String>,
        [odd, faults]: [u32; 2],
    ) -> Result<()> {
        let mut record = Record {
            offset: self.offset,
            content,
            start: row.bytes.start,
            end: row.bytes.end,
            file: row.file,
            line: narrow(row.line),
            odd,
            faults,
            ..Record::default()
        };
        match encoded {
            Ok(encoded) => {
                let ranges = runs(&encoded.trained);
                let mut bytes = Vec::with_capacity(4 * encoded.tokens.len() + 8 * ranges.len());
                bytes.extend(encoded.tokens.iter().flat_map(|token| token.to_le_bytes()));
                bytes.extend(ranges.iter().flatten().flat_map(|bound| bound.to_le_bytes()));
                self.tokens.write(&bytes)?;
                self.offset += bytes.len() as u64;
                record.tokens = narrow(encoded.tokens.len());
                record.ranges = narrow(ranges.len());
                record.first = encoded.first_trained().map(narrow);
                record.last = ranges.last().map_or(0, |range| range[1]);
                record.supervised = ranges.iter().map(|[from, to]| to - (*from).max(1).min(*to)).sum();
                self.summary.tokens += u64::from(record.tokens);
            }
            Err(reason) => record.refusal = Some(self.reason(reason)),
        }
        self.summary.rows += 1;
        if self.summary.rows > u32::MAX as usize {
            return Err(Error::Other("the data set has more than 4,294,967,295 rows: split it".into()));
        }
        self.index.write(&record.to_bytes())
    }

    fn reason(&mut self, reason: String) -> u32 {
        let refusals = &mut self.summary.refusals;
        let reason = if refusals.len() + 1 < REASONS || self.reasons.contains_key(&reason) {
            reason
        } else {
            "another reason".to_string()
        };
        *self.reasons.entry(reason).or_insert_with_key(|reason| {
            refusals.push(reason.clone());
            refusals.len() as u32 - 1
        })
    }

    fn wrong(&mut self, row: WrongRow, tolerance: Tolerance, source: &Source) -> Result<()> {
        if tolerance == Tolerance::Stop {
            return Err(source.error_of(&row));
        }
        let record = WrongRecord {
            start: row.bytes.start,
            end: row.bytes.end,
            message: self.offset,
            message_bytes: narrow(row.message.len()),
            file: row.file,
            line: narrow(row.line),
        };
        self.tokens.write(row.message.as_bytes())?;
        self.offset += row.message.len() as u64;
        self.wrong.write(&record.to_bytes())?;
        self.summary.wrong_rows += 1;
        if self.summary.wrong.len() < LISTED {
            self.summary.wrong.push(row);
        }
        Ok(())
    }
}

fn narrow(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// Ranges of `true`.
fn runs(flags: &[bool]) -> Vec<[u32; 2]> {
    let mut runs = Vec::new();
    let mut start = None;
    for (at, flag) in flags.iter().copied().chain([false]).enumerate() {
        match (flag, start) {
            (true, None) => start = Some(at as u32),
            (false, Some(first)) => {
                runs.push([first, at as u32]);
                start = None;
            }
            _ => {}
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::runs;

    #[test]
    fn runs_are_the_trained_stretches() {
        assert_eq!(runs(&[true, false, true, true]), [[0, 1], [2, 4]]);
        assert!(runs(&[false, false]).is_empty() && runs(&[]).is_empty());
    }
}
