//! What the commands print: results on standard output, everything else on standard error.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::interrupt;
use crate::engine::Error;

pub(super) use crate::units::{bytes, duration, grouped};

/// Why a command ends early.
#[derive(Debug)]
pub(super) enum Failure {
    /// The engine refused.
    Engine(Error),
    /// The arguments make no sense together.
    Usage(String),
    /// Nobody reads standard output any more (`lora-studio … | head`).
    Closed,
    /// Ctrl-C.
    Interrupted,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Engine(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::Closed,
            _ => Failure::Engine(Error::Io { action: "write to", path: "standard output".into(), source: error }),
        }
    }
}

impl Failure {
    /// Prints the one line and gives the exit status.
    pub(super) fn report(self) -> ExitCode {
        match self {
            Failure::Engine(error) => {
                note(format!("error: {}", one_line(&error.to_string())));
                ExitCode::FAILURE
            }
            Failure::Usage(message) => {
                note(format!("error: {}", one_line(&message)));
                ExitCode::from(2)
            }
            Failure::Closed => ExitCode::SUCCESS,
            Failure::Interrupted => ExitCode::from(interrupt::STATUS),
        }
    }
}

/// One JSON object on one line of standard output, at once.
pub(super) fn json(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string(value).map_err(|e| Error::Other(e.to_string()))?;
    say(text)
}

/// A line of standard output, at once.
pub(super) fn say(text: impl AsRef<str>) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_ref().as_bytes())?;
    out.write_all(b"\n")?;
    Ok(out.flush()?)
}

/// A piece of a line of standard output, at once.
pub(super) fn piece(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

/// A line for the person at the screen, on standard error, so that standard output stays a clean result. Nobody may be there
/// to read it any more.
pub(super) fn note(text: impl AsRef<str>) {
    let _ = writeln!(io::stderr(), "{}", text.as_ref());
}

/// Columns of the terminal, or 100 when the output goes elsewhere.
pub(super) fn width() -> usize {
    let (_, columns) = console::Term::stdout().size_checked().unwrap_or((0, 100));
    usize::from(columns).clamp(40, 160)
}

/// Whether standard error is a terminal: the place for progress bars.
pub(super) fn interactive() -> bool {
    io::stderr().is_terminal()
}

/// A bar of that length on a terminal, and what `said` shows beside it (a template of indicatif's); nothing elsewhere.
pub(super) fn progress_bar(length: u64, said: &str) -> ProgressBar {
    if !interactive() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(length);
    match ProgressStyle::with_template(&format!("{{bar:28}} {said}")) {
        Ok(style) => bar.with_style(style.progress_chars("━╸─")),
        Err(_) => bar,
    }
}

/// The error's lines and runs of spaces become single spaces.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// One line of at most `width` columns.
pub(super) fn shorten(text: &str, width: usize) -> String {
    let cut = text.trim_end();
    let indent: String = cut.chars().take_while(|c| *c == ' ').collect();
    console::truncate_str(&format!("{indent}{}", one_line(cut)), width, "…").into_owned()
}

/// Two texts side by side under two headings, each wrapped to its half of the screen.
pub(super) fn columns(headings: (&str, &str), texts: (&str, &str), width: usize) -> String {
    let half = (width.saturating_sub(3) / 2).max(16);
    let (left, right) = (wrap(texts.0, half), wrap(texts.1, half));
    let mut out = row(headings.0, headings.1, half);
    out.push_str(&format!("{}─┼─{}\n", "─".repeat(half), "─".repeat(half)));
    let empty = String::new();
    for i in 0..left.len().max(right.len()) {
        out.push_str(&row(left.get(i).unwrap_or(&empty), right.get(i).unwrap_or(&empty), half));
    }
    out
}

fn row(left: &str, right: &str, half: usize) -> String {
    let pad = half.saturating_sub(console::measure_text_width(left));
    format!("{left}{} │ {right}", " ".repeat(pad)).trim_end().to_string() + "\n"
}

/// Lines of at most `width` columns, broken between words where possible.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for paragraph in text.trim().split('\n') {
        let mut line = String::new();
        for word in paragraph.split(' ') {
            let mut word: String = word.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
            let used = console::measure_text_width(&line);
            if used > 0 && used + 1 + console::measure_text_width(&word) > width {
                lines.push(std::mem::take(&mut line));
            } else if used > 0 {
                line.push(' ');
            }
            // A word wider than the column is cut.
            while console::measure_text_width(&word) > width {
                let mut head = String::new();
                while let Some(c) = word.chars().next() {
                    if console::measure_text_width(&head) + console::measure_text_width(c.encode_utf8(&mut [0; 4]))
                        > width
                    {
                        break;
                    }
                    head.push(c);
                    word.remove(0);
                }
                lines.push(head);
            }
            line.push_str(&word);
        }
        lines.push(line);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_people_write_them() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(4_884_480), "4,884,480");
        assert_eq!(grouped(139_400_064), "139,400,064");
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1024), "1.0 KiB");
        assert_eq!(bytes(1_048_575), "1.0 MiB");
        assert_eq!(bytes(3 << 29), "1.5 GiB");
        assert_eq!(bytes(312 << 20), "312 MiB");
        assert_eq!(duration(3.04), "3.0 s");
        assert_eq!(duration(59.4), "59 s");
        assert_eq!(duration(185.0), "3 min 05 s");
        assert_eq!(duration(7800.0), "2 h 10 min");
    }

    #[test]
    fn answers_stand_side_by_side() {
        let text = columns(("Base", "Adapted"), ("I am a small model.", "Arr! I be a wee model,\nmatey."), 43);
        let expected = "\
Base                 │ Adapted
─────────────────────┼─────────────────────
I am a small model.  │ Arr! I be a wee
                     │ model,
                     │ matey.
";
        let stripped: String = text.replace("─┼─", "┼").replace('─', "-");
        assert_eq!(stripped, expected.replace("─┼─", "┼").replace('─', "-"));
    }

    #[test]
    fn words_wider_than_a_column_are_cut_and_wide_letters_counted() {
        assert_eq!(wrap("abcdefghij kl", 4), ["abcd", "efgh", "ij", "kl"]);
        assert_eq!(wrap("日本語日本", 4), ["日本", "語日", "本"]);
        assert_eq!(wrap("a\n\nb", 9), ["a", "", "b"]);
        assert_eq!(wrap("", 9), [""]);
    }

    #[test]
    fn a_long_text_is_shortened_to_one_line() {
        assert_eq!(shorten("  a:\n b", 10), "  a: b");
        assert_eq!(shorten("abcdefghij", 5), "abcd…");
    }

    #[test]
    fn an_error_is_one_line() {
        assert_eq!(one_line("a\n  b\tc"), "a b c");
    }
}
