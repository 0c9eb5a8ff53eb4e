//! Where the prepared run will lie, and whether it can: looked at on a thread, because disks can be slow to answer.

use std::path::{Path, PathBuf};

use super::job::Job;
use super::prefs::Prefs;
use super::shared::Shared;
use crate::engine::Result;
use crate::engine::config::{RunConfig, expand_home};
use crate::engine::train::run_dir;

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The run's folder, or the one in which its folder is made.
    pub folder: PathBuf,
    /// Bytes that are free there, where the system says.
    pub free: Option<u64>,
    /// A run lies there already.
    pub taken: bool,
    /// Why nothing can be written there.
    pub problem: Option<String>,
}

/// The place of the draft.
#[derive(Default)]
pub struct StartFolder {
    /// What was found, once it was looked at.
    pub place: Option<Place>,
    key: Option<(String, String)>,
    looking: Option<Job<Place>>,
}

impl StartFolder {
    /// Looks if the draft or the settings name another place.
    pub fn follow(&mut self, shared: &Shared) {
        let key = (shared.run.output.dir.clone(), shared.prefs.runs_folder.clone());
        if self.key.as_ref() != Some(&key) {
            self.key = Some(key);
            self.place = None;
            self.look(shared);
        }
    }

    /// Looks again: a run has been written, or the user has come back.
    pub fn look(&mut self, shared: &Shared) {
        let (run, prefs) = (shared.run.clone(), shared.prefs.clone());
        self.looking = Some(Job::spawn("look-at-folder", &shared.waker, move |_| {
            let (folder, exact) = destination(&run, &prefs)?;
            Ok(look(folder, exact))
        }));
    }

    /// Takes what was found.
    pub fn drain(&mut self) {
        let Some(result) = self.looking.as_mut().and_then(Job::poll) else { return };
        self.looking = None;
        self.place = Some(result.unwrap_or_else(|error| Place {
            folder: PathBuf::new(),
            free: None,
            taken: false,
            problem: Some(error.to_string()),
        }));
    }
}

/// The folder of the run itself (true), or the one that holds the runs.
fn destination(run: &RunConfig, prefs: &Prefs) -> Result<(PathBuf, bool)> {
    Ok(match run.output.dir.trim() {
        "" => (prefs.runs_dir()?, false),
        folder => (expand_home(folder), true),
    })
}

/// The run with the folder that the settings give it; the engine's own choice where they give none.
pub fn placed(run: &RunConfig, prefs: &Prefs) -> RunConfig {
    let mut run = run.clone();
    let folder = prefs.runs_folder.trim();
    if run.output.dir.trim().is_empty() && !folder.is_empty() {
        let name = run_dir::folder_name(&run);
        let parent = expand_home(folder);
        let free = (1..10_000)
            .map(|n| parent.join(if n == 1 { name.clone() } else { format!("{name}-{n}") }))
            .find(|path| !path.exists());
        run.output.dir = free.unwrap_or_else(|| parent.join(name)).to_string_lossy().into_owned();
    }
    run
}

fn look(folder: PathBuf, exact: bool) -> Place {
    let existing = folder.ancestors().find(|p| p.exists()).map(Path::to_path_buf);
    let free = existing.as_deref().and_then(|p| fs4::available_space(p).ok());
    let problem = match &existing {
        None => Some(format!("there is no such disk or folder: {}", folder.display())),
        Some(at) if !at.is_dir() => Some(format!("this is a file, not a folder: {}", at.display())),
        // Trying is the only answer that holds for every file system.
        Some(at) => match tempfile::Builder::new().prefix(".lora-studio-").tempfile_in(at) {
            Ok(_) => None,
            Err(e) => Some(format!("nothing can be written here ({e}): {}", at.display())),
        },
    };
    let taken = exact && folder.join("run.toml").exists();
    Place { folder, free, taken, problem }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_described_before_it_exists() {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path().join("a/b");
        let place = look(run.clone(), true);
        assert!(place.free.unwrap() > 0 && !place.taken && place.problem.is_none(), "{place:?}");
        assert!(!run.exists() && std::fs::read_dir(folder.path()).unwrap().next().is_none());
        std::fs::create_dir_all(&run).unwrap();
        std::fs::write(run.join("run.toml"), "").unwrap();
        assert!(look(run.clone(), true).taken && !look(run.clone(), false).taken);
        let problem = look(run.join("run.toml/x"), true).problem.unwrap();
        assert!(problem.contains("not a folder"), "{problem}");
    }

    #[test]
    fn runs_go_where_the_settings_say_and_never_into_one_another() {
        let folder = tempfile::tempdir().unwrap();
        let prefs = Prefs { runs_folder: folder.path().display().to_string(), ..Prefs::default() };
        let run = super::super::draft::first_run();
        for _ in 0..3 {
            let dir = placed(&run, &prefs).output.dir;
            let path = Path::new(&dir);
            assert!(path.parent() == Some(folder.path()) && !path.exists(), "{dir}");
            assert!(dir.contains("tiny-chat-pirate"), "{dir}");
            std::fs::create_dir(path).unwrap();
        }
        assert_eq!(placed(&run, &Prefs::default()).output.dir, "");
        let mut named = run.clone();
        named.output.dir = "/x".into();
        assert_eq!(placed(&named, &prefs).output.dir, "/x");
    }
}
