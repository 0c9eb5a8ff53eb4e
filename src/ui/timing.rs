//! What the window says of itself when it is measured: with `LORA_STUDIO_TIMING=1`, one line of JSON each on standard
//! error.
//!
//! - `{"first_frame_ms": 210.4}`: from the start of the program until its first frame was painted.
//! - `{"first_row_ms": 640.0}`: from the start of the program until the Data room has painted a row as tokens.
//! - `{"start_to_first_point_ms": 1830.2}`: from Start until the curve's first point was painted.
//! - `{"frames": 57, "seconds": 31.2}`: at the end. A window in which nothing happens paints nothing.

use std::time::Instant;

use eframe::egui::Context;

use crate::app::{Room, Studio};

/// The measurements of one window.
pub struct Timing {
    /// When the program began; none if nothing is to be measured.
    began: Option<Instant>,
    /// When Start was given, until the curve has its first point.
    start: Option<Instant>,
    /// What the frame that was laid out last is the first to show, and since when that was waited for.
    shows: Vec<(&'static str, Instant)>,
    frames: u64,
    /// Whether a row was painted.
    row: bool,
}

impl Timing {
    /// Measures if the environment says so; `began` is when the program began.
    pub fn new(began: Instant) -> Timing {
        let asked = std::env::var_os("LORA_STUDIO_TIMING").is_some_and(|value| value == "1");
        Timing { began: asked.then_some(began), start: None, shows: Vec::new(), frames: 0, row: false }
    }

    /// Start was `given`, and a run begins, or will as soon as the checks are done.
    pub fn start(&mut self, given: Instant) {
        self.start = Some(given);
    }

    /// A frame begins: the one before has been painted.
    pub fn before_frame(&mut self) {
        for (what, since) in self.shows.drain(..) {
            eprintln!("{{\"{what}\": {:.1}}}", since.elapsed().as_secs_f64() * 1e3);
        }
    }

    /// A frame has been laid out; it is painted after this.
    pub fn after_frame(&mut self, ctx: &Context, studio: &Studio) {
        let Some(began) = self.began else { return };
        if self.frames == 0 {
            self.shows.push(("first_frame_ms", began));
        }
        self.frames += 1;
        let row = matches!(&studio.data.look.shown, Some(Ok(row)) if !row.tokens.is_empty());
        if studio.shared.prefs.room == Room::Data && row && !std::mem::replace(&mut self.row, true) {
            self.shows.push(("first_row_ms", began));
        }
        let point = studio.view.as_ref().is_some_and(|view| view.own && view.newest.is_some());
        if studio.shared.prefs.room == Room::Train
            && point
            && let Some(start) = self.start.take()
        {
            self.shows.push(("start_to_first_point_ms", start));
        }
        if !self.shows.is_empty() {
            // The next frame tells.
            ctx.request_repaint();
        }
    }

    /// The window is closed.
    pub fn close(&self) {
        let Some(began) = self.began else { return };
        eprintln!("{{\"frames\": {}, \"seconds\": {:.1}}}", self.frames, began.elapsed().as_secs_f64());
    }
}
