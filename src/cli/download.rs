//! `lora-studio download`: a model or a dataset from the Hub into the cache that all programs of Hugging Face share.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::interrupt;
use super::output::{Failure, bytes, duration, interactive, json, note, say};
use crate::engine::Error;
use crate::engine::hub::{Hub, HubId, Listing, PartChoice, Problem, Progress, Reference, RepoKind, problem};

/// Arguments of `download`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// owner/name, owner/name@revision, owner/name:file.gguf, or the address of a page of the Hub
    #[arg(value_name = "ID")]
    id: String,
    /// A branch, tag or commit
    #[arg(long)]
    revision: Option<String>,
    /// The id is a dataset's
    #[arg(long)]
    dataset: bool,
    /// A configuration of the dataset; its default one if none is named
    #[arg(long, requires = "dataset", value_name = "NAME")]
    config: Option<String>,
    /// A split of the dataset; train if none is named
    #[arg(long, requires = "dataset", value_name = "NAME")]
    split: Option<String>,
    /// Print one JSON object an event
    #[arg(long)]
    json: bool,
}

/// What `--json` prints.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Event<'a> {
    Started { id: String, commit: &'a str, files: usize, total_bytes: u64, missing_bytes: u64 },
    Progress { file: &'a str, done_bytes: u64, total_bytes: u64, bytes_per_second: f64 },
    Finished { path: PathBuf, total_bytes: u64, seconds: f64 },
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let kind = if args.dataset { RepoKind::Dataset } else { RepoKind::Model };
    let mut id = HubId::parse(&args.id, kind)?;
    if let Some(revision) = &args.revision {
        id = id.at(revision)?;
    }
    let hub = Hub::from_environment().with_cancel(stop_flag());
    let started = Instant::now();
    let part = PartChoice {
        config: args.config.clone().unwrap_or_default(),
        split: args.split.clone().unwrap_or_default(),
        held_out: false,
    };
    let listing = listed_part(&hub, &id, &part)?;
    let (commit, total_bytes) = (listing.commit.as_str(), listing.total_bytes());
    let missing_bytes = hub.missing_bytes(&listing);
    if args.json {
        json(&Event::Started { id: id.to_string(), commit, files: listing.files.len(), total_bytes, missing_bytes })?;
    }
    let path = if args.json { fetch_as_json(&hub, &listing)? } else { fetch(&hub, &listing)? };
    let seconds = started.elapsed().as_secs_f64();
    if args.json {
        return json(&Event::Finished { path, total_bytes, seconds });
    }
    if missing_bytes > 0 {
        note(format!("{} in {}", bytes(missing_bytes), duration(seconds)));
    }
    say(path.display().to_string())
}

/// Downloads a model that is named by its id on the Hub and is not on this computer; does nothing for any other name.
pub(super) fn fetch_missing(name: &str) -> Result<(), Failure> {
    let is_model = |id: &HubId| id.kind == RepoKind::Model && !name.starts_with("builtin:");
    let Some(id) = Reference::hub(name, RepoKind::Model).filter(is_model) else { return Ok(()) };
    let hub = Hub::from_environment();
    match hub.on_disk(&id) {
        Err(error) if problem(&error) == Some(&Problem::NotOnDisk) && !hub.offline() => {}
        // What is there, or what is wrong with it, is said when it is opened.
        _ => return Ok(()),
    }
    let hub = hub.with_cancel(stop_flag());
    let listing = listed(&hub, &id)?;
    note(format!("downloading {id} ({})", bytes(hub.missing_bytes(&listing))));
    fetch(&hub, &listing).map(drop)
}

/// The files of an id that are needed. A name that is nowhere may have been meant as a path.
pub(super) fn listed(hub: &Hub, id: &HubId) -> Result<Listing, Failure> {
    listed_part(hub, id, &PartChoice::default())
}

fn listed_part(hub: &Hub, id: &HubId, part: &PartChoice) -> Result<Listing, Failure> {
    let listing = match id.kind {
        RepoKind::Model => hub.model_files(id),
        RepoKind::Dataset => hub.dataset_part(id, part),
    };
    listing.map_err(|error| match error {
        Error::Hub { problem: problem @ (Problem::NotFound | Problem::Offline), message } if id.file.is_none() => {
            let message = format!("{message} (and there is no file or folder {} here)", id.repo);
            Error::Hub { problem, message }.into()
        }
        error => stopped(error),
    })
}

/// Downloads with a bar on a terminal, or some lines.
pub(super) fn fetch(hub: &Hub, listing: &Listing) -> Result<PathBuf, Failure> {
    if hub.missing_bytes(listing) == 0 || !interactive() {
        let mut tenths = 0;
        return hub
            .download(listing, &mut |p| {
                let now = p.done_bytes * 10 / p.total_bytes.max(1);
                if now > tenths && p.total_bytes > 1 << 24 {
                    tenths = now;
                    note(format!("{} of {}", bytes(p.done_bytes), bytes(p.total_bytes)));
                }
                true
            })
            .map_err(stopped);
    }
    let bar = ProgressBar::new(listing.total_bytes());
    if let Ok(style) = ProgressStyle::with_template("{bar:28} {msg}") {
        bar.set_style(style.progress_chars("━╸─"));
    }
    let path = hub.download(listing, &mut |p| {
        bar.set_position(p.done_bytes);
        bar.set_message(message(p));
        true
    });
    bar.finish_and_clear();
    path.map_err(stopped)
}

fn fetch_as_json(hub: &Hub, listing: &Listing) -> Result<PathBuf, Failure> {
    let mut failure = None;
    let path = hub.download(listing, &mut |p| {
        let (done_bytes, total_bytes, bytes_per_second) = (p.done_bytes, p.total_bytes, p.bytes_per_second);
        let event = Event::Progress { file: &p.file, done_bytes, total_bytes, bytes_per_second };
        failure = json(&event).err();
        failure.is_none()
    });
    match failure {
        Some(failure) => Err(failure),
        None => path.map_err(stopped),
    }
}

/// `1.2 GiB of 3.0 GiB  24.0 MiB/s  1 min 15 s left`.
fn message(p: &Progress) -> String {
    let mut text = format!("{} of {}", bytes(p.done_bytes), bytes(p.total_bytes));
    if p.retries > 0 {
        text.push_str("  connection lost, trying again");
    } else if p.bytes_per_second >= 1.0 {
        let left = (p.total_bytes - p.done_bytes) as f64 / p.bytes_per_second;
        text.push_str(&format!("  {}/s  {} left", bytes(p.bytes_per_second as u64), duration(left)));
    }
    text
}

/// A flag that Ctrl-C raises.
fn stop_flag() -> Arc<AtomicBool> {
    let flag = Arc::new(AtomicBool::new(false));
    let raised = flag.clone();
    interrupt::on_interrupt(
        move || raised.store(true, Ordering::SeqCst),
        "stopping the download; what has arrived is kept, and the next download continues there",
    );
    flag
}

fn stopped(error: Error) -> Failure {
    match problem(&error) {
        Some(Problem::Cancelled) if interrupt::interrupted() => Failure::Interrupted,
        _ => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_tells_speed_and_time_or_that_the_connection_is_lost() {
        let mut p = Progress { done_bytes: 1 << 20, total_bytes: 3 << 20, ..Progress::default() };
        assert_eq!(message(&p), "1.0 MiB of 3.0 MiB");
        p.bytes_per_second = (1 << 20) as f64;
        assert_eq!(message(&p), "1.0 MiB of 3.0 MiB  1.0 MiB/s  2.0 s left");
        p.retries = 1;
        assert!(message(&p).contains("trying again"));
    }
}
