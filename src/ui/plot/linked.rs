//! What the plots of a room have in common: the steps that they show and the step under the pointer.

use eframe::egui::{Context, Id};

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
}

impl LinkedPlots {
    /// Plots that are linked under a name that no other group of the window has.
    pub fn new(name: &str) -> LinkedPlots {
        let id = Id::unique(("linked plots", name));
        LinkedPlots { id, zoom: None, extent: None, cursor: None }
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
    pub fn cover<'a>(&mut self, curves: impl IntoIterator<Item = &'a Series>) {
        let each = curves.into_iter().filter_map(|curve| Some((curve.first()?[0], curve.last()?[0])));
        self.extent = each.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)));
    }

    /// The steps to show.
    pub(super) fn steps(&self) -> (f64, f64) {
        if let Some(zoom) = self.zoom {
            return zoom;
        }
        let (first, last) = self.extent.unwrap_or((0.0, 1.0));
        let margin = ((last - first) * 0.01).max(if last > first { 0.0 } else { 0.5 });
        (first - margin, last + margin)
    }
}
