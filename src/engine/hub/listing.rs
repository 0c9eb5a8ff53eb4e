//! What a repository holds, before anything of it is downloaded.

use reqwest::{Method, Url};
use serde_json::Value;

use super::Hub;
use super::http::{KeepGoing, Patience, Session};
use super::id::{HubId, RepoKind, is_commit, is_inside};
use super::parts::{DatasetParts, PartChoice};
use super::problem::Problem;
use super::refusal::gated;
use super::select::{self, ModelFiles};
use crate::engine::{Error, Result};

/// A repository's list of files comes in pages of a thousand; no model has this many.
const MOST_PAGES: usize = 100;

/// A file of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteFile {
    /// Name with folders, `/` between them.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// Its checksum, under which the cache keeps it: SHA-256 of a large file, git's SHA-1 of a small one.
    pub etag: String,
}

/// Files of a repository at one commit.
#[derive(Clone, Debug, PartialEq)]
pub struct Listing {
    /// The repository, as it was asked for.
    pub id: HubId,
    /// The commit that the revision is at.
    pub commit: String,
    /// The files, by name.
    pub files: Vec<RemoteFile>,
    /// The licence that the repository names.
    pub license: Option<String>,
    /// Whether the files are all that is needed.
    pub(super) complete: bool,
}

impl Listing {
    /// Bytes of all files.
    pub fn total_bytes(&self) -> u64 {
        self.files.iter().map(|file| file.size).sum()
    }

    /// Bytes of the weights.
    pub fn weight_bytes(&self) -> u64 {
        self.files.iter().filter(|file| is_weights(&file.path)).map(|file| file.size).sum()
    }

    /// The files without the weights: enough to say what the model is.
    pub fn without_weights(&self) -> Listing {
        let files = self.files.iter().filter(|file| !is_weights(&file.path)).cloned().collect();
        Listing { files, complete: false, ..self.clone() }
    }
}

fn is_weights(path: &str) -> bool {
    path.ends_with(".safetensors") || path.ends_with(".gguf")
}

impl Hub {
    /// The files that training needs from a model's repository: configuration, tokenizer, and the weights once. A
    /// repository of GGUF files gives the one that the id names, or its only one; else the error's
    /// [`Problem::Choice`] has the list.
    pub fn model_files(&self, id: &HubId) -> Result<Listing> {
        let (session, mut keep_going) = (Session::new(self)?, self.keep_going());
        let (mut listing, info) = self.repository(&session, id, &mut keep_going)?;
        listing.files = match &id.file {
            Some(name) => vec![named_file(&listing, name)?],
            None => match select::model_files(&listing.files) {
                ModelFiles::Folder(files) => files,
                ModelFiles::Gguf(files) if files.len() == 1 => files,
                ModelFiles::Gguf(files) => return Err(choice(id, files)),
                ModelFiles::Nothing(reason) => {
                    return Err(Problem::Unusable.error(format!("{id} cannot be trained: {reason}")));
                }
            },
        };
        self.check_access(&session, &listing, &info, &mut keep_going)?;
        Ok(listing)
    }

    /// The data files of a data set's training split in its default configuration, or the one that the id names.
    pub fn dataset_files(&self, id: &HubId) -> Result<Listing> {
        self.dataset_part(id, &PartChoice::default())
    }

    /// The data files of one split of a data set, or the one that the id names.
    pub fn dataset_part(&self, id: &HubId, choice: &PartChoice) -> Result<Listing> {
        let (session, mut keep_going) = (Session::new(self)?, self.keep_going());
        let (mut listing, info) = self.repository(&session, id, &mut keep_going)?;
        listing.files = match &id.file {
            Some(name) => vec![named_file(&listing, name)?],
            None => {
                let parts = self.parts_of(&listing, &info)?;
                let (_, split) = parts.find(id, choice)?;
                let chosen = |file: &RemoteFile| split.files.iter().any(|(path, _)| *path == file.path);
                listing.files.into_iter().filter(chosen).collect()
            }
        };
        self.check_access(&session, &listing, &info, &mut keep_going)?;
        Ok(listing)
    }

    /// The configurations and splits of a data set. They are remembered: see [`Hub::known_parts`].
    pub fn dataset_parts(&self, id: &HubId) -> Result<DatasetParts> {
        let (session, mut keep_going) = (Session::new(self)?, self.keep_going());
        let (listing, info) = self.repository(&session, id, &mut keep_going)?;
        self.parts_of(&listing, &info)
    }

    fn parts_of(&self, listing: &Listing, info: &Value) -> Result<DatasetParts> {
        let id = &listing.id;
        let parts = DatasetParts::of(&listing.commit, &listing.files, &info["cardData"]);
        if parts.configs.is_empty() {
            let message =
                format!("{id} has no .jsonl, .json, .csv, .tsv, .parquet or .txt file, so there are no rows to read");
            return Err(Problem::Unusable.error(message));
        }
        // Where it cannot be kept, the download says why nothing can be written.
        let _ = self.keep_parts(id, &parts);
        Ok(parts)
    }

    /// All files of a repository, and what the API says of it.
    fn repository(
        &self,
        session: &Session<'_>,
        id: &HubId,
        keep_going: &mut KeepGoing<'_>,
    ) -> Result<(Listing, Value)> {
        let api = ["api", id.kind.plural()];
        let owner_name = || id.repo.split('/');
        let info_url = self.url(api.into_iter().chain(owner_name()).chain(["revision", &id.revision]))?;
        let (info, _) = session.json(&info_url, id, keep_going)?;
        let commit = info["sha"].as_str().filter(|text| is_commit(text)).ok_or_else(|| odd(self, "a commit"))?;
        let mut url = self.url(api.into_iter().chain(owner_name()).chain(["tree", commit]))?;
        url.set_query(Some("recursive=true"));
        let mut files = Vec::new();
        for _ in 0..MOST_PAGES {
            let (page, next) = session.json(&url, id, keep_going)?;
            for entry in page.as_array().ok_or_else(|| odd(self, "a list of files"))? {
                if entry["type"] == "file" {
                    files.push(remote_file(entry).ok_or_else(|| odd(self, "a file's name, size and checksum"))?);
                }
            }
            let Some(next) = next else { break };
            url = next;
        }
        files.sort_by(|a: &RemoteFile, b| a.path.cmp(&b.path));
        let license = info["cardData"]["license"].as_str().map(str::to_string);
        Ok((Listing { id: id.clone(), commit: commit.to_string(), files, license, complete: true }, info))
    }

    /// A gated repository shows its files to everyone; whether they may be read is asked before the person waits.
    fn check_access(
        &self,
        session: &Session<'_>,
        listing: &Listing,
        info: &Value,
        keep_going: &mut KeepGoing<'_>,
    ) -> Result<()> {
        let id = &listing.id;
        let is_gated = matches!(&info["gated"], Value::String(_) | Value::Bool(true));
        let Some(file) = listing.files.first().filter(|_| is_gated) else { return Ok(()) };
        if self.settings.token.is_none() {
            return Err(gated(id, self.page(id), false));
        }
        let url = self.file_url(listing, file)?;
        let mut patience = Patience::of_a_question();
        while let Err(trouble) = session.send(Method::HEAD, url.clone(), id, 0, patience.failures, keep_going) {
            session.pause(trouble, &mut patience, keep_going)?;
        }
        Ok(())
    }

    /// The repository's page, for a browser.
    pub fn page(&self, id: &HubId) -> String {
        format!("{}/{}{}", self.settings.endpoint, id.kind.page_prefix(), id.repo)
    }

    /// Where a file's contents are.
    pub(super) fn file_url(&self, listing: &Listing, file: &RemoteFile) -> Result<Url> {
        let prefix = (listing.id.kind == RepoKind::Dataset).then_some("datasets");
        let parts = listing.id.repo.split('/').chain(["resolve", &listing.commit]).chain(file.path.split('/'));
        self.url(prefix.into_iter().chain(parts))
    }

    /// An address on the Hub from parts, each of which may hold any letter.
    fn url<'a>(&self, parts: impl IntoIterator<Item = &'a str>) -> Result<Url> {
        let endpoint = &self.settings.endpoint;
        let wrong = || {
            Error::Config(format!("HF_ENDPOINT is {endpoint:?}, which is no address such as https://huggingface.co"))
        };
        let mut url = Url::parse(endpoint).map_err(|_| wrong())?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(wrong());
        }
        url.path_segments_mut().map_err(|()| wrong())?.pop_if_empty().extend(parts);
        Ok(url)
    }
}

/// A file of the tree as the API gives it; `None` when it is not what a Hub answers, or would leave the cache's folder.
fn remote_file(entry: &Value) -> Option<RemoteFile> {
    let path = entry["path"].as_str().filter(|path| is_inside(path))?;
    let lfs = &entry["lfs"];
    let (etag, size) = match lfs.is_object() {
        true => (lfs["oid"].as_str()?, lfs["size"].as_u64()?),
        false => (entry["oid"].as_str()?, entry["size"].as_u64()?),
    };
    let etag = etag.trim_start_matches("sha256:").to_ascii_lowercase();
    let is_checksum = matches!(etag.len(), 40 | 64) && etag.bytes().all(|b| b.is_ascii_hexdigit());
    is_checksum.then(|| RemoteFile { path: path.to_string(), size, etag })
}

fn named_file(listing: &Listing, name: &str) -> Result<RemoteFile> {
    if let Some(file) = listing.files.iter().find(|file| file.path == name) {
        return Ok(file.clone());
    }
    let ending = name.rsplit_once('.').map_or(name, |(_, ending)| ending);
    let alike = listing.files.iter().filter(|file| file.path.ends_with(ending)).map(|file| file.path.as_str());
    let alike: Vec<&str> = alike.take(8).collect();
    let hint = if alike.is_empty() { String::new() } else { format!("; it has {}", alike.join(", ")) };
    let repo = &listing.id.repo;
    Err(Problem::NotFound.error(format!("{repo} has no file {name}: check the spelling{hint}")))
}

fn choice(id: &HubId, files: Vec<RemoteFile>) -> Error {
    let gigabytes = |file: &RemoteFile| format!("{} ({:.1} GB)", file.path, file.size as f64 / 1e9);
    let listed: Vec<String> = files.iter().map(gigabytes).collect();
    let message = format!(
        "{id} has {} GGUF files: choose one, as in {id}:{}; there are {}",
        files.len(),
        files[0].path,
        listed.join(", ")
    );
    Problem::Choice { files: files.into_iter().map(|file| (file.path, file.size)).collect() }.error(message)
}

fn odd(hub: &Hub, what: &str) -> Error {
    let endpoint = &hub.settings.endpoint;
    Problem::Server.error(format!("{endpoint} answered without {what}, which the Hub never does: check HF_ENDPOINT"))
}
