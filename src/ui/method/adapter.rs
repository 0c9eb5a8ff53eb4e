//! The adapter: its size, and which linears of a layer it stands beside.

use eframe::egui::{Button, Label, RichText, Role, ScrollArea, TextEdit, Ui, WidgetInfo};

use super::super::widgets::{card, card_with, message};
use super::field::{Range, number, row};
use super::layer;
use crate::app::Studio;
use crate::app::notices::Severity;
use crate::engine::config::{RunConfig, TargetModules};
use crate::engine::model::ModelConfig;

/// Rank, alpha, dropout, and where it begins.
pub fn adapter(ui: &mut Ui, studio: &Studio, run: &mut RunConfig) {
    card(ui, "LoRA adapter", |ui| {
        ui.add(
            Label::new(
                RichText::new(
                    "The model stays frozen. Beside each chosen linear, two small matrices A and B are trained.",
                )
                .weak(),
            )
            .wrap(),
        );
        ui.add_space(2.0);
        let method = &mut run.method;
        let mut rank = method.rank as f64;
        if number(ui, "Rank", ("method", "rank"), &mut rank, Range::whole_log(1.0, 256.0, "")) {
            // Alpha goes with the rank, as long as it is twice of it.
            if method.alpha == 2.0 * method.rank as f64 {
                method.alpha = 2.0 * rank;
            }
            method.rank = rank as usize;
        }
        number(ui, "Alpha", ("method", "alpha"), &mut method.alpha, Range::whole_log(1.0, 512.0, ""));
        number(ui, "Dropout", ("method", "dropout"), &mut method.dropout, Range::number(0.0, 0.5));
        row(ui, "Rank-stabilised", ("method", "use_rslora"), |ui| {
            ui.checkbox(&mut method.use_rslora, "scale by α/√r instead of α/r")
        });
        row(ui, "Continue from", ("method", "init_from"), |ui| {
            let edit = TextEdit::singleline(&mut method.init_from)
                .hint_text("an adapter folder, or nothing")
                .desired_width(236.0);
            let response = ui.add(edit);
            response.widget_info(|| WidgetInfo::labeled(Role::TextInput, true, "Continue from adapter folder"));
        });
        if let Some(problem) = &studio.starting.problem {
            message(ui, Severity::Error, problem);
        }
    });
}

/// A drawing of a layer, whose linears are clicked.
pub fn targets(ui: &mut Ui, studio: &Studio, run: &mut RunConfig) {
    let Some(model) = studio.model.info.clone() else {
        card(ui, "Target modules", |ui| {
            message(ui, Severity::Info, "The layer is drawn when a model is open.");
        });
        return;
    };
    let (config, targets) = (&model.config, &mut run.method.target_modules);
    let count = targets.resolve(config.linears()).map_or(0, |chosen| chosen.len());
    let right = |ui: &mut Ui| {
        ui.label(RichText::new(format!("{count} of {} linears of every layer", config.linears().len())).weak());
    };
    card_with(ui, "Target modules", right, |ui| {
        ui.horizontal(|ui| {
            for (label, help, choice) in target_choices(config) {
                let chosen = *targets == choice;
                let response = ui.add(Button::selectable(chosen, label));
                let name = format!("Target modules: {label}");
                response.widget_info(|| WidgetInfo::selected(Role::RadioButton, true, chosen, &name));
                if response.on_hover_text(help).clicked() {
                    *targets = choice;
                }
            }
        });
        if let Err(error) = targets.resolve(config.linears()) {
            message(ui, Severity::Error, &error.to_string());
            if ui.button("Adapt all linears").clicked() {
                *targets = TargetModules::AllLinear;
            }
        } else if count == 0 {
            message(ui, Severity::Error, "Nothing is adapted: click at least one linear.");
        }
        ui.add_space(4.0);
        ScrollArea::horizontal().id_salt("layer").show(ui, |ui| {
            if let Some(choice) = layer::drawing(ui, config, targets) {
                *targets = choice;
            }
        });
    });
}

/// Choices of several linears at once.
fn target_choices(config: &ModelConfig) -> [(&'static str, &'static str, TargetModules); 3] {
    let names = |attention: bool| {
        let of = config.linears().iter().filter(|k| k.is_attention() == attention);
        TargetModules::Names(of.map(|k| k.name().to_string()).collect())
    };
    [
        ("All", "Learns the most for its size; what the QLoRA paper found best.", TargetModules::AllLinear),
        ("Attention", "Smaller; enough for a manner of speech.", names(true)),
        ("MLP", "Where much of what a model knows lies.", names(false)),
    ]
}
