//! Colours, sizes and fonts: the one place where they are decided.

use eframe::egui::{
    self, Color32, Context, CornerRadius, FontData, FontDefinitions, FontFamily, FontId, Margin, Stroke, TextStyle,
    Theme, Visuals,
};

use crate::app::prefs::ThemeChoice;
use crate::engine::memory::Item;

/// Space between related things.
pub const GAP: f32 = 8.0;
/// Space between groups.
pub const GROUP: f32 = 16.0;
/// Space around a room.
pub const PAGE: f32 = 20.0;
/// Width of the rail of rooms.
pub const RAIL: f32 = 164.0;
/// Height of the memory bar.
pub const MEMORY_BAR: f32 = 62.0;
/// Corners of cards.
pub const RADIUS: u8 = 8;
/// Widest that a page gets.
pub const MEASURE: f32 = 1400.0;

/// The family of headings and strong text.
pub fn strong_family() -> FontFamily {
    FontFamily::Name("strong".into())
}

/// Colours that egui's own visuals have no place for.
#[derive(Clone, Copy, Debug)]
pub struct Palette {
    /// Behind everything.
    pub ground: Color32,
    /// The rail and the bar.
    pub panel: Color32,
    /// Cards on the ground.
    pub card: Color32,
    /// Lines around cards.
    pub line: Color32,
    /// Text that is read.
    pub text: Color32,
    /// Text that is glanced at.
    pub weak: Color32,
    /// What can be pressed, and what is chosen.
    pub accent: Color32,
    /// Text on the accent.
    pub on_accent: Color32,
    /// Behind what is chosen.
    pub chosen: Color32,
    /// All is well.
    pub good: Color32,
    /// Worth a look.
    pub warning: Color32,
    /// Does not work.
    pub bad: Color32,
}

const DARK: Palette = Palette {
    ground: Color32::from_rgb(0x14, 0x16, 0x1b),
    panel: Color32::from_rgb(0x1a, 0x1d, 0x23),
    card: Color32::from_rgb(0x1f, 0x23, 0x2a),
    line: Color32::from_rgb(0x30, 0x36, 0x40),
    text: Color32::from_rgb(0xe4, 0xe7, 0xec),
    weak: Color32::from_rgb(0x9b, 0xa4, 0xb2),
    accent: Color32::from_rgb(0x6c, 0xa6, 0xff),
    on_accent: Color32::from_rgb(0x0c, 0x14, 0x22),
    chosen: Color32::from_rgb(0x28, 0x34, 0x49),
    good: Color32::from_rgb(0x4c, 0xc3, 0x8a),
    warning: Color32::from_rgb(0xe8, 0xb3, 0x39),
    bad: Color32::from_rgb(0xf2, 0x6d, 0x6d),
};

const LIGHT: Palette = Palette {
    ground: Color32::from_rgb(0xf6, 0xf7, 0xf9),
    panel: Color32::from_rgb(0xec, 0xee, 0xf2),
    card: Color32::from_rgb(0xff, 0xff, 0xff),
    line: Color32::from_rgb(0xd5, 0xda, 0xe2),
    text: Color32::from_rgb(0x1b, 0x20, 0x28),
    weak: Color32::from_rgb(0x5a, 0x64, 0x73),
    accent: Color32::from_rgb(0x1f, 0x5f, 0xcc),
    on_accent: Color32::from_rgb(0xff, 0xff, 0xff),
    chosen: Color32::from_rgb(0xdb, 0xe7, 0xfb),
    good: Color32::from_rgb(0x17, 0x7d, 0x4d),
    warning: Color32::from_rgb(0x9a, 0x67, 0x00),
    bad: Color32::from_rgb(0xc0, 0x30, 0x30),
};

/// The colours in use.
pub fn palette(ui: &egui::Ui) -> Palette {
    if ui.visuals().dark_mode { DARK } else { LIGHT }
}

/// Colours of curves, told apart by colour-blind people (Okabe and Ito 2008), in the order of their use.
pub fn series(ui: &egui::Ui) -> [Color32; 7] {
    let dark = ui.visuals().dark_mode;
    [
        if dark { Color32::from_rgb(0x56, 0xb4, 0xe9) } else { Color32::from_rgb(0x00, 0x72, 0xb2) },
        Color32::from_rgb(0xe6, 0x9f, 0x00),
        Color32::from_rgb(0x00, 0x9e, 0x73),
        Color32::from_rgb(0xcc, 0x79, 0xa7),
        Color32::from_rgb(0xd5, 0x5e, 0x00),
        if dark { Color32::from_rgb(0xf0, 0xe4, 0x42) } else { Color32::from_rgb(0xa8, 0x9d, 0x00) },
        if dark { Color32::from_rgb(0x8f, 0xa3, 0xff) } else { Color32::from_rgb(0x4b, 0x5a, 0xc4) },
    ]
}

/// The colour of an item in the memory bar: neighbours differ in lightness as well as in hue.
pub fn item_color(item: Item) -> Color32 {
    match item {
        Item::Weights => Color32::from_rgb(0x3f, 0x6f, 0xb5),
        Item::Adapter => Color32::from_rgb(0x8f, 0xc1, 0xf0),
        Item::Gradients => Color32::from_rgb(0x2f, 0x8f, 0x83),
        Item::Optimizer => Color32::from_rgb(0x8a, 0xd2, 0xb4),
        Item::Activations => Color32::from_rgb(0xd9, 0x8a, 0x1f),
        Item::Scratch => Color32::from_rgb(0xf0, 0xc9, 0x7a),
        Item::Logits => Color32::from_rgb(0xb0, 0x5c, 0x8c),
        Item::Rope => Color32::from_rgb(0xe0, 0xa9, 0xc8),
        Item::Batch => Color32::from_rgb(0x8a, 0x5a, 0x2b),
        Item::Loading => Color32::from_rgb(0xc9, 0xce, 0xd6),
        Item::Samples => Color32::from_rgb(0x6f, 0x5b, 0xb5),
        Item::Files => Color32::from_rgb(0x9b, 0xa4, 0xb2),
    }
}

/// Viridis (van der Walt and Smith 2015) at ten points: even steps of the value look even, for colour-blind people and in
/// grey, too.
const VIRIDIS: [Color32; 10] = [
    Color32::from_rgb(0x44, 0x01, 0x54),
    Color32::from_rgb(0x48, 0x28, 0x78),
    Color32::from_rgb(0x3e, 0x49, 0x89),
    Color32::from_rgb(0x31, 0x68, 0x8e),
    Color32::from_rgb(0x26, 0x82, 0x8e),
    Color32::from_rgb(0x1f, 0x9e, 0x89),
    Color32::from_rgb(0x35, 0xb7, 0x79),
    Color32::from_rgb(0x6e, 0xce, 0x58),
    Color32::from_rgb(0xb5, 0xde, 0x2b),
    Color32::from_rgb(0xfd, 0xe7, 0x25),
];

/// The colour of a share of the largest value, 0 to 1.
pub fn ramp(share: f32) -> Color32 {
    let share = if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 };
    let at = share * (VIRIDIS.len() - 1) as f32;
    let low = (at as usize).min(VIRIDIS.len() - 2);
    VIRIDIS[low].lerp_to_gamma(VIRIDIS[low + 1], at - low as f32)
}

/// Puts the program's fonts and both of its looks into the context.
pub fn install(ctx: &Context) {
    ctx.set_fonts(fonts());
    ctx.set_visuals_of(Theme::Dark, visuals(&DARK, Visuals::dark()));
    ctx.set_visuals_of(Theme::Light, visuals(&LIGHT, Visuals::light()));
    ctx.all_styles_mut(|style| {
        let size = |family: FontFamily, size: f32| FontId::new(size, family);
        style.text_styles = [
            (TextStyle::Small, size(FontFamily::Proportional, 11.5)),
            (TextStyle::Body, size(FontFamily::Proportional, 13.5)),
            (TextStyle::Button, size(FontFamily::Proportional, 13.5)),
            (TextStyle::Heading, size(strong_family(), 20.0)),
            (TextStyle::Monospace, size(FontFamily::Monospace, 12.5)),
        ]
        .into();
        let spacing = &mut style.spacing;
        spacing.item_spacing = egui::vec2(GAP, 6.0);
        spacing.button_padding = egui::vec2(10.0, 5.0);
        spacing.interact_size = egui::vec2(40.0, 26.0);
        spacing.slider_width = 180.0;
        spacing.combo_width = 140.0;
        spacing.window_margin = Margin::same(16);
        spacing.menu_margin = Margin::same(6);
        spacing.tooltip_width = 360.0;
        style.interaction.tooltip_delay = 0.35;
    });
}

/// Follows the user's choice of dark or light.
pub fn apply(ctx: &Context, choice: ThemeChoice) {
    ctx.set_theme(match choice {
        ThemeChoice::System => egui::ThemePreference::System,
        ThemeChoice::Dark => egui::ThemePreference::Dark,
        ThemeChoice::Light => egui::ThemePreference::Light,
    });
}

fn fonts() -> FontDefinitions {
    // egui's own fonts stay behind Inter for what it lacks.
    let mut fonts = FontDefinitions::default();
    let inter: &'static [u8] = include_bytes!("../../assets/fonts/Inter-Regular.otf");
    let strong: &'static [u8] = include_bytes!("../../assets/fonts/Inter-SemiBold.otf");
    fonts.font_data.insert("inter".into(), FontData::from_static(inter).into());
    fonts.font_data.insert("inter-strong".into(), FontData::from_static(strong).into());
    let proportional = fonts.families.entry(FontFamily::Proportional).or_default();
    proportional.insert(0, "inter".into());
    let mut heading = proportional.clone();
    heading.insert(0, "inter-strong".into());
    fonts.families.insert(strong_family(), heading);
    let icons = egui_material_icons::font_insert();
    fonts.font_data.insert(icons.name.clone(), icons.data.into());
    fonts.families.insert(FontFamily::Name(egui_material_icons::FONT_FAMILY.into()), vec![icons.name.clone()]);
    for family in fonts.families.values_mut() {
        if !family.contains(&icons.name) {
            family.push(icons.name.clone());
        }
    }
    fonts
}

fn visuals(p: &Palette, base: Visuals) -> Visuals {
    let mut v = base;
    v.override_text_color = None;
    v.weak_text_color = Some(p.weak);
    v.panel_fill = p.ground;
    v.window_fill = p.card;
    v.window_stroke = Stroke::new(1.0, p.line);
    v.window_corner_radius = CornerRadius::same(10);
    v.menu_corner_radius = CornerRadius::same(RADIUS);
    v.extreme_bg_color = p.ground;
    v.faint_bg_color = p.panel;
    v.code_bg_color = p.ground;
    v.hyperlink_color = p.accent;
    v.warn_fg_color = p.warning;
    v.error_fg_color = p.bad;
    v.selection.bg_fill = p.chosen;
    v.selection.stroke = Stroke::new(1.0, p.accent);
    v.slider_trailing_fill = true;
    v.striped = false;
    let radius = CornerRadius::same(6);
    let blend = |amount: f32| p.card.lerp_to_gamma(p.text, amount);
    let w = &mut v.widgets;
    w.noninteractive.bg_stroke = Stroke::new(1.0, p.line);
    w.noninteractive.fg_stroke = Stroke::new(1.0, p.text);
    w.noninteractive.bg_fill = p.card;
    for (state, fill, line) in [
        (&mut w.inactive, 0.07, p.line),
        (&mut w.hovered, 0.13, p.weak),
        (&mut w.active, 0.18, p.accent),
        (&mut w.open, 0.1, p.line),
    ] {
        state.bg_fill = blend(fill);
        state.weak_bg_fill = blend(fill);
        state.bg_stroke = Stroke::new(1.0, line);
        state.fg_stroke = Stroke::new(1.0, p.text);
        state.expansion = 0.0;
        state.corner_radius = radius;
    }
    w.noninteractive.corner_radius = radius;
    v
}
