//! The program's own settings. Each takes effect at once and is remembered.

use eframe::egui::{self, ComboBox, Grid, RichText, TextEdit, Ui, vec2};
use egui_material_icons::icons;

use super::action::Action;
use super::theme;
use super::widgets::{badge, card, icon_text_button, message, page_header, segmented};
use crate::app::command::Commands;
use crate::app::hub::HubCommand;
use crate::app::model::ModelCommand;
use crate::app::notices::Severity;
use crate::app::prefs::ThemeChoice;
use crate::app::runs::{self, RunsCommand};
use crate::app::{Command, Studio};
use crate::engine::config::shorten_home;
use crate::engine::hub::Token;
use crate::units::bytes;

/// Sizes of everything that are offered.
const ZOOMS: [f32; 8] = [0.8, 0.9, 1.0, 1.1, 1.25, 1.5, 1.75, 2.0];

/// What the room remembers between frames.
#[derive(Default)]
pub struct View {
    /// The access token while it is typed; never kept anywhere else than in the Hub's own file.
    token: String,
}

impl View {
    /// The room.
    pub fn ui(&mut self, ui: &mut Ui, studio: &Studio, commands: &mut Commands, actions: &mut Vec<Action>) {
        page_header(ui, "Settings", "Every change takes effect at once and is remembered.", |ui| {
            if icon_text_button(ui, icons::ICON_INFO, "About LoRA Studio").clicked() {
                actions.push(Action::About);
            }
        });
        window_card(ui, studio, commands);
        ui.add_space(theme::GAP);
        self.hub_card(ui, studio, commands);
        ui.add_space(theme::GAP);
        runs_card(ui, studio, commands, actions);
        ui.add_space(theme::GAP);
        keys_card(ui);
    }

    fn hub_card(&mut self, ui: &mut Ui, studio: &Studio, commands: &mut Commands) {
        let state = &studio.model.hub;
        let hub = &state.base;
        let mut send = |command| commands.send(Command::Model(ModelCommand::Hub(command)));
        let mut open_cache = false;
        card(ui, "Hugging Face Hub", |ui| {
            grid("settings-hub").show(ui, |ui| {
                name(ui, "Address", "Where models come from: HF_ENDPOINT names another one.");
                ui.label(hub.endpoint());
                ui.end_row();

                name(ui, "Network", "Offline, only what is already on this computer is used.");
                let mut offline = studio.shared.prefs.offline || hub.offline();
                ui.add_enabled_ui(!hub.offline(), |ui| {
                    if ui.checkbox(&mut offline, "Stay offline").changed() {
                        send(HubCommand::Offline(offline));
                    }
                    if hub.offline() {
                        ui.label(RichText::new("HF_HUB_OFFLINE says so").weak());
                    }
                });
                ui.end_row();

                name(ui, "Access token", "Needed for models whose licence must be accepted, and for private ones.");
                ui.vertical(|ui| self.token_ui(ui, studio, &mut send));
                ui.end_row();

                name(ui, "Downloads", "The cache that all programs of Hugging Face share: HF_HUB_CACHE names another.");
                ui.vertical(|ui| {
                    let size = match state.cache_bytes {
                        None => "being measured".to_string(),
                        Some(0) => "nothing yet".to_string(),
                        Some(size) => bytes(size),
                    };
                    ui.add(egui::Label::new(shorten_home(hub.cache_folder())).wrap().selectable(true));
                    ui.horizontal(|ui| {
                        ui.label(RichText::new(size).weak());
                        if hub.cache_folder().is_dir() {
                            open_cache = icon_text_button(ui, icons::ICON_FOLDER_OPEN, "Open the downloads").clicked();
                        }
                    });
                });
                ui.end_row();
            });
        });
        if open_cache {
            commands.send(Command::Open(hub.cache_folder().display().to_string()));
        }
    }

    fn token_ui(&mut self, ui: &mut Ui, studio: &Studio, send: &mut impl FnMut(HubCommand)) {
        let state = &studio.model.hub;
        let hub = &state.base;
        ui.horizontal(|ui| {
            let p = theme::palette(ui);
            match hub.has_token() {
                true => badge(ui, "stored", p.good),
                false => badge(ui, "none", p.weak),
            };
            let edit = TextEdit::singleline(&mut self.token).password(true).hint_text("hf_…").desired_width(260.0);
            let response = ui.add(edit);
            response
                .widget_info(|| egui::WidgetInfo::labeled(egui::Role::PasswordInput, true, "Access token of the Hub"));
            let entered = response.lost_focus() && ui.input(|input| input.key_pressed(egui::Key::Enter));
            let save = icon_text_button(ui, icons::ICON_KEY, "Save the token").clicked();
            if (save || entered)
                && let Some(token) = Token::new(&std::mem::take(&mut self.token))
            {
                send(HubCommand::SaveToken(Some(token)));
            }
            let remove = hub.has_token() && !hub.token_from_variable();
            if remove && icon_text_button(ui, icons::ICON_DELETE, "Remove the token").clicked() {
                send(HubCommand::SaveToken(None));
            }
        });
        let text = match hub.token_from_variable() {
            true => {
                "The variable HF_TOKEN names the token that is used; one that is saved here waits behind it.".into()
            }
            false => {
                format!("Kept where hf auth login keeps it, readable for you alone: {}", shorten_home(hub.token_path()))
            }
        };
        ui.add(egui::Label::new(RichText::new(text).weak().small()).wrap());
        ui.hyperlink_to("Make a token on huggingface.co", "https://huggingface.co/settings/tokens");
        if let Some(problem) = &state.token_problem {
            message(ui, Severity::Error, problem);
        }
    }
}

fn window_card(ui: &mut Ui, studio: &Studio, commands: &mut Commands) {
    let mut prefs = studio.shared.prefs.clone();
    card(ui, "Window", |ui| {
        grid("settings-window").show(ui, |ui| {
            name(ui, "Colours", "Dark, light, or as the system is set.");
            let choices = [
                (ThemeChoice::System, "As the system", ""),
                (ThemeChoice::Dark, "Dark", ""),
                (ThemeChoice::Light, "Light", ""),
            ];
            segmented(ui, "Colours", &mut prefs.theme, &choices);
            ui.end_row();

            name(ui, "Size of everything", "Also with Ctrl and +, - or 0.");
            let text = |zoom: f32| format!("{:.0} %", zoom * 100.0);
            let combo = ComboBox::from_id_salt("zoom").selected_text(text(prefs.zoom)).show_ui(ui, |ui| {
                for zoom in ZOOMS {
                    ui.selectable_value(&mut prefs.zoom, zoom, text(zoom));
                }
            });
            combo
                .response
                .widget_info(|| egui::WidgetInfo::labeled(egui::Role::ComboBox, true, "Size of everything, percent"));
            ui.end_row();

            name(ui, "Log", "What the program said since it was started, below the room.");
            ui.checkbox(&mut prefs.show_log, "Show the log");
            ui.end_row();
        });
    });
    if prefs != studio.shared.prefs {
        commands.send(Command::Prefs(Box::new(prefs)));
    }
}

fn runs_card(ui: &mut Ui, studio: &Studio, commands: &mut Commands, actions: &mut Vec<Action>) {
    let folder = runs::folder(&studio.shared);
    let own = !studio.shared.prefs.runs_folder.is_empty();
    card(ui, "Runs", |ui| {
        grid("settings-runs").show(ui, |ui| {
            name(ui, "Folder", "New runs go here, and the Runs room lists what is in it.");
            ui.vertical(|ui| {
                match &folder {
                    Ok(folder) => {
                        ui.add(egui::Label::new(shorten_home(folder)).wrap().selectable(true));
                    }
                    Err(error) => {
                        message(ui, Severity::Error, error);
                    }
                }
                ui.horizontal(|ui| {
                    if icon_text_button(ui, icons::ICON_FOLDER, "Choose another folder…").clicked() {
                        actions.push(Action::ChooseRunsFolder);
                    }
                    if own && icon_text_button(ui, icons::ICON_REPLAY, "Use the default folder").clicked() {
                        commands.send(Command::Runs(RunsCommand::Folder(String::new())));
                    }
                    if let Ok(folder) = &folder
                        && icon_text_button(ui, icons::ICON_FOLDER_OPEN, "Open the runs folder").clicked()
                    {
                        commands.send(Command::Open(folder.display().to_string()));
                    }
                });
            });
            ui.end_row();
        });
    });
}

fn keys_card(ui: &mut Ui) {
    card(ui, "Keyboard", |ui| {
        let all: Vec<Action> =
            Action::all().into_iter().chain([Action::Palette]).filter(|a| a.shortcut().is_some()).collect();
        let half = all.len().div_ceil(2);
        grid("settings-keys").num_columns(4).show(ui, |ui| {
            for i in 0..half {
                for action in [all.get(i), all.get(half + i)].into_iter().flatten() {
                    let keys = action.shortcut().map(|s| ui.ctx().format_shortcut(&s)).unwrap_or_default();
                    ui.label(RichText::new(keys).monospace());
                    ui.label(RichText::new(action.label()).weak());
                }
                ui.end_row();
            }
        });
    });
}

fn grid(id: &'static str) -> Grid {
    Grid::new(id).num_columns(2).spacing(vec2(20.0, 10.0)).min_col_width(120.0)
}

fn name(ui: &mut Ui, text: &str, help: &str) {
    ui.label(text).on_hover_text(help);
}
