//! The plot of several curves over the same steps.

use std::collections::BTreeSet;

use eframe::egui::{Color32, Id, PointerButton, PopupAnchor, Role, Stroke, Tooltip, Ui, WidgetInfo};
use egui_plot::{HLine, Line, LineStyle, Plot, PlotBounds, PlotPoint, PlotPoints, PlotResponse, Points};

use super::axis::{self, Scale};
use super::linked::{LinkedPlots, nearest};
use super::number::{Unit, grouped};
use super::{header, number};
use crate::app::series::{Curve, Point, Series};

/// Room for the numbers beside the plot, the same in all of them, so that plots above each other align.
const Y_AXIS_WIDTH: f32 = 78.0;
/// Columns that are told apart, whatever the screen.
const MOST_COLUMNS: usize = 4096;
/// With more room than this for each point, in columns, the points are marked.
const ROOM_FOR_MARKS: usize = 12;

/// What one plot remembers between frames: what is hidden and zoomed, and the buffers it draws from.
#[derive(Debug, Default)]
pub struct PlotState {
    scale: Scale,
    hidden: BTreeSet<String>,
    /// The heights that were zoomed to.
    zoom: Option<(f64, f64)>,
    /// Columns of the last frame.
    columns: usize,
    buffers: Vec<Buffer>,
}

impl PlotState {
    /// Whether the scale is logarithmic.
    pub fn is_log(&self) -> bool {
        self.scale == Scale::Log
    }

    /// Chooses the scale.
    pub fn set_log(&mut self, log: bool) {
        let scale = if log { Scale::Log } else { Scale::Linear };
        if scale != self.scale {
            self.scale = scale;
            self.zoom = None;
        }
    }

    /// Whether a curve is shown.
    pub fn is_shown(&self, curve: &str) -> bool {
        !self.hidden.contains(curve)
    }

    /// The lowest height that is drawn.
    #[cfg(test)]
    pub(super) fn lowest_height(&self) -> Option<f64> {
        self.buffers.iter().flat_map(|b| &b.points).map(|p| p.y).reduce(f64::min)
    }

    /// Shows or hides a curve.
    pub fn set_shown(&mut self, curve: &str, shown: bool) {
        if shown {
            self.hidden.remove(curve);
        } else {
            self.hidden.insert(curve.to_string());
        }
    }
}

/// What is drawn of one curve: reused from frame to frame.
#[derive(Debug, Default)]
struct Buffer {
    view: Vec<Point>,
    points: Vec<PlotPoint>,
    /// Ends of the pieces between gaps.
    ends: Vec<usize>,
}

impl Buffer {
    fn fill(&mut self, series: &Series, steps: (f64, f64), columns: usize, scale: Scale) {
        series.view(steps.0..=steps.1, columns, &mut self.view);
        self.points.clear();
        self.ends.clear();
        for [x, y] in &self.view {
            if !y.is_finite() {
                if self.points.len() > self.ends.last().copied().unwrap_or(0) {
                    self.ends.push(self.points.len());
                }
            } else if let Some(height) = scale.height(*y) {
                self.points.push(PlotPoint::new(*x, height));
            }
        }
        self.ends.push(self.points.len());
    }

    fn pieces(&self) -> impl Iterator<Item = &[PlotPoint]> {
        let begins = std::iter::once(0).chain(self.ends.iter().copied());
        begins.zip(&self.ends).map(|(begin, end)| &self.points[begin..*end]).filter(|piece| !piece.is_empty())
    }
}

/// How a curve is drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Look {
    /// A thin, pale line behind the others.
    Faint,
    Strong,
    /// A line with its points marked while there is room.
    Marked,
}

struct Entry<'a> {
    name: String,
    series: &'a Series,
    color: Color32,
    look: Look,
}

impl Entry<'_> {
    fn stroke(&self) -> Stroke {
        match self.look {
            Look::Faint => Stroke::new(1.0, self.color.gamma_multiply(0.4)),
            Look::Strong | Look::Marked => Stroke::new(1.8, self.color),
        }
    }
}

struct Reference {
    name: String,
    value: f64,
    color: Color32,
}

/// Several curves over the steps of a run, with a legend above them. The pointer reads values; dragging zooms to a box,
/// Ctrl and the wheel, or two fingers, zoom into the steps, a double click shows the whole run again and follows it.
pub struct CurvePlot<'a> {
    title: &'a str,
    unit: Unit,
    height: f32,
    from_zero: bool,
    entries: Vec<Entry<'a>>,
    references: Vec<Reference>,
}

impl<'a> CurvePlot<'a> {
    /// A plot without curves. The title names the plot, its axis and its controls: no two plots of a room share it.
    pub fn new(title: &'a str, unit: Unit) -> CurvePlot<'a> {
        CurvePlot { title, unit, height: 180.0, from_zero: false, entries: Vec::new(), references: Vec::new() }
    }

    /// Height of the plot without its legend, in points (180).
    pub fn height(mut self, points: f32) -> Self {
        self.height = points.max(60.0);
        self
    }

    /// Lets the values begin at 0, where a share of the whole is meant, as with memory.
    pub fn from_zero(mut self) -> Self {
        self.from_zero = true;
        self
    }

    /// A curve as it came, pale, and its smoothed variant over it; as it came alone while nothing is smoothed.
    pub fn curve(mut self, name: &str, curve: &'a Curve, color: Color32) -> Self {
        if curve.smoothing() == 0.0 {
            return self.line(name, curve.raw(), color);
        }
        self.entries.push(Entry { name: name.to_string(), series: curve.raw(), color, look: Look::Faint });
        self.line(&format!("{name}, smoothed"), curve.smooth(), color)
    }

    /// A line.
    pub fn line(mut self, name: &str, series: &'a Series, color: Color32) -> Self {
        self.entries.push(Entry { name: name.to_string(), series, color, look: Look::Strong });
        self
    }

    /// A line with its points marked, for what is measured now and then, such as the validation loss.
    pub fn marked(mut self, name: &str, series: &'a Series, color: Color32) -> Self {
        self.entries.push(Entry { name: name.to_string(), series, color, look: Look::Marked });
        self
    }

    /// A dashed line at a value, such as the memory that was planned.
    pub fn reference(mut self, name: &str, value: f64, color: Color32) -> Self {
        self.references.push(Reference { name: name.to_string(), value, color });
        self
    }

    /// Draws the plot over the whole width.
    pub fn show(self, ui: &mut Ui, state: &mut PlotState, linked: &mut LinkedPlots) {
        let id = linked.plot_id(self.title);
        ui.vertical(|ui| {
            self.header(ui, state, linked);
            let shown: Vec<&Entry<'_>> = self.entries.iter().filter(|e| state.is_shown(&e.name)).collect();
            let steps = linked.steps();
            let columns = match state.columns {
                0 => (ui.available_width() * ui.pixels_per_point()) as usize,
                columns => columns,
            };
            state.buffers.resize_with(shown.len(), Buffer::default);
            for (entry, buffer) in shown.iter().zip(&mut state.buffers) {
                buffer.fill(entry.series, steps, columns.clamp(1, MOST_COLUMNS), state.scale);
            }
            let heights = state.zoom.unwrap_or_else(|| self.heights(state, steps));
            let bounds = PlotBounds::from_min_max([steps.0, heights.0], [steps.1, heights.1]);
            let response = self.plot(ui, id, state, linked, &shown, bounds);
            state.columns = (response.transform.frame().width() * ui.pixels_per_point()) as usize;
            interact(ui, &response, &bounds, state, linked);
            self.hover(ui, &response, &shown, linked);
        });
    }

    fn header(&self, ui: &mut Ui, state: &mut PlotState, linked: &mut LinkedPlots) {
        let (mut log, zoomed) = (state.is_log(), linked.zoom().is_some() || state.zoom.is_some());
        let cursor = linked.cursor();
        let legend = |ui: &mut Ui| {
            ui.strong(self.title);
            let mut entry = |name: &str, value: Option<&str>, stroke: Stroke| {
                let mut shown = state.is_shown(name);
                if header::legend_entry(ui, self.title, name, value, stroke, &mut shown).changed() {
                    state.set_shown(name, shown);
                }
            };
            for curve in &self.entries {
                let point = cursor.map_or_else(|| curve.series.last(), |x| value_at(curve.series, x));
                let value = point.map(|p| self.unit.value(p[1]));
                entry(&curve.name, value.as_deref(), curve.stroke());
            }
            for reference in &self.references {
                let value = self.unit.value(reference.value);
                entry(&reference.name, Some(&value), Stroke::new(1.5, reference.color));
            }
        };
        let mut reset = false;
        ui.horizontal(|ui| reset = header::buttons(ui, self.title, &mut log, zoomed, legend));
        if reset {
            linked.set_zoom(None);
            state.zoom = None;
        }
        state.set_log(log);
    }

    /// The heights that hold everything that is drawn.
    fn heights(&self, state: &PlotState, steps: (f64, f64)) -> (f64, f64) {
        let curves = state.buffers.iter().filter_map(|b| {
            let inside = b.points.iter().filter(|p| (steps.0..=steps.1).contains(&p.x)).map(|p| p.y);
            inside.fold(None, |range: Option<(f64, f64)>, y| Some(range.map_or((y, y), |(l, h)| (l.min(y), h.max(y)))))
        });
        let shown = self.references.iter().filter(|r| state.is_shown(&r.name));
        let references = shown.filter_map(|r| state.scale.height(r.value)).map(|y| (y, y));
        let zero = (self.from_zero && state.scale == Scale::Linear).then_some((0.0, 0.0));
        let all = curves.chain(references).chain(zero).reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)));
        let (low, high) = all.unwrap_or((0.0, 1.0));
        let span = high - low;
        let margin = if span > low.abs().max(high.abs()) * 1e-9 { 0.06 * span } else { (0.1 * high.abs()).max(1e-9) };
        (if self.from_zero && low == 0.0 { 0.0 } else { low - margin }, high + margin)
    }

    fn plot(
        &self,
        ui: &mut Ui,
        id: Id,
        state: &PlotState,
        linked: &LinkedPlots,
        shown: &[&Entry<'_>],
        bounds: PlotBounds,
    ) -> PlotResponse<()> {
        let (scale, unit) = (state.scale, self.unit);
        let width = ui.available_width();
        let step_marks = f64::from((width - Y_AXIS_WIDTH) / 90.0).clamp(2.0, 12.0);
        let value_marks = f64::from(self.height / 36.0).clamp(2.0, 8.0);
        let plot = Plot::new(self.title)
            .id(id)
            .height(self.height)
            .width(width)
            .allow_drag(false)
            .allow_zoom(false)
            .allow_scroll(false)
            .allow_axis_zoom_drag(false)
            .allow_double_click_reset(false)
            .boxed_zoom_pointer_button(PointerButton::Primary)
            .show_y(false)
            .link_cursor(linked.id, [true, false])
            .grid_spacing(4.0..=120.0)
            .grid_color(ui.visuals().text_color().gamma_multiply(0.18))
            .x_grid_spacer(move |input| axis::step_marks(input.bounds, step_marks))
            .y_grid_spacer(move |input| axis::value_marks(input.bounds, value_marks, scale, unit))
            .x_axis_formatter(|mark, _| Unit::None.tick(mark.value, mark.step_size))
            .y_axis_formatter(move |mark, range| axis::value_text(mark, scale, unit, (*range.start(), *range.end())))
            .y_axis_label(format!("{}{}", self.title, unit.in_brackets()))
            .y_axis_min_width(Y_AXIS_WIDTH);
        let many = state.columns / ROOM_FOR_MARKS;
        let references = self.references.iter().filter(|r| state.is_shown(&r.name));
        let heights: Vec<(f64, &Reference)> =
            references.filter_map(|r| scale.height(r.value).map(|height| (height, r))).collect();
        let response = plot.show(ui, |plot| {
            plot.set_plot_bounds(bounds);
            for (entry, buffer) in shown.iter().zip(&state.buffers) {
                let marked = entry.look == Look::Marked && buffer.points.len() <= many.max(2);
                for piece in buffer.pieces() {
                    let points = || PlotPoints::Borrowed(piece);
                    if piece.len() > 1 {
                        plot.line(Line::new("", points()).stroke(entry.stroke()).allow_hover(false));
                    }
                    if marked || piece.len() == 1 {
                        let radius = if marked { 3.0 } else { 1.5 };
                        let color = entry.stroke().color;
                        plot.points(Points::new("", points()).radius(radius).color(color).allow_hover(false));
                    }
                }
            }
            for (height, reference) in heights {
                let line = HLine::new("", height).stroke(Stroke::new(1.5, reference.color)).allow_hover(false);
                plot.hline(line.style(LineStyle::dashed_loose()));
            }
        });
        let label = format!("{} plot", self.title);
        response.response.widget_info(|| WidgetInfo::labeled(Role::Image, true, &label));
        response
    }

    /// The values under the pointer.
    fn hover(&self, ui: &Ui, response: &PlotResponse<()>, shown: &[&Entry<'_>], linked: &mut LinkedPlots) {
        let plot = &response.response;
        let pointer = plot.hover_pos().filter(|_| !plot.dragged());
        let x = pointer.map(|p| response.transform.value_from_position(p).x);
        // The step is that of a point, so that all plots of the group tell of the same one. A plot that the pointer has been
        // over for a while has its step from before the first plot was drawn.
        let id = linked.plot_id(self.title);
        let known = linked.known(id, *response.transform.frame());
        let step = x.and_then(|x| known.or_else(|| nearest(shown.iter().map(|e| e.series), x)));
        if step.is_some() {
            linked.place(*response.transform.frame());
        }
        linked.set_cursor(ui.ctx(), id, step);
        let Some(step) = step else { return };
        let anchor = PopupAnchor::Pointer;
        Tooltip::always_open(ui.ctx().clone(), plot.layer_id, plot.id, anchor).gap(12.0).show(|ui| {
            // As high as their text: as rows of controls they would stand far apart.
            ui.spacing_mut().interact_size.y = 0.0;
            ui.spacing_mut().item_spacing.y = 3.0;
            ui.strong(format!("Step {}", grouped(step)));
            for entry in shown {
                if let Some([at, value]) = value_at(entry.series, step) {
                    let behind = if at == step { String::new() } else { format!(" (step {})", number::grouped(at)) };
                    ui.horizontal(|ui| {
                        ui.colored_label(entry.color, &entry.name);
                        ui.label(format!("{}{behind}", self.unit.value(value)));
                    });
                }
            }
        });
    }
}

/// The point of a series that counts at a step: the nearest one, unless the step lies outside of the series.
fn value_at(series: &Series, step: f64) -> Option<Point> {
    let (first, last) = (series.first()?[0], series.last()?[0]);
    (first <= step && step <= last).then(|| series.nearest(step))?
}

/// Zooms: a box that was dragged, Ctrl and the wheel, a double click. The wheel alone scrolls the page.
fn interact(ui: &Ui, response: &PlotResponse<()>, drawn: &PlotBounds, state: &mut PlotState, linked: &mut LinkedPlots) {
    let plot = &response.response;
    let now = response.transform.bounds();
    if plot.double_clicked() {
        linked.set_zoom(None);
        state.zoom = None;
        ui.ctx().request_repaint();
        return;
    }
    if plot.drag_stopped() && (now.min() != drawn.min() || now.max() != drawn.max()) {
        let share = |axis: usize| (now.max()[axis] - now.min()[axis]) / (drawn.max()[axis] - drawn.min()[axis]);
        // A box that is flat or thin means the other axis.
        if share(0) > 0.02 {
            linked.set_zoom(Some((now.min()[0], now.max()[0])));
        }
        if share(1) > 0.08 {
            state.zoom = Some((now.min()[1], now.max()[1]));
        }
        ui.ctx().request_repaint();
    }
    let Some(pointer) = plot.hover_pos().filter(|_| plot.contains_pointer()) else { return };
    let factor = f64::from(ui.input(|input| input.zoom_delta()));
    if factor != 1.0 {
        let x = response.transform.value_from_position(pointer).x;
        let (low, high) = (drawn.min()[0], drawn.max()[0]);
        let (new_low, new_high) = (x - (x - low) / factor, x + (high - x) / factor);
        let (first, last) = linked.whole();
        if new_low <= first && new_high >= last {
            // There is nothing beyond the run.
            linked.set_zoom(None);
        } else if new_high - new_low > 1e-3 {
            // At most a thousandth of a step apart: beyond that nothing is left to see.
            linked.set_zoom(Some((new_low.max(first), new_high.min(last))));
        }
        ui.ctx().request_repaint();
    }
}
