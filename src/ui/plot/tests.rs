use eframe::egui::{
    Color32, Event, Modifiers, MouseWheelSource, MouseWheelUnit, Pos2, Rect, Theme, TouchPhase, Ui, Vec2, pos2,
};
use egui_kittest::kittest::Queryable;
use egui_kittest::{Harness, HarnessBuilder};

use super::*;
use crate::app::series::{Curve, Series};

const BLUE: Color32 = Color32::from_rgb(0, 114, 178);
const ORANGE: Color32 = Color32::from_rgb(230, 159, 0);
const GREEN: Color32 = Color32::from_rgb(0, 158, 115);

/// A run of 1000 steps, as a room would hold it.
struct Room {
    train: Curve,
    validation: Series,
    rate: Series,
    loss: PlotState,
    learning: PlotState,
    linked: LinkedPlots,
}

fn room() -> Room {
    let mut room = Room {
        train: Curve::new(0.95),
        validation: Series::default(),
        rate: Series::default(),
        loss: PlotState::default(),
        learning: PlotState::default(),
        linked: LinkedPlots::new("test"),
    };
    for step in 1..=1000 {
        let x = f64::from(step);
        let noise = (x * 12.9898).sin() * 0.2;
        room.train.push(x, if step == 300 { f64::NAN } else { 1.0 + 2.0 * (-x / 200.0).exp() + noise });
        room.rate.push(x, 2e-4 * (1.0 - x / 1100.0));
        if step % 100 == 0 {
            room.validation.push(x, 1.1 + 2.0 * (-x / 200.0).exp());
        }
    }
    room
}

fn draw(ui: &mut Ui, room: &mut Room) {
    let Room { train, validation, rate, loss, learning, linked } = room;
    linked.cover(ui.ctx(), [train.raw(), &*validation, &*rate].into_iter());
    CurvePlot::new("Loss", Unit::Named("nats"))
        .curve("train", train, BLUE)
        .marked("validation", validation, ORANGE)
        .reference("target", 1.5, GREEN)
        .show(ui, loss, linked);
    CurvePlot::new("Learning rate", Unit::None).line("rate", rate, BLUE).show(ui, learning, linked);
}

fn builder() -> HarnessBuilder<Room> {
    Harness::builder().with_size(Vec2::new(800.0, 560.0)).with_step_dt(1.0 / 60.0).with_theme(Theme::Dark)
}

fn harness() -> Harness<'static, Room> {
    let mut harness = builder().build_ui_state(draw, room());
    harness.run();
    harness
}

fn plot(harness: &Harness<'_, Room>, label: &str) -> Rect {
    harness.get_by_label(label).rect()
}

fn drag(harness: &mut Harness<'_, Room>, from: Pos2, to: Pos2) {
    harness.drag_at(from);
    harness.run();
    // A drag begins a few points from where the button went down.
    harness.hover_at(from.lerp(to, 0.05));
    harness.run();
    harness.hover_at(to);
    harness.run();
    harness.drop_at(to);
    harness.run();
}

#[test]
fn an_idle_plot_asks_for_no_frame() {
    let mut harness = harness();
    harness.run_steps(2);
    let soonest = harness.output().viewport_output.values().map(|v| v.repaint_delay).min();
    assert!(soonest.is_some_and(|delay| delay.as_secs() > 3600), "{soonest:?}");
}

#[test]
fn plots_above_each_other_align() {
    let harness = harness();
    let (loss, rate) = (plot(&harness, "Loss plot"), plot(&harness, "Learning rate plot"));
    assert_eq!((loss.left(), loss.right()), (rate.left(), rate.right()));
    assert!(loss.width() > 600.0 && rate.top() > loss.bottom());
}

#[test]
fn a_long_legend_takes_more_lines_and_stays_above_its_plot() {
    let mut harness = builder().with_size(Vec2::new(420.0, 640.0)).build_ui_state(draw, room());
    harness.run();
    let entries = ["train", "train, smoothed", "validation", "target"];
    let rects = entries.map(|e| harness.get_by_label(&format!("Loss: {e}")).rect());
    assert!(rects[3].top() > rects[0].bottom() - 1.0, "{rects:?}");
    let log = harness.get_by_label("Loss: logarithmic scale").rect();
    for rect in rects {
        assert!(rect.right() <= 420.0 && rect.bottom() <= plot(&harness, "Loss plot").top(), "{rect:?}");
        assert!(!rect.intersects(log), "{rect:?} and {log:?}");
    }
}

#[test]
fn a_click_in_the_legend_hides_a_curve_and_shows_it_again() {
    let mut harness = harness();
    for shown in [false, true] {
        harness.get_by_label("Loss: train").click();
        harness.run();
        assert_eq!(harness.state().loss.is_shown("train"), shown);
        assert!(harness.state().loss.is_shown("train, smoothed"));
    }
}

#[test]
fn the_pointer_reads_every_curve_with_its_unit_in_all_plots() {
    let mut harness = harness();
    let frame = plot(&harness, "Loss plot");
    // The plot shows the steps 1 to 1000 and a margin of 1 %.
    let x = frame.left() + frame.width() * (500.0 - 1.0 + 9.99) / (999.0 * 1.02);
    harness.hover_at(pos2(x, frame.center().y));
    harness.run();
    assert_eq!(harness.state().linked.cursor(), Some(500.0));
    assert!(harness.query_by_label("Step 500").is_some());
    let train = harness.state().train.raw().nearest(500.0).unwrap()[1];
    assert!(harness.query_by_label(&format!("{train:.3} nats")).is_some(), "{train}");
    // The validation was measured at this very step.
    assert!(harness.query_by_label("1.264 nats").is_some());
    harness.hover_at(pos2(5.0, 5.0));
    harness.run();
    assert_eq!(harness.state().linked.cursor(), None);
    assert!(harness.query_by_label("Step 500").is_none());
}

#[test]
fn the_cursor_goes_when_the_plot_under_the_pointer_moves_away_or_is_no_longer_drawn() {
    let above = |ui: &mut Ui, (room, height): &mut (Room, f32)| {
        // Widgets above a plot change the ids that are counted.
        for _ in 0..(*height / 20.0) as usize {
            ui.label("a banner");
        }
        if *height < 1000.0 {
            draw(ui, room);
        } else {
            room.linked.hidden(ui.ctx(), "Loss");
        }
    };
    for height in [160.0, 1000.0] {
        let mut harness = Harness::builder().with_size(Vec2::new(800.0, 760.0)).build_ui_state(above, (room(), 0.0));
        harness.run();
        let frame = harness.get_by_label("Loss plot").rect();
        harness.hover_at(pos2(frame.center().x, frame.top() + 20.0));
        harness.run();
        assert!(harness.state().0.linked.cursor().is_some());
        harness.state_mut().1 = height;
        harness.run();
        assert_eq!(harness.state().0.linked.cursor(), None);
    }
}

#[test]
fn a_dragged_box_zooms_all_plots_and_a_double_click_follows_the_run_again() {
    let mut harness = harness();
    let frame = plot(&harness, "Loss plot");
    let at = |x: f32, y: f32| frame.lerp_inside(Vec2::new(x, y));
    drag(&mut harness, at(0.25, 0.2), at(0.5, 0.7));
    let (low, high) = harness.state().linked.zoom().unwrap();
    assert!((low - 246.0).abs() < 15.0 && (high - 500.5).abs() < 15.0, "{low} to {high}");
    assert!(harness.query_by_label("Learning rate: show the whole run").is_some());

    // New steps do not move what was zoomed to.
    for step in 1001..=1100 {
        harness.state_mut().train.push(f64::from(step), 1.0);
    }
    harness.run();
    assert_eq!(harness.state().linked.zoom(), Some((low, high)));

    harness.hover_at(at(0.5, 0.5));
    harness.run();
    // Far enough from the drag in time not to be its second click.
    harness.run_steps(60);
    for _ in 0..2 {
        harness.drag_at(at(0.5, 0.5));
        harness.run_steps(1);
        harness.drop_at(at(0.5, 0.5));
        harness.run_steps(1);
    }
    harness.run();
    assert_eq!(harness.state().linked.zoom(), None);
    assert!(harness.query_by_label("Loss: show the whole run").is_none());
}

#[test]
fn ctrl_and_the_wheel_zoom_into_the_steps_around_the_pointer() {
    let mut harness = harness();
    let frame = plot(&harness, "Learning rate plot");
    harness.hover_at(frame.center());
    harness.run();
    let wheel = |up: f32, modifiers: Modifiers| Event::MouseWheel {
        unit: MouseWheelUnit::Point,
        delta: Vec2::new(0.0, up),
        phase: TouchPhase::Move,
        source: MouseWheelSource::Unknown,
        modifiers,
    };
    // The page's.
    harness.event(wheel(100.0, Modifiers::NONE));
    harness.run_steps(30);
    assert_eq!(harness.state().linked.zoom(), None);
    // There is nothing beyond the run.
    harness.event(wheel(-100.0, Modifiers::COMMAND));
    harness.run_steps(30);
    assert_eq!(harness.state().linked.zoom(), None);
    harness.event(wheel(100.0, Modifiers::COMMAND));
    // Scrolling is smooth: it takes a few frames.
    harness.run_steps(30);
    let (low, high) = harness.state().linked.zoom().unwrap();
    assert!(low > 100.0 && high < 900.0 && ((low + high) / 2.0 - 500.5).abs() < 5.0, "{low} to {high}");
    harness.get_by_label("Loss: show the whole run").click();
    harness.run();
    assert_eq!(harness.state().linked.zoom(), None);
}

#[test]
fn a_logarithmic_scale_leaves_out_what_has_no_logarithm() {
    let mut harness = harness();
    harness.state_mut().train.push(1001.0, -3.0);
    harness.state_mut().train.push(1002.0, 0.0);
    harness.run();
    harness.get_by_label("Loss: logarithmic scale").click();
    harness.run();
    assert!(harness.state().loss.is_log() && !harness.state().learning.is_log());
    let lowest = harness.state().loss.lowest_height().unwrap();
    assert!(lowest > -0.3, "the logarithm of a loss around 1: {lowest}");
}

#[test]
fn nothing_to_draw_and_odd_values_do_no_harm() {
    let (mut state, mut linked) = (PlotState::default(), LinkedPlots::new("odd"));
    let mut odd = Series::default();
    let mut harness = Harness::builder().with_size(Vec2::new(400.0, 300.0)).build_ui(|ui| {
        linked.cover(ui.ctx(), [&odd].into_iter());
        let plot = CurvePlot::new("Odd", Unit::Bytes).line("odd", &odd, BLUE).reference("none", f64::NAN, GREEN);
        plot.show(ui, &mut state, &mut linked);
    });
    harness.run();
    drop(harness);
    for values in [vec![f64::NAN], vec![0.0], vec![1e300, -1e300], vec![5.0; 3], vec![f64::INFINITY, 1e-300]] {
        odd.clear();
        values.iter().enumerate().for_each(|(x, y)| odd.push(x as f64, *y));
        for log in [false, true] {
            state.set_log(log);
            let mut harness = Harness::builder().with_size(Vec2::new(400.0, 300.0)).build_ui(|ui| {
                linked.cover(ui.ctx(), [&odd].into_iter());
                let plot = CurvePlot::new("Odd", Unit::None).line("odd", &odd, BLUE).from_zero();
                plot.show(ui, &mut state, &mut linked);
            });
            harness.run();
        }
    }
}

fn png_of(options: PngOptions, theme: Theme) -> eframe::egui::ColorImage {
    let mut room = room();
    render(options, |ctx| ctx.set_theme(theme), |ui| draw(ui, &mut room)).unwrap()
}

#[test]
fn a_new_step_takes_one_frame() {
    let frames = std::rc::Rc::new(std::cell::Cell::new(0));
    let count = frames.clone();
    let counted = move |ui: &mut Ui, room: &mut Room| {
        count.set(count.get() + 1);
        draw(ui, room);
    };
    let mut harness = builder().build_ui_state(counted, room());
    harness.run();
    // Also under a pointer that stays where it is, wherever.
    let middle = |harness: &Harness<'_, Room>, plot: &str| harness.get_by_label(plot).rect().center();
    let places = [None, Some(middle(&harness, "Loss plot")), Some(middle(&harness, "Learning rate plot"))];
    for (step, place) in (0..).zip(places) {
        if let Some(place) = place {
            harness.hover_at(place);
            harness.run();
        }
        let before = harness.state().linked.cursor();
        assert_eq!(before.is_some(), place.is_some());
        frames.set(0);
        // Many steps at once: the pointer lies over another one then.
        for more in 1..=100 {
            harness.state_mut().train.push(f64::from(1000 + 100 * step + more), 1.0);
        }
        harness.run();
        // `run` draws until nobody asks for another frame, at least one.
        assert_eq!(frames.get(), 1, "{place:?}");
        let after = harness.state().linked.cursor();
        assert!(place.is_none() || after > before, "{before:?} {after:?}");
        if let Some(step) = after {
            assert!(harness.query_by_label(&format!("Step {}", grouped(step))).is_some());
        }
    }
}

#[test]
fn a_picture_shows_the_curves() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("loss.png");
    let options = PngOptions { width: 1600, height: 1000, pixels_per_point: 2.0 };
    let mut room = room();
    export_png(&path, options, |ctx| ctx.set_theme(Theme::Light), |ui| draw(ui, &mut room)).unwrap();
    let decoder = png::Decoder::new(std::io::BufReader::new(std::fs::File::open(&path).unwrap()));
    let mut reader = decoder.read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    assert_eq!((info.width, info.height), (1600, 1000));
    for color in [BLUE, ORANGE, GREEN] {
        let is = |p: &&[u8]| p[0] == color.r() && p[1] == color.g() && p[2] == color.b();
        assert!(pixels.chunks_exact(3).filter(is).count() > 300, "{color:?} is hardly to be seen");
    }
    let narrow = PngOptions { width: 840, height: 1280, pixels_per_point: 2.0 };
    let narrow_path = folder.path().join("narrow.png");
    export_png(&narrow_path, narrow, |_| {}, |ui| draw(ui, &mut room)).unwrap();
    if let Some(keep) = std::env::var_os("LORA_STUDIO_KEEP_PICTURES") {
        std::fs::copy(&narrow_path, std::path::Path::new(&keep).join("narrow.png")).unwrap();
        std::fs::copy(&path, std::path::Path::new(&keep).join("plots.png")).unwrap();
    }
}

#[test]
fn impossible_pictures_are_refused_in_words() {
    for (width, height, pixels_per_point) in
        [(0, 100, 1.0), (100, 1_000_000, 1.0), (100, 100, 0.0), (100, 100, f32::NAN)]
    {
        let options = PngOptions { width, height, pixels_per_point };
        let error = render(options, |_| {}, |_| {}).unwrap_err().to_string();
        assert!(error.contains("must lie between"), "{error}");
    }
    let nowhere = std::path::Path::new("/no/such/folder/plot.png");
    let error = export_png(nowhere, PngOptions::default(), |_| {}, |_| {}).unwrap_err().to_string();
    assert!(error.ends_with("/no/such/folder/plot.png"), "{error}");
}

/// Our triangles against those of a graphics card (Mesa's, in software): the same frame, pixel by pixel.
#[test]
fn a_picture_is_what_the_window_shows() {
    let mut harness = builder().with_pixels_per_point(1.0).wgpu().build_ui_state(draw, room());
    harness.run();
    let window = harness.render().unwrap();
    let mut room = room();
    // kittest puts a margin of 8 points around what it draws.
    let image = png_of(PngOptions { width: 800, height: 560, pixels_per_point: 1.0 }, Theme::Dark);
    if let Some(keep) = std::env::var_os("LORA_STUDIO_KEEP_PICTURES") {
        window.save(std::path::Path::new(&keep).join("window.png")).unwrap();
    }
    let context = |ctx: &eframe::egui::Context| ctx.set_theme(Theme::Dark);
    let again =
        render(PngOptions { width: 800, height: 560, pixels_per_point: 1.0 }, context, |ui| draw(ui, &mut room));
    assert!(image == again.unwrap(), "the same picture twice");
    let blue = |r: u8, g: u8, b: u8| r < 40 && (80..140).contains(&g) && b > 140;
    let in_window = window.pixels().filter(|p| blue(p.0[0], p.0[1], p.0[2])).count() as f64;
    let in_picture = image.pixels.iter().filter(|p| blue(p.r(), p.g(), p.b())).count() as f64;
    assert!((in_window / in_picture - 1.0).abs() < 0.1, "{in_window} blue pixels in the window, {in_picture} here");
}
