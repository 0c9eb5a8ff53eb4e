//! The table of runs: sorted by any column, filtered, and drawn only where it is seen.

use std::cmp::Ordering;

use eframe::egui::{Align, Button, Checkbox, Label, Layout, RichText, Role, ScrollArea, Sense, Ui, WidgetInfo};
use egui_extras::{Column as TableColumn, TableBuilder};
use egui_material_icons::icons;

use super::{date, status_word, tail};
use crate::app::command::Commands;
use crate::app::runs::RunsCommand;
use crate::app::{Command, Studio};
use crate::engine::config::shorten_home;
use crate::engine::train::run_dir::{RunSummary, Status};
use crate::ui::theme::palette;
use crate::ui::widgets::{badge, focus_ring};
use crate::units::{duration, grouped};

const ROW: f32 = 28.0;
const MOST_HEIGHT: f32 = 290.0;
/// From these widths on there is room for all columns, and for most.
const WIDE: f32 = 1080.0;
const MEDIUM: f32 = 900.0;

/// A column that can be sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    Name,
    Model,
    Data,
    Status,
    Steps,
    Loss,
    Validation,
    Trained,
    Time,
    Begun,
}

impl Column {
    fn title(self) -> &'static str {
        match self {
            Column::Name => "Name",
            Column::Model => "Model",
            Column::Data => "Data",
            Column::Status => "Status",
            Column::Steps => "Steps",
            Column::Loss => "Loss",
            Column::Validation => "Best validation",
            Column::Trained => "Trained",
            Column::Time => "Time",
            Column::Begun => "Begun",
        }
    }

    fn help(self) -> &'static str {
        match self {
            Column::Name => "The name that you gave it, or its folder's",
            Column::Model => "The frozen model",
            Column::Data => "The rows that it was trained on",
            Column::Status => "How the run stands",
            Column::Steps => "Optimizer steps that were made, of how many",
            Column::Loss => "Of the newest step, in nats",
            Column::Validation => "The lowest validation loss, in nats",
            Column::Trained => "Numbers that are trained",
            Column::Time => "Time of training",
            Column::Begun => "When it was begun",
        }
    }

    /// The columns for which there is room and in which something stands, with their least widths.
    fn shown(width: f32, list: &[RunSummary]) -> Vec<(Column, f32)> {
        let all = [
            (Column::Name, 130.0, 0.0),
            (Column::Model, 120.0, MEDIUM),
            (Column::Data, 100.0, WIDE),
            (Column::Status, 104.0, 0.0),
            (Column::Steps, 104.0, 0.0),
            (Column::Loss, 50.0, 0.0),
            (Column::Validation, 92.0, 0.0),
            (Column::Trained, 84.0, WIDE),
            (Column::Time, 82.0, 0.0),
            (Column::Begun, 120.0, 0.0),
        ];
        let validated = list.iter().any(|run| run.best_validation_loss.is_some());
        all.into_iter()
            .filter(|(column, _, from)| width >= *from && (validated || *column != Column::Validation))
            .map(|(column, least, _)| (column, least))
            .collect()
    }
}

/// What the table remembers between frames.
pub struct View {
    /// What is typed to filter by.
    pub filter: String,
    sort: (Column, bool),
    /// Indices into the list, and what they were computed for.
    order: Vec<usize>,
    key: Option<(u64, String, (Column, bool))>,
}

impl Default for View {
    fn default() -> Self {
        View { filter: String::new(), sort: (Column::Begun, false), order: Vec::new(), key: None }
    }
}

impl View {
    /// Rows that pass the filter.
    pub fn shown(&self) -> usize {
        self.order.len()
    }

    /// The table.
    pub fn ui(&mut self, ui: &mut Ui, studio: &Studio, list: &[RunSummary], commands: &mut Commands) {
        self.update(studio.runs.version, list);
        let width = ui.available_width();
        let columns = Column::shown(width, list);
        ScrollArea::horizontal().id_salt("runs-sideways").show(ui, |ui| {
            let mut table = TableBuilder::new(ui)
                .id_salt(("runs", columns.len()))
                // Not for the keyboard: the name is the button of its row.
                .sense(Sense::CLICK)
                .striped(false)
                .max_scroll_height(MOST_HEIGHT)
                .auto_shrink([false, true])
                .cell_layout(Layout::left_to_right(Align::Center))
                .column(TableColumn::exact(24.0));
            for (column, least) in &columns {
                table = table.column(match column {
                    Column::Name => TableColumn::remainder().at_least(*least).clip(true),
                    _ => TableColumn::exact(*least).clip(true),
                });
            }
            let table = table.header(24.0, |mut header| {
                header.col(|_| {});
                for (column, _) in &columns {
                    header.col(|ui| self.title(ui, *column));
                }
            });
            table.body(|body| {
                body.rows(ROW, self.order.len(), |mut row| {
                    let run = &list[self.order[row.index()]];
                    row.set_selected(studio.runs.selected.as_ref() == Some(&run.path));
                    row.col(|ui| compare_box(ui, studio, run, commands));
                    let mut clicked = false;
                    for (column, _) in &columns {
                        row.col(|ui| clicked |= cell(ui, *column, run, studio));
                    }
                    if clicked || row.response().clicked() {
                        commands.send(Command::Runs(RunsCommand::Select(Some(run.path.clone()))));
                    }
                });
            });
        });
    }

    fn title(&mut self, ui: &mut Ui, column: Column) {
        let (by, up) = self.sort;
        let text = RichText::new(column.title()).small().weak();
        let arrow = if up { icons::ICON_ARROW_UPWARD } else { icons::ICON_ARROW_DOWNWARD };
        let button = match by == column {
            true => Button::new((text, arrow.rich_text().size(12.0).weak())),
            false => Button::new(text),
        };
        let response = ui.add(button.frame(false));
        focus_ring(ui, &response);
        let name = format!("Sort by {}", column.title());
        response.widget_info(|| WidgetInfo::labeled(Role::Button, true, &name));
        if response.on_hover_text(column.help()).clicked() {
            self.sort = if by == column { (column, !up) } else { (column, true) };
        }
    }

    /// Filters and sorts, when something has changed.
    fn update(&mut self, version: u64, list: &[RunSummary]) {
        let same = self.key.as_ref().is_some_and(|(v, f, s)| *v == version && *f == self.filter && *s == self.sort);
        if same {
            return;
        }
        self.key = Some((version, self.filter.clone(), self.sort));
        let words: Vec<String> = self.filter.split_whitespace().map(str::to_lowercase).collect();
        let passes = |run: &RunSummary| {
            let text = [&run.name, &run.model, &run.dataset, super::word(&run.status)].map(str::to_lowercase);
            words.iter().all(|word| text.iter().any(|text| text.contains(word)))
        };
        self.order = (0..list.len()).filter(|&i| passes(&list[i])).collect();
        let (column, up) = self.sort;
        self.order.sort_by(|&a, &b| {
            let order = compare(column, &list[a], &list[b], up);
            order.then_with(|| list[b].path.cmp(&list[a].path))
        });
    }
}

/// What is not known stands last, whatever the direction.
fn compare(column: Column, a: &RunSummary, b: &RunSummary, up: bool) -> Ordering {
    fn known<T>(a: Option<T>, b: Option<T>, up: bool, order: impl Fn(&T, &T) -> Ordering) -> Ordering {
        match (a, b) {
            (Some(a), Some(b)) if up => order(&a, &b),
            (Some(a), Some(b)) => order(&b, &a),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => Ordering::Equal,
        }
    }
    let text = |text: &str| (!text.is_empty()).then(|| text.to_lowercase());
    let rank = |run: &RunSummary| match run.status {
        Status::Running => 0,
        Status::Interrupted => 1,
        Status::Failed(_) => 2,
        Status::Stopped => 3,
        Status::Finished => 4,
        Status::Broken(_) => 5,
    };
    match column {
        Column::Name => known(text(&a.name), text(&b.name), up, Ord::cmp),
        Column::Model => known(text(tail(&a.model)), text(tail(&b.model)), up, Ord::cmp),
        Column::Data => known(text(tail(&a.dataset)), text(tail(&b.dataset)), up, Ord::cmp),
        Column::Status => known(Some(rank(a)), Some(rank(b)), up, Ord::cmp),
        Column::Steps => known(Some(a.steps), Some(b.steps), up, Ord::cmp),
        Column::Loss => known(a.last_loss, b.last_loss, up, f64::total_cmp),
        Column::Validation => known(a.best_validation_loss, b.best_validation_loss, up, f64::total_cmp),
        Column::Trained => known(a.trainable_parameters, b.trainable_parameters, up, Ord::cmp),
        Column::Time => known(Some(a.seconds), Some(b.seconds), up, f64::total_cmp),
        Column::Begun => known(text(&a.created), text(&b.created), up, Ord::cmp),
    }
}

fn compare_box(ui: &mut Ui, studio: &Studio, run: &RunSummary, commands: &mut Commands) {
    let mut on = studio.runs.compared.contains(&run.path);
    if matches!(run.status, Status::Broken(_)) {
        return;
    }
    let response = ui.add(Checkbox::without_text(&mut on));
    let name = format!("Compare {}", run.name);
    response.widget_info(|| WidgetInfo::selected(Role::CheckBox, true, on, &name));
    if response.on_hover_text("Draw its curves over those of others").clicked() {
        commands.send(Command::Runs(RunsCommand::Compare(run.path.clone(), on)));
    }
}

/// True when the run is to be selected.
fn cell(ui: &mut Ui, column: Column, run: &RunSummary, studio: &Studio) -> bool {
    let p = palette(ui);
    let mut show = |text: String| drop(ui.add(Label::new(text).truncate().selectable(false)));
    let loss = |loss: Option<f64>| loss.map(|loss| format!("{loss:.3}")).unwrap_or_default();
    match column {
        Column::Name => {
            let selected = studio.runs.selected.as_ref() == Some(&run.path);
            let response = ui.add(Button::new(&run.name).frame(false).truncate());
            focus_ring(ui, &response);
            let name = format!("Select {}", run.name);
            response.widget_info(|| WidgetInfo::selected(Role::Button, true, selected, &name));
            return response.on_hover_text(shorten_home(&run.path)).clicked();
        }
        Column::Model => show(tail(&run.model).to_string()),
        Column::Data => show(tail(&run.dataset).to_string()),
        Column::Status => {
            let (word, color) = status_word(&run.status, &p);
            let response = badge(ui, word, color);
            if let Status::Failed(why) | Status::Broken(why) = &run.status {
                response.on_hover_text(why);
            }
        }
        Column::Steps => show(match run.total_steps {
            Some(total) => format!("{} of {}", grouped(run.steps as u64), grouped(total as u64)),
            None => grouped(run.steps as u64),
        }),
        Column::Loss => show(loss(run.last_loss)),
        Column::Validation => show(loss(run.best_validation_loss)),
        Column::Trained => show(run.trainable_parameters.map(grouped).unwrap_or_default()),
        Column::Time => show(if run.seconds > 0.0 { duration(run.seconds) } else { String::new() }),
        Column::Begun => show(date(run)),
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_stands_last_in_both_directions() {
        let folder = tempfile::tempdir().unwrap();
        let run = |loss: Option<f64>| {
            let summary = crate::engine::train::run_dir::summary(&folder.path().join(format!("{loss:?}")));
            RunSummary { last_loss: loss, ..summary }
        };
        let list = [run(None), run(Some(2.0)), run(Some(1.0))];
        let mut view = View { sort: (Column::Loss, true), ..View::default() };
        view.update(1, &list);
        assert_eq!(view.order, [2, 1, 0]);
        view.sort = (Column::Loss, false);
        view.update(1, &list);
        assert_eq!(view.order, [1, 2, 0]);
        view.filter = "CANNOT 2.0".into();
        view.update(1, &list);
        assert_eq!(view.order, [1]);
    }
}
