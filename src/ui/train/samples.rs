//! The time line of samples: what the base says, and what the adapted model said after each round.

use eframe::egui::{self, ComboBox, Frame, Label, Margin, RichText, Slider, TextStyle, Ui, text::LayoutJob};
use egui_material_icons::icons;

use super::super::theme::{self, palette};
use super::super::widgets::{card_with, icon_button};
use crate::app::live::{RunView, Sample};
use crate::units::grouped;

/// Characters of a prompt in the list of prompts.
const SHORT: usize = 60;
/// Longest answers, in words, whose differences are searched.
const MOST_WORDS: usize = 400;

/// What is chosen.
#[derive(Default)]
pub struct Samples {
    prompt: usize,
    /// `None` follows the newest.
    round: Option<usize>,
    /// Prompts and the indices of their samples, and the version of the run that they are of.
    prompts: Vec<(String, Vec<usize>)>,
    version: Option<u64>,
    /// Words of the answer and whether the base lacks them, of this sample.
    marked: Option<(Sample, Vec<(String, bool)>)>,
}

impl Samples {
    /// The card.
    pub fn ui(&mut self, ui: &mut Ui, view: &RunView) {
        self.index(view);
        let Some((_, samples)) = self.prompts.get(self.prompt) else {
            let text = match (view.config.sample.prompts.is_empty(), view.live()) {
                (true, _) => "This run has no sample prompts. They are chosen before the start.",
                (_, true) => {
                    "The prompts are answered for the first time after some steps. \"Sample now\" asks at once."
                }
                (_, false) => "The run ended before the prompts were answered.",
            };
            card_with(ui, "Samples", |_| {}, |ui| ui.label(RichText::new(text).weak()));
            return;
        };
        let last = samples.len().saturating_sub(1);
        let mut round = self.round.unwrap_or(last).min(last);
        let sample = &view.samples[samples[round]];
        let step = sample.step;
        let following = self.round.is_none();
        let right = |ui: &mut Ui| {
            let text = format!("step {}{}", grouped(step as u64), if following { ", newest" } else { "" });
            ui.label(RichText::new(text).weak().small());
        };
        card_with(ui, "Samples", right, |ui| {
            self.choose(ui);
            if last > 0 {
                ui.horizontal(|ui| {
                    if icon_button(ui, icons::ICON_CHEVRON_LEFT, "Earlier samples").clicked() {
                        round = round.saturating_sub(1);
                    }
                    ui.spacing_mut().slider_width = (ui.available_width() - 40.0).clamp(60.0, 320.0);
                    let slider = ui.add(Slider::new(&mut round, 0..=last).show_value(false));
                    slider.widget_info(|| egui::WidgetInfo::slider(true, step as f64, "Round of samples"));
                    if icon_button(ui, icons::ICON_CHEVRON_RIGHT, "Later samples").clicked() {
                        round = (round + 1).min(last);
                    }
                });
                if Some(round) != self.round && (round != last || self.round.is_some()) {
                    self.round = (round != last).then_some(round);
                }
            }
            if self.marked.as_ref().is_none_or(|(of, _)| of != sample) {
                self.marked = Some((sample.clone(), differences(&sample.base, &sample.adapted)));
            }
            ui.add_space(4.0);
            answer(ui, "Base", RichText::new(shown(&sample.base)).into());
            ui.add_space(4.0);
            let words = self.marked.as_ref().map_or(&[][..], |(_, words)| words);
            let job = marked_text(ui, words);
            answer(ui, "Adapted", if sample.adapted.trim().is_empty() { shown("").into() } else { job.into() });
        });
    }

    fn choose(&mut self, ui: &mut Ui) {
        if self.prompts.len() < 2 {
            if let Some((prompt, _)) = self.prompts.first() {
                ui.add(Label::new(prompt).wrap());
            }
            return;
        }
        let width = ui.available_width();
        let chosen = short(&self.prompts[self.prompt].0);
        let combo = ComboBox::from_id_salt("sample-prompt").width(width).selected_text(chosen).truncate();
        let response = combo.show_ui(ui, |ui| {
            for (i, (prompt, _)) in self.prompts.iter().enumerate() {
                ui.selectable_value(&mut self.prompt, i, short(prompt));
            }
        });
        response.response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::ComboBox, true, "Sample prompt"));
    }

    /// Sorts the samples by prompt, when there are new ones.
    fn index(&mut self, view: &RunView) {
        if self.version == Some(view.version) {
            return;
        }
        self.version = Some(view.version);
        let known: usize = self.prompts.iter().map(|(_, s)| s.len()).sum();
        if known == view.samples.len() {
            return;
        }
        self.prompts.clear();
        for (i, sample) in view.samples.iter().enumerate() {
            match self.prompts.iter_mut().find(|(prompt, _)| *prompt == sample.prompt) {
                Some((_, samples)) => samples.push(i),
                None => self.prompts.push((sample.prompt.clone(), vec![i])),
            }
        }
        self.prompt = self.prompt.min(self.prompts.len().saturating_sub(1));
    }
}

fn answer(ui: &mut Ui, who: &str, text: egui::WidgetText) {
    let p = palette(ui);
    ui.label(RichText::new(who).weak().small());
    Frame::new().fill(p.ground).corner_radius(theme::RADIUS).inner_margin(Margin::symmetric(10, 8)).show(ui, |ui| {
        ui.set_width(ui.available_width());
        ui.add(Label::new(text).wrap().selectable(true));
    });
}

fn shown(text: &str) -> &str {
    if text.trim().is_empty() { "(an empty answer)" } else { text.trim() }
}

fn short(prompt: &str) -> String {
    let line = prompt.lines().next().unwrap_or_default();
    let cut: String = line.chars().take(SHORT).collect();
    if cut.len() < prompt.len() { format!("{cut}…") } else { cut }
}

fn marked_text(ui: &Ui, words: &[(String, bool)]) -> LayoutJob {
    let p = palette(ui);
    let font = TextStyle::Body.resolve(ui.style());
    let mut job = LayoutJob::default();
    for (word, new) in words {
        let mut format = egui::TextFormat::simple(font.clone(), p.text);
        if *new {
            format.background = p.accent.gamma_multiply(0.2);
        }
        job.append(word, 0.0, format);
    }
    job
}

/// The words of `adapted`, each with the space behind it, and whether it is not part of the longest common subsequence
/// with `base`.
fn differences(base: &str, adapted: &str) -> Vec<(String, bool)> {
    let split =
        |text: &str| -> Vec<String> { text.trim().split_inclusive(char::is_whitespace).map(String::from).collect() };
    let (a, b) = (split(base), split(adapted));
    if a.len() > MOST_WORDS || b.len() > MOST_WORDS {
        return b.into_iter().map(|word| (word, false)).collect();
    }
    // longest[i][j]: of a[i..] and b[j..].
    let mut longest = vec![vec![0usize; b.len() + 1]; a.len() + 1];
    for i in (0..a.len()).rev() {
        for j in (0..b.len()).rev() {
            longest[i][j] = match a[i].trim() == b[j].trim() {
                true => longest[i + 1][j + 1] + 1,
                false => longest[i + 1][j].max(longest[i][j + 1]),
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut new = vec![true; b.len()];
    while i < a.len() && j < b.len() {
        if a[i].trim() == b[j].trim() {
            new[j] = false;
            (i, j) = (i + 1, j + 1);
        } else if longest[i + 1][j] >= longest[i][j + 1] {
            i += 1;
        } else {
            j += 1;
        }
    }
    b.into_iter().zip(new).collect()
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn words_that_the_base_lacks_are_marked() {
        let new = |base: &str, adapted: &str| -> Vec<String> {
            let marked = differences(base, adapted).into_iter().filter(|(_, new)| *new);
            marked.map(|(word, _)| word.trim().to_string()).collect()
        };
        assert_eq!(new("I am a small model.", "Arr, I am a pirate model."), ["Arr,", "pirate"]);
        assert_eq!(new("same words", "same  words"), [""; 1].map(String::from));
        assert_eq!(new("", "all new"), ["all", "new"]);
        assert!(new("all old", "").is_empty());
        let whole: String = differences("a b", "x  y\nz").into_iter().map(|(word, _)| word).collect();
        assert_eq!(whole, "x  y\nz");
    }
}
