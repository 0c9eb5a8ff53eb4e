//! How rows become sequences.

use eframe::egui::{self, DragValue, Label, Response, RichText, Slider, SliderClamping, Ui};

use super::percent;
use crate::app::command::Commands;
use crate::app::data::quoted;
use crate::app::{Command, Studio};
use crate::engine::config::{DataConfig, Kind, LossOn, SystemPrompt, field};
use crate::engine::data::Oddity;
use crate::ui::widgets::{card, segmented};
use crate::units::grouped;

/// The card.
pub fn ui(ui: &mut Ui, studio: &Studio, commands: &mut Commands) {
    let mut run = studio.shared.run.clone();
    card(ui, "Sequences", |ui| {
        ui.spacing_mut().item_spacing.y = 4.0;
        max_seq_len(ui, &mut run.data.max_seq_len);
        ui.add_space(8.0);
        check(ui, &mut run.data.packing, "Packing");
        help(ui, &packing_help(studio));
        ui.add_space(8.0);
        check(ui, &mut run.data.shuffle, "Shuffle");
        help(ui, "A new order of the rows in every epoch; usually on.");
        ui.add_space(8.0);
        let repeated = studio.data.info.as_ref().map_or(0, |info| info.duplicates);
        let name = match repeated {
            0 => "Leave out repeated rows".to_string(),
            n => format!("Leave out repeated rows ({})", grouped(n as u64)),
        };
        let response = check(ui, &mut run.data.deduplicate, &name);
        response.widget_info(|| {
            egui::WidgetInfo::selected(egui::Role::CheckBox, true, run.data.deduplicate, "Leave out repeated rows")
        });
        help(ui, "Of rows that say the same, the first alone is trained on.");
        taken_away(ui, &mut run.data);
        ui.add_space(8.0);
        ui.label("Train on");
        let choices = [
            (LossOn::Completions, "Every answer", "The assistant's turns, each with the token that ends it."),
            (
                LossOn::LastTurn,
                "Only the last answer",
                "The last of the assistant's turns; those before it are read only.",
            ),
            (LossOn::All, "All tokens", "Also what the user and the system say."),
        ];
        segmented(ui, "Train on", &mut run.data.loss_on, &choices);
        help(ui, "Which tokens count in the loss; usually every answer. Plain text is trained whole.");
    });
    if run != studio.shared.run {
        commands.send(Command::Edit(Box::new(run)));
    }
}

/// What was chosen at a finding, and can be given up here.
fn taken_away(ui: &mut Ui, data: &mut DataConfig) {
    let mut kept = None;
    for word in &data.leave_out {
        let oddity = Oddity::ALL.into_iter().find(|oddity| oddity.name() == word);
        let what = match oddity {
            Some(oddity) => quoted(oddity.words().split(" (").next().unwrap_or_default()),
            None => "a wrong mask; every row is checked".to_string(),
        };
        let mut left_out = true;
        ui.add_space(8.0);
        if check(ui, &mut left_out, &format!("Leave out rows with this: {what}")).changed() {
            kept = Some(word.clone());
        }
    }
    if let Some(kept) = kept {
        data.leave_out.retain(|word| *word != kept);
    }
    if data.system == SystemPrompt::InQuestion {
        let mut merged = true;
        ui.add_space(8.0);
        if check(ui, &mut merged, "System prompt in the first question").changed() {
            data.system = SystemPrompt::OwnTurn;
        }
        help(ui, "For chat templates that know no system turn.");
    }
}

fn max_seq_len(ui: &mut Ui, value: &mut usize) {
    let field = field("data", "max_seq_len");
    let (min, max) = match field.map(|f| f.kind) {
        Some(Kind::Integer { min, max }) => (min as usize, max as usize),
        _ => (2, 1 << 20),
    };
    let usual = field.and_then(|f| f.usual).unwrap_or((64.0, 8192.0));
    let label = ui.horizontal(|ui| {
        let label = ui.label("Maximum length");
        let drag = DragValue::new(value).range(min..=max).speed(8).suffix(" tokens");
        ui.add(drag).labelled_by(label.id);
        label
    });
    let mut slid = *value as f64;
    ui.spacing_mut().slider_width = (ui.available_width() - 8.0).clamp(120.0, 420.0);
    let slider = Slider::new(&mut slid, usual.0..=usual.1)
        .logarithmic(true)
        .clamping(SliderClamping::Never)
        .show_value(false)
        .integer();
    let response = ui.add(slider);
    let now = *value as f64;
    response.widget_info(|| egui::WidgetInfo::slider(true, now, "Maximum length slider"));
    if response.changed() {
        *value = snapped(slid).clamp(min, max);
    }
    label.response.on_hover_text("The longest sequence that is trained on, in tokens.");
    help(
        ui,
        &format!(
            "Longer rows are cut here. Memory and time grow with it; usual are {} to {} tokens.",
            grouped(usual.0 as u64),
            grouped(usual.1 as u64)
        ),
    );
}

/// A slider over a hundredfold range lands on lengths that people use.
fn snapped(length: f64) -> usize {
    let step = match length {
        n if n < 256.0 => 8.0,
        n if n < 1024.0 => 32.0,
        n if n < 4096.0 => 64.0,
        _ => 256.0,
    };
    ((length / step).round() * step) as usize
}

fn packing_help(studio: &Studio) -> String {
    let sentence = "Short rows share a sequence without seeing each other; usually on.";
    let Some(info) = &studio.data.info else { return sentence.to_string() };
    let n = |n: usize| grouped(n as u64);
    let verb = if info.settings.packing { "fill" } else { "would fill" };
    let (rows, noun) = (info.report.train.samples, if info.packed == 1 { "sequence" } else { "sequences" });
    format!("{sentence} {} rows {verb} {} {noun}, {} full.", n(rows), n(info.packed), percent(info.fill()))
}

fn check(ui: &mut Ui, value: &mut bool, name: &str) -> Response {
    ui.checkbox(value, name)
}

fn help(ui: &mut Ui, text: &str) {
    ui.add(Label::new(RichText::new(text).weak().small()).wrap());
}
