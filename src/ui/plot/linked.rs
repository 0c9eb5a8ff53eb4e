//! What the plots of a room have in common: the steps that they show and the step under the pointer.

use eframe::egui::{Context, Id, Rect};

use crate::app::series::Series;

/// Plots that are zoomed together and share a cursor. Keep it as long as the plots.
#[derive(Clone, Debug)]
pub struct LinkedPlots {
    pub(super) id: Id,
    /// The steps that were zoomed to; `None` follows the newest step.
    zoom: Option<(f64, f64)>,
    /// First and last step of all plots.
    extent: Option<(f64, f64)>,
    /// The plot under the pointer, and the step there.
    cursor: Option<(Id, f64)>,
    /// Where that plot was in the last frame.
    place: Rect,
}

impl LinkedPlots {
    /// Plots that are linked under a name that no other group of the window has.
    pub fn new(name: &str) -> LinkedPlots {
        let id = Id::unique(("linked plots", name));
        LinkedPlots { id, zoom: None, extent: None, cursor: None, place: Rect::NOTHING }
    }

    /// The steps that were zoomed to, or `None` while the plots follow the newest step.
    pub fn zoom(&self) -> Option<(f64, f64)> {
        self.zoom
    }

    /// Zooms to some steps, or follows the newest again.
    pub fn set_zoom(&mut self, steps: Option<(f64, f64)>) {
        self.zoom = steps.filter(|(low, high)| low.is_finite() && high.is_finite() && high - low > 1e-6);
    }

    /// The step under the pointer, if a plot is hovered.
    pub fn cursor(&self) -> Option<f64> {
        self.cursor.map(|(_, x)| x)
    }

    /// The id of the plot of this title: the same wherever it stands in the room, whatever comes above it.
    pub(super) fn plot_id(&self, title: &str) -> Id {
        self.id.with(title)
    }

    /// The plot of this title is not drawn in this frame: its cursor goes.
    pub fn hidden(&mut self, ctx: &Context, title: &str) {
        self.set_cursor(ctx, self.plot_id(title), None);
    }

    /// The pointer is over this plot, which is drawn here.
    pub(super) fn place(&mut self, frame: Rect) {
        self.place = frame;
    }

    pub(super) fn set_cursor(&mut self, ctx: &Context, plot: Id, x: Option<f64>) {
        let mine = self.cursor.is_some_and(|(owner, _)| owner == plot);
        let next = match x {
            Some(x) => Some((plot, x)),
            None if mine => None,
            None => return,
        };
        if next != self.cursor {
            self.cursor = next;
            // The plots above this one have been drawn already.
            ctx.request_repaint();
        }
    }

    /// Tells the curves of all plots, before the first of them is drawn: without a zoom, they show all steps that any has.
    /// A pointer that stays where it is lies over another step when there are more of them.
    pub fn cover<'a>(&mut self, ctx: &Context, curves: impl Iterator<Item = &'a Series> + Clone) {
        let each = curves.clone().filter_map(|curve| Some((curve.first()?[0], curve.last()?[0])));
        self.extent = each.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)));
        let Some(pointer) = ctx.input(|input| input.pointer.hover_pos()) else { return };
        let now = self.step_at(pointer.x).and_then(|x| nearest(curves, x));
        if let (Some((_, step)), Some(now)) = (&mut self.cursor, now) {
            *step = now;
        }
    }

    /// The step at a place of the screen in the plot under the pointer.
    fn step_at(&self, x: f32) -> Option<f64> {
        let place = self.place.x_range();
        if !place.contains(x) || place.span() < 1.0 {
            return None;
        }
        let (first, last) = self.steps();
        Some(first + (last - first) * f64::from((x - place.min) / place.span()))
    }

    /// The step under the pointer, if it is over this plot and was so in the last frame.
    pub(super) fn known(&self, plot: Id, frame: Rect) -> Option<f64> {
        self.cursor.filter(|(owner, _)| *owner == plot && self.place == frame).map(|(_, step)| step)
    }

    /// The steps to show.
    pub(super) fn steps(&self) -> (f64, f64) {
        self.zoom.unwrap_or_else(|| self.whole())
    }

    /// All steps that there are.
    pub(super) fn whole(&self) -> (f64, f64) {
        let (first, last) = self.extent.unwrap_or((0.0, 1.0));
        let margin = ((last - first) * 0.01).max(if last > first { 0.0 } else { 0.5 });
        (first - margin, last + margin)
    }
}

/// The step nearest to `x` that any of the curves has a point at.
pub(super) fn nearest<'a>(curves: impl Iterator<Item = &'a Series>, x: f64) -> Option<f64> {
    let steps = curves.filter_map(|curve| curve.nearest(x)).map(|point| point[0]);
    steps.reduce(|a, b| if (b - x).abs() < (a - x).abs() { b } else { a })
}
