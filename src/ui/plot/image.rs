//! Plots as a picture file, of any size, without a screen.

use std::path::Path;

use eframe::egui::{ColorImage, Context, Frame, Pos2, RawInput, Rect, Ui, Vec2, ViewportId};

use super::raster::{self, Textures};
use crate::engine::formats::atomic_write;
use crate::engine::{Error, Result};

/// The longest side of a picture, in pixels.
const LARGEST: u32 = 16_384;
/// Frames until axes and links have settled: the first measures, the second uses what it measured.
const FRAMES: usize = 4;

/// Size of a picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PngOptions {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Pixels to a point of the window: 2 draws lines and letters twice as large as on an ordinary screen.
    pub pixels_per_point: f32,
}

impl Default for PngOptions {
    fn default() -> Self {
        PngOptions { width: 1600, height: 900, pixels_per_point: 2.0 }
    }
}

/// Draws a part of a window into memory. `setup` gives the look (theme, fonts) to a fresh [`Context`]; `draw` is called
/// several times, as a window would, and is given all of the picture but a margin.
pub fn render(options: PngOptions, setup: impl FnOnce(&Context), mut draw: impl FnMut(&mut Ui)) -> Result<ColorImage> {
    let PngOptions { width, height, pixels_per_point } = options;
    let sides = 16..=LARGEST;
    if !sides.contains(&width) || !sides.contains(&height) {
        let message = format!("a picture of {width} × {height} pixels: each side must lie between 16 and {LARGEST}");
        return Err(Error::Other(message));
    }
    if !(0.25..=16.0).contains(&pixels_per_point) {
        let message = format!("a picture with {pixels_per_point} pixels to a point: it must lie between 0.25 and 16");
        return Err(Error::Other(message));
    }
    let context = Context::default();
    setup(&context);
    let size = Vec2::new(width as f32, height as f32) / pixels_per_point;
    let mut textures = Textures::default();
    let mut image = ColorImage::default();
    for frame in 0..FRAMES {
        let mut input = RawInput {
            screen_rect: Some(Rect::from_min_size(Pos2::ZERO, size)),
            time: Some(frame as f64 / 60.0),
            ..RawInput::default()
        };
        if let Some(viewport) = input.viewports.get_mut(&ViewportId::ROOT) {
            viewport.native_pixels_per_point = Some(pixels_per_point);
        }
        let mut output = context.run_ui(input, |ui| {
            let frame = Frame::central_panel(ui.style()).fill(ui.visuals().panel_fill).inner_margin(12);
            let inside = size - Vec2::splat(24.0);
            frame.show(ui, |ui| {
                ui.set_min_size(inside);
                draw(ui);
            });
        });
        textures.apply(std::mem::take(&mut output.textures_delta));
        if frame + 1 == FRAMES {
            let background = context.global_style().visuals.panel_fill.to_opaque();
            image = ColorImage::filled([width as usize, height as usize], background);
            let meshes = context.tessellate(std::mem::take(&mut output.shapes), output.pixels_per_point);
            raster::draw(&mut image, &meshes, &textures, output.pixels_per_point);
        }
    }
    Ok(image)
}

/// Writes what `draw` draws to a PNG file; see [`render`].
pub fn export_png(
    path: &Path,
    options: PngOptions,
    setup: impl FnOnce(&Context),
    draw: impl FnMut(&mut Ui),
) -> Result<()> {
    let image = render(options, setup, draw)?;
    atomic_write(path, &encode(&image, path)?)
}

fn encode(image: &ColorImage, path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, image.size[0] as u32, image.size[1] as u32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let rgb: Vec<u8> = image.pixels.iter().flat_map(|p| [p.r(), p.g(), p.b()]).collect();
    let failed = |e: png::EncodingError| Error::file(format!("could not make the picture: {e}"), path);
    let mut writer = encoder.write_header().map_err(failed)?;
    writer.write_image_data(&rgb).map_err(failed)?;
    writer.finish().map_err(failed)?;
    Ok(bytes)
}
