//! Fills egui's triangles without a graphics card: what the window shows, as pixels in memory.
//!
//! egui's meshes carry their own smoothing of edges, so that one sample a pixel is enough.

use std::collections::HashMap;

use eframe::egui::epaint::{ClippedPrimitive, ImageData, Primitive, Vertex};
use eframe::egui::{Color32, ColorImage, Pos2, Rect, TextureId, TexturesDelta};

/// The textures that the meshes refer to: the letters.
#[derive(Default)]
pub(super) struct Textures(HashMap<TextureId, ColorImage>);

impl Textures {
    /// Takes over what a frame changed.
    pub fn apply(&mut self, delta: TexturesDelta) {
        for (id, changes) in &delta.set {
            for change in changes {
                let ImageData::Color(image) = &change.image;
                match (change.pos, self.0.get_mut(id)) {
                    (Some([left, top]), Some(whole)) => {
                        let [width, height] = image.size;
                        for row in 0..height {
                            let to = (top + row) * whole.size[0] + left;
                            whole.pixels[to..to + width].copy_from_slice(&image.pixels[row * width..(row + 1) * width]);
                        }
                    }
                    _ => {
                        self.0.insert(*id, image.as_ref().clone());
                    }
                }
            }
        }
        let mut done = delta;
        done.clear();
    }
}

/// Draws meshes over `image`, whose pixels are `pixels_per_point` to a point.
pub(super) fn draw(image: &mut ColorImage, meshes: &[ClippedPrimitive], textures: &Textures, pixels_per_point: f32) {
    for ClippedPrimitive { clip_rect, primitive } in meshes {
        // A paint callback is a program for a graphics card; no plot has one.
        let Primitive::Mesh(mesh) = primitive else { continue };
        let Some(texture) = textures.0.get(&mesh.texture_id) else { continue };
        let clip = Clip::new(*clip_rect, pixels_per_point, image.size);
        for corners in mesh.indices.chunks_exact(3) {
            let corner = |i: usize| {
                let vertex = mesh.vertices[corners[i] as usize];
                Vertex { pos: (vertex.pos.to_vec2() * pixels_per_point).to_pos2(), ..vertex }
            };
            triangle(image, &clip, texture, [corner(0), corner(1), corner(2)]);
        }
    }
}

/// Columns and rows that may be drawn on, the ends excluded.
struct Clip {
    left: i32,
    top: i32,
    right: i32,
    bottom: i32,
}

impl Clip {
    fn new(rect: Rect, pixels_per_point: f32, [width, height]: [usize; 2]) -> Clip {
        let at = |v: f32, most: usize| (v * pixels_per_point).round().clamp(0.0, most as f32) as i32;
        Clip {
            left: at(rect.min.x, width),
            top: at(rect.min.y, height),
            right: at(rect.max.x, width),
            bottom: at(rect.max.y, height),
        }
    }
}

/// Twice the area of the triangle, positive where `p` lies to the left of `a → b` as the screen shows it.
fn side(a: Pos2, b: Pos2, p: Pos2) -> f32 {
    (b.x - a.x) * (p.y - a.y) - (b.y - a.y) * (p.x - a.x)
}

/// Whether a pixel whose middle lies on `a → b` belongs to the triangle: of two that share the edge, to just one.
fn owns(a: Pos2, b: Pos2) -> bool {
    (a.y == b.y && b.x > a.x) || b.y < a.y
}

fn triangle(image: &mut ColorImage, clip: &Clip, texture: &ColorImage, mut v: [Vertex; 3]) {
    let mut area = side(v[0].pos, v[1].pos, v[2].pos);
    if area < 0.0 {
        v.swap(1, 2);
        area = -area;
    }
    if !(area > 0.0 && area.is_finite()) {
        return;
    }
    let [a, b, c] = v.map(|v| v.pos);
    let lowest = |x: f32, y: f32, z: f32| (x.min(y).min(z) - 0.5).floor() as i32;
    let highest = |x: f32, y: f32, z: f32| (x.max(y).max(z) + 0.5).ceil() as i32;
    let (left, right) = (lowest(a.x, b.x, c.x).max(clip.left), highest(a.x, b.x, c.x).min(clip.right));
    let (top, bottom) = (lowest(a.y, b.y, c.y).max(clip.top), highest(a.y, b.y, c.y).min(clip.bottom));
    let own = [owns(b, c), owns(c, a), owns(a, b)];
    let plain = v[0].uv == v[1].uv && v[1].uv == v[2].uv;
    let fixed = sample(texture, v[0].uv);
    for y in top..bottom {
        for x in left..right {
            let p = Pos2::new(x as f32 + 0.5, y as f32 + 0.5);
            let sides = [side(b, c, p), side(c, a, p), side(a, b, p)];
            if !(0..3).all(|i| sides[i] > 0.0 || (sides[i] == 0.0 && own[i])) {
                continue;
            }
            let [wa, wb, wc] = sides.map(|s| s / area);
            let texel = if plain {
                fixed
            } else {
                let mix = |a: f32, b: f32, c: f32| a * wa + b * wb + c * wc;
                sample(texture, Pos2::new(mix(v[0].uv.x, v[1].uv.x, v[2].uv.x), mix(v[0].uv.y, v[1].uv.y, v[2].uv.y)))
            };
            let colors = v.map(|v| v.color.to_array());
            let source: [f32; 4] = std::array::from_fn(|i| {
                let mixed = f32::from(colors[0][i]) * wa + f32::from(colors[1][i]) * wb + f32::from(colors[2][i]) * wc;
                mixed * texel[i] / 255.0
            });
            let pixel = &mut image.pixels[y as usize * image.size[0] + x as usize];
            let under = pixel.to_array();
            // The colours are premultiplied and blended as they are encoded, as egui's own painters do.
            let [red, green, blue, alpha] =
                std::array::from_fn(|i| (source[i] + f32::from(under[i]) * (1.0 - source[3] / 255.0) + 0.5) as u8);
            *pixel = Color32::from_rgba_premultiplied(red, green, blue, alpha);
        }
    }
}

/// The texture between its texels, 0 to 255.
fn sample(texture: &ColorImage, uv: Pos2) -> [f32; 4] {
    let [width, height] = texture.size;
    if width == 0 || height == 0 {
        return [255.0; 4];
    }
    let (x, y) = (uv.x * width as f32 - 0.5, uv.y * height as f32 - 0.5);
    let (fx, fy) = (x - x.floor(), y - y.floor());
    let texel = |dx: i64, dy: i64| {
        let column = (x.floor() as i64 + dx).clamp(0, width as i64 - 1) as usize;
        let row = (y.floor() as i64 + dy).clamp(0, height as i64 - 1) as usize;
        texture.pixels[row * width + column].to_array().map(f32::from)
    };
    let corners = [texel(0, 0), texel(1, 0), texel(0, 1), texel(1, 1)];
    std::array::from_fn(|i| {
        let top = corners[0][i] * (1.0 - fx) + corners[1][i] * fx;
        let bottom = corners[2][i] * (1.0 - fx) + corners[3][i] * fx;
        top * (1.0 - fy) + bottom * fy
    })
}
