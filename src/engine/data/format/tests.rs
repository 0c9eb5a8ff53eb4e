//! Every format, read and recognised.

use serde_json::{Value, json};

use super::*;
use crate::engine::config::RunConfig;
use crate::engine::data::Message;

fn auto(rows: &[Value]) -> Result<Reading, Reason> {
    chosen(&[], rows)
}

/// The reading with these settings.
fn chosen(settings: &[&str], rows: &[Value]) -> Result<Reading, Reason> {
    let mut run = RunConfig::default();
    settings.iter().for_each(|assignment| run.set(assignment).unwrap());
    let rows: Vec<&Fields> = rows.iter().map(|row| row.as_object().unwrap()).collect();
    Reading::choose(&run.data, &rows)
}

/// The messages of a row in short: `user:q assistant:a`.
fn short(reading: &Reading, row: &Value) -> String {
    let conversation = match reading.read(row.as_object().unwrap()) {
        Ok(Example::Conversation(conversation)) => conversation,
        Ok(Example::Document(text)) => return format!("document:{text}"),
        Err(reason) => return format!("error: {reason}"),
    };
    let word = |m: &Message| format!("{}:{}", m.role, m.content.as_deref().unwrap_or("-"));
    conversation.messages.iter().map(word).collect::<Vec<_>>().join(" ")
}

fn read(format: Format, row: Value) -> Result<Example, Reason> {
    Reading::of(format).read(row.as_object().unwrap())
}

fn messages(format: Format, row: Value) -> Vec<Message> {
    match read(format, row).unwrap() {
        Example::Conversation(conversation) => conversation.messages,
        Example::Document(text) => panic!("a document: {text}"),
    }
}

#[test]
fn every_format_is_recognised() {
    for (row, format) in [
        (json!({"messages": []}), Format::Messages),
        (json!({"conversations": []}), Format::ShareGpt),
        (json!({"instruction": "", "input": "", "output": ""}), Format::Alpaca),
        (json!({"prompt": "", "completion": ""}), Format::PromptCompletion),
        (json!({"id": 3, "question": "", "answer": ""}), Format::QuestionAnswer),
        (json!({"text": ""}), Format::Text),
        (json!({"conversations": [], "chosen": {}, "rejected": {}}), Format::Preference),
    ] {
        assert_eq!(auto(std::slice::from_ref(&row)).unwrap().format, format, "{row}");
    }
    assert_eq!(
        auto(&[json!({"txet": "1", "b": "2"})]).unwrap_err(),
        "no known format; found the columns `txet`, `b`: choose the format, and name the column that holds each of its \
         fields"
    );
    assert_eq!(serde_json::to_value(Format::ShareGpt).unwrap(), Format::ShareGpt.name());
}

#[test]
fn messages_keep_what_templates_read() {
    let row = json!({"messages": [
        {"role": "system", "content": "s"},
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        {"role": "assistant", "content": null, "tool_calls": [{"type": "function", "function": {"name": "f", "arguments": {}}}], "weight": 0},
        {"role": "tool", "content": "3", "tool_call_id": "x"},
        {"role": "model", "content": "done", "train": true},
    ], "tools": "[{\"name\": \"f\"}]"});
    let Example::Conversation(c) = read(Format::Messages, row).unwrap() else { panic!() };
    assert_eq!(c.tools, Some(json!([{"name": "f"}])));
    assert_eq!(c.messages[1], Message::user("ab"));
    assert_eq!(c.messages[2].content, None);
    assert_eq!(c.messages[2].train, Some(false));
    assert_eq!(c.messages[2].to_json()["tool_calls"][0]["function"]["name"], "f");
    assert_eq!(c.messages[3].to_json(), json!({"role": "tool", "content": "3", "tool_call_id": "x"}));
    assert_eq!(c.messages[4], Message { train: Some(true), ..Message::assistant("done") });
}

#[test]
fn reasoning_is_found_under_the_names_of_templates() {
    let row = json!({"messages": [{"role": "assistant", "content": "4", "reasoning": "2+2"}]});
    assert_eq!(
        messages(Format::Messages, row)[0].to_json(),
        json!({"role": "assistant", "content": "4", "reasoning": "2+2", "thinking": "2+2", "reasoning_content": "2+2"})
    );
}

#[test]
fn sharegpt_maps_speakers() {
    let row = json!({"system": "s", "conversations": [
        {"from": "human", "value": "h"},
        {"from": "function_call", "value": "{\"name\": \"f\", \"arguments\": {\"x\": 1}}"},
        {"from": "observation", "value": "o"},
        {"from": "gpt", "value": "g"},
    ]});
    let m = messages(Format::ShareGpt, row);
    let roles: Vec<_> = m.iter().map(|m| m.role.as_str()).collect();
    assert_eq!(roles, ["system", "user", "assistant", "tool", "assistant"]);
    assert_eq!(m[2].content, None);
    assert_eq!(
        m[2].extra["tool_calls"],
        json!([{"type": "function", "function": {"name": "f", "arguments": {"x": 1}}}])
    );
    let wrong = json!({"conversations": [{"from": "robot", "value": "x"}]});
    assert_eq!(
        read(Format::ShareGpt, wrong).unwrap_err(),
        "conversations[0]: the role \"robot\" is not known: say which role it stands for, such as user"
    );
}

#[test]
fn alpaca_joins_instruction_and_input() {
    let row = json!({"instruction": "Add.", "input": "2, 2", "output": "4", "system": "s",
                     "history": [["q", "a"]]});
    let expected = [
        Message::system("s"),
        Message::user("q"),
        Message::assistant("a"),
        Message::user("Add.\n2, 2"),
        Message::assistant("4"),
    ];
    assert_eq!(messages(Format::Alpaca, row), expected);
    let row = json!({"instruction": "Hi", "input": "", "output": "Hello", "system": ""});
    assert_eq!(messages(Format::Alpaca, row), [Message::user("Hi"), Message::assistant("Hello")]);
}

#[test]
fn prompts_may_be_texts_or_messages() {
    let row = json!({"prompt": "p", "completion": "c"});
    assert_eq!(messages(Format::PromptCompletion, row), [Message::user("p"), Message::assistant("c")]);
    // Only the completion is trained, also when the prompt holds earlier answers.
    let row = json!({"prompt": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"},
                                {"role": "user", "content": "c"}],
                     "completion": [{"role": "assistant", "content": "d"}]});
    let m = messages(Format::PromptCompletion, row);
    assert_eq!(m.iter().map(|m| m.train).collect::<Vec<_>>(), [None, Some(false), None, None]);
}

#[test]
fn wrong_types_are_named() {
    for (format, row, message) in [
        (Format::Messages, json!({"messages": "hi"}), "`messages` is the text \"hi\"; expected a list of messages"),
        (Format::Messages, json!({"messages": []}), "`messages` is empty"),
        (Format::Messages, json!({"messages": [3]}), "messages[0] is the number 3; expected an object"),
        (
            Format::Messages,
            json!({"messages": [{"role": "user", "content": 5}]}),
            "messages[0]: `content` is the number 5; expected a text",
        ),
        (
            Format::Messages,
            json!({"messages": [{"content": "x"}]}),
            "messages[0]: there is no `role`; found the column `content`",
        ),
        (
            Format::Messages,
            json!({"messages": [{"role": "user", "content": [{"type": "image", "url": "x"}]}]}),
            "messages[0]: `content` has a part of type \"image\"; only text is trained",
        ),
        (
            Format::Messages,
            json!({"messages": [{"role": "user"}]}),
            "messages[0]: there is no `content`; found the column `role`",
        ),
        (Format::Alpaca, json!({"instruction": "x"}), "there is no `output`; found the column `instruction`"),
        (Format::QuestionAnswer, json!({"question": "x", "answer": ["y"]}), "`answer` is a list; expected a text"),
        (Format::Text, json!({"text": null}), "`text` is null; expected a text"),
    ] {
        assert_eq!(read(format, row.clone()).unwrap_err(), message, "{row}");
    }
    assert!(read(Format::Auto, json!({"chosen": "a", "rejected": "b"})).unwrap_err().contains("preference rows"));
}

#[test]
fn formats_are_found_by_what_is_in_them() {
    let turns = |role: &str, user: &str, assistant: &str, content: &str| json!([{role: user, content: "q"}, {role: assistant, content: "a"}]);
    for (row, reason) in [
        (json!({"messages": turns("role", "user", "assistant", "content")}), "`messages` with `role` and `content`"),
        (
            json!({"conversations": turns("from", "human", "gpt", "value")}),
            "`conversations` with `from` and `value`: sharegpt",
        ),
        (
            json!({"conversations": turns("role", "user", "assistant", "content")}),
            "`conversations` with `role` and `content`: messages",
        ),
        (json!({"messages": turns("from", "human", "gpt", "value")}), "`messages` with `from` and `value`: sharegpt"),
        (
            json!({"id": 1, "dialog": turns("speaker", "human", "bot", "text")}),
            "`dialog` with `speaker` and `text`: messages",
        ),
        (
            json!({"id": 1, "mine": turns("role", "user", "assistant", "message")}),
            "`mine` with `role` and `message`: messages",
        ),
        (
            json!({"messages": turns("role", "user", "assistant", "content").to_string()}),
            "`messages` with `role` and `content`",
        ),
        (json!({"id": 1, "question": "q", "answer": "a"}), "the columns `question` and `answer`"),
        (json!({"Question": "q", "Answer": "a"}), "the columns `Question` and `Answer`"),
        (json!({"input": "q", "output": "a"}), "the columns `input` and `output`"),
        (json!({"prompt": "q", "response": "a"}), "the columns `prompt` and `response`"),
        (json!({"instruction": "q", "response": "a"}), "the columns `instruction` and `response`"),
        (json!({"query": "q", "response": "a"}), "the columns `query` and `response`"),
        (json!({"inputs": "q", "targets": "a"}), "the columns `inputs` and `targets`"),
        (
            json!({"prompt": [{"role": "user", "content": "q"}], "completion": [{"role": "assistant", "content": "a"}]}),
            "the columns `prompt` and `completion`",
        ),
    ] {
        // The first row has nothing to show.
        let empty: Fields = row.as_object().unwrap().keys().map(|key| (key.clone(), Value::Null)).collect();
        let reading = auto(&[Value::Object(empty), row.clone()]).unwrap();
        assert_eq!(reading.reason, reason);
        assert_eq!(short(&reading, &row), "user:q assistant:a", "{row}");
        assert!(!reading.unused.iter().any(|column| column != "id"), "{:?}", reading.unused);
    }
    let dolly = json!({"instruction": "i", "context": "c", "response": "a", "category": "x"});
    let reading = auto(std::slice::from_ref(&dolly)).unwrap();
    assert_eq!(
        (reading.reason.as_str(), reading.column("input")),
        ("the columns `instruction`, `context` and `response`", "context")
    );
    assert_eq!(
        (short(&reading, &dolly).as_str(), reading.unused.as_slice()),
        ("user:i\nc assistant:a", ["category".to_string()].as_slice())
    );
    let orca = json!({"system_prompt": "s", "question": "q", "response": "a"});
    assert_eq!(short(&auto(std::slice::from_ref(&orca)).unwrap(), &orca), "system:s user:q assistant:a");
    for (row, reason) in [
        (json!({"id": 1, "body": "t"}), "the column `body`"),
        (json!({"whatever": "t"}), "the only column, `whatever`"),
        (json!({"text": "t", "meta": "m"}), "the column `text`"),
    ] {
        let reading = auto(std::slice::from_ref(&row)).unwrap();
        assert_eq!((reading.reason.as_str(), short(&reading, &row).as_str()), (reason, "document:t"));
    }
    // Two texts of names that say nothing are not guessed, nor are two lists.
    assert!(auto(&[json!({"left": "q", "right": "a"})]).is_err());
    assert!(auto(&[json!({"title": "q", "body": "a"})]).is_err());
    let list = turns("role", "user", "assistant", "content");
    assert!(auto(&[json!({"one": list, "two": list})]).is_err());
}

#[test]
fn columns_and_roles_are_mapped_by_hand() {
    let row = json!({"q": "x", "a": "y", "sys": "s", "question": "no", "answer": "no"});
    let reading =
        chosen(&["data.columns={ prompt = \"q\", completion = \"a\", system = \"sys\" }"], std::slice::from_ref(&row))
            .unwrap();
    assert_eq!(
        (reading.format, reading.reason.as_str()),
        (Format::PromptCompletion, "the columns `a`, `q` and `sys`, named by hand")
    );
    assert_eq!(short(&reading, &row), "system:s user:x assistant:y");
    // A detected format keeps what the settings add to it.
    let reading = chosen(&["data.columns.system=sys"], std::slice::from_ref(&row)).unwrap();
    assert_eq!(short(&reading, &row), "system:s user:no assistant:no");

    let row = json!({"talk": [{"speaker": "customer", "utterance": "x"}, {"speaker": "Agent", "utterance": "y"}]});
    let reading = auto(std::slice::from_ref(&row)).unwrap();
    assert_eq!(
        short(&reading, &row),
        "error: talk[0]: the role \"customer\" is not known: say which role it stands for, such as user"
    );
    let roles = "data.roles={ customer = \"user\", agent = \"assistant\" }";
    for settings in [&[roles][..], &[roles, "data.format=messages", "data.columns.messages=talk"]] {
        let reading = chosen(settings, std::slice::from_ref(&row)).unwrap();
        assert_eq!(short(&reading, &row), "user:x assistant:y");
        assert_eq!((reading.column("role"), reading.column("content")), ("speaker", "utterance"));
    }
    // A chosen format takes the columns that it is known to have elsewhere.
    let row = json!({"conversations": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]});
    for format in ["data.format=messages", "data.format=sharegpt"] {
        assert_eq!(short(&chosen(&[format], std::slice::from_ref(&row)).unwrap(), &row), "user:q assistant:a");
    }

    let rows = [json!({"q": "x", "a": "y"})];
    assert_eq!(
        chosen(&["data.format=alpaca", "data.columns.question=q"], &rows).unwrap_err(),
        "a column is named for `question`, but rows of the format alpaca have no such field; they have `instruction`, `input`, \
         `output`, `system`, `tools` and `history`"
    );
    assert_eq!(
        chosen(&["data.format=text", "data.columns.text=aa"], &rows).unwrap_err(),
        "the column \"aa\" is named for `text`, but the rows have no such column; found the columns `q`, `a`; did you mean a?"
    );
    let optional = chosen(&["data.format=question-answer", "data.columns.system=sys"], &rows).unwrap();
    assert_eq!(optional.notices.len(), 1, "{:?}", optional.notices);
    assert_eq!(short(&optional, &rows[0]), "user:x assistant:y");
}

#[test]
fn preference_rows_train_the_chosen_answer_when_that_is_said() {
    let list = |answer: &str| json!([{"role": "user", "content": "q"}, {"role": "assistant", "content": answer}]);
    for (row, expected) in [
        (json!({"prompt": "q", "chosen": "a", "rejected": "b"}), "user:q assistant:a"),
        (json!({"instruction": "q", "input": "i", "chosen": "a", "rejected": "b"}), "user:q\ni assistant:a"),
        (json!({"input": "q", "chosen": "a", "rejected": "b"}), "user:q assistant:a"),
        (json!({"prompt": "q", "chosen": list("a"), "rejected": list("b")}), "user:q assistant:a"),
        (json!({"chosen": list("a"), "rejected": list("b")}), "user:q assistant:a"),
        (
            json!({"prompt": [{"role": "user", "content": "q"}], "chosen": [{"role": "assistant", "content": "a"}],
                "rejected": [{"role": "assistant", "content": "b"}]}),
            "user:q assistant:a",
        ),
        (
            json!({"conversations": [{"from": "human", "value": "q"}], "chosen": {"from": "gpt", "value": "a"},
                "rejected": {"from": "gpt", "value": "b"}}),
            "user:q assistant:a",
        ),
        (
            json!({"chosen": "a", "rejected": "b"}),
            "error: `chosen` is a text, and nothing says what was asked: there is no `prompt`",
        ),
        (
            json!({"prompt": "other", "chosen": list("a"), "rejected": list("b")}),
            "error: `chosen` is a whole conversation, but not one in which `prompt` is asked",
        ),
    ] {
        let found = auto(std::slice::from_ref(&row)).unwrap();
        assert_eq!(
            (found.format, found.reason.as_str()),
            (Format::Preference, "the columns `chosen` and `rejected`: preference rows")
        );
        assert!(short(&found, &row).contains("choose the format \"preference\" to train on the chosen answers alone"));
        let reading = chosen(&["data.format=preference"], std::slice::from_ref(&row)).unwrap();
        assert_eq!(short(&reading, &row), expected, "{row}");
        assert!(reading.notices[0].contains("the rejected ones are not used"));
    }
    let shared = json!([{"role": "user", "content": "1"}, {"role": "assistant", "content": "same"}, {"role": "user", "content": "2"}]);
    let with = |answer: &str| {
        let mut list = shared.as_array().unwrap().clone();
        list.push(json!({"role": "assistant", "content": answer}));
        Value::Array(list)
    };
    let row = json!({"chosen": with("a"), "rejected": with("b")});
    let trained: Vec<_> = messages(Format::Preference, row).iter().map(|m| m.train).collect();
    assert_eq!(trained, [None, Some(false), None, None]);
}

#[test]
fn a_row_of_another_format_is_said_to_be_one() {
    let reading = auto(&[json!({"messages": [{"role": "user", "content": "q"}]})]).unwrap();
    assert_eq!(
        short(&reading, &json!({"instruction": "q", "output": "a"})),
        "error: this row looks like alpaca (the columns `instruction` and `output`), but the others are read as messages \
         (`messages` with `role` and `content`): keep rows of different formats in different files, and train on one of them"
    );
    assert_eq!(short(&reading, &json!({"left": "q"})), "error: there is no `messages`; found the column `left`");
}

#[test]
fn every_field_can_be_named_in_the_settings() {
    use crate::engine::config::ROW_FIELDS;
    let all = [
        Format::Messages,
        Format::ShareGpt,
        Format::Alpaca,
        Format::PromptCompletion,
        Format::QuestionAnswer,
        Format::Text,
        Format::Preference,
    ];
    let fields: Vec<&str> = all.iter().flat_map(|format| format.fields()).map(|field| field.name).collect();
    assert!(fields.iter().all(|field| ROW_FIELDS.contains(field)), "{fields:?}");
    assert!(ROW_FIELDS.iter().all(|field| fields.contains(field)), "{fields:?}");
}

#[test]
fn rows_of_very_many_columns_are_looked_at_quickly() {
    let many = |from: usize| Value::Object((from..from + 300_000).map(|i| (format!("column {i}"), json!(i))).collect());
    let started = std::time::Instant::now();
    let refused = auto(&[many(0), many(150_000)]).unwrap_err();
    assert!(refused.starts_with("no known format; found the columns `column 0`"), "{refused}");
    assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
}
