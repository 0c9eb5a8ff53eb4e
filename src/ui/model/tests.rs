//! The room driven by accessible names, against a Hub on this computer.

use eframe::egui::{Key, Theme};
use egui_kittest::kittest::Queryable;
use serde_json::json;

use crate::app::gate::sentence;
use crate::app::hub::HubCommand;
use crate::app::model::ModelCommand;
use crate::app::{Command, Room};
use crate::engine::config::Quantization;
use crate::engine::formats::builtin;
use crate::engine::hub::Problem;
use crate::engine::hub::testing::{Fault, Server};
use crate::engine::ops::Compute;
use crate::ui::testing::TestWindow;
use crate::units::bytes;

/// A Hub whose `owner/name` is the built-in model.
fn server() -> Server {
    let folder = builtin::model("tiny-chat").unwrap();
    let names = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let files: Vec<(String, Vec<u8>)> =
        names.map(|name| (name.clone(), std::fs::read(folder.join(name)).unwrap())).collect();
    Server::new(&files.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())).collect::<Vec<_>>())
}

fn window(server: &Server) -> TestWindow {
    let mut window = TestWindow::new([1280.0, 900.0], Theme::Dark);
    let folder = window.folder.path().join("hub");
    window.window().studio.model.hub.base = server.hub(&folder);
    window.wait_until_ready();
    window
}

fn send(window: &mut TestWindow, command: HubCommand) {
    window.window().studio.apply(Command::Model(ModelCommand::Hub(command)));
    window.harness.run_steps(2);
}

fn type_into(window: &mut TestWindow, field: &str, text: &str) {
    let node = window.harness.get_by_label(field);
    node.focus();
    node.type_text(text);
    window.harness.run_steps(3);
}

/// Types a name and waits for what comes of it.
fn look(window: &mut TestWindow, name: &str) {
    type_into(window, "Name on the Hub, or path", name);
    window.click("Open what was typed");
    answered(window);
}

fn answered(window: &mut TestWindow) {
    window.wait("the Hub has answered", 20, |w| !w.studio.model.hub.looking());
}

fn trouble(window: &mut TestWindow) -> (Option<Problem>, String) {
    let looked = window.window().studio.model.hub.looked.clone().unwrap();
    let trouble = looked.trouble.unwrap();
    (trouble.kind, trouble.text)
}

fn opened(window: &mut TestWindow, source: &str) {
    let is = |w: &crate::ui::Window| w.studio.model.info.as_ref().is_some_and(|info| info.source == source);
    window.wait("the model is open", 30, is);
}

/// The name of the button that downloads all.
fn download_button(window: &mut TestWindow) -> String {
    let looked = window.window().studio.model.hub.looked.clone().unwrap();
    format!("Download {}", bytes(looked.found.unwrap().listing.total_bytes()))
}

#[test]
fn a_name_on_the_hub_shows_its_sizes_then_is_downloaded_and_opened() {
    let server = server();
    server.state().info = json!({"cardData": {"license": "apache-2.0"}});
    let mut window = window(&server);
    look(&mut window, "https://huggingface.co/owner/name");
    window.harness.get_by_label_contains("licence apache-2.0");
    assert!(server.contents_asked().is_empty(), "nothing is downloaded before it is asked for");
    assert_eq!(window.window().studio.shared.run.model.source, "builtin:tiny-chat");
    window.picture("model-hub-sizes");
    let button = download_button(&mut window);
    window.click(&button);
    opened(&mut window, "owner/name");
    let studio = &window.window().studio;
    assert_eq!(studio.shared.run.model.source, "owner/name");
    assert_eq!(studio.shared.prefs.recent_models[0], "owner/name");
    assert!(studio.model.hub.looked.is_none());
    window.wait("the list has it", 20, |w| w.studio.model.hub.local.as_ref().is_some_and(|l| l.len() == 1));
    window.harness.get_by_label("Use owner/name");
    // What is here needs no network.
    window.click("Take builtin:tiny-chat");
    opened(&mut window, "builtin:tiny-chat");
    let before = server.state().log.len();
    window.click("Use owner/name");
    opened(&mut window, "owner/name");
    assert_eq!(server.state().log.len(), before);
}

#[test]
fn a_gated_model_leads_to_the_settings_and_the_token_opens_it_without_being_shown() {
    const TOKEN: &str = "hf_secretsecret42";
    let server = server();
    server.state().info = json!({"gated": "manual"});
    server.state().token = Some(TOKEN.into());
    let mut window = window(&server);
    look(&mut window, "owner/name");
    let (kind, text) = trouble(&mut window);
    assert!(matches!(kind, Some(Problem::Gated { with_token: false, .. })), "{text}");
    window.harness.get_by_label("Open the licence");
    window.picture("model-hub-gated");
    window.click("Enter an access token");
    assert_eq!(window.window().studio.shared.prefs.room, Room::Settings);
    type_into(&mut window, "Access token of the Hub", TOKEN);
    window.picture("settings-token");
    window.click("Save the token");
    window.wait("the token is kept", 20, |w| w.studio.model.hub.base.has_token() && !w.studio.model.hub.looking());
    window.harness.get_by_label("Remove the token");
    let file = window.folder.path().join("hub/token");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), TOKEN);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }
    window.go(Room::Model);
    let button = download_button(&mut window);
    window.click(&button);
    opened(&mut window, "owner/name");
    window.window().close();
    let prefs = std::fs::read_to_string(window.folder.path().join("studio.toml")).unwrap();
    assert!(prefs.contains("owner/name") && !prefs.contains("secretsecret"), "{prefs}");
    assert!(window.window().studio.shared.notices.all().all(|notice| !notice.text.contains("secretsecret")));
    window.go(Room::Settings);
    window.click("Remove the token");
    window.wait("the token is gone", 20, |w| !w.studio.model.hub.base.has_token());
    assert!(!file.exists());
}

#[test]
fn cancelling_keeps_what_arrived_and_a_second_download_is_refused() {
    let server = server();
    let mut window = window(&server);
    look(&mut window, "owner/name");
    let total = window.window().studio.model.hub.looked.clone().unwrap().found.unwrap().listing.total_bytes();
    server.state().always = Some(Fault::Slow(total as usize / 100, std::time::Duration::from_millis(40)));
    let button = download_button(&mut window);
    window.click(&button);
    window.wait("a fifth is there", 30, |w| {
        w.studio.model.hub.progress().is_some_and(|p| p.done_bytes * 5 > p.total_bytes)
    });
    window.picture("model-hub-download");
    for (command, words) in
        [(HubCommand::Download, "running already"), (HubCommand::Look("owner/other".into()), "a download is running")]
    {
        send(&mut window, command);
        let said = window.window().studio.shared.notices.all().next_back().unwrap().text.clone();
        assert!(said.contains(words), "{said}");
    }
    window.click("Cancel the download");
    window.wait("it has stopped", 20, |w| w.studio.model.hub.progress().is_none());
    let looked = window.window().studio.model.hub.looked.clone().unwrap();
    assert_eq!(looked.trouble, None, "cancelling is no error");
    let here = looked.found.unwrap().here();
    assert!(here > total / 5 && here < total, "{here} of {total}");
    server.state().always = None;
    window.picture("model-hub-resume");
    window.click(&format!("Continue: {} of {} are here", bytes(here), bytes(total)));
    opened(&mut window, "owner/name");
    let ranges = server.contents_asked().into_iter().filter(|asked| asked.range.is_some()).count();
    assert!(ranges > 0, "the rest alone is fetched");
}

#[test]
fn what_does_not_exist_and_what_the_network_forbids_is_said_with_a_button_that_helps() {
    let server = server();
    let mut window = window(&server);
    look(&mut window, "owner/nothing");
    let (kind, text) = trouble(&mut window);
    assert_eq!(kind, Some(Problem::NotFound));
    window.harness.get_by_label(&sentence(&text));
    window.click("Close this repository");
    assert!(window.window().studio.model.hub.looked.is_none());

    send(&mut window, HubCommand::Offline(true));
    send(&mut window, HubCommand::Look("owner/name".into()));
    answered(&mut window);
    assert_eq!(trouble(&mut window).0, Some(Problem::Offline));
    window.click("Go online");
    answered(&mut window);
    assert!(!window.window().studio.shared.prefs.offline);
    assert!(window.window().studio.model.hub.looked.clone().unwrap().found.is_some());

    // A run file may name a model that is not here yet.
    let mut run = window.window().studio.shared.run.clone();
    run.model.source = "owner/name".into();
    window.window().studio.apply(Command::Edit(Box::new(run)));
    window.wait("it is not here", 20, |w| !w.studio.model.busy());
    let problem = window.window().studio.model.problem.clone().unwrap();
    assert!(problem.contains("not on this computer") && !problem.contains("`"), "{problem}");
    window.click("See what it holds");
    answered(&mut window);
    let button = download_button(&mut window);
    window.click(&button);
    opened(&mut window, "owner/name");
}

#[test]
fn a_repository_of_several_gguf_files_lets_choose_one() {
    let server = Server::new(&[("m-Q4_K_M.gguf", vec![1; 3000]), ("m-Q8_0.gguf", vec![2; 7000])]);
    let mut window = window(&server);
    look(&mut window, "owner/name");
    window.picture("model-hub-choice");
    window.click("m-Q8_0.gguf");
    answered(&mut window);
    let looked = window.window().studio.model.hub.looked.clone().unwrap();
    assert_eq!(looked.found.unwrap().listing.total_bytes(), 7000);
    window.harness.get_by_label(&format!("Download {}", bytes(7000)));
}

#[test]
fn a_wrong_path_says_so_and_the_built_in_model_is_one_click_away() {
    let server = server();
    let mut window = window(&server);
    type_into(&mut window, "Name on the Hub, or path", "/no/such/model");
    window.harness.key_press(Key::Enter);
    window.harness.run_steps(3);
    window.wait("it is refused", 20, |w| w.studio.model.problem.is_some());
    window.harness.get_by_label("There is no such file or folder: /no/such/model");
    window.picture("model-wrong-path");
    window.click("Use the built-in model");
    opened(&mut window, "builtin:tiny-chat");
}

#[test]
fn broken_models_say_what_is_wrong_with_which_file() {
    let server = server();
    let mut window = window(&server);
    let whole = builtin::model("tiny-chat").unwrap();
    let root = window.folder.path().to_path_buf();
    let copy = |name: &str, change: &dyn Fn(&std::path::Path)| {
        let folder = root.join(name);
        std::fs::create_dir(&folder).unwrap();
        for entry in std::fs::read_dir(&whole).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), folder.join(entry.file_name())).unwrap();
        }
        change(&folder);
        folder
    };
    let gguf = |name: &str, bytes: &[u8]| {
        std::fs::write(root.join(name), bytes).unwrap();
        root.join(name)
    };
    let cut = |folder: &std::path::Path| {
        let file = folder.join("model.safetensors");
        let length = std::fs::metadata(&file).unwrap().len();
        std::fs::OpenOptions::new().write(true).open(file).unwrap().set_len(length / 2).unwrap();
    };
    let config =
        |text: &'static str| move |folder: &std::path::Path| std::fs::write(folder.join("config.json"), text).unwrap();
    for (path, file) in [
        (copy("cut", &cut), "model.safetensors"),
        (copy("no tokenizer", &|f| std::fs::remove_file(f.join("tokenizer.json")).unwrap()), "tokenizer"),
        (copy("no weights", &|f| std::fs::remove_file(f.join("model.safetensors")).unwrap()), "no weights"),
        (copy("nonsense", &config("[1, 2")), "config.json"),
        (copy("unknown", &config("{\"architectures\": [\"BertModel\"], \"model_type\": \"bert\"}")), "bert"),
        (copy("empty", &|f| std::fs::remove_dir_all(f).and_then(|()| std::fs::create_dir(f)).unwrap()), "empty"),
        (gguf("cut.gguf", b"GGUF\x03\0\0\0\x01\0\0\0\0\0\0\0"), "cut.gguf"),
        (gguf("text.gguf", b"this is no model"), "text.gguf"),
    ] {
        let mut run = window.window().studio.shared.run.clone();
        run.model.source = path.display().to_string();
        window.window().studio.apply(Command::Edit(Box::new(run)));
        window.wait("it is refused", 20, |w| !w.studio.model.busy());
        let problem = window.window().studio.model.problem.clone().unwrap_or_else(|| panic!("{path:?} is opened"));
        assert!(problem.to_lowercase().contains(file), "{problem}");
        let shown = sentence(&problem);
        assert!(window.harness.query_all_by_label_contains(&shown).next().is_some(), "{shown}");
        window.harness.get_by_label("Use the built-in model");
        println!("{problem}");
    }
    window.picture("model-broken");
}

#[test]
fn the_form_in_memory_changes_the_run_and_its_price() {
    let server = server();
    let mut window = window(&server);
    let forms = window.window().studio.model.forms.clone();
    assert_eq!(forms.len(), 2, "the built-in model is not quantized, so there is nothing to keep");
    assert!(forms[0].weights < forms[1].weights && forms.iter().all(|form| form.fits() == Some(true)));
    assert_eq!(forms[0].step, Some(window.window().studio.pricing.bytes()));
    window.click("Weights: Unquantized");
    window.click("Compute: f32");
    let studio = &window.window().studio;
    assert_eq!(studio.shared.run.model.quantization, Quantization::None);
    assert_eq!(studio.shared.run.model.compute, Compute::F32);
    assert_eq!(studio.model.forms[1].step, Some(studio.pricing.bytes()));
    for name in ["Architecture", "Vocabulary", "Licence", "Chat template", "On the disk"] {
        window.harness.get_by_label(name);
    }
}

#[test]
fn sizes_of_models_and_memories_are_shown_when_they_are_asked_for() {
    let mut window = TestWindow::new([1280.0, 1400.0], Theme::Dark);
    window.wait_until_ready();
    window.go(Room::Model);
    assert!(window.window().studio.sizes.unknown());
    window.click("What fits into which memory");
    window.wait("the table is there", 30, |w| w.studio.sizes.rows().is_some());
    window.harness.run_steps(8);
    assert!(window.harness.query_by_label("7B (Llama 2)").is_some());
}
