use std::sync::Arc;

use eframe::egui::Theme;
use egui_kittest::kittest::{NodeT, Queryable};

use crate::app::Room;
use crate::app::model::ModelInfo;
use crate::engine::config::{Checkpointing, Embeddings, OptimizerKind, TargetModules};
use crate::engine::formats::{DenseType, StoredWeights};
use crate::engine::memory::Item;
use crate::engine::model::ModelConfig;
use crate::ui::testing::TestWindow;

#[test]
fn what_is_clicked_is_set_and_priced_in_the_same_frame() {
    let mut window = TestWindow::new([1280.0, 1600.0], Theme::Dark);
    window.wait_until_ready();
    window.go(Room::Method);
    let before = window.window().studio.pricing.clone();
    window.click("Adapt k_proj");
    let studio = &window.window().studio;
    let TargetModules::Names(names) = &studio.shared.run.method.target_modules else { panic!("still all") };
    assert_eq!(names.len(), 6);
    assert!(studio.pricing.trainable < before.trainable);
    window.click("Target modules: All");
    assert_eq!(window.window().studio.pricing.trainable, before.trainable);
    let optimizer = |window: &mut TestWindow, label: &str| {
        window.click(label);
        let studio = &window.window().studio;
        (studio.shared.run.train.optimizer, studio.pricing.of_item(Item::Optimizer))
    };
    let full = 8 * before.trainable;
    let (kind, bytes) = optimizer(&mut window, "Optimizer: 8-bit");
    assert!(kind == OptimizerKind::Adamw8bit && bytes < full, "{bytes} of {full}");
    let (kind, bytes) = optimizer(&mut window, "Optimizer: Paged");
    assert!(kind == OptimizerKind::PagedAdamw && bytes <= 4 << 20, "{bytes}");
    assert_eq!(optimizer(&mut window, "Optimizer: AdamW"), (OptimizerKind::Adamw, full));
    window.click("Checkpointing: Per layer");
    let studio = &window.window().studio;
    assert_eq!(studio.shared.run.train.checkpointing, Checkpointing::PerLayer);
    assert!(studio.pricing.bytes() < before.bytes() && studio.pricing.kept_layers.0 == 0);
    let before = studio.pricing.clone();
    window.click("wait in a file for their backward");
    let studio = &window.window().studio;
    assert!(studio.shared.run.train.checkpoint_offload);
    // One of the four layers' inputs: three stay in memory.
    assert!(studio.pricing.of_item(Item::Activations) < before.of_item(Item::Activations));
    // Without layers that are computed again the box is grey.
    window.click("Checkpointing: None");
    window.harness.run_steps(2);
    let found = window.harness.get_by_label("wait in a file for their backward");
    assert!(found.accesskit_node().is_disabled());
}

#[test]
fn embeddings_are_left_in_the_file_where_they_are_not_the_head() {
    const BOX: &str = "read from the model's file";
    let mut window = TestWindow::new([1280.0, 1600.0], Theme::Dark);
    window.wait_until_ready();
    window.go(Room::Method);
    // The built-in model answers with the numbers of its embeddings.
    assert!(window.harness.get_by_label(BOX).accesskit_node().is_disabled());
    let studio = &mut window.window().studio;
    let info = studio.model.info.clone().unwrap();
    let config = ModelConfig { tied: false, ..info.config.clone() };
    let embeddings = (config.vocab * config.hidden * 2) as u64;
    studio.model.info = Some(Arc::new(ModelInfo {
        source: info.source.clone(),
        path: info.path.clone(),
        stored: StoredWeights::dense(&config, DenseType::Bf16),
        config,
        facts: info.facts.clone(),
        tokenizer: info.tokenizer.clone(),
    }));
    let device = studio.shared.device.clone();
    studio.fix_device(device); // priced again
    window.harness.run_steps(2);
    let before = window.window().studio.pricing.of_item(Item::Weights);
    window.click(BOX);
    let studio = &window.window().studio;
    assert_eq!(studio.shared.run.model.embeddings, Embeddings::File);
    assert_eq!(before - studio.pricing.of_item(Item::Weights), embeddings);
    window.click(BOX);
    assert_eq!(window.window().studio.shared.run.model.embeddings, Embeddings::Memory);
}

/// The Method room with a run that takes a tenth more than is free.
fn short_of_memory(height: f32) -> TestWindow {
    let mut window = TestWindow::new([1280.0, height], Theme::Dark);
    window.wait_until_ready();
    window.go(Room::Method);
    window.click("Checkpointing: None");
    let studio = &mut window.window().studio;
    let mut device = studio.shared.device.clone();
    device.available_bytes = studio.pricing.bytes() * 9 / 10;
    studio.fix_device(device);
    assert!(!studio.pricing.fits());
    window.harness.run_steps(2);
    window
}

#[test]
fn what_does_not_fit_is_made_to_fit_with_one_click() {
    let mut window = short_of_memory(1600.0);
    let offer = window.window().studio.pricing.fix.clone().unwrap();
    // In the memory bar and in the card, where it also says what it does.
    window.click(&format!("Make it fit: {}", offer.label()));
    let studio = &window.window().studio;
    assert_eq!(studio.shared.run, offer.run);
    assert!(studio.pricing.fits() && studio.pricing.fix.is_none());
    // With room again, the way back is offered.
    let studio = &mut window.window().studio;
    studio.shared.run.train.checkpointing = Checkpointing::PerLayer;
    let mut device = studio.shared.device.clone();
    device.available_bytes *= 10;
    studio.fix_device(device);
    window.harness.run_steps(2);
    let faster = window.window().studio.pricing.faster.clone();
    let auto = faster.iter().find(|offer| offer.run.train.checkpointing == Checkpointing::Auto).unwrap();
    window.click(&format!("Apply: {}", auto.label()));
    assert_eq!(window.window().studio.pricing.kept_layers, (4, 4));
}

/// Also a picture, for the eyes of whoever changes it.
#[test]
fn every_item_of_the_bar_has_its_bytes_and_every_offer_its_price() {
    let mut window = short_of_memory(2200.0);
    window.harness.get_by_label("Memory of the run").hover();
    window.harness.run_steps(40);
    let pricing = window.window().studio.pricing.clone();
    for (item, size) in &pricing.items {
        let name = crate::ui::shell::item_label(*item);
        assert!(window.harness.query_by_label(&name).is_some(), "{name}");
        assert!(window.harness.query_all_by_label(&crate::units::bytes(*size)).count() > 0, "{name}");
    }
    assert!(pricing.smaller.len() > 2 && pricing.smaller.iter().all(|offer| offer.needed < pricing.bytes()));
    for offer in &pricing.smaller {
        let saved = format!("{} less, {}", crate::units::bytes(pricing.bytes() - offer.needed), offer.price());
        assert!(window.harness.query_all_by_label(&saved).count() > 0, "{saved}");
    }
    window.picture("method-memory");
}

#[test]
fn a_preset_leaves_model_and_data_alone() {
    let mut window = TestWindow::new([1280.0, 1000.0], Theme::Light);
    window.wait_until_ready();
    window.go(Room::Method);
    window.window().studio.shared.run.data.train = "/my/rows.jsonl".into();
    window.click("Preset: Low memory");
    let run = &window.window().studio.shared.run;
    assert_eq!((run.model.source.as_str(), run.data.train.as_str()), ("builtin:tiny-chat", "/my/rows.jsonl"));
    assert_eq!(run.train.checkpointing, Checkpointing::PerLayer);
    assert_eq!(run.train.optimizer, OptimizerKind::Adamw8bit);
    assert!(window.harness.query_by_label("Preset: Low memory").is_some());
}
