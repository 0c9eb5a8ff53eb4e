//! Data files of many kinds, and what the run file says of their rows.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::place::{Place, text};

/// A step on these rows.
fn train(place: &Place, settings: &[&str]) -> Vec<Value> {
    let run = place.file("run.toml", "[method]\nrank = 4\n[train]\nmax_steps = 1\n[data]\nmax_seq_len = 128\n");
    let mut arguments = vec!["train", run.as_str(), "--json"];
    arguments.extend(settings.iter().flat_map(|setting| ["--set", *setting]));
    place.json(&arguments)
}

/// What a person is told of such a step.
fn told(place: &Place, settings: &[&str]) -> String {
    let run = place.file(
        "told.toml",
        "[method]
rank = 4
[train]
max_steps = 1
[data]
max_seq_len = 128
",
    );
    let mut arguments = vec!["train", run.as_str()];
    arguments.extend(settings.iter().flat_map(|setting| ["--set", *setting]));
    let output = place.run(&arguments);
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout) + &text(&output.stderr)
}

/// What the chat template of a test writes.
const TEMPLATE: &str = "{% for m in messages %}{{ '<|im_start|>' + m.role + ': ' + m.content + '<|im_end|>' }}{% endfor %}\
                        {% if add_generation_prompt %}{{ '<|im_start|>assistant: ' }}{% endif %}";

#[test]
fn an_adapter_keeps_the_chat_template_of_its_training() {
    let place = Place::new();
    let template = place.file("own.jinja", TEMPLATE);
    let events = train(&place, &[&format!("data.chat_template={template}")]);
    let adapter = events.last().unwrap()["adapter_dir"].as_str().unwrap().to_string();
    let kept = |folder: &Path| fs::read_to_string(folder.join("chat_template.jinja")).unwrap();
    assert_eq!(kept(Path::new(&adapter)), TEMPLATE);
    let out = place.path("out").display().to_string();
    place.ok(&["export", &adapter, "--format", "peft", "--out", &out]);
    assert_eq!(kept(Path::new(&out)), TEMPLATE);
    let model = "builtin:tiny-chat";
    let said =
        place.json(&["chat", "--model", model, "--adapter", &out, "--prompt", "Hi", "--max-new-tokens", "3", "--json"]);
    assert!(said[0]["tokens"].as_u64().unwrap() > 0);
    // With the model's own there is nothing to keep.
    let events = train(&place, &[]);
    let adapter = events.last().unwrap()["adapter_dir"].as_str().unwrap().to_string();
    assert!(!Path::new(&adapter).join("chat_template.jinja").exists());
}

#[test]
fn a_table_with_columns_of_its_own_is_mapped_by_hand() {
    let place = Place::new();
    let rows = place.file("paare.csv", "frage;antwort;quelle\nWas ist 2 + 2?;4;a\nUnd 3?;\"Drei;\n3\";b\n");
    let refused = place.error(&["train", &place.file("r.toml", ""), "--set", &format!("data.train={rows}")]);
    assert!(refused.contains("`frage`") && refused.contains("`antwort`"), "{refused}");
    // Looked into and evaluated, they are mapped in the same way.
    let columns = ["--set", "data.columns.question=frage", "--set", "data.columns.answer=antwort"];
    let seen = &place.json(&[&["inspect", &rows, "--json"], &columns[..]].concat())[0];
    assert_eq!(
        (seen["format"].as_str(), seen["mapping"]["answer"].as_str()),
        (Some("question-answer"), Some("antwort"))
    );
    let eval = ["eval", "--model", "builtin:tiny-chat", "--data", rows.as_str(), "--json"];
    let losses = &place.json(&[&eval[..], &columns[..]].concat())[0];
    assert_eq!(losses["rows"].as_array().map(Vec::len), Some(2));
    assert!(place.usage(&["inspect", &rows, "--set", "train.epochs=3"]).contains("only keys of [data]"));
    assert!(place.usage(&["inspect", "builtin:tiny-chat", "--set", "data.format=text"]).contains("these are none"));
    let events = train(
        &place,
        &[
            &format!("data.train={rows}"),
            "data.format=question-answer",
            "data.columns.question=frage",
            "data.columns.answer=antwort",
        ],
    );
    assert_eq!(events.last().unwrap()["event"], "finished", "{events:?}");
    // The run's own file says it too, and runs again.
    let folder = events[0]["run_dir"].as_str().unwrap();
    let written = fs::read_to_string(Path::new(folder).join("run.toml")).unwrap();
    assert!(written.contains("frage") && written.contains("antwort"), "{written}");
}

#[test]
fn wrong_rows_stop_a_run_or_are_left_out() {
    let place = Place::new();
    let rows = "{\"question\":\"a?\",\"answer\":\"b\"}\n{\"question\" 3}\n{\"question\":\"c?\",\"answer\":\"d\"}\n";
    let data = format!("data.train={}", place.file("rows.jsonl", rows));
    let refused = place.error(&["train", &place.file("r.toml", ""), "--set", &data]);
    assert!(refused.starts_with("line 2: not valid JSON"), "{refused}");
    let told = told(&place, &[&data, "data.on_bad_row=skip"]);
    assert!(told.contains("1 row that cannot be read left out"), "{told}");
    assert!(told.contains("line 2: not valid JSON"), "{told}");
    // Looked into, they are all listed.
    let seen = &place.json(&["inspect", &place.path("rows.jsonl").display().to_string(), "--json"])[0];
    assert_eq!((seen["rows"].as_u64(), seen["wrong_rows"].as_u64()), (Some(2), Some(1)), "{seen}");
    assert_eq!(
        (seen["problems"][0]["line"].as_u64(), seen["problems"][0]["bytes"]["start"].as_u64()),
        (Some(2), Some(31))
    );
    let said = place.ok(&["inspect", &place.path("rows.jsonl").display().to_string()]);
    assert!(said.contains("1 row cannot be read:\n         line 2: not valid JSON"), "{said}");
}

#[test]
fn what_is_odd_about_the_rows_is_said_before_a_run() {
    let place = Place::new();
    let row = |answer: &str| format!("{{\"question\":\"q\",\"answer\":\"{answer}\",\"id\":1}}\n");
    let data = format!("data.train={}", place.file("rows.jsonl", &(row("a") + &row("") + &row("a"))));
    let all = told(&place, &[&data]);
    for part in [
        "rows are read as question-answer (the columns `question` and `answer`)",
        "training: 3 rows,",
        "1 row: an empty answer, the first in line 2 (leave_out = [\"empty-answer\"] leaves them out)",
        "1 row says the same as an earlier one, the first in line 3 (deduplicate leaves them out)",
        "the column `id` is not read",
    ] {
        assert!(all.contains(part), "{part}: {all}");
    }
    let fewer = told(&place, &[&data, "data.leave_out=empty-answer", "data.deduplicate=true"]);
    assert!(fewer.contains("training: 1 row,"), "{fewer}");
    let wrong = place.usage(&["train", &place.file("r.toml", ""), "--set", "data.leave_out=empty-answers"]);
    assert!(wrong.contains("\"empty-answers\" is not one of assistant-first"), "{wrong}");
    assert!(wrong.contains("did you mean empty-answer?"), "{wrong}");
}

#[test]
fn a_folder_and_packed_files_are_one_data_set() {
    let place = Place::new();
    fs::create_dir(place.path("rows")).unwrap();
    place.file("rows/a.jsonl", "{\"question\":\"a?\",\"answer\":\"b\"}\n");
    place.file("rows/b.csv", "question,answer\nc?,d\ne?,f\n");
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    std::io::Write::write_all(&mut packed, b"{\"question\":\"g?\",\"answer\":\"h\"}\n").unwrap();
    fs::write(place.path("rows/c.jsonl.gz"), packed.finish().unwrap()).unwrap();
    let folder = place.path("rows").display().to_string();
    let seen = &place.json(&["inspect", &folder, "--json"])[0];
    assert_eq!((seen["kind"].as_str(), seen["rows"].as_u64()), (Some("dataset"), Some(4)), "{seen}");
    let told = told(&place, &[&format!("data.train={folder}")]);
    assert!(told.contains("training: 4 rows"), "{told}");
}

#[test]
fn a_dataset_info_names_file_columns_and_roles() {
    let place = Place::new();
    let turns = "{\"dialog\":[{\"who\":\"customer\",\"said\":\"Hi\"},{\"who\":\"agent\",\"said\":\"Hello\"}]}\n";
    place.file("dialogs.jsonl", turns);
    let info = place.file(
        "dataset_info.json",
        r#"{"dialogs": {"file_name": "dialogs.jsonl", "formatting": "sharegpt", "columns": {"messages": "dialog"},
            "tags": {"role_tag": "who", "content_tag": "said", "user_tag": "customer", "assistant_tag": "agent"}},
            "other": {"file_name": "none.jsonl"}}"#,
    );
    let refused = place.error(&["train", &place.file("r.toml", ""), "--set", &format!("data.train={info}")]);
    assert!(refused.starts_with("it describes 2 data sets (dialogs, other): name one"), "{refused}");
    let told = told(&place, &[&format!("data.train={info}:dialogs")]);
    assert!(told.contains("training: 1 row,"), "{told}");
    // By a path that could be a name on the Hub, too.
    let named = |name: &str| {
        let path = format!("./dataset_info.json:{name}");
        let mut command = place.command(&["inspect", path.trim_start_matches("./")]);
        let output = command.current_dir(place.path("")).output().unwrap();
        (String::from_utf8_lossy(&output.stdout).into_owned(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    assert!(named("dialogs").0.contains("rows     1\n"), "{:?}", named("dialogs"));
    assert!(named("other").1.starts_with("error: there is no such data file"), "{:?}", named("other"));
}

#[test]
fn what_is_nothing_is_said_to_be_nothing() {
    let place = Place::new();
    fs::create_dir(place.path("empty")).unwrap();
    let said = place.error(&["inspect", &place.path("empty").display().to_string()]);
    assert!(said.starts_with("this folder holds no model (config.json), no adapter"), "{said}");
    place.file("empty/model.safetensors", "");
    let said = place.error(&["inspect", &place.path("empty").display().to_string()]);
    assert!(said.starts_with("not a model: no config.json"), "{said}");
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(place.path("self.jsonl"), place.path("self.jsonl")).unwrap();
        let said = place.error(&["inspect", &place.path("self.jsonl").display().to_string()]);
        assert!(said.starts_with("could not look at: "), "{said}");
    }
}

#[test]
fn rows_longer_than_the_models_context_are_said() {
    let place = Place::new();
    let answer = "word ".repeat(700);
    let rows = place.file("rows.jsonl", &format!("{{\"question\":\"Go on?\",\"answer\":\"{answer}\"}}\n"));
    let data = format!("data.train={rows}");
    let long = told(&place, &[&data, "data.max_seq_len=600"]);
    assert!(long.contains("1 row is longer than the model's context of 512 tokens: set data.max_seq_len"), "{long}");
    let cut = told(&place, &[&data, "data.max_seq_len=512"]);
    assert!(cut.contains("cut at max_seq_len") && !cut.contains("context"), "{cut}");
}
