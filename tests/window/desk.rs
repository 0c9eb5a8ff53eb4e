//! A screen that nobody sees, and the program on it.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// A screen, and a home folder for the program.
pub struct Desk {
    home: tempfile::TempDir,
    screen: Child,
    display: String,
}

impl Desk {
    /// None where a program that this needs is missing; on CI nothing may be missing.
    pub fn new() -> Option<Desk> {
        let missing: Vec<_> = ["Xvfb", "xdotool"].into_iter().filter(|program| !installed(program)).collect();
        if !missing.is_empty() {
            let missing = missing.join(" and ");
            assert!(std::env::var("CI").as_deref() != Ok("true"), "{missing}: required on CI, and not installed");
            // Not `println`: what a passing test prints is hidden.
            let _ = writeln!(std::io::stderr(), "SKIPPED: the real window is not tested; install {missing} for it");
            return None;
        }
        let home = tempfile::tempdir().unwrap();
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o700)).unwrap();
        // It would start afresh whenever nobody uses it, which refuses who comes just then.
        let mut screen = Command::new("Xvfb")
            .args(["-displayfd", "1", "-screen", "0", "1400x900x24", "-nolisten", "tcp", "-noreset"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut number = String::new();
        BufReader::new(screen.stdout.take().unwrap()).read_line(&mut number).unwrap();
        let display = format!(":{}", number.trim());
        let desk = Desk { home, screen, display };
        assert!(!number.trim().is_empty(), "Xvfb gives no display");
        Some(desk)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// The program, with everything that it remembers in the home folder.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lora-studio"));
        for (name, folder) in [
            ("HOME", ""),
            ("XDG_DATA_HOME", "data"),
            ("XDG_CONFIG_HOME", "config"),
            ("XDG_CACHE_HOME", "cache"),
            ("XDG_RUNTIME_DIR", ""),
            ("LORA_STUDIO_CONFIG", "settings"),
        ] {
            command.env(name, self.path(folder));
        }
        for name in ["LORA_STUDIO_HOME", "WAYLAND_DISPLAY", "WAYLAND_SOCKET", "DBUS_SESSION_BUS_ADDRESS"] {
            command.env_remove(name);
        }
        command.env("DISPLAY", &self.display).env("LIBGL_ALWAYS_SOFTWARE", "1").env("LORA_STUDIO_TIMING", "1");
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null());
        command
    }

    /// What the settings remember as the run that is prepared.
    pub fn prepare(&self, run: &str) {
        fs::create_dir_all(self.path("settings")).unwrap();
        fs::write(self.path("settings/studio.toml"), format!("draft = '''\n{run}'''\n")).unwrap();
    }

    /// The same, and the room that was open last.
    pub fn prepare_in(&self, room: &str, run: &str) {
        fs::create_dir_all(self.path("settings")).unwrap();
        let settings = format!("room = \"{room}\"\ndraft = '''\n{run}'''\n");
        fs::write(self.path("settings/studio.toml"), settings).unwrap();
    }

    /// Opens the window, and gives it the keyboard.
    pub fn open(&self) -> Window<'_> {
        let errors = self.path("stderr.txt");
        let child = self.command(&[]).stderr(fs::File::create(&errors).unwrap()).spawn().unwrap();
        let mut window = Window { desk: self, child, errors, id: String::new() };
        window.id = window.wait("the window", 60, |w| {
            let found = w.xdotool(&["search", "--onlyvisible", "--name", "^LoRA Studio$"]);
            text(&found.stdout).lines().next().map(str::to_string)
        });
        window.wait("the first frame", 60, |w| w.told("first_frame_ms"));
        window
    }

    /// The one run folder, once it is there and has its record.
    pub fn run(&self) -> Option<PathBuf> {
        let entries = fs::read_dir(self.path("data/lora-studio/runs")).ok()?;
        let runs: Vec<_> = entries.map(|e| e.unwrap().path()).filter(|p| p.join("metrics.jsonl").is_file()).collect();
        assert!(runs.len() <= 1, "{runs:?}");
        runs.into_iter().next()
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        let _ = self.screen.kill();
        let _ = self.screen.wait();
    }
}

/// The program's process and its window.
pub struct Window<'a> {
    /// Where it runs.
    pub desk: &'a Desk,
    /// The process.
    pub child: Child,
    errors: PathBuf,
    id: String,
}

impl Window<'_> {
    /// Waits until there is an answer; the program must live meanwhile.
    pub fn wait<T>(&mut self, what: &str, seconds: u64, mut answer: impl FnMut(&mut Self) -> Option<T>) -> T {
        let begin = Instant::now();
        loop {
            if let Some(answer) = answer(self) {
                return answer;
            }
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "it ended before {what}: {ended:?}; {}", self.said());
            assert!(begin.elapsed().as_secs() < seconds, "no {what} after {seconds} seconds; {}", self.said());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Presses Start, once: the run begins as soon as model and rows are read, however long that takes.
    pub fn start(&mut self) -> PathBuf {
        self.press("ctrl+Return");
        self.wait("a run folder", 120, |window| window.desk.run())
    }

    /// Waits until the program has ended by itself.
    pub fn wait_end(&mut self, seconds: u64) -> ExitStatus {
        let begin = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(begin.elapsed().as_secs() < seconds, "it still runs after {seconds} seconds; {}", self.said());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// All of its standard error.
    pub fn said(&self) -> String {
        fs::read_to_string(&self.errors).unwrap()
    }

    /// A number that `LORA_STUDIO_TIMING` tells.
    pub fn told(&self, what: &str) -> Option<f64> {
        let said = self.said();
        let lines = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.filter_map(|value| value[what].as_f64()).next()
    }

    fn xdotool(&self, arguments: &[&str]) -> Output {
        Command::new("xdotool").args(arguments).env("DISPLAY", &self.desk.display).output().unwrap()
    }

    /// Presses keys as a keyboard does. Without a window manager the focus has to be given.
    pub fn press(&self, keys: &str) {
        for arguments in [&["windowfocus", "--sync", &self.id][..], &["key", "--clearmodifiers", keys]] {
            let done = self.xdotool(arguments);
            assert!(done.status.success(), "{arguments:?}: {}", text(&done.stderr));
        }
    }

    /// Asks the command palette for something, as fast as a keyboard can: all keys may come within one frame.
    pub fn ask(&self, words: &str) {
        self.press("ctrl+k");
        // Nobody types before it is there; the words and Enter come as fast as they can.
        std::thread::sleep(Duration::from_millis(400));
        for arguments in [&["type", "--delay", "1", words][..], &["key", "Return"]] {
            let done = self.xdotool(arguments);
            assert!(done.status.success(), "{arguments:?}: {}", text(&done.stderr));
        }
    }

    /// That it is still on the screen.
    pub fn is_shown(&self) -> bool {
        let found = self.xdotool(&["search", "--onlyvisible", "--name", "^LoRA Studio$"]);
        text(&found.stdout).lines().any(|id| id == self.id)
    }
}

impl Drop for Window<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// As words.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
