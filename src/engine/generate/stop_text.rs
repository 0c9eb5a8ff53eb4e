//! Ending an answer at a text rather than at a token.

/// Lets text through until one of the stop strings appears in it, which is not let through. Text that may yet become one
/// waits.
///
/// ```
/// use lora_studio::engine::generate::StopText;
///
/// let mut text = StopText::new(vec!["\nUser".into()]);
/// assert_eq!(text.push("Aye!\nU"), ("Aye!".to_string(), false));
/// assert_eq!(text.push("p we go\nUser: "), ("\nUp we go".to_string(), true));
/// assert_eq!(text.finish(), "");
/// ```
#[derive(Clone, Debug, Default)]
pub struct StopText {
    stops: Vec<String>,
    waiting: String,
}

impl StopText {
    /// Stops at the first of `stops`; empty ones are left out.
    pub fn new(stops: Vec<String>) -> StopText {
        StopText { stops: stops.into_iter().filter(|s| !s.is_empty()).collect(), waiting: String::new() }
    }

    /// The text that may be shown now, and whether a stop string has come.
    pub fn push(&mut self, piece: &str) -> (String, bool) {
        self.waiting.push_str(piece);
        if let Some(at) = self.stops.iter().filter_map(|s| self.waiting.find(s.as_str())).min() {
            let mut text = std::mem::take(&mut self.waiting);
            text.truncate(at);
            return (text, true);
        }
        // The longest end of the text that is the beginning of a stop string.
        let held = (0..self.waiting.len())
            .filter(|i| self.waiting.is_char_boundary(*i))
            .find(|i| self.stops.iter().any(|s| s.starts_with(&self.waiting[*i..])))
            .unwrap_or(self.waiting.len());
        let rest = self.waiting.split_off(held);
        (std::mem::replace(&mut self.waiting, rest), false)
    }

    /// What waited, at the end of the text.
    pub fn finish(&mut self) -> String {
        std::mem::take(&mut self.waiting)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_the_pieces_the_text_before_the_stop_comes_through_once() {
        let text = "ab\n\nabc é\u{1F600} END tail";
        for (stops, want) in [
            (vec!["END", "tail"], "ab\n\nabc é\u{1F600} "),
            (vec!["abc", "\n\nabc"], "ab"),
            (vec!["é"], "ab\n\nabc "),
            (vec!["nowhere", ""], text),
            (vec!["taill"], text),
        ] {
            for size in 1..6 {
                let mut stop = StopText::new(stops.iter().map(|s| s.to_string()).collect());
                let mut out = String::new();
                let chars: Vec<char> = text.chars().collect();
                let mut ended = false;
                for piece in chars.chunks(size) {
                    let (piece, end) = stop.push(&piece.iter().collect::<String>());
                    out.push_str(&piece);
                    ended = end;
                    if end {
                        break;
                    }
                }
                if !ended {
                    out.push_str(&stop.finish());
                }
                assert_eq!(out, want, "{stops:?} in pieces of {size}");
                assert_eq!(ended, want != text);
            }
        }
    }
}
