//! The chat thread: loads a model once, keeps it, and answers until it is told to end.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::comparison::Comparison;
use crate::app::job::{Waker, panic_message};
use crate::engine::data::{Encoder, Message};
use crate::engine::formats::{ModelSource, TextTokenizer};
use crate::engine::generate::{
    Completion, Finish, Request, Sampling, StopText, TextStream, divergence, generate_until,
};
use crate::engine::model::{LoadOptions, Model, Session};
use crate::engine::peft::{Adapter, folder};
use crate::engine::{Error, Result};

/// What is loaded.
#[derive(Clone)]
pub(super) struct Work {
    pub source: ModelSource,
    pub options: LoadOptions,
    /// The adapter's folder.
    pub adapter: Option<PathBuf>,
}

/// One prompt with what came before it, for the base and for the adapted model; `None`: that one is not asked.
pub(super) struct Ask {
    /// The turn that it is about.
    pub turn: u64,
    pub sides: [Option<Vec<Message>>; 2],
    pub sampling: Sampling,
    pub max_new_tokens: usize,
    pub stops: Vec<String>,
    /// Ends the answers; what there is of them is compared.
    pub stop: Arc<AtomicBool>,
    /// Nobody waits for the comparison any more.
    pub give_up: Arc<AtomicBool>,
}

/// What the thread says.
pub(super) enum Said {
    /// Bytes of the weights read, and of all.
    Loading(u64, u64),
    /// Ready to answer; bytes of model and adapter, and what a person should know of the model.
    Ready { bytes: u64, notices: Vec<String> },
    /// About a turn.
    Turn(u64, About),
    /// The thread has ended, and with it what it had loaded.
    Gone(std::result::Result<(), String>),
}

/// What the thread says about a turn.
pub(super) enum About {
    /// More of an answer; its tokens so far, and seconds from the first of them to the last.
    Piece { side: usize, text: String, tokens: usize, seconds: f64 },
    /// An answer has ended.
    Ended { side: usize, finish: Finish },
    /// How far the two are from each other.
    Compared(Comparison),
    /// The prompt could not be answered.
    Failed(String),
    /// The prompt is dealt with; bytes of the conversation's cache.
    Done { cache_bytes: u64 },
}

enum Order {
    Ask(Box<Ask>),
    Adapter(Option<PathBuf>),
}

/// The thread, as the room sees it. Dropping it ends it and frees the model.
pub(super) struct Engine {
    send: Option<Sender<Order>>,
    said: Receiver<Said>,
    end: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Engine {
    /// Starts loading. `before` is the engine that this one replaces: its memory is given back first.
    pub fn start(work: Work, before: Option<Engine>, waker: &Waker) -> std::result::Result<Engine, String> {
        let (send, requests) = bounded(4);
        let (speak, said) = bounded(1024);
        let end = Arc::new(AtomicBool::new(false));
        let mouth = Mouth { speak, waker: waker.clone(), end: end.clone() };
        let before = before.and_then(Engine::into_thread);
        let body = move || {
            if let Some(before) = before {
                let _ = before.join();
            }
            let result = catch_unwind(AssertUnwindSafe(|| run(work, &requests, &mouth)));
            mouth.say(Said::Gone(match result {
                Ok(Ok(())) | Ok(Err(Error::Cancelled(_))) => Ok(()),
                Ok(Err(error)) => Err(error.to_string()),
                Err(panic) => Err(format!(
                    "an error in the program itself: {}. The model was unloaded; the rest goes on; please report it",
                    panic_message(panic.as_ref())
                )),
            }));
        };
        let thread = std::thread::Builder::new().name("chat".into()).spawn(body);
        let thread = thread.map_err(|error| format!("the system gives no thread for the chat: {error}"))?;
        Ok(Engine { send: Some(send), said, end, thread: Some(thread) })
    }

    /// Asks; false when the thread has too much to do or is gone.
    pub fn ask(&self, ask: Ask) -> bool {
        self.send.as_ref().is_some_and(|send| send.try_send(Order::Ask(Box::new(ask))).is_ok())
    }

    /// Another adapter on the same model.
    pub fn adapter(&self, adapter: Option<PathBuf>) -> bool {
        self.send.as_ref().is_some_and(|send| send.try_send(Order::Adapter(adapter)).is_ok())
    }

    /// What was said since the last call.
    pub fn heard(&self) -> impl Iterator<Item = Said> + '_ {
        self.said.try_iter()
    }

    fn into_thread(mut self) -> Option<JoinHandle<()>> {
        self.thread.take()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.end.store(true, Ordering::SeqCst);
        // The thread waits for requests: without a sender there are none any more.
        self.send = None;
    }
}

/// How the thread speaks.
struct Mouth {
    speak: Sender<Said>,
    waker: Waker,
    end: Arc<AtomicBool>,
}

impl Mouth {
    fn say(&self, said: Said) {
        // Nobody listens to an engine that was dropped.
        let _ = self.speak.send(said);
        (self.waker)();
    }

    fn about(&self, turn: u64, about: About) {
        self.say(Said::Turn(turn, about));
    }

    fn ended(&self) -> bool {
        self.end.load(Ordering::SeqCst)
    }
}

fn run(work: Work, requests: &Receiver<Order>, mouth: &Mouth) -> Result<()> {
    let (model, tokenizer) = Model::load_with_tokenizer(&work.source, &work.options, &mut |done, total| {
        mouth.say(Said::Loading(done, total));
        !mouth.ended()
    })?;
    let mut chosen = work.adapter;
    loop {
        let template = chosen.as_deref().map(folder::chat_template).transpose()?.flatten().unwrap_or_default();
        let encoder = Encoder::with_template(&tokenizer, &template, jiff::ZonedDateTime::now())?;
        let stop = encoder.stop_tokens(&model.config.eos);
        let adapter = chosen.as_deref().map(|dir| folder::read(dir, &model.config)).transpose()?;
        let numbers = adapter.as_ref().map_or(0, |a| a.params.len());
        let bytes = (model.bytes() + numbers * size_of::<f32>()) as u64;
        mouth.say(Said::Ready { bytes, notices: encoder.notices().to_vec() });
        let sides: &[bool] = if adapter.is_some() { &[false, true] } else { &[false] };
        let mut talk = Talk {
            adapter: adapter.as_ref(),
            session: Session::new(&model, adapter.as_ref(), sides)?,
            tokenizer: &tokenizer,
            encoder: &encoder,
            stop: &stop,
            mouth,
        };
        loop {
            match requests.recv() {
                Err(_) => return Ok(()),
                Ok(Order::Adapter(next)) => {
                    chosen = next;
                    break;
                }
                Ok(Order::Ask(ask)) => {
                    if let Err(error) = talk.answer(&ask) {
                        mouth.about(ask.turn, About::Failed(error.to_string()));
                    }
                    mouth.about(ask.turn, About::Done { cache_bytes: talk.session.cache_bytes() as u64 });
                }
            }
        }
    }
}

/// A model with an adapter, or without.
struct Talk<'a> {
    adapter: Option<&'a Adapter>,
    session: Session<'a>,
    tokenizer: &'a TextTokenizer,
    encoder: &'a Encoder<'a>,
    /// Tokens that end an answer.
    stop: &'a [u32],
    mouth: &'a Mouth,
}

/// An answer in the making.
struct Side<'a> {
    stream: TextStream<'a>,
    stop: StopText,
    text: String,
    tokens: usize,
    first: Option<Instant>,
    seconds: f64,
}

impl Talk<'_> {
    fn answer(&mut self, ask: &Ask) -> Result<()> {
        let context = self.session.model().config.max_positions;
        let mut requests = Vec::new();
        let count = if self.adapter.is_some() { 2 } else { 1 };
        for (i, messages) in ask.sides.iter().take(count).enumerate() {
            // One that is not asked takes part with nothing to do: its conversation stays in the cache.
            let tokens = match messages {
                Some(messages) => self.encoder.prompt(messages, true)?,
                None => vec![0],
            };
            let room = context.saturating_sub(tokens.len()).min(ask.max_new_tokens);
            requests.push(Request {
                adapted: i == 1,
                max_new_tokens: if messages.is_some() { room.max(1) } else { 0 },
                sampling: ask.sampling.clone(),
                stop: self.stop.to_vec(),
                tokens,
            });
        }
        let mut sides: Vec<Side> = requests
            .iter()
            .map(|_| Side {
                stream: TextStream::new(self.tokenizer),
                stop: StopText::new(ask.stops.clone()),
                text: String::new(),
                tokens: 0,
                first: None,
                seconds: 0.0,
            })
            .collect();
        let mouth = self.mouth;
        let mut failure = None;
        let generated = {
            let mut on_token = |i: usize, token: u32| {
                if mouth.ended() {
                    ask.stop.store(true, Ordering::SeqCst);
                }
                match sides[i].take(token) {
                    Ok((text, ended)) => {
                        let Side { tokens, seconds, .. } = sides[i];
                        mouth.about(ask.turn, About::Piece { side: i, text, tokens, seconds });
                        !ended
                    }
                    Err(error) => {
                        failure = Some(error);
                        false
                    }
                }
            };
            generate_until(&mut self.session, &requests, &mut on_token, &ask.stop)?
        };
        if let Some(error) = failure {
            return Err(error);
        }
        for (i, completion) in generated.completions.iter().enumerate().filter(|(i, _)| ask.sides[*i].is_some()) {
            let text = if completion.finish == Finish::Ended { String::new() } else { sides[i].finish()? };
            let Side { tokens, seconds, .. } = sides[i];
            mouth.about(ask.turn, About::Piece { side: i, text, tokens, seconds });
            mouth.about(ask.turn, About::Ended { side: i, finish: completion.finish });
        }
        if let (Some(adapter), Some(Some(_))) = (self.adapter, ask.sides.get(1)) {
            self.compare(adapter, &requests[1].tokens, &generated.completions[1], &sides[1].text, ask)?;
        }
        Ok(())
    }

    fn compare(&self, adapter: &Adapter, prompt: &[u32], answer: &Completion, shown: &str, ask: &Ask) -> Result<()> {
        let mut tokens = answer.tokens.clone();
        // Whether to stop here is a choice, too.
        if let Finish::Stop(token) = answer.finish {
            tokens.push(token);
        }
        if tokens.is_empty() || self.mouth.ended() {
            return Ok(());
        }
        let model = self.session.model();
        let compared = divergence(model, adapter, prompt, &tokens, &ask.give_up)?;
        if let Some(compared) = compared {
            self.mouth.about(ask.turn, About::Compared(Comparison::of(&compared, self.tokenizer, shown)?));
        }
        Ok(())
    }
}

impl Side<'_> {
    /// The text that the token brings, and whether a stop string has come.
    fn take(&mut self, token: u32) -> Result<(String, bool)> {
        let now = Instant::now();
        self.seconds = now.duration_since(*self.first.get_or_insert(now)).as_secs_f64();
        self.tokens += 1;
        let (text, ended) = self.stop.push(&self.stream.push(token)?);
        self.text.push_str(&text);
        Ok((text, ended))
    }

    /// What waited for more.
    fn finish(&mut self) -> Result<String> {
        let (mut text, ended) = self.stop.push(&self.stream.finish()?);
        if !ended {
            text.push_str(&self.stop.finish());
        }
        self.text.push_str(&text);
        Ok(text)
    }
}
