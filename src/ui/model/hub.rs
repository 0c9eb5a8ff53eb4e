//! A repository of the Hub: what it holds, its download, and what is in the way.

use eframe::egui::{self, CollapsingHeader, RichText, ScrollArea, Ui};
use egui_material_icons::icons;

use crate::app::command::Commands;
use crate::app::hub::{Found, HubCommand, Looked, Trouble};
use crate::app::model::ModelCommand;
use crate::app::notices::Severity;
use crate::app::{Command, Room, Studio};
use crate::engine::config::shorten_home;
use crate::engine::hub::{Problem, Progress};
use crate::ui::busy;
use crate::ui::theme;
use crate::ui::widgets::{card_with, icon_button, icon_text_button, message, primary_button};
use crate::units::{bytes, duration};

/// The card, while a repository is looked at.
pub fn ui(ui: &mut Ui, studio: &Studio, commands: &mut Commands) {
    let hub = &studio.model.hub;
    let Some(looked) = &hub.looked else { return };
    let progress = hub.progress();
    let send = |commands: &mut Commands, command| commands.send(Command::Model(ModelCommand::Hub(command)));
    let (mut close, mut page) = (false, false);
    let title = looked.found.as_ref().map_or_else(|| looked.name.clone(), |f| f.listing.id.to_string());
    card_with(
        ui,
        &title,
        |ui| {
            if progress.is_none() {
                close = icon_button(ui, icons::ICON_CLOSE, "Close this repository").clicked();
            }
            if !looked.page.is_empty() {
                page = icon_button(ui, icons::ICON_OPEN_IN_NEW, "Open its page").clicked();
            }
        },
        |ui| {
            if hub.looking() {
                ui.horizontal(|ui| {
                    busy::spinner(ui);
                    ui.label("Asking the Hub what it holds");
                    if icon_text_button(ui, icons::ICON_CLOSE, "Stop asking").clicked() {
                        send(commands, HubCommand::Cancel);
                    }
                });
                return;
            }
            if let Some(found) = &looked.found {
                holds(ui, found);
            }
            if let Some(trouble) = &looked.trouble {
                in_the_way(ui, looked, trouble, studio, commands);
            }
            match (&progress, &looked.found) {
                (Some(progress), _) => {
                    downloading(ui, progress);
                    if hub.cancelling() {
                        ui.label(RichText::new("Stopping").weak());
                    } else if icon_text_button(ui, icons::ICON_CLOSE, "Cancel the download").clicked() {
                        send(commands, HubCommand::Cancel);
                    }
                }
                (None, Some(found)) => {
                    let (text, help) = match found.here() {
                        0 => (format!("Download {}", bytes(found.missing)), String::new()),
                        here => {
                            let total = bytes(found.listing.total_bytes());
                            (format!("Continue: {} of {total} are here", bytes(here)), String::new())
                        }
                    };
                    let response = primary_button(ui, icons::ICON_DOWNLOAD, &text, true);
                    let help = if help.is_empty() {
                        format!(
                            "Into the cache that all programs of Hugging Face share: {}",
                            shorten_home(hub.base.cache_folder())
                        )
                    } else {
                        help
                    };
                    if response.on_hover_text(help).clicked() {
                        send(commands, HubCommand::Download);
                    }
                }
                (None, None) => {}
            }
        },
    );
    ui.add_space(theme::GAP);
    if close {
        send(commands, HubCommand::Close);
    }
    if page {
        commands.send(Command::Open(looked.page.clone()));
    }
}

fn holds(ui: &mut Ui, found: &Found) {
    let listing = &found.listing;
    let files = match listing.files.len() {
        1 => "1 file".to_string(),
        n => format!("{n} files"),
    };
    let total = bytes(listing.total_bytes());
    let licence = listing.license.as_deref().map(|l| format!(", licence {l}")).unwrap_or_default();
    ui.label(format!("{files}, {total} in all, {} of them weights{licence}.", bytes(listing.weight_bytes())));
    CollapsingHeader::new(RichText::new("Files").small()).id_salt("hub-files").show(ui, |ui| {
        let row = ui.text_style_height(&egui::TextStyle::Small);
        let area = ScrollArea::vertical().id_salt("hub-file-list").max_height(180.0).auto_shrink([false, true]);
        area.show_rows(ui, row, listing.files.len(), |ui, rows| {
            for file in &listing.files[rows] {
                ui.horizontal(|ui| {
                    ui.label(RichText::new(bytes(file.size)).small().weak());
                    ui.label(RichText::new(&file.path).small());
                });
            }
        });
    });
}

fn downloading(ui: &mut Ui, now: &Progress) {
    let fraction = (now.total_bytes > 0).then(|| (now.done_bytes as f64 / now.total_bytes as f64) as f32);
    let mut parts = vec![format!("{} of {}", bytes(now.done_bytes), bytes(now.total_bytes))];
    if now.retries > 0 {
        parts.push(format!("the connection is lost, try {}", now.retries + 1));
    } else if now.bytes_per_second >= 1.0 {
        parts.push(format!("{} a second", bytes(now.bytes_per_second as u64)));
        let left = now.total_bytes.saturating_sub(now.done_bytes) as f64 / now.bytes_per_second;
        parts.push(format!("{} left", duration(left)));
    }
    if !now.file.is_empty() {
        parts.push(now.file.clone());
    }
    // Unknown is only the first moment: a bar that wanders for a moment tells nothing.
    busy::progress(ui, fraction, &parts.join(" · "));
}

/// What happened, and a button for what helps.
fn in_the_way(ui: &mut Ui, looked: &Looked, trouble: &Trouble, studio: &Studio, commands: &mut Commands) {
    if let Some(Problem::Choice { files }) = &trouble.kind {
        choice(ui, looked, files, commands);
        return;
    }
    message(ui, Severity::Error, &trouble.text);
    ui.horizontal(|ui| {
        let kind = trouble.kind.as_ref();
        if let Some(Problem::Gated { page, .. }) = kind
            && icon_text_button(ui, icons::ICON_OPEN_IN_NEW, "Open the licence").clicked()
        {
            commands.send(Command::Open(page.clone()));
        }
        if matches!(kind, Some(Problem::Gated { .. } | Problem::BadToken | Problem::NotFound))
            && icon_text_button(ui, icons::ICON_KEY, "Enter an access token").clicked()
        {
            commands.send(Command::Go(Room::Settings));
        }
        if kind == Some(&Problem::Offline)
            && studio.shared.prefs.offline
            && icon_text_button(ui, icons::ICON_CLOUD_DOWNLOAD, "Go online").clicked()
        {
            commands.send(Command::Model(ModelCommand::Hub(HubCommand::Offline(false))));
            commands.send(Command::Model(ModelCommand::Hub(HubCommand::Look(looked.name.clone()))));
        }
        if kind == Some(&Problem::DiskFull)
            && icon_text_button(ui, icons::ICON_FOLDER_OPEN, "Open the cache folder").clicked()
        {
            commands.send(Command::Open(studio.model.hub.base.cache_folder().display().to_string()));
        }
        let again = looked.found.is_none() && kind != Some(&Problem::Unusable);
        if again && icon_text_button(ui, icons::ICON_REFRESH, "Ask again").clicked() {
            commands.send(Command::Model(ModelCommand::Hub(HubCommand::Look(looked.name.clone()))));
        }
    });
}

/// One of several GGUF files.
fn choice(ui: &mut Ui, looked: &Looked, files: &[(String, u64)], commands: &mut Commands) {
    let text = format!("It has {} GGUF files, the same model in several sizes. Choose one.", files.len());
    ui.label(text);
    let repository = looked.name.split_once(':').map_or(looked.name.as_str(), |(repository, _)| repository);
    let row = ui.spacing().interact_size.y;
    let area = ScrollArea::vertical().id_salt("hub-choice").max_height(260.0).auto_shrink([false, true]);
    area.show_rows(ui, row, files.len(), |ui, rows| {
        for (file, size) in &files[rows] {
            ui.horizontal(|ui| {
                let response = icon_text_button(ui, icons::ICON_DESCRIPTION, file);
                ui.label(RichText::new(bytes(*size)).weak());
                if response.clicked() {
                    let name = format!("{repository}:{file}");
                    commands.send(Command::Model(ModelCommand::Hub(HubCommand::Look(name))));
                }
            });
        }
    });
}
