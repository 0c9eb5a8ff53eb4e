//! Which part of a data set of the Hub: its configuration and its split.

use eframe::egui::{ComboBox, RichText, Ui};

use super::row_label;
use crate::app::command::Commands;
use crate::app::data::DataCommand;
use crate::app::{Command, Studio};
use crate::engine::config::DataConfig;
use crate::engine::hub::{DatasetParts, DatasetSplit, PartChoice};
use crate::units::bytes;

/// The line, where the rows are of a data set of the Hub.
pub fn ui(ui: &mut Ui, studio: &Studio, data: &mut DataConfig, commands: &mut Commands) {
    let Some(hub) = &studio.data.hub else { return };
    let help = "Asks the Hub which configurations and splits the data set has.";
    let Some(parts) = &hub.parts else {
        let here = studio.data.problem.as_ref().is_none_or(|problem| problem.download.is_none());
        if here && studio.data.download.progress().is_none() {
            ui.horizontal(|ui| {
                row_label(ui, "Part");
                if ui.button("Choose configuration and split…").on_hover_text(help).clicked() {
                    commands.send(Command::Data(DataCommand::AskParts(hub.id.clone())));
                }
            });
        }
        return;
    };
    ui.horizontal(|ui| {
        row_label(ui, "Part").on_hover_text("A data set of the Hub has configurations, and each of them has splits.");
        if parts.configs.len() > 1 || parts.config(&data.hub_config).is_none() {
            configuration(ui, parts, data);
        }
        let Some(config) = parts.config(&data.hub_config) else { return };
        let chosen = config.split(&PartChoice { split: data.hub_split.clone(), ..PartChoice::default() });
        let shown = chosen.map_or_else(|| data.hub_split.clone(), with_size);
        let label = ui.label(RichText::new("split").weak());
        let combo = ComboBox::from_id_salt("hub-split").selected_text(shown).width(190.0);
        let response = combo.show_ui(ui, |ui| {
            for split in &config.splits {
                let is_chosen = chosen.is_some_and(|chosen| chosen.name == split.name);
                if ui.selectable_label(is_chosen, with_size(split)).clicked() {
                    data.hub_split.clone_from(&split.name);
                    if data.hub_validation_split == split.name {
                        forget_validation(data);
                    }
                }
            }
        });
        response.response.labelled_by(label.id).on_hover_text("The rows that are trained on.");
        // What is here may not be all.
        if !hub.asked && studio.data.download.progress().is_none() && ui.link("Others…").on_hover_text(help).clicked()
        {
            commands.send(Command::Data(DataCommand::AskParts(hub.id.clone())));
        }
    });
}

fn configuration(ui: &mut Ui, parts: &DatasetParts, data: &mut DataConfig) {
    let chosen = parts.config(&data.hub_config).map(|config| config.name.clone());
    let shown = chosen.clone().unwrap_or_else(|| data.hub_config.clone());
    let label = ui.label(RichText::new("configuration").weak());
    let combo = ComboBox::from_id_salt("hub-config").selected_text(shown).width(190.0).height(320.0).truncate();
    let response = combo.show_ui(ui, |ui| {
        for config in &parts.configs {
            if ui.selectable_label(chosen.as_ref() == Some(&config.name), &config.name).clicked() {
                data.hub_config.clone_from(&config.name);
                // Its splits are others.
                data.hub_split.clear();
                forget_validation(data);
            }
        }
    });
    response.response.labelled_by(label.id).on_hover_text("Rows of one kind: a language, a subject, a way of writing.");
    ui.add_space(10.0);
}

/// The rows to validate on are no longer those of a split of this data set.
fn forget_validation(data: &mut DataConfig) {
    if data.validation == data.train {
        data.validation.clear();
    }
    data.hub_validation_split.clear();
}

/// A split's name and how large it is.
pub fn with_size(split: &DatasetSplit) -> String {
    format!("{} · {}", split.name, bytes(split.bytes()))
}
