//! Names of repositories on the Hub, and telling them from paths.

use std::fmt;
use std::path::PathBuf;

use crate::engine::config::expand_home;
use crate::engine::{Error, Result};

/// The branch that is meant when none is named.
const MAIN: &str = "main";

/// What a repository holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RepoKind {
    /// A model.
    Model,
    /// A data set.
    Dataset,
}

impl RepoKind {
    /// `models` or `datasets`: the word in addresses of the API and in names of cache folders.
    pub(super) fn plural(self) -> &'static str {
        match self {
            RepoKind::Model => "models",
            RepoKind::Dataset => "datasets",
        }
    }

    /// The word for people.
    pub(super) fn word(self) -> &'static str {
        match self {
            RepoKind::Model => "model",
            RepoKind::Dataset => "data set",
        }
    }

    /// What stands before the name in the address of a page.
    pub(super) fn page_prefix(self) -> &'static str {
        match self {
            RepoKind::Model => "",
            RepoKind::Dataset => "datasets/",
        }
    }
}

/// `owner/name[@revision][:file]` on the Hub.
///
/// ```
/// use lora_studio::engine::hub::{HubId, RepoKind};
/// let id = HubId::parse("Qwen/Qwen3-0.6B@main:model.safetensors", RepoKind::Model)?;
/// assert_eq!((id.repo.as_str(), id.file.as_deref()), ("Qwen/Qwen3-0.6B", Some("model.safetensors")));
/// # Ok::<(), lora_studio::engine::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HubId {
    /// What the repository holds.
    pub kind: RepoKind,
    /// `owner/name`.
    pub repo: String,
    /// A branch, tag or commit; `main` if none was named.
    pub revision: String,
    /// One file of the repository, such as one of several GGUF files.
    pub file: Option<String>,
}

impl HubId {
    /// Parses `owner/name`, `owner/name@revision`, `owner/name:file.gguf`, or the address of a page of the Hub.
    pub fn parse(text: &str, kind: RepoKind) -> Result<HubId> {
        let text = text.trim();
        let wrong = |why: &str| {
            Error::Config(format!(
                "{text:?} is no name of a {} on the Hub: {why}; it looks like owner/name, owner/name@revision or \
                 owner/name:file",
                kind.word()
            ))
        };
        let (plain, mut kind) = (from_address(text), kind);
        let mut plain = plain.as_deref().unwrap_or(text);
        if let Some(rest) = plain.strip_prefix("datasets/").filter(|rest| rest.contains('/')) {
            (plain, kind) = (rest, RepoKind::Dataset);
        }
        let (left, file) = match plain.split_once(':') {
            Some((left, file)) => (left, Some(file)),
            None => (plain, None),
        };
        let (repo, revision) = left.split_once('@').unwrap_or((left, MAIN));
        let Some((owner, name)) = repo.split_once('/') else { return Err(wrong("there is no / in it")) };
        for part in [owner, name] {
            check_name(part).map_err(|why| wrong(&why))?;
        }
        if repo.len() > 96 {
            return Err(wrong("it is longer than 96 characters"));
        }
        check_revision(revision).map_err(|why| wrong(&why))?;
        if file.is_some_and(|file| !is_inside(file)) {
            return Err(wrong("what stands after the colon is no file of a repository"));
        }
        Ok(HubId { kind, repo: repo.into(), revision: revision.into(), file: file.map(str::to_string) })
    }

    /// The same repository at another revision.
    pub fn at(mut self, revision: &str) -> Result<HubId> {
        check_revision(revision).map_err(|why| Error::Config(format!("the revision {revision:?} is none: {why}")))?;
        self.revision = revision.into();
        Ok(self)
    }
}

impl fmt::Display for HubId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.repo)?;
        if self.revision != MAIN {
            write!(f, "@{}", self.revision)?;
        }
        match &self.file {
            Some(file) => write!(f, ":{file}"),
            None => Ok(()),
        }
    }
}

/// What a person means by the name of a model or data set that is not built in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reference {
    /// A file or folder of this computer; it need not exist.
    Path(PathBuf),
    /// A repository on the Hub.
    Hub(HubId),
}

/// Endings of names that mean a file of this computer, even one that is not there.
const FILE_ENDINGS: [&str; 14] = [
    ".gguf",
    ".safetensors",
    ".json",
    ".jsonl",
    ".ndjson",
    ".csv",
    ".tsv",
    ".parquet",
    ".txt",
    ".md",
    ".gz",
    ".zst",
    ".toml",
    ".bin",
];

impl Reference {
    /// Tells a path from a name on the Hub. A path that exists wins; `./x`, `~/x`, `/x`, `C:\x` are always paths.
    pub fn of(text: &str, kind: RepoKind) -> Reference {
        let path = expand_home(text);
        let drive = text.as_bytes().get(1) == Some(&b':') && text.as_bytes()[0].is_ascii_alphabetic();
        let marked = text.starts_with(['.', '~', '/', '\\']) || text.contains('\\') || path.is_absolute() || drive;
        if marked || path.exists() {
            return Reference::Path(path);
        }
        match HubId::parse(text, kind) {
            // `data/train.jsonl` that is not there is a slip of the pen and no repository; with a colon it is one's file.
            Ok(id) if id.file.is_some() || from_address(text).is_some() || !has_file_ending(&id.repo) => {
                Reference::Hub(id)
            }
            _ => Reference::Path(path),
        }
    }

    /// The name on the Hub, if it is one.
    pub fn hub(text: &str, kind: RepoKind) -> Option<HubId> {
        match Reference::of(text, kind) {
            Reference::Hub(id) => Some(id),
            Reference::Path(_) => None,
        }
    }
}

fn has_file_ending(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    FILE_ENDINGS.iter().any(|ending| lower.ends_with(ending))
}

/// `owner/name@revision:file` of a page's address, as it is copied from a browser.
fn from_address(text: &str) -> Option<String> {
    let rest = ["https://", "http://"].iter().find_map(|scheme| text.strip_prefix(scheme))?;
    let rest = ["huggingface.co/", "www.huggingface.co/", "hf.co/"].iter().find_map(|host| rest.strip_prefix(host))?;
    let rest = rest.split(['?', '#']).next().unwrap_or(rest).trim_end_matches('/');
    let (prefix, rest) = match rest.strip_prefix("datasets/") {
        Some(rest) => ("datasets/", rest),
        None => ("", rest),
    };
    let parts: Vec<&str> = rest.splitn(5, '/').collect();
    Some(match parts[..] {
        [owner, name, "tree", revision] => format!("{prefix}{owner}/{name}@{revision}"),
        [owner, name, "blob" | "resolve", revision, file] => format!("{prefix}{owner}/{name}@{revision}:{file}"),
        _ => format!("{prefix}{rest}"),
    })
}

/// The Hub's own rule for the two parts of a name.
fn check_name(part: &str) -> std::result::Result<(), String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if part.is_empty() {
        return Err("a part of it is empty".into());
    }
    if let Some(bad) = part.chars().find(|&c| !allowed(c)) {
        return Err(format!("{bad:?} is not allowed in it"));
    }
    if part.starts_with(['-', '.']) || part.ends_with(['-', '.']) || part.contains("--") || part.contains("..") {
        return Err("a part of it begins or ends with - or ., or has -- or .. in it".into());
    }
    if part.ends_with(".git") {
        return Err("it ends with .git".into());
    }
    Ok(())
}

/// A revision becomes a part of addresses and of a file's path below `refs/`.
fn check_revision(revision: &str) -> std::result::Result<(), String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_./+".contains(c);
    if revision.is_empty() || !revision.chars().all(allowed) || !is_inside(revision) {
        return Err("the revision is no branch, tag or commit".into());
    }
    Ok(())
}

/// Whether a name of a file in a repository stays inside a folder that it is joined to, on every system.
pub(super) fn is_inside(path: &str) -> bool {
    !path.is_empty()
        && !path.contains(['\\', ':', '\0'])
        && path.split('/').all(|part| !part.is_empty() && part != "." && part != "..")
}

/// Whether a text is a commit's full hash.
pub(super) fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> HubId {
        HubId::parse(text, RepoKind::Model).unwrap()
    }

    #[test]
    fn names_revisions_and_files() {
        let id = parse("Qwen/Qwen2.5-0.5B");
        assert_eq!((id.repo.as_str(), id.revision.as_str(), id.file), ("Qwen/Qwen2.5-0.5B", "main", None));
        let id = parse("a/b@refs/pr/1:sub/model-Q4_K_M.gguf");
        assert_eq!((id.repo.as_str(), id.revision.as_str()), ("a/b", "refs/pr/1"));
        assert_eq!(id.file.as_deref(), Some("sub/model-Q4_K_M.gguf"));
        assert_eq!(id.to_string(), "a/b@refs/pr/1:sub/model-Q4_K_M.gguf");
        assert_eq!(parse(" a/b ").to_string(), "a/b");
    }

    #[test]
    fn addresses_of_pages() {
        assert_eq!(parse("https://huggingface.co/a/b").to_string(), "a/b");
        assert_eq!(parse("https://huggingface.co/a/b/tree/dev?x=1").to_string(), "a/b@dev");
        assert_eq!(parse("https://hf.co/a/b/blob/main/x/y.gguf").to_string(), "a/b:x/y.gguf");
        let data = parse("https://huggingface.co/datasets/o/d/");
        assert_eq!((data.kind, data.repo.as_str()), (RepoKind::Dataset, "o/d"));
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for text in ["gpt2", "a/b/c", "/a", "a/", "a/b c", "a/..", "-a/b", "a/b--c", "a/b.git", "a/b@", "a/b@../x"] {
            let error = HubId::parse(text, RepoKind::Model).unwrap_err().to_string();
            assert!(error.contains("owner/name"), "{text}: {error}");
        }
        for text in ["a/b:", "a/b:../x.gguf", "a/b:/etc/passwd", "a/b:x\\y.gguf", "a/b:x//y"] {
            assert!(HubId::parse(text, RepoKind::Model).is_err(), "{text}");
        }
        assert!(HubId::parse(&format!("a/{}", "b".repeat(95)), RepoKind::Model).is_err());
    }

    #[test]
    fn a_path_that_exists_wins_and_marked_paths_are_paths() {
        let is_path = |text: &str| matches!(Reference::of(text, RepoKind::Model), Reference::Path(_));
        assert!(is_path("src/engine"));
        assert!(!is_path("src/no-such-folder"));
        for text in ["./a/b", "~/a", "/a/b", "../a/b", "C:/x", "C:\\x", "a\\b", "models/x.gguf", "data/x.jsonl", "gpt2"]
        {
            assert!(is_path(text), "{text}");
        }
        assert!(!is_path("owner/name:x.gguf"));
        assert!(!is_path("https://huggingface.co/a/b"));
    }
}
