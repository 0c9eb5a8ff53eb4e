//! Conversations with the built-in model through the room's state.

use std::path::Path;
use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};

use super::*;
use crate::app::adapters::testing;
use crate::app::{Command, Room, Studio};

/// Holds the chat thread where it speaks, until it is opened.
#[derive(Default)]
struct Gate {
    shut: Mutex<bool>,
    change: Condvar,
}

impl Gate {
    fn set(&self, shut: bool) {
        *self.shut.lock().unwrap() = shut;
        self.change.notify_all();
    }

    fn pass(&self) {
        if std::thread::current().name() == Some("chat") {
            let shut = self.shut.lock().unwrap();
            drop(self.change.wait_timeout_while(shut, Duration::from_secs(20), |shut| *shut).unwrap());
        }
    }
}

struct Test {
    studio: Studio,
    gate: Arc<Gate>,
    dir: tempfile::TempDir,
}

impl Test {
    /// In the Chat room with an adapter whose B is of size `b`.
    fn new(b: f32) -> Test {
        let dir = tempfile::tempdir().unwrap();
        let gate = Arc::new(Gate::default());
        let inner = gate.clone();
        let mut studio = Studio::open(None, Arc::new(move || inner.pass()));
        studio.shared.prefs.runs_folder = dir.path().join("runs").display().to_string();
        studio.shared.prefs.chat.max_new_tokens = 24;
        studio.apply(Command::Go(Room::Chat));
        let mut test = Test { studio, gate, dir };
        let adapter = testing::adapter(&test.dir.path().join("pirate"), b);
        test.choose(&adapter);
        test
    }

    fn choose(&mut self, adapter: &Path) {
        self.apply(ChatCommand::Choose(Choice::Adapter(adapter.to_path_buf())));
        self.wait(|chat| chat.chosen.is_some() || chat.problem.is_some());
    }

    fn apply(&mut self, command: ChatCommand) {
        self.studio.apply(Command::Chat(command));
    }

    fn wait(&mut self, done: impl Fn(&Chat) -> bool) {
        let until = Instant::now() + Duration::from_secs(60);
        while !done(&self.studio.chat) {
            assert!(Instant::now() < until, "waited in vain; {:?}", self.studio.chat.refusal);
            std::thread::sleep(Duration::from_millis(1));
            self.studio.drain();
        }
    }

    /// Asks and waits until the turn is dealt with.
    fn ask(&mut self, prompt: &str) {
        self.apply(ChatCommand::Ask(prompt.into()));
        assert_eq!(self.studio.chat.refusal, None);
        self.wait(|chat| !chat.turns.last().unwrap().open);
    }

    fn text(&self, turn: usize, side: usize) -> &str {
        &self.studio.chat.turns[turn].answers[side].as_ref().unwrap().text
    }
}

#[test]
fn both_answer_from_one_model_and_the_figure_tells_them_apart() {
    let mut test = Test::new(0.15);
    test.ask("Hello! Who are you?");
    let turn = &test.studio.chat.turns[0];
    assert_eq!(turn.problem, None);
    assert_ne!(test.text(0, 0), test.text(0, 1));
    let compared = turn.comparison.clone().unwrap();
    assert!(compared.mean_kl > 0.0 && compared.tokens > 0, "{compared:?}");
    let words: String = compared.words.iter().map(|w| w.text.as_str()).collect();
    assert_eq!(words, test.text(0, 1));
    let resident = test.studio.chat.resident.as_ref().unwrap();
    assert_eq!(resident.phase, Phase::Idle);
    assert!(resident.bytes > 1 << 20 && resident.cache_bytes > 0);

    // The same seed answers the same; another one may not.
    test.studio.shared.prefs.chat.temperature = 1.0;
    let mut texts = Vec::new();
    for seed in [5, 5, 6, 7] {
        test.studio.shared.prefs.chat.seed = seed;
        test.apply(ChatCommand::Resend("Tell me about the sea.".into()));
        test.wait(|chat| !chat.turns.last().unwrap().open);
        assert_eq!(test.studio.chat.turns.len(), 1);
        texts.push((test.text(0, 0).to_string(), test.text(0, 1).to_string()));
    }
    assert_eq!(texts[0], texts[1]);
    assert!(texts[2] != texts[0] || texts[3] != texts[0], "{texts:?}");
    // Answering again takes the next seed.
    test.apply(ChatCommand::Regenerate);
    assert_eq!(test.studio.shared.prefs.chat.seed, 8);
    test.wait(|chat| !chat.turns.last().unwrap().open);

    // A conversation goes on, and is kept out of sight of another adapter.
    test.ask("And the wind?");
    assert_eq!(test.studio.chat.turns.len(), 2);
    test.apply(ChatCommand::Unload);
    assert!(test.studio.chat.resident.is_none());
    assert_eq!(test.studio.chat.turns.len(), 2);
}

#[test]
fn an_adapter_that_changes_nothing_has_the_figure_0() {
    let mut test = Test::new(0.0);
    test.studio.shared.prefs.chat.temperature = 0.0;
    test.ask("Hello!");
    assert_eq!(test.text(0, 0), test.text(0, 1));
    let compared = test.studio.chat.turns[0].comparison.clone().unwrap();
    assert_eq!((compared.mean_kl, compared.greedy_share), (0.0, 0.0));
}

#[test]
fn stop_ends_the_answers_in_the_middle_and_a_second_prompt_is_given_back() {
    let mut test = Test::new(0.05);
    test.apply(ChatCommand::Load);
    test.wait(|chat| chat.resident.as_ref().is_some_and(|r| r.phase == Phase::Idle));
    test.gate.set(true);
    test.apply(ChatCommand::Ask("Tell me a long story.".into()));
    test.wait(|chat| chat.turns[0].answers.iter().flatten().any(|a| a.tokens > 0));
    assert!(test.studio.chat.answering());
    test.apply(ChatCommand::Ask("And another".into()));
    assert_eq!(test.studio.chat.turns.len(), 1);
    assert!(test.studio.chat.refusal.clone().unwrap().contains("an answer is being written"));
    assert_eq!(test.studio.chat.returned, (1, "And another".into()));
    test.apply(ChatCommand::Stop);
    test.gate.set(false);
    test.wait(|chat| !chat.turns[0].open);
    let turn = &test.studio.chat.turns[0];
    assert!(turn.answers.iter().flatten().any(|a| a.finish == Some(Finish::Cancelled)), "{:?}", turn.answers);
    assert!(turn.answers.iter().flatten().all(|a| a.tokens <= 2), "{:?}", turn.answers);
    // The room works on.
    test.ask("Who are you?");
    assert!(!test.text(1, 0).is_empty());
}

#[test]
fn clearing_in_the_middle_leaves_a_room_that_works() {
    let mut test = Test::new(0.02);
    test.gate.set(true);
    test.apply(ChatCommand::Ask("Tell me a long story.".into()));
    test.apply(ChatCommand::Clear);
    test.gate.set(false);
    assert!(test.studio.chat.turns.is_empty());
    test.wait(|chat| chat.resident.as_ref().is_some_and(|r| r.phase == Phase::Idle));
    test.ask("Hello!");
    assert!(test.studio.chat.turns[0].comparison.is_some());
}

#[test]
fn what_does_not_fit_is_refused_with_the_numbers() {
    let mut test = Test::new(0.02);
    test.studio.shared.device.available_bytes = 1 << 20;
    test.studio.chat.apply(ChatCommand::Ask("Hello!".into()), &mut test.studio.shared);
    let refusal = test.studio.chat.refusal.clone().unwrap();
    assert!(refusal.contains("does not fit") && refusal.contains("1.0 MiB are free"), "{refusal}");
    assert!(test.studio.chat.resident.is_none() && test.studio.chat.turns.is_empty());
    assert_eq!(test.studio.chat.returned.1, "Hello!");
}

#[test]
fn another_adapter_goes_onto_the_same_model_and_its_conversation_is_its_own() {
    let mut test = Test::new(0.02);
    test.ask("Hello!");
    let other = testing::adapter(&test.dir.path().join("poet"), 0.03);
    test.choose(&other);
    assert!(!test.studio.chat.is_loaded());
    test.apply(ChatCommand::Load);
    // The weights are not read again: there is no byte of progress.
    test.wait(|chat| {
        let phase = chat.resident.as_ref().unwrap().phase;
        assert!(matches!(phase, Phase::Idle | Phase::Loading(0, 0)), "{phase:?}");
        phase == Phase::Idle
    });
    assert!(test.studio.chat.is_loaded());
    test.ask("Hello again!");
    let turns = &test.studio.chat.turns;
    assert_ne!(turns[0].epoch, turns[1].epoch);
    let asked = transcript::messages(turns, 0, turns[1].epoch, "Be brief.", "Next");
    let texts: Vec<&str> = asked.iter().filter_map(|m| m.content.as_deref()).collect();
    assert_eq!(texts, ["Be brief.", "Hello again!", test.text(1, 0), "Next"]);
    // Without an adapter the base answers alone.
    test.apply(ChatCommand::Choose(Choice::Prepared));
    test.wait(|chat| chat.chosen.is_some());
    test.ask("Hello?");
    assert!(test.studio.chat.turns[2].answers[1].is_none() && test.studio.chat.turns[2].comparison.is_none());
}

#[test]
fn one_side_alone_keeps_the_others_conversation() {
    let mut test = Test::new(0.02);
    test.ask("Hello!");
    test.studio.shared.prefs.chat.show = Show::Adapted;
    test.ask("What is a banana?");
    let turns = &test.studio.chat.turns;
    assert!(turns[1].answers[0].is_none() && turns[1].comparison.is_some());
    assert_eq!(transcript::messages(turns, 0, turns[0].epoch, "", "Next").len(), 3);
    assert_eq!(transcript::messages(turns, 1, turns[0].epoch, "", "Next").len(), 5);
}

#[test]
fn settings_that_mean_nothing_and_broken_adapters_are_refused_in_the_room() {
    let mut test = Test::new(0.02);
    test.studio.shared.prefs.chat.top_p = 0.0;
    test.apply(ChatCommand::Ask("Hello!".into()));
    assert!(test.studio.chat.refusal.clone().unwrap().contains("top_p"));
    test.studio.shared.prefs.chat.top_p = 1.0;
    test.apply(ChatCommand::Ask("  ".into()));
    assert!(test.studio.chat.refusal.clone().unwrap().contains("write something"));
    // Damaged after it was looked at.
    std::fs::write(test.dir.path().join("pirate/adapter_model.safetensors"), "gone").unwrap();
    test.apply(ChatCommand::Ask("Hello!".into()));
    test.wait(|chat| chat.resident.is_none());
    let chat = &test.studio.chat;
    assert!(chat.refusal.clone().unwrap().contains("adapter_model.safetensors"), "{:?}", chat.refusal);
    assert!(chat.turns[0].problem.is_some() && !chat.answering());
    let nowhere = test.dir.path().join("nowhere");
    test.choose(&nowhere);
    assert!(test.studio.chat.problem.clone().unwrap().contains("no such folder"));
}

#[test]
fn a_stop_string_ends_an_answer_before_it() {
    let mut test = Test::new(0.0);
    test.studio.shared.prefs.chat.temperature = 0.0;
    test.ask("Hello! Who are you?");
    let whole = test.text(0, 0).to_string();
    let word = whole.split_whitespace().nth(2).expect("three words").to_string();
    test.studio.shared.prefs.chat.stop = word.clone();
    test.apply(ChatCommand::Clear);
    test.ask("Hello! Who are you?");
    assert_eq!(test.text(0, 0), &whole[..whole.find(&word).unwrap()]);
    let answer = test.studio.chat.turns[0].answers[1].clone().unwrap();
    assert_eq!(answer.finish, Some(Finish::Ended));
    assert!(test.studio.chat.turns[0].comparison.is_some());
}
