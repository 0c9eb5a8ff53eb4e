//! What the open model is, from its headers.

use eframe::egui::{self, CollapsingHeader, Grid, Label, RichText, ScrollArea, TextEdit, Ui, vec2};

use super::short;
use crate::app::model::ModelInfo;
use crate::engine::config::shorten_home;
use crate::engine::formats::Quantization;
use crate::engine::model::{Family, ModelConfig};
use crate::ui::widgets::{card, fact};
use crate::units::{bytes, grouped};

/// The card.
pub fn ui(ui: &mut Ui, info: &ModelInfo) {
    card(ui, short(&info.source), |ui| {
        let (config, facts) = (&info.config, &info.facts);
        Grid::new("model-facts").num_columns(2).spacing(vec2(14.0, 5.0)).min_row_height(18.0).show(ui, |ui| {
            fact(ui, "Architecture", format!("{}, {}", family(config.family), config.architecture));
            fact(ui, "Parameters", grouped(facts.parameters));
            let shape = format!("{}, each {} wide", config.layers.len(), grouped(config.hidden as u64));
            fact(ui, "Layers", shape);
            fact(ui, "Attention", heads(config));
            fact(ui, "Vocabulary", format!("{} tokens", grouped(config.vocab as u64)));
            fact(ui, "Context", format!("{} tokens", grouped(config.max_positions as u64)));
            let stored = match &facts.quantization {
                Quantization::None => facts.dtype.clone(),
                quantization => format!("{}, the rest {}", quantization.describe(), facts.dtype),
            };
            fact(ui, "Stored as", stored);
            let files = match facts.files.len() {
                1 => "1 file".to_string(),
                n => format!("{n} files"),
            };
            fact(ui, "On the disk", format!("{} in {files} ({})", bytes(facts.total_bytes()), facts.format));
            fact(ui, "Licence", facts.license.as_deref().unwrap_or("not named"));
            let tokenizer = &info.tokenizer;
            let ends = tokenizer.eos_token.as_deref().map(|token| format!(", ends with {token}")).unwrap_or_default();
            fact(ui, "Tokenizer", format!("{} tokens{ends}", grouped(vocabulary(info) as u64)));
            let template = match &tokenizer.chat_template {
                Some(_) => "yes",
                None => "none: it is a base model, rows are best plain text",
            };
            fact(ui, "Chat template", template);
            ui.label(RichText::new("Path").weak());
            // In one line: a path of the Hub's cache would take four. All of it stands beside it when it is hovered.
            ui.add(Label::new(shorten_home(&info.path)).truncate().selectable(true));
            ui.end_row();
        });
        let Some(template) = &info.tokenizer.chat_template else { return };
        CollapsingHeader::new(RichText::new("Chat template as it is").small()).show(ui, |ui| {
            ScrollArea::vertical().max_height(240.0).auto_shrink([false, true]).show(ui, |ui| {
                let mut text = template.as_str();
                let edit = TextEdit::multiline(&mut text).code_editor().desired_width(f32::INFINITY);
                let response = ui.add(edit);
                response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::TextInput, true, "Chat template"));
            });
        });
    });
}

fn vocabulary(info: &ModelInfo) -> usize {
    info.tokenizer.tokenizer.get_vocab_size(true)
}

fn heads(config: &ModelConfig) -> String {
    let heads = format!("{} heads of {}", config.heads, config.head_dim);
    match config.kv_heads == config.heads {
        true => heads,
        false => format!("{heads}, {} for keys and values", config.kv_heads),
    }
}

fn family(family: Family) -> &'static str {
    match family {
        Family::Llama => "Llama",
        Family::Mistral => "Mistral",
        Family::Qwen2 => "Qwen2",
        Family::Qwen3 => "Qwen3",
        Family::Gemma => "Gemma",
        Family::Gemma2 => "Gemma 2",
        Family::Gemma3 => "Gemma 3",
        Family::Phi3 => "Phi-3",
        Family::SmolLm3 => "SmolLM3",
    }
}
