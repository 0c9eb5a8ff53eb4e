//! `lora-studio chat`: answers of a model, of a model with an adapter, or of both side by side.

use std::io::{self, BufRead, IsTerminal};

use serde::Serialize;

use super::interrupt::Answering;
use super::model::{LoadArgs, chat_template_of, load_adapter, load_model, open_model};
use super::output::{Failure, columns, json, note, piece, say, width};
use crate::engine::Error;
use crate::engine::data::{Encoder, Message};
use crate::engine::formats::TextTokenizer;
use crate::engine::generate::{Generated, Request, Sampling, TextStream, generate};
use crate::engine::model::Model;
use crate::engine::peft::Adapter;

/// Arguments of `chat`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The model: builtin:NAME, a folder, a .gguf file, or owner/name on the Hub
    #[arg(long)]
    model: String,
    /// An adapter folder, or a run folder
    #[arg(long)]
    adapter: Option<String>,
    /// Answer without and with the adapter
    #[arg(long, requires = "adapter")]
    compare: bool,
    /// A question; may be given several times. Without it, standard input is the user's side of a conversation
    #[arg(long, value_name = "TEXT")]
    prompt: Vec<String>,
    /// The system's message before the conversation
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,
    /// Tokens of an answer at most
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    max_new_tokens: u32,
    /// 0 takes the likeliest token each time; 1 draws as the model says; more is wilder
    #[arg(long, value_name = "T", default_value_t = 0.0)]
    temperature: f64,
    /// Draw from the so many likeliest tokens only; 0: all
    #[arg(long, value_name = "K", default_value_t = 0)]
    top_k: usize,
    /// Draw from the likeliest tokens that together have this probability
    #[arg(long, value_name = "P", default_value_t = 1.0)]
    top_p: f64,
    /// Above 1, tokens that occurred become less likely
    #[arg(long, value_name = "R", default_value_t = 1.0)]
    repetition_penalty: f64,
    /// The same seed gives the same answer
    #[arg(long, value_name = "S", default_value_t = 0)]
    seed: u64,
    #[command(flatten)]
    load: LoadArgs,
    /// Print one JSON object an answer
    #[arg(long)]
    json: bool,
}

/// What `--json` prints for an answer.
#[derive(Serialize)]
struct Single<'a> {
    prompt: &'a str,
    text: &'a str,
    tokens: usize,
    tokens_per_second: f64,
}

/// What `--json` prints for two.
#[derive(Serialize)]
struct Pair<'a> {
    prompt: &'a str,
    base: &'a str,
    adapted: &'a str,
    base_tokens: usize,
    adapted_tokens: usize,
    tokens_per_second: f64,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let sampling = Sampling {
        temperature: args.temperature,
        top_k: args.top_k,
        top_p: args.top_p,
        repetition_penalty: args.repetition_penalty,
        seed: args.seed,
    };
    sampling.validate().map_err(|e| Failure::Usage(e.to_string()))?;
    let source = open_model(&args.model)?;
    let tokenizer = source.tokenizer()?;
    let template = args.adapter.as_deref().map(chat_template_of).transpose()?.flatten().unwrap_or_default();
    let encoder = Encoder::with_template(&tokenizer, &template, jiff::ZonedDateTime::now())?;
    for notice in encoder.notices() {
        note(format!("warning: {notice}"));
    }
    let adapter = load_adapter(args.adapter.as_deref(), &source.config)?;
    let model = load_model(&source, &args.load)?;
    let stop = encoder.stop_tokens(&model.config.eos);
    let answering = Answering::new();
    let mut chat =
        Chat { args, sampling, tokenizer: &tokenizer, encoder, adapter, model, stop, answering, sides: Vec::new() };
    if args.prompt.is_empty() {
        return chat.converse();
    }
    for prompt in &args.prompt {
        chat.begin();
        chat.turn(prompt)?;
        if chat.answering.interrupted() {
            return Err(Failure::Interrupted);
        }
    }
    Ok(())
}

struct Chat<'a> {
    args: &'a Args,
    sampling: Sampling,
    tokenizer: &'a TextTokenizer,
    encoder: Encoder<'a>,
    adapter: Option<Adapter>,
    model: Model,
    stop: Vec<u32>,
    answering: Answering,
    /// The conversation as the base and the adapted model had it, or the only one.
    sides: Vec<Vec<Message>>,
}

impl Chat<'_> {
    /// An empty conversation.
    fn begin(&mut self) {
        let system: Vec<Message> = self.args.system.iter().map(Message::system).collect();
        self.sides = vec![system; if self.args.compare { 2 } else { 1 }];
    }

    /// Turns from standard input until it ends.
    fn converse(&mut self) -> Result<(), Failure> {
        self.begin();
        let asking = io::stdin().is_terminal();
        if asking {
            note("Ctrl-D ends the conversation, /new begins another, Ctrl-C stops an answer.");
        }
        let mut lines = io::stdin().lock();
        loop {
            if asking {
                piece("> ")?;
            }
            let mut line = Vec::new();
            // Letters of another encoding are no reason to end the conversation.
            if lines.read_until(b'\n', &mut line).map_err(Error::io("read", "standard input"))? == 0 {
                return Ok(());
            }
            match String::from_utf8_lossy(&line).trim() {
                "" => {}
                "/new" => self.begin(),
                prompt => match self.turn(prompt) {
                    // A question that does not fit is no reason to end the conversation.
                    Err(failure @ Failure::Engine(_)) if asking => drop(failure.report()),
                    result => result?,
                },
            }
            if self.answering.interrupted() && !asking {
                return Err(Failure::Interrupted);
            }
            self.answering.reset();
        }
    }

    /// One question and its answer, or answers.
    fn turn(&mut self, prompt: &str) -> Result<(), Failure> {
        let context = self.model.config.max_positions;
        let mut requests = Vec::new();
        for (i, side) in self.sides.iter().enumerate() {
            let mut messages = side.clone();
            messages.push(Message::user(prompt));
            let tokens = self.encoder.prompt(&messages, true)?;
            let room = context.saturating_sub(tokens.len());
            requests.push(Request {
                adapted: if self.args.compare { i == 1 } else { self.adapter.is_some() },
                max_new_tokens: room.min(self.args.max_new_tokens as usize).max(1),
                sampling: self.sampling.clone(),
                stop: self.stop.clone(),
                tokens,
            });
        }
        // Two answers at once cannot both be written as they come.
        let streaming = !self.args.json && !self.args.compare;
        let mut stream = TextStream::new(self.tokenizer);
        let mut failure = None;
        let generated = self.answering.during(|cancel| {
            let mut on_token = |_: usize, token: u32| {
                if streaming && failure.is_none() {
                    let written = stream.push(token).map_err(Failure::from).and_then(|text| piece(&text));
                    if let Err(e) = written {
                        failure = Some(e);
                        cancel.store(true, std::sync::atomic::Ordering::SeqCst);
                    }
                }
            };
            generate(&self.model, self.adapter.as_ref(), &requests, &mut on_token, cancel)
        });
        if let Some(failure) = failure {
            return Err(failure);
        }
        let generated = generated?;
        let decode = |c: &crate::engine::generate::Completion| self.tokenizer.decode(&c.tokens, true);
        let texts = generated.completions.iter().map(decode).collect::<crate::engine::Result<Vec<String>>>()?;
        if streaming {
            say(stream.finish()?)?;
        }
        self.show(prompt, &texts, &generated)?;
        for (side, text) in self.sides.iter_mut().zip(texts) {
            side.push(Message::user(prompt));
            side.push(Message::assistant(text));
        }
        Ok(())
    }

    /// What was not streamed.
    fn show(&self, prompt: &str, texts: &[String], generated: &Generated) -> Result<(), Failure> {
        let tokens: Vec<usize> = generated.completions.iter().map(|c| c.tokens.len()).collect();
        let speed = speed(generated);
        match texts {
            [text] if self.args.json => json(&Single { prompt, text, tokens: tokens[0], tokens_per_second: speed }),
            [base, adapted] if self.args.json => json(&Pair {
                prompt,
                base,
                adapted,
                base_tokens: tokens[0],
                adapted_tokens: tokens[1],
                tokens_per_second: speed,
            }),
            [base, adapted] => {
                if !self.args.prompt.is_empty() {
                    say(format!("\n{prompt}"))?;
                }
                say(columns(("base", "adapted"), (base, adapted), width()).trim_end())
            }
            _ => Ok(()),
        }
    }
}

/// Tokens a second after the prompts were read. The first token comes with them.
fn speed(generated: &Generated) -> f64 {
    let first = generated.completions.len();
    let seconds = generated.decode_seconds;
    if generated.new_tokens > first && seconds > 0.0 { (generated.new_tokens - first) as f64 / seconds } else { 0.0 }
}
