//! Models that are already on this computer.

use eframe::egui::{self, Align, Align2, Layout, Rect, RichText, ScrollArea, Ui, pos2, vec2};
use egui_material_icons::icons;

use crate::app::command::Commands;
use crate::app::hub::HubCommand;
use crate::app::model::ModelCommand;
use crate::app::{Command, Studio};
use crate::engine::config::shorten_home;
use crate::engine::hub::{LocalKind, LocalModel, LocalOrigin};
use crate::ui::busy;
use crate::ui::theme::{self, palette};
use crate::ui::widgets::{card_with, icon_button, paint_text, press_area};
use crate::units::bytes;

const ROW: f32 = 44.0;
const MOST_HEIGHT: f32 = 300.0;

/// The card.
pub fn ui(ui: &mut Ui, studio: &Studio, commands: &mut Commands) {
    let hub = &studio.model.hub;
    let again = |ui: &mut Ui, commands: &mut Commands| {
        if hub.scanning() {
            busy::spinner(ui);
        } else if icon_button(ui, icons::ICON_REFRESH, "Look for models again").clicked() {
            commands.send(Command::Model(ModelCommand::Hub(HubCommand::Scan)));
        }
    };
    let mut chosen = None;
    card_with(
        ui,
        "Already on this computer",
        |ui| again(ui, commands),
        |ui| {
            let models = hub.local.as_deref().unwrap_or_default();
            if models.is_empty() {
                let text = match hub.local.is_none() {
                    true => "Looking through the folders of the Hub, LM Studio and Ollama",
                    false => {
                        "None in the folders of the Hugging Face Hub, LM Studio and Ollama. Type a name such as \
                         HuggingFaceTB/SmolLM2-135M-Instruct above to get one."
                    }
                };
                ui.label(RichText::new(text).weak());
                return;
            }
            ui.with_layout(Layout::top_down(Align::Min), |ui| {
                let area = ScrollArea::vertical().id_salt("local-models").max_height(MOST_HEIGHT);
                ui.spacing_mut().item_spacing.y = 2.0;
                area.auto_shrink([false, true]).show_rows(ui, ROW, models.len(), |ui, rows| {
                    for model in &models[rows] {
                        if row(ui, model, studio) {
                            chosen = Some(match model.obstacle {
                                None => ModelCommand::Use(source(model)),
                                // The rest can be downloaded.
                                Some(_) => ModelCommand::Take(source(model)),
                            });
                        }
                    }
                });
            });
        },
    );
    if let Some(command) = chosen {
        commands.send(Command::Model(command));
    }
}

/// What the run file calls it: by its name where the Hub has it, so that the run works elsewhere too.
fn source(model: &LocalModel) -> String {
    match model.origin {
        LocalOrigin::HuggingFace => model.name.clone(),
        _ => shorten_home(&model.path),
    }
}

/// True when it is to be taken.
fn row(ui: &mut Ui, model: &LocalModel, studio: &Studio) -> bool {
    let p = palette(ui);
    let chosen = source(model) == studio.shared.run.model.source;
    let name = format!("Use {}", model.name);
    let (rect, response) = press_area(ui, vec2(ui.available_width(), ROW), &name, chosen);
    if chosen || response.hovered() {
        let fill = if chosen { p.chosen } else { p.line.gamma_multiply(0.5) };
        ui.painter().rect_filled(rect, theme::RADIUS, fill);
    }
    let inner = rect.shrink2(vec2(10.0, 4.0));
    let split = inner.right() - 190.0;
    let upper = Rect::from_min_max(inner.min, pos2(split, inner.center().y));
    let lower = Rect::from_min_max(pos2(inner.left(), inner.center().y), pos2(split, inner.bottom()));
    let ink = if model.obstacle.is_some() { p.weak } else { p.text };
    paint_text(ui, upper, Align2::LEFT_CENTER, RichText::new(&model.name), ink);
    let origin = match model.origin {
        LocalOrigin::HuggingFace => "Hugging Face Hub",
        LocalOrigin::LmStudio => "LM Studio",
        LocalOrigin::Ollama => "Ollama",
    };
    let (line, color) = match &model.obstacle {
        Some(obstacle) => (obstacle.as_str(), p.warning),
        None => (origin, p.weak),
    };
    paint_text(ui, lower, Align2::LEFT_CENTER, RichText::new(line).small(), color);
    let kind = match model.kind {
        LocalKind::Folder => "safetensors",
        LocalKind::Gguf => "GGUF",
    };
    let right = Rect::from_min_max(pos2(split, inner.top()), inner.max);
    let text = RichText::new(format!("{kind}, {}", bytes(model.bytes))).small();
    paint_text(ui, right, Align2::RIGHT_CENTER, text, p.weak);
    let hover = match &model.obstacle {
        Some(obstacle) => format!("{obstacle}\n{}", shorten_home(&model.path)),
        None => format!("{origin}\n{}", shorten_home(&model.path)),
    };
    let clicked = response.clicked();
    let partial = model.obstacle.as_ref().is_some_and(|o| o.starts_with("only a part"));
    response.on_hover_cursor(egui::CursorIcon::PointingHand).on_hover_text(hover);
    clicked && (model.obstacle.is_none() || partial)
}
