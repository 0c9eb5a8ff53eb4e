//! What is put into templates, and templates that would run for ever, take all memory or end the program.

use std::time::Instant;

use super::{Refusal, bounded};
use crate::engine::data::Message;
use crate::engine::data::random::Random;
use crate::engine::data::template::{chat_template, environment, python};

/// The template with `c(…)` and `h(…)` for the two checks.
fn short(source: &str) -> String {
    bounded(source).unwrap().replace(")|__check_held__()", ")h").replace(")|__check__()", ")c")
}

#[test]
fn names_arguments_and_comparisons_are_checked() {
    for (source, expected) in [
        ("{% set x = a.b[0] %}{% set ns.x=a %}", "{% set x = a.b[0] %}{% set ns.x=(a)h %}"),
        ("{% set x = a[1:] %}{% set ns.x=a+b %}", "{% set x = (a[1:])c %}{% set ns.x=(a+b)h %}"),
        ("{% set x, y = f(), 1 %}{% set x = 'a' ~ b %}", "{% set x, y = (f())c, 1 %}{% set x = 'a' ~ b %}"),
        ("{% set x = (a + b)[1:] %}{% set y = [[]] %}", "{% set x = ((a + b)[1:])c %}{% set y = [[]] %}"),
        ("{%- set x = a if b else c|list -%}", "{%- set x = (a if b else (c)c|list)c -%}"),
        ("{% set x %}{{ y }}{% endset %}", "{% set x %}{{ y }}{% endset %}"),
        ("{% with a = b, c=[d] %}{% endwith %}", "{% with a = b, c=([d])c %}{% endwith %}"),
        ("{{ f(a, b=c, *d, **e)|trim }}", "{{ f((a)c, b=(c)c, *(d)c, **(e)c)|trim }}"),
        ("{{ a.b['c'].d(e).f }}{{ a[b] }}{{ a[-1] }}", "{{ a.b['c'].d((e)c).f }}{{ a[(b)c] }}{{ a[-1] }}"),
        ("{% if a.b == 'c' and d == e.f %}", "{% if a.b == 'c' and (d)c == (e.f)c %}"),
        ("{% if a in ['b'] or a not in b.c %}", "{% if a in ['b'] or (a)c not in (b.c)c %}"),
        ("{% if a is defined and b is in c %}", "{% if a is defined and (b)c is in (c)c %}"),
        ("{% for a in b.c if a == b %}", "{% for a in b.c if (a)c == (b)c %}"),
        ("{% set x = a[1:]if b[c]is string %}", "{% set x = (a[1:]if b[(c)c]is string)c %}"),
        ("{% set x = a + [1] %}{% set x = [1] + [2] %}", "{% set x = (a + [1])c %}{% set x = ([1] + [2])c %}"),
        ("{% for a in b + c %}{% for a in b[::-1] %}", "{% for a in (b + c)c %}{% for a in b[::-1] %}"),
        ("{{ a * 2 * b + 'c' }}{{ 'a' * 3 }}", "{{ ((a * 2)c * b)c + 'c' }}{{ ('a' * 3)c }}"),
        // What trims is a text; what sorts is a list.
        ("{{ a|trim|sort|join(',') }}{{ [a]|trim }}", "{{ (a|trim|sort)c|join(',') }}{{ ([a])c|trim }}"),
        ("{{ -a|sort }}{{ {a: {'b': c}} }}", "{{ -a|sort }}{{ {(a)c: {'b': c}} }}"),
        ("{% macro m(a, b=c) %}{% call(d) e(f) %}", "{% macro m(a, b=(c)c) %}{% call(d) e((f)c) %}"),
        ("{% filter replace(a, 'b') %}", "{% filter replace((a)c, 'b') %}"),
    ] {
        assert_eq!(short(source), expected, "{source}");
    }
}

#[test]
fn comments_raw_text_and_line_ends_stay() {
    for source in
        ["{# {% set x = [a] %} #}{% raw %}{{ f(a) }}{%- endraw %}{{'}}'}}", "{%- raw -%}{{", "{{ {'a': {}} }}", "{ {"]
    {
        assert_eq!(short(source), source);
    }
    let lines = "a\n{% set x =\n  [a]\n%}\n{{ x.y(\nz) }}";
    assert_eq!(short(lines), "a\n{% set x =\n  ([a])c\n%}\n{{ x.y(\n(z)c) }}");
}

/// Renders and says how long that took.
fn stopped(source: &str, messages: &[Message]) -> String {
    let started = Instant::now();
    let rendered = chat_template(source).and_then(|template| template.render(messages, None, false));
    let (seconds, source) = (started.elapsed().as_secs_f64(), source.chars().take(160).collect::<String>());
    println!("{seconds:>6.2} s {source}: {:?}", rendered.as_ref().map(|r| &r.text));
    assert!(seconds < 5.0, "{source}: {seconds} s");
    rendered.expect_err(&source)
}

/// A loop that does something to a list a hundred thousand times.
fn growing(step: &str, then: &str) -> String {
    format!(
        "{{% set ns = namespace(l=[1], m=[1]) %}}{{% for i in range(100000) %}}{{% set ns.l = {step} %}}{{% endfor %}}{then}"
    )
}

const LARGE: &str = "the chat template makes a value of more than 250000 entries: it was stopped";
const DEEP: &str = "the chat template puts lists or objects into one another more than 200 deep: it was stopped";
const ENDLESS: &str = "the chat template does not come to an end: it was stopped";

#[test]
fn lists_that_double_are_stopped() {
    for then in [
        "{{ ns.l|length }}",
        "{{ ns.l == ns.m }}",
        "{{ 2 in ns.l }}",
        "{{ ns.l[9] }}",
        "{{ ns.l|join }}",
        "{{ ns.l }}",
        "{{ ns.l|tojson }}",
        "{{ ns.l[1:]|length }}",
        "{{ ns.l|last }}",
        "{{ '' ~ ns.l }}",
    ] {
        assert_eq!(stopped(&growing("ns.l + ns.l", then), &[]), LARGE, "{then}");
    }
    for step in [
        "(ns.l * 1) + ns.l",
        "ns.l * 2",
        "[ns.l, ns.l]",
        "{'a': ns.l, 'b': ns.l}",
        "(ns.l, ns.l)",
        "(ns.l|reverse|list) + (ns.l|reverse|list)",
        "ns.l + [ns.l]",
        "dict(a=ns.l, b=ns.l)",
    ] {
        assert_eq!(stopped(&growing(step, ""), &[]), LARGE, "{step}");
    }
    // The texts cost more than the list.
    assert_eq!(stopped(&growing("ns.l + ['x' * 100000]", ""), &[]), ENDLESS);
    // Without a loop, by macros and by loops that call themselves.
    let twice = "{% set l = l + l %}".repeat(100);
    assert_eq!(stopped(&format!("{{% set l = [1] %}}{twice}{{{{ l|length }}}}"), &[]), LARGE);
    let call = "{% macro m(l, n) %}{% if n %}{{ m(l + l + l + l, n - 1) }}{% else %}{{ l == [2] }}{% endif %}{% endmacro %}{{ m([1], 12) }}";
    assert_eq!(stopped(call, &[]), LARGE);
    let with = "{% with a = [1] * 9999 %}{% with b = [a] * 9999 %}{{ b == [a] * 9998 }}{% endwith %}{% endwith %}";
    assert_eq!(stopped(with, &[]), LARGE);
    assert_eq!(stopped("{{ [[[1] * 5000] * 5000] * 5000 == [1] }}", &[]), LARGE);
    assert_eq!(stopped("{{ ([['x' * 1000000] * 99] * 99)|string|length }}", &[]), LARGE);
    assert_eq!(stopped("{{ messages * 100000000 == [1] }}", &[Message::user("q")]), LARGE);
}

#[test]
fn lists_that_grow_by_one_are_stopped() {
    for (step, reason) in [
        ("ns.l + [1]", ENDLESS),
        ("(ns.l * 1) + [1]", ENDLESS),
        ("[1] + ns.l", ENDLESS),
        ("ns.l + [i]|list", ENDLESS),
        ("[ns.l]", DEEP),
        ("{'a': ns.l}", DEEP),
        ("(ns.l,)", DEEP),
        ("dict(a=ns.l)", DEEP),
        ("[ns.l|reverse]", DEEP),
        ("[ns.l[0:], 1]", DEEP),
        ("[ns.l]|map('list')", ENDLESS),
        ("namespace(l=ns.l)", "the chat template puts a namespace into another value: it was stopped"),
        ("[ns]", "the chat template puts a namespace into another value: it was stopped"),
        ("loop", "the chat template puts a macro, a function or a loop into another value: it was stopped"),
        ("[dict]", "the chat template puts a macro, a function or a loop into another value: it was stopped"),
    ] {
        let found = stopped(&growing(step, "{{ ns.l|length }}"), &[]);
        assert!(found == reason || (reason == ENDLESS && found == DEEP), "{step}: {found}");
    }
    // A chain of namespaces, the next one hung onto the last.
    let chain = "{% set ns = namespace() %}{% set ns.end = namespace() %}";
    assert!(stopped(chain, &[]).starts_with("the chat template puts a namespace into"));
    let macros = "{% set ns = namespace(m=1) %}{% for i in range(100000) %}{% set b = ns.m %}{% macro m() %}{{ b }}{% endmacro %}\
                  {% set ns.m = m %}{% endfor %}";
    assert!(stopped(macros, &[]).starts_with("the chat template puts a macro"));
}

/// What is compared or searched costs fuel each time.
#[test]
fn work_that_is_repeated_is_stopped() {
    let lists = "{% set a = range(90000)|list %}{% set b = range(90000)|list %}";
    for work in [
        "{{ a == b }}",
        "{{ a < b }}",
        "{{ [a] == [b] }}",
        "{{ [a] in [[b]] }}",
        "{{ {a: 1}[b] }}",
        "{{ [[a], [b]]|unique|list|length }}",
        "{{ [[a], [b]]|sort|length }}",
        "{{ [a] is eq([b]) }}",
        "{{ [[a]].index([b]) }}",
        "{{ ([a, b]|string)|length }}",
        "{{ [a]|select('eq', b)|list|length }}",
        "{{ a|join|length }}",
        "{{ {'a': a} == {'a': b} }}",
        "{{ [[a]].count([b]) }}",
    ] {
        let source = format!("{lists}{{% for i in range(100000) %}}{work}{{% endfor %}}");
        assert_eq!(stopped(&source, &[]), ENDLESS, "{work}");
    }
}

#[test]
fn long_expressions_are_refused() {
    for (head, link, tail) in [
        ("{{ 1", "+x", " }}"),
        ("{{ x", "|trim", " }}"),
        ("{{ x", ".a", " }}"),
        ("{{ x", "[0]", " }}"),
        ("{{ x", "()", " }}"),
        ("{{ x", " if x else x", " }}"),
        ("{{ x", " is string", " }}"),
        ("{{ x", " and x", " }}"),
        ("{{ x", " == x", " }}"),
        ("{{ x", "~x", " }}"),
        ("{{ ", "not ", "x }}"),
        ("{{ ", "-", "x }}"),
        ("{{ ", "(", "x }}"),
        ("{{ ", "[", "x }}"),
        ("{{ ", "{1:", "x }}"),
        ("{{ x", "(x", " }}"),
        ("{% if x %}", "{% elif x %}", "{% endif %}"),
        ("", "{% if x %}", ""),
        ("", "{% for x in x %}", ""),
        ("", "{{ 'a", ""),
        ("{% filter trim", "|trim", " %}{% endfilter %}"),
        ("{% set x", ".a", " = 1 %}"),
        ("{% set ", "(", "a = 1 %}"),
        ("{% for ", "(", "a in b %}"),
        ("{% macro a(", "(", " %}"),
        ("{{ x is ", "a.", " }}"),
        ("{{ x is string ", "is ", " }}"),
    ] {
        for count in [2_000, 100_000] {
            let reason = stopped(&format!("{head}{}{tail}", link.repeat(count)), &[]);
            assert!(reason.starts_with("the chat template "), "{reason}");
        }
    }
    let reason = stopped(&format!("\n{{{{ 1{} }}}}", "+1".repeat(1000)), &[]);
    assert_eq!(
        reason,
        "the chat template is not valid: an expression or an if has too many parts (line 2 of the template)"
    );
    assert!(stopped("{% include 'chat' %}", &[]).contains("it asks for another template, and there is none (line 1"));
    assert!(stopped(&" ".repeat(5 << 20), &[]).contains("it is longer than 4 MiB"));
}

/// Templates gather the messages that they have seen, and long conversations are no attack.
#[test]
fn long_conversations_are_rendered() {
    let messages: Vec<Message> = (0..1000).map(|i| Message::user(format!("message {i}"))).collect();
    let source = "{% set ns = namespace(seen=[]) %}{% for m in messages %}{% set ns.seen = ns.seen + [m] %}{% set rest = messages[loop.index:] %}\
                  {% endfor %}{{ ns.seen|length }} {{ ns.seen[999].content }} {{ ns.seen is sequence }} {{ ns.seen == messages }}";
    let rendered = chat_template(source).unwrap().render(&messages, None, false).unwrap();
    assert_eq!(rendered.text, "1000 message 999 True True");
}

/// Not a test: `cargo test --release checks_cost -- --ignored --nocapture`. Microseconds of a rendering without checks and
/// with them, for a short conversation, in turns so that both see the same machine.
#[test]
#[ignore = "a measurement"]
fn checks_cost() {
    let messages: Vec<Message> = (0..3)
        .flat_map(|i| [Message::user(format!("{i}? ").repeat(60)), Message::assistant(format!("{i}! ").repeat(120))])
        .collect();
    let context = minijinja::context! {
        messages => messages.iter().map(|m| python::from_json(&m.to_json())).collect::<minijinja::Value>(),
        tools => (), add_generation_prompt => false, bos_token => "<s>", eos_token => "</s>",
    };
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    for file in [
        "templates/chatml.jinja",
        "templates/llama3.jinja",
        "templates/llama3_tools.jinja",
        "templates/qwen2_5.jinja",
        "templates/qwen3.jinja",
        "templates/smollm3.jinja",
        "masks/trl/phi3.jinja",
        "masks/trl/gptoss.jinja",
    ] {
        let source = std::fs::read_to_string(folder.join(file)).unwrap();
        let (source, _) = environment::rewrite_generation_tags(&source);
        let context = minijinja::context! { __marks__ => "()", ..context.clone() };
        let environments = [source.clone(), bounded(&source).unwrap()].map(|source| {
            let mut environment = environment::new(jiff::ZonedDateTime::now());
            environment.add_template_owned("chat", source).unwrap();
            environment
        });
        let mut best = [f64::MAX; 2];
        for _ in 0..200 {
            for (environment, best) in environments.iter().zip(&mut best) {
                let template = environment.get_template("chat").unwrap();
                let started = Instant::now();
                for _ in 0..20 {
                    std::hint::black_box(template.render(&context).unwrap());
                }
                *best = best.min(started.elapsed().as_secs_f64() / 20.0);
            }
        }
        println!("{file}: {:.2} µs, {:.2} µs with checks", best[0] * 1e6, best[1] * 1e6);
    }
}

/// Templates with pieces of one another in wrong places: what minijinja reads, is read here, and renders to the same.
#[test]
fn mixed_up_templates_are_read_as_minijinja_reads_them() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let mut sources: Vec<String> = Vec::new();
    for folder in [folder.join("templates"), folder.join("masks/trl")] {
        let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        let templates = files.into_iter().filter(|path| path.extension().is_some_and(|ending| ending == "jinja"));
        sources.extend(templates.map(|path| std::fs::read_to_string(path).unwrap()));
    }
    let sources: Vec<String> = sources.iter().map(|source| environment::rewrite_generation_tags(source).0).collect();
    // Names, texts, white space, and every other character by itself.
    let pieces: Vec<Vec<&str>> = sources.iter().map(|source| pieces(source)).collect();
    let messages: Vec<_> = [Message::system("S"), Message::user("q"), Message::assistant("a\n</think>b")]
        .iter()
        .map(|message| python::from_json(&message.to_json()))
        .collect();
    let context =
        minijinja::context! { messages, tools => (), __marks__ => "()", bos_token => "<s>", eos_token => "</s>" };
    let mut random = Random::new(1, "templates", 0);
    let (mut read, mut rendered) = (0, 0);
    for round in 0..6000 {
        let mut mixed = pieces[round % pieces.len()].clone();
        for _ in 0..=random.below(3) {
            let other = &pieces[random.below(pieces.len())];
            let from = random.below(other.len());
            let inserted = &other[from..(from + random.below(6)).min(other.len())];
            let at = random.below(mixed.len());
            let until = (at + random.below(4)).min(mixed.len());
            mixed.splice(at..until, inserted.iter().copied());
        }
        let source = mixed.concat();
        let compiled = |source: String| {
            let mut environment = environment::new("2024-07-26T12:00:00+00:00[UTC]".parse().unwrap());
            environment.set_fuel(Some(200_000));
            environment.add_template_owned("chat", source).map(|()| environment)
        };
        let Ok(own) = compiled(source.clone()) else {
            // Ours may be read, and is then refused by minijinja.
            if let Ok(bounded) = bounded(&source) {
                assert!(compiled(bounded).is_err(), "{source}");
            }
            continue;
        };
        let checked = match bounded(&source) {
            Ok(bounded) => compiled(bounded.clone()).unwrap_or_else(|e| panic!("{e}: {bounded}")),
            Err(Refusal::OtherTemplates(_)) => continue,
            Err(refusal) => panic!("{}: {source}", refusal.describe(&source)),
        };
        read += 1;
        let render = |environment: &minijinja::Environment| environment.get_template("chat").unwrap().render(&context);
        match (render(&own), render(&checked)) {
            (Ok(own), Ok(checked)) => {
                rendered += 1;
                assert_eq!(own, checked, "{source}");
            }
            (Ok(_), Err(error)) => {
                assert!(
                    error.detail().is_some_and(|detail| detail.starts_with(environment::STOPPED)),
                    "{error}: {source}"
                );
            }
            (Err(_), Err(_)) => {}
            (Err(error), Ok(_)) => panic!("{error} without checks: {source}"),
        }
    }
    println!("{read} of 6000 are templates, {rendered} were rendered");
    assert!(read > 500 && rendered > 200, "{read}, {rendered}");
}

/// A template cut between its words.
fn pieces(source: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let word = |c: char| c.is_alphanumeric() || c == '_';
        let length = match word(first) {
            true => rest.find(|c| !word(c)).unwrap_or(rest.len()),
            false => ["{{-", "{{", "{%-", "{%", "-%}", "%}", "-}}", "}}", "==", "!="]
                .iter()
                .find(|sign| rest.starts_with(**sign))
                .map_or(first.len_utf8(), |sign| sign.len()),
        };
        pieces.push(&rest[..length]);
        rest = &rest[length..];
    }
    pieces
}
