//! The Method room: presets, and every control of how the adapter is trained.

mod field;
mod layer;

use eframe::egui::{
    Align, Button, Label, Layout, RichText, Role, ScrollArea, Stroke, StrokeKind, TextEdit, Ui, UiBuilder, WidgetInfo,
    vec2,
};
use egui_material_icons::icons;

use super::action::Action;
use super::theme::{self, palette};
use super::widgets::{
    card, card_with, figure, icon_text_button, message, page_header, press_area, segmented, strong, two_columns,
};
use crate::app::command::Commands;
use crate::app::gate::sentence;
use crate::app::notices::Severity;
use crate::app::{Command, Studio, draft};
use crate::engine::config::{self, Checkpointing, OptimizerKind, Quantization, RunConfig, Schedule, TargetModules};
use crate::engine::model::ModelConfig;
use crate::engine::ops::Compute;
use crate::units::{bytes, duration, grouped};
use field::{Range, count, number, number_with, row};

/// Width from which the cards stand in two columns.
const TWO_COLUMNS: f32 = 960.0;
/// Size of a preset.
const PRESET: (f32, f32) = (172.0, 94.0);

/// What the room remembers between frames.
#[derive(Default)]
pub struct View {}

impl View {
    /// The room.
    pub fn ui(&mut self, ui: &mut Ui, studio: &Studio, commands: &mut Commands, actions: &mut Vec<Action>) {
        page_header(ui, "Method", "How much of the model is trained, and how.", |ui| {
            if icon_text_button(ui, icons::ICON_SAVE, "Save run file…").clicked() {
                actions.push(Action::SaveRunFile);
            }
            if icon_text_button(ui, icons::ICON_FILE_OPEN, "Open run file…").clicked() {
                actions.push(Action::OpenRunFile);
            }
        });
        let mut run = studio.shared.run.clone();
        presets(ui, &mut run);
        ui.add_space(theme::GAP);
        summary(ui, studio);
        ui.add_space(theme::GAP);
        if ui.available_width() >= TWO_COLUMNS {
            two_columns(ui, |left, right| {
                adapter(left, studio, &mut run);
                left.add_space(theme::GAP);
                targets(left, studio, &mut run);
                steps(right, &mut run);
                right.add_space(theme::GAP);
                memory(right, studio, &mut run);
                right.add_space(theme::GAP);
                keeping(right, &mut run);
            });
        } else {
            adapter(ui, studio, &mut run);
            ui.add_space(theme::GAP);
            targets(ui, studio, &mut run);
            ui.add_space(theme::GAP);
            steps(ui, &mut run);
            ui.add_space(theme::GAP);
            memory(ui, studio, &mut run);
            ui.add_space(theme::GAP);
            keeping(ui, &mut run);
        }
        if run != studio.shared.run {
            commands.send(Command::Edit(Box::new(run)));
        }
    }
}

/// A row of presets; the one that the draft equals is marked.
fn presets(ui: &mut Ui, run: &mut RunConfig) {
    let p = palette(ui);
    let count = config::presets().len() as f32;
    let width = (ui.available_width() - (count - 1.0) * ui.spacing().item_spacing.x) / count;
    let size = vec2(width.max(PRESET.0), PRESET.1);
    ScrollArea::horizontal().id_salt("presets").show(ui, |ui| {
        ui.horizontal_top(|ui| {
            for preset in config::presets() {
                let with = draft::with_preset(run, &preset.config);
                let chosen = with == *run;
                let title = if chosen { strong(preset.title).color(p.accent) } else { strong(preset.title) };
                let name = format!("Preset: {}", preset.title);
                let (rect, response) = press_area(ui, size, &name, chosen);
                let line = if chosen || response.hovered() { p.accent } else { p.line };
                let fill = if chosen { p.chosen } else { p.card };
                ui.painter().rect(rect, theme::RADIUS, fill, Stroke::new(1.0, line), StrokeKind::Inside);
                let inside = rect.shrink2(vec2(12.0, 8.0));
                let layout = Layout::top_down(Align::Min);
                let inner = UiBuilder::new().max_rect(inside).layout(layout).id_salt(preset.id);
                // A child takes no space in the row: the card has taken it.
                let mut card = ui.new_child(inner);
                card.spacing_mut().item_spacing.y = 2.0;
                card.add(Label::new(title).selectable(false));
                let text = RichText::new(sentence(preset.summary)).weak().small();
                card.add(Label::new(text).wrap().selectable(false));
                if response.clicked() {
                    *run = with;
                }
                response.on_hover_text("Sets everything but model, data and prompts.");
            }
        });
    });
}

/// What the choice comes to.
fn summary(ui: &mut Ui, studio: &Studio) {
    let pricing = &studio.pricing;
    card(ui, "", |ui| {
        if let Some(problem) = &pricing.problem {
            message(ui, Severity::Warning, problem);
            return;
        }
        ui.horizontal_wrapped(|ui| {
            ui.spacing_mut().item_spacing.x = 28.0;
            let share = 100.0 * pricing.trainable as f64 / pricing.total.max(1) as f64;
            let of = format!("of {}", grouped(pricing.total));
            figure(ui, &grouped(pricing.trainable), &of, "trainable parameters");
            figure(ui, &format!("{share:.2}"), "%", "of all are trained");
            let (needed, unit) = split_unit(&bytes(pricing.bytes()));
            figure(ui, &needed, &unit, "memory in training");
            if let Some(steps) = pricing.steps {
                figure(ui, &grouped(steps.per_epoch as u64), "", "steps an epoch");
                figure(ui, &grouped(steps.total as u64), "", "steps in all");
                if let Some(seconds) = crate::app::gate::forecast(studio).and_then(|f| f.seconds) {
                    figure(ui, &duration(seconds), "", "expected, at the speed of the last run");
                }
            }
        });
    });
}

/// `1.5` and `GiB`.
fn split_unit(text: &str) -> (String, String) {
    match text.split_once(' ') {
        Some((value, unit)) => (value.to_string(), unit.to_string()),
        None => (text.to_string(), String::new()),
    }
}

fn adapter(ui: &mut Ui, studio: &Studio, run: &mut RunConfig) {
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

fn targets(ui: &mut Ui, studio: &Studio, run: &mut RunConfig) {
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

fn steps(ui: &mut Ui, run: &mut RunConfig) {
    card(ui, "Steps", |ui| {
        let tiny = run.model.source.starts_with("builtin:");
        let train = &mut run.train;
        whole(ui, "Epochs", ("train", "epochs"), &mut train.epochs, Range::whole(1.0, 20.0, ""));
        count(ui, "Steps at most", ("train", "max_steps"), &mut train.max_steps, "0: as the epochs say");
        let usual = if tiny { (1e-4, 5e-3) } else { (1e-4, 2e-4) };
        let range = Range::number_log(1e-6, 1e-2);
        number_with(ui, "Learning rate", ("train", "learning_rate"), &mut train.learning_rate, range, Some(usual));
        row(ui, "Schedule", ("train", "schedule"), |ui| {
            segmented(
                ui,
                "Schedule",
                &mut train.schedule,
                &[
                    (Schedule::Constant, "Constant", "Stays at its peak."),
                    (Schedule::Linear, "Linear", "Falls to zero in a straight line."),
                    (Schedule::Cosine, "Cosine", "Falls to zero along half a cosine: slow, fast, slow."),
                ],
            )
        });
        number(ui, "Warm-up", ("train", "warmup_ratio"), &mut train.warmup_ratio, Range::number(0.0, 0.2));
        whole(ui, "Batch size", ("train", "batch_size"), &mut train.batch_size, Range::whole_log(1.0, 64.0, ""));
        let accumulation = &mut train.grad_accumulation;
        whole(ui, "Accumulation", ("train", "grad_accumulation"), accumulation, Range::whole_log(1.0, 128.0, ""));
        number(ui, "Weight decay", ("train", "weight_decay"), &mut train.weight_decay, Range::number(0.0, 0.2));
        number(ui, "Gradient clipping", ("train", "max_grad_norm"), &mut train.max_grad_norm, Range::number(0.0, 5.0));
        let mut seed = train.seed as usize;
        if count(ui, "Seed", ("train", "seed"), &mut seed, "") {
            train.seed = seed as u64;
        }
        let effective = train.batch_size * train.grad_accumulation;
        let sequences = if effective == 1 { "one sequence".into() } else { format!("{effective} sequences") };
        ui.label(RichText::new(format!("One step sees {sequences}.")).weak());
    });
}

fn whole(ui: &mut Ui, title: &str, path: (&str, &str), value: &mut usize, range: Range) {
    let mut number_value = *value as f64;
    if number(ui, title, path, &mut number_value, range) {
        *value = number_value as usize;
    }
}

fn memory(ui: &mut Ui, studio: &Studio, run: &mut RunConfig) {
    card(ui, "Memory", |ui| {
        row(ui, "Weights", ("model", "quantization"), |ui| {
            segmented(
                ui,
                "Weights",
                &mut run.model.quantization,
                &[
                    (Quantization::Nf4, "NF4", "4 bits a weight (QLoRA): an eighth of 32 bits, with little loss."),
                    (Quantization::None, "Unquantized", "In the compute type: exact, and four times as large."),
                    (Quantization::Keep, "As stored", "GGUF blocks or bitsandbytes 4-bit, without a second loss."),
                ],
            )
        });
        ui.add_enabled_ui(run.model.quantization == Quantization::Nf4, |ui| {
            row(ui, "Double quantization", ("model", "double_quant"), |ui| {
                ui.checkbox(&mut run.model.double_quant, "quantize the scales, too")
            });
        });
        row(ui, "Compute", ("model", "compute"), |ui| {
            segmented(
                ui,
                "Compute",
                &mut run.model.compute,
                &[(Compute::Bf16, "bf16", "Fast; sums are in 32 bits."), (Compute::F32, "f32", "Exact and slower.")],
            )
        });
        row(ui, "Checkpointing", ("train", "checkpointing"), |ui| {
            segmented(
                ui,
                "Checkpointing",
                &mut run.train.checkpointing,
                &[
                    (Checkpointing::Auto, "Auto", "The fastest that fits, layer by layer."),
                    (Checkpointing::None, "None", "Keeps everything: fastest, largest."),
                    (Checkpointing::PerLayer, "Per layer", "Computes each layer twice: a fifth slower, far smaller."),
                ],
            )
        });
        let (kept, layers) = studio.pricing.kept_layers;
        if layers > 0 {
            let text = match kept {
                k if k == layers => format!("All {layers} layers keep their forward."),
                0 => format!("All {layers} layers are computed twice."),
                k => format!("{k} of {layers} layers keep their forward, the others are computed twice."),
            };
            ui.label(RichText::new(text).weak());
        }
        let offload = run.train.checkpointing != Checkpointing::None;
        ui.add_enabled_ui(offload, |ui| {
            row(ui, "Layer inputs", ("train", "checkpoint_offload"), |ui| {
                ui.checkbox(&mut run.train.checkpoint_offload, "wait in a file for their backward")
                    .on_disabled_hover_text("Checkpointing is None: no layer is computed again, so none waits.")
            });
        });
        count(
            ui,
            "Logits at a time",
            ("train", "logits_chunk"),
            &mut run.train.logits_chunk,
            "rows; 0: as many as 32 MiB hold",
        );
        row(ui, "Optimizer", ("train", "optimizer"), |ui| {
            segmented(
                ui,
                "Optimizer",
                &mut run.train.optimizer,
                &[
                    (OptimizerKind::Adamw, "AdamW", "Two moments in 32 bits: 8 bytes for each trained number."),
                    (
                        OptimizerKind::Adamw8bit,
                        "8-bit",
                        "The moments in 8 bits: a quarter of the memory, nearly the same curve.",
                    ),
                    (
                        OptimizerKind::PagedAdamw,
                        "Paged",
                        "The moments in a file that the system keeps in memory while there is room: the same numbers, \
                         slower when there is none.",
                    ),
                ],
            )
        });
        super::fit::ui(ui, studio, run);
    });
}

fn keeping(ui: &mut Ui, run: &mut RunConfig) {
    card(ui, "Checking and keeping", |ui| {
        count(ui, "Validate every", ("eval", "every"), &mut run.eval.every, "steps; 0: at the end");
        count(ui, "Checkpoint every", ("output", "save_every"), &mut run.output.save_every, "steps");
        count(ui, "Checkpoints kept", ("output", "keep"), &mut run.output.keep, "");
    });
}

#[cfg(test)]
mod tests {
    use eframe::egui::Theme;
    use egui_kittest::kittest::{NodeT, Queryable};

    use crate::app::Room;
    use crate::engine::config::{Checkpointing, OptimizerKind, TargetModules};
    use crate::engine::memory::Item;
    use crate::ui::testing::TestWindow;

    #[test]
    fn what_is_clicked_is_set_and_priced_in_the_same_frame() {
        let mut window = TestWindow::new([1280.0, 1000.0], Theme::Dark);
        window.wait_until_ready();
        window.go(Room::Method);
        let before = window.window().studio.pricing.clone();
        window.click("Adapt k_proj");
        let studio = &window.window().studio;
        let TargetModules::Names(names) = &studio.shared.run.method.target_modules else { panic!("still all") };
        assert_eq!(names.len(), 6);
        assert!(studio.pricing.trainable < before.trainable);
        window.click("Target modules: All");
        assert_eq!(window.window().studio.pricing.trainable, before.trainable);
        let optimizer = |window: &mut TestWindow, label: &str| {
            window.click(label);
            let studio = &window.window().studio;
            (studio.shared.run.train.optimizer, studio.pricing.of_item(Item::Optimizer))
        };
        let full = 8 * before.trainable;
        let (kind, bytes) = optimizer(&mut window, "Optimizer: 8-bit");
        assert!(kind == OptimizerKind::Adamw8bit && bytes < full, "{bytes} of {full}");
        let (kind, bytes) = optimizer(&mut window, "Optimizer: Paged");
        assert!(kind == OptimizerKind::PagedAdamw && bytes <= 4 << 20, "{bytes}");
        assert_eq!(optimizer(&mut window, "Optimizer: AdamW"), (OptimizerKind::Adamw, full));
        window.click("Checkpointing: Per layer");
        let studio = &window.window().studio;
        assert_eq!(studio.shared.run.train.checkpointing, Checkpointing::PerLayer);
        assert!(studio.pricing.bytes() < before.bytes() && studio.pricing.kept_layers.0 == 0);
        let before = studio.pricing.clone();
        window.click("wait in a file for their backward");
        let studio = &window.window().studio;
        assert!(studio.shared.run.train.checkpoint_offload);
        // One of the four layers' inputs: three stay in memory.
        assert!(studio.pricing.of_item(Item::Activations) < before.of_item(Item::Activations));
        // Without layers that are computed again the box is grey.
        window.click("Checkpointing: None");
        window.harness.run_steps(2);
        let found = window.harness.get_by_label("wait in a file for their backward");
        assert!(found.accesskit_node().is_disabled());
    }

    #[test]
    fn what_does_not_fit_is_made_to_fit_with_one_click() {
        let mut window = TestWindow::new([1280.0, 1600.0], Theme::Dark);
        window.wait_until_ready();
        window.go(Room::Method);
        window.click("Checkpointing: None");
        let studio = &mut window.window().studio;
        let mut device = studio.shared.device.clone();
        device.available_bytes = studio.pricing.bytes() * 9 / 10;
        studio.fix_device(device);
        assert!(!studio.pricing.fits());
        window.harness.run_steps(2);
        let offer = window.window().studio.pricing.fix.clone().unwrap();
        // In the memory bar and in the card, where it also says what it does.
        window.click(&format!("Make it fit: {}", offer.label()));
        let studio = &window.window().studio;
        assert_eq!(studio.shared.run, offer.run);
        assert!(studio.pricing.fits() && studio.pricing.fix.is_none());
        // With room again, the way back is offered.
        let studio = &mut window.window().studio;
        studio.shared.run.train.checkpointing = Checkpointing::PerLayer;
        let mut device = studio.shared.device.clone();
        device.available_bytes *= 10;
        studio.fix_device(device);
        window.harness.run_steps(2);
        let faster = window.window().studio.pricing.faster.clone();
        let auto = faster.iter().find(|offer| offer.run.train.checkpointing == Checkpointing::Auto).unwrap();
        window.click(&format!("Apply: {}", auto.label()));
        assert_eq!(window.window().studio.pricing.kept_layers, (4, 4));
    }

    #[test]
    fn a_preset_leaves_model_and_data_alone() {
        let mut window = TestWindow::new([1280.0, 1000.0], Theme::Light);
        window.wait_until_ready();
        window.go(Room::Method);
        window.window().studio.shared.run.data.train = "/my/rows.jsonl".into();
        window.click("Preset: Low memory");
        let run = &window.window().studio.shared.run;
        assert_eq!((run.model.source.as_str(), run.data.train.as_str()), ("builtin:tiny-chat", "/my/rows.jsonl"));
        assert_eq!(run.train.checkpointing, Checkpointing::PerLayer);
        assert_eq!(run.train.optimizer, OptimizerKind::Adamw8bit);
        assert!(window.harness.query_by_label("Preset: Low memory").is_some());
    }
}
