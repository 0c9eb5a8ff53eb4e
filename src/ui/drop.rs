//! What is dropped onto the window goes where it belongs.

use std::path::{Path, PathBuf};

use eframe::egui::{Align2, Context, FontId, Id, LayerId, Order, Stroke, StrokeKind, Ui};

use super::theme::{self, palette};
use crate::app::chat::{ChatCommand, Choice};
use crate::app::command::Commands;
use crate::app::model::ModelCommand;
use crate::app::{Command, Room, Studio};

/// What a path is, by its name and by what lies in it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Dropped {
    RunFile(PathBuf),
    Run(PathBuf),
    Adapter(PathBuf),
    Model(PathBuf),
    /// Anything else: whether rows can be read from it is for the Data room to say.
    Rows(PathBuf),
}

fn what(path: &Path) -> Dropped {
    let ending = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
    let has = |name: &str| path.join(name).is_file();
    match ending.as_str() {
        "toml" => return Dropped::RunFile(path.into()),
        "gguf" => return Dropped::Model(path.into()),
        // One part of a model means the whole.
        "safetensors" => {
            let folder = path.parent().unwrap_or(path);
            return match folder.join("adapter_config.json").is_file() {
                true => Dropped::Adapter(folder.into()),
                false => Dropped::Model(folder.into()),
            };
        }
        _ => {}
    }
    if has("run.toml") {
        Dropped::Run(path.into())
    } else if has("adapter_config.json") {
        Dropped::Adapter(path.into())
    } else if has("config.json") {
        Dropped::Model(path.into())
    } else {
        Dropped::Rows(path.into())
    }
}

/// Takes what was dropped in this frame: a model and rows at once are both taken.
pub fn take(ctx: &Context, studio: &Studio, commands: &mut Commands) {
    let dropped = ctx.input(|input| input.raw.dropped_files.clone());
    if dropped.is_empty() {
        return;
    }
    let before = &studio.shared.run;
    let mut run = before.clone();
    let (mut room, mut same_model) = (None, false);
    for file in dropped {
        match what(file.path()) {
            Dropped::RunFile(path) => commands.send(Command::OpenRunFile(path)),
            Dropped::Run(path) => commands.send(Command::Show(path)),
            Dropped::Adapter(path) => {
                commands.send(Command::Go(Room::Chat));
                commands.send(Command::Chat(ChatCommand::Choose(Choice::Adapter(path))));
            }
            Dropped::Model(path) => {
                run.model.source = path.display().to_string();
                same_model = run.model.source == before.model.source;
                room = Some(Room::Model);
            }
            Dropped::Rows(path) => {
                crate::app::data::train_on(&mut run.data, path.display().to_string());
                room = Some(Room::Data);
            }
        }
    }
    let Some(room) = room else { return };
    commands.send(Command::Edit(Box::new(run)));
    commands.send(Command::Go(room));
    if same_model {
        // Dropped again, it may have changed.
        commands.send(Command::Model(ModelCommand::Reload));
    }
}

/// While something is held over the window: that it can be dropped, and what.
pub fn hint(ui: &Ui) {
    if ui.input(|input| input.raw.hovered_files.is_empty()) {
        return;
    }
    let p = palette(ui);
    let whole = ui.max_rect();
    let painter = ui.ctx().layer_painter(LayerId::new(Order::Tooltip, Id::unique("drop")));
    painter.rect_filled(whole, 0, p.ground.gamma_multiply(0.85));
    let frame = whole.shrink(24.0);
    painter.rect_stroke(frame, theme::RADIUS, Stroke::new(2.0, p.accent), StrokeKind::Inside);
    let font = FontId::new(20.0, theme::strong_family());
    let text = "Drop rows, a model, an adapter, a run or a run file";
    painter.text(whole.center(), Align2::CENTER_CENTER, text, font, p.text);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use eframe::egui::{DroppedFile, Theme};

    use super::*;
    use crate::app::adapters::testing::adapter;
    use crate::ui::testing::TestWindow;

    #[derive(Debug)]
    struct Held(PathBuf);

    impl DroppedFile for Held {
        fn path(&self) -> &Path {
            &self.0
        }

        fn bytes(&self) -> Result<Vec<u8>, String> {
            std::fs::read(&self.0).map_err(|e| e.to_string())
        }
    }

    fn drop_onto(window: &mut TestWindow, paths: &[&Path]) {
        let files = paths.iter().map(|path| Arc::new(Held(path.to_path_buf())) as _).collect();
        window.harness.input_mut().dropped_files = files;
        window.harness.step();
        window.harness.run_steps(2);
    }

    #[test]
    fn each_thing_goes_where_it_belongs_and_a_model_with_rows_is_both() {
        let mut window = TestWindow::new([1280.0, 820.0], Theme::Dark);
        window.wait_until_ready();
        let folder = window.folder.path().to_path_buf();
        let (rows, model) = (folder.join("Zeilen für mich.jsonl"), crate::engine::formats::builtin::model("tiny-chat"));
        let model = model.unwrap();
        std::fs::write(&rows, "{\"question\":\"q\",\"answer\":\"a\"}\n").unwrap();
        drop_onto(&mut window, &[&rows, &model]);
        window.wait_until_ready();
        let studio = &window.window().studio;
        assert_eq!(studio.shared.run.data.train, rows.display().to_string());
        assert_eq!(studio.shared.run.model.source, model.display().to_string());
        assert!(studio.model.info.is_some() && studio.data.info.is_some());

        let bare = folder.join("adapter");
        adapter(&bare, 0.01);
        drop_onto(&mut window, &[&bare]);
        let studio = &window.window().studio;
        assert_eq!((studio.shared.prefs.room, &studio.chat.choice), (Room::Chat, &Choice::Adapter(bare.clone())));
        assert_eq!(what(&bare.join("adapter_model.safetensors")), Dropped::Adapter(bare));
        assert_eq!(what(&model.join("model.safetensors")), Dropped::Model(model));

        let file = folder.join("next.toml");
        std::fs::write(&file, "[method]\nrank = 3\n").unwrap();
        drop_onto(&mut window, &[&file]);
        assert_eq!(window.window().studio.shared.run.method.rank, 3);

        let run = folder.join("run");
        std::fs::create_dir(&run).unwrap();
        std::fs::copy(&file, run.join("run.toml")).unwrap();
        drop_onto(&mut window, &[&run]);
        window.wait("the run is shown", 20, |w| w.studio.view.is_some());
        assert_eq!(window.window().studio.shared.prefs.room, Room::Train);
    }
}
