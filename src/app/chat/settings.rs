//! How the models answer: remembered between two starts.

use serde::{Deserialize, Serialize};

use crate::engine::generate::Sampling;

/// Which of the two answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Show {
    /// Base and adapted, side by side.
    #[default]
    Both,
    /// The frozen model alone.
    Base,
    /// The model with the adapter alone.
    Adapted,
}

/// Settings of the answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ChatSettings {
    /// Which of the two answer.
    pub show: Show,
    /// Whether the settings are shown beside the conversation.
    pub open: bool,
    /// The system's message before the conversation; empty for none.
    pub system: String,
    /// 0 is greedy.
    pub temperature: f64,
    /// 1 is all.
    pub top_p: f64,
    /// 0 is all.
    pub top_k: usize,
    /// 1 is off.
    pub repetition_penalty: f64,
    /// The same seed gives the same answer.
    pub seed: u32,
    /// Tokens of an answer at most.
    pub max_new_tokens: usize,
    /// Texts that end an answer, one a line.
    pub stop: String,
}

/// The most tokens that an answer may be asked to have.
pub const MOST_TOKENS: usize = 8192;

impl Default for ChatSettings {
    fn default() -> Self {
        ChatSettings {
            show: Show::Both,
            open: true,
            system: String::new(),
            temperature: 0.7,
            top_p: 0.95,
            top_k: 0,
            repetition_penalty: 1.0,
            seed: 0,
            max_new_tokens: 256,
            stop: String::new(),
        }
    }
}

impl ChatSettings {
    /// For the sampler.
    pub fn sampling(&self) -> Sampling {
        Sampling {
            temperature: self.temperature,
            top_k: self.top_k,
            top_p: self.top_p,
            repetition_penalty: self.repetition_penalty,
            seed: u64::from(self.seed),
        }
    }

    /// The stop strings; `\n` stands for the end of a line.
    pub fn stops(&self) -> Vec<String> {
        self.stop.lines().filter(|line| !line.is_empty()).map(|line| line.replace("\\n", "\n")).collect()
    }

    /// Why these settings mean nothing, if they do.
    pub fn problem(&self) -> Option<String> {
        if self.max_new_tokens == 0 || self.max_new_tokens > MOST_TOKENS {
            return Some(format!("an answer can have 1 to {MOST_TOKENS} tokens, not {}", self.max_new_tokens));
        }
        self.sampling().validate().err().map(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stops_are_lines_and_wrong_numbers_are_refused() {
        let settings = ChatSettings { stop: "User:\n\n\\nQ".into(), ..ChatSettings::default() };
        assert_eq!(settings.stops(), ["User:", "\nQ"]);
        assert_eq!(settings.problem(), None);
        assert!(ChatSettings { top_p: 0.0, ..settings.clone() }.problem().unwrap().contains("top_p"));
        assert!(ChatSettings { max_new_tokens: 0, ..settings.clone() }.problem().unwrap().contains("1 to 8192"));
        let text = toml::to_string(&settings).unwrap();
        assert_eq!(toml::from_str::<ChatSettings>(&text).unwrap(), settings);
    }
}
