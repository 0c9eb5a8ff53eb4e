//! Arguments of tool calls: some templates write an object, some a text that holds one as JSON. OpenAI's files have the
//! text, and a template that takes it for an object's place writes it with every quotation mark escaped.

use std::borrow::Cow;

use serde_json::{Value, json};

use crate::engine::data::Message;
use crate::engine::data::template::ChatTemplate;

/// How a template wants the arguments of a tool call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arguments {
    /// It writes either well, or neither.
    AsGiven,
    /// As an object.
    Objects,
    /// As a text.
    Texts,
}

/// Whether a template writes tool calls, and the tools that may be called. One that refuses what it is asked with counts as
/// one that writes them: it refuses the rows, too.
pub fn writes(template: &ChatTemplate) -> (bool, bool) {
    let function = json!({"name": "probe_tool", "description": "", "parameters": {"type": "object", "properties": {}}});
    let tools = json!([{"type": "function", "function": function}]);
    let question = || Message::user("question");
    let mut messages = Vec::new();
    for arguments in [json!({"probe_key": "probe_value"}), json!("{\"probe_key\": \"probe_value\"}")] {
        let mut call = Message::assistant("");
        let function = json!({"name": "probe", "arguments": arguments});
        call.extra.insert("tool_calls".into(), json!([{"type": "function", "id": "call12345", "function": function}]));
        messages.push([question(), call]);
    }
    let texts = |messages: &[Message]| {
        let render = |tools: Option<&Value>| template.render(messages, tools, false).ok().map(|rendered| rendered.text);
        [render(None), render(Some(&tools))]
    };
    let calls: Vec<String> = messages.iter().flat_map(|messages| texts(messages)).flatten().collect();
    let with_tools = [vec![question()], vec![Message::system("system"), question()]];
    let with_tools: Vec<String> = with_tools.iter().filter_map(|messages| texts(messages)[1].clone()).collect();
    let holds = |texts: &[String], word: &str| texts.is_empty() || texts.iter().any(|text| text.contains(word));
    (holds(&calls, "probe_key"), holds(&with_tools, "probe_tool"))
}

impl Arguments {
    /// Renders a call in both ways.
    pub fn probe(template: &ChatTemplate) -> Arguments {
        let arguments = json!({"probe_key": "probe_value"});
        let well = |arguments: Value| {
            let mut call = Message::assistant("");
            // An id of nine letters: Mistral's templates ask for that.
            let function = json!({"name": "probe", "arguments": arguments});
            let calls = json!([{"type": "function", "id": "call12345", "function": function}]);
            call.extra.insert("tool_calls".into(), calls);
            let text = template.render(&[Message::user("question"), call], None, false).ok()?.text;
            let written = text.contains("probe_key") && text.contains("probe_value");
            Some(written && !text.contains("\\\"probe_key"))
        };
        let text = well(Value::String(arguments.to_string())).unwrap_or(false);
        let object = well(arguments).unwrap_or(false);
        match (text, object) {
            (true, true) | (false, false) => Arguments::AsGiven,
            (false, true) => Arguments::Objects,
            (true, false) => Arguments::Texts,
        }
    }

    /// The messages with their arguments so.
    pub fn fit<'m>(self, messages: &'m [Message]) -> Cow<'m, [Message]> {
        let mut fitted = Cow::Borrowed(messages);
        if self == Arguments::AsGiven {
            return fitted;
        }
        for (i, message) in messages.iter().enumerate() {
            let Some(Value::Array(calls)) = message.extra.get("tool_calls") else { continue };
            for (at, call) in calls.iter().enumerate() {
                let place = if call.get("function").is_some() { "/function/arguments" } else { "/arguments" };
                let Some(changed) = call.pointer(place).and_then(|arguments| self.changed(arguments)) else { continue };
                let place = format!("/{at}{place}");
                let calls = fitted.to_mut()[i].extra.get_mut("tool_calls");
                if let Some(arguments) = calls.and_then(|calls| calls.pointer_mut(&place)) {
                    *arguments = changed;
                }
            }
        }
        fitted
    }

    fn changed(self, arguments: &Value) -> Option<Value> {
        match (self, arguments) {
            (Arguments::Objects, Value::String(text)) => {
                serde_json::from_str(text).ok().filter(|parsed: &Value| parsed.is_object())
            }
            (Arguments::Texts, Value::Object(_)) => Some(Value::String(arguments.to_string())),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::data::chat_template;

    #[test]
    fn templates_without_tools_are_told_from_those_with_them() {
        let of = |source: &str| writes(&chat_template(source).unwrap());
        let messages = "{% for m in messages %}{{ m.content }}{% if calls %}{{ m.tool_calls }}{% endif %}{% endfor %}";
        assert_eq!(of(messages), (false, false));
        assert_eq!(of(&format!("{{% set calls = true %}}{messages}")), (true, false));
        assert_eq!(of(&format!("{{% set calls = tools %}}{{{{ tools }}}}{messages}")), (true, true));
        let refuses = "{% if tools or messages[1].tool_calls %}{{ raise_exception('no tools') }}{% endif %}";
        assert_eq!(of(&format!("{refuses}{messages}")), (true, true));
    }

    #[test]
    fn templates_get_the_arguments_that_they_write_well() {
        let call = |write: &str| {
            format!(
                "{{% for m in messages %}}{{{{ m.content }}}}{{% for c in m.tool_calls or [] %}}{write}{{% endfor %}}\
                 {{% endfor %}}"
            )
        };
        let either = "{% if c.function.arguments is string %}{{ c.function.arguments }}{% else %}\
                      {{ c.function.arguments | tojson }}{% endif %}";
        let object = json!({"x": "é"});
        for (write, expected) in [
            ("{{ c.function.arguments | tojson }}", Arguments::Objects),
            ("{% for k, v in c.function.arguments.items() %}{{ k }}={{ v }}{% endfor %}", Arguments::Objects),
            ("{{ '' + c.function.arguments }}", Arguments::Texts),
            (either, Arguments::AsGiven),
            ("nothing", Arguments::AsGiven),
        ] {
            let arguments = Arguments::probe(&chat_template(&call(write)).unwrap());
            assert_eq!(arguments, expected, "{write}");
            let mut message = Message::assistant("");
            for given in [object.clone(), Value::String(object.to_string())] {
                let calls = json!([{"function": {"name": "f", "arguments": given}}]);
                message.extra.insert("tool_calls".into(), calls);
                let messages = [message.clone()];
                let fitted = arguments.fit(&messages);
                let found = &fitted[0].extra["tool_calls"][0]["function"]["arguments"];
                match expected {
                    Arguments::Objects => assert_eq!(*found, object),
                    Arguments::Texts => assert_eq!(*found, Value::String(object.to_string())),
                    Arguments::AsGiven => assert_eq!(*found, given),
                }
            }
        }
    }
}
