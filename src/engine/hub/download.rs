//! Downloads: a file arrives as `<etag>.incomplete`, continues there after any interruption, and gets its name only when
//! its size and checksum are right.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use reqwest::{Method, StatusCode};

use super::Hub;
use super::cache::{Lock, create_parent, has_size};
use super::checksum::Checksum;
use super::http::{Patience, Session, Trouble};
use super::listing::{Listing, RemoteFile};
use super::meter::{Meter, Progress};
use super::problem::{Problem, cancelled};
use crate::engine::{Error, Result};

/// How long to wait between looks at a file that another program downloads.
const LOCK_PAUSE: std::time::Duration = std::time::Duration::from_millis(100);

impl Hub {
    /// Downloads what is missing of the files and gives their folder in the cache, or the file that the id names.
    /// `progress` is called about ten times a second; when it returns `false`, the download stops at once and keeps what
    /// has arrived.
    pub fn download(&self, listing: &Listing, progress: &mut dyn FnMut(&Progress) -> bool) -> Result<PathBuf> {
        let (id, commit) = (&listing.id, &listing.commit);
        let folder = self.cache.snapshot(id, commit);
        let present = |file: &RemoteFile| has_size(&folder.join(&file.path), file.size);
        let missing: Vec<&RemoteFile> = listing.files.iter().filter(|file| !present(file)).collect();
        let done: u64 = listing.total_bytes() - missing.iter().map(|file| file.size).sum::<u64>();
        let cancel = self.cancel.clone();
        let mut meter = Meter::new(listing.total_bytes(), done, cancel, progress);
        if !missing.is_empty() {
            self.check_space(listing, &missing)?;
            let session = Session::new(self)?;
            for file in missing {
                meter.begin(file);
                self.fetch(&session, listing, file, &mut meter)?;
                self.cache.show(id, commit, &file.path, &file.etag)?;
                meter.finish(file)?;
            }
        }
        // An older commit that is whole stays the one that works offline until the new one is whole.
        if listing.complete || self.cache.commit(id).is_none() {
            self.cache.write_ref(id, commit)?;
        }
        Ok(match &listing.files[..] {
            [only] if only.path.ends_with(".gguf") || id.file.is_some() => folder.join(&only.path),
            _ => folder,
        })
    }

    /// Bytes of the files that are not on this computer yet, without what an interrupted download left.
    pub fn missing_bytes(&self, listing: &Listing) -> u64 {
        let folder = self.cache.snapshot(&listing.id, &listing.commit);
        let missing = listing.files.iter().filter(|file| !has_size(&folder.join(&file.path), file.size));
        self.to_fetch(listing, missing)
    }

    fn to_fetch<'a>(&self, listing: &Listing, files: impl Iterator<Item = &'a RemoteFile>) -> u64 {
        let left = |file: &RemoteFile| {
            let blob = self.cache.blob(&listing.id, &file.etag);
            let partial = fs::metadata(partial_of(&blob, false)).map_or(0, |found| found.len());
            if has_size(&blob, file.size) { 0 } else { file.size.saturating_sub(partial) }
        };
        files.map(left).sum()
    }

    /// Refuses before the first byte when the disk is too small.
    fn check_space(&self, listing: &Listing, missing: &[&RemoteFile]) -> Result<()> {
        let needed = self.to_fetch(listing, missing.iter().copied());
        let root = &self.cache.root;
        let Some(existing) = root.ancestors().find(|folder| folder.is_dir()) else { return Ok(()) };
        // A system that cannot tell is no reason to refuse: a disk that fills up is noticed later.
        let Ok(free) = fs4::available_space(existing) else { return Ok(()) };
        if needed <= free {
            return Ok(());
        }
        let gigabytes = |bytes: u64| bytes as f64 / 1e9;
        Err(Problem::DiskFull.error(format!(
            "the disk is too small: {} needs {:.1} GB and {:.1} GB are free; free some space, or let HF_HUB_CACHE name a \
             folder on another disk: {}",
            listing.id,
            gigabytes(needed),
            gigabytes(free),
            root.display()
        )))
    }

    /// Brings a file's contents into the cache.
    fn fetch(&self, session: &Session<'_>, listing: &Listing, file: &RemoteFile, meter: &mut Meter<'_>) -> Result<()> {
        let blob = self.cache.blob(&listing.id, &file.etag);
        create_parent(&blob)?;
        let lock = loop {
            // Another program may have finished it meanwhile.
            if has_size(&blob, file.size) {
                return Ok(());
            }
            match self.cache.lock(&listing.id, &file.etag)? {
                Lock::Busy => std::thread::sleep(LOCK_PAUSE),
                lock => break lock,
            }
            if !meter.tick(0) {
                return Err(cancelled());
            }
        };
        if has_size(&blob, file.size) {
            return Ok(());
        }
        let path = partial_of(&blob, matches!(lock, Lock::Unknown));
        let mut partial = Partial::open(&path, file, meter)?;
        let (mut patience, mut lied) = (Patience::of_a_download(), false);
        loop {
            let before = partial.length;
            let result = match partial.length == file.size {
                true => Ok(()),
                false => self.transfer(session, listing, file, &mut partial, &patience, meter),
            };
            if let Err(trouble) = result {
                if partial.length > before {
                    patience.progress();
                }
                session.pause(trouble, &mut patience, &mut |failures| meter.tick(failures))?;
                continue;
            }
            if partial.checksum.clone().matches(&file.etag) {
                return partial.keep(&blob);
            }
            // What was there before may have been damaged; the next try begins at nothing.
            partial.clear()?;
            meter.at(0);
            if lied {
                partial.remove();
                return Err(Problem::Checksum.error(format!(
                    "{} of {} arrived damaged twice: its checksum is not the one that the Hub names; try again later, or \
                     from another network",
                    file.path, listing.id
                )));
            }
            lied = true;
        }
    }

    /// Asks for the rest of a file and writes what comes.
    fn transfer(
        &self,
        session: &Session<'_>,
        listing: &Listing,
        file: &RemoteFile,
        partial: &mut Partial,
        patience: &Patience,
        meter: &mut Meter<'_>,
    ) -> std::result::Result<(), Trouble> {
        let failures = patience.failures;
        let url = self.file_url(listing, file)?;
        let id = &listing.id;
        let mut answer =
            session.send(Method::GET, url, id, partial.length, failures, &mut |failures| meter.tick(failures))?;
        let announced = match (answer.response.status(), answer.content_range()) {
            (StatusCode::PARTIAL_CONTENT, Some((start, total))) if start == partial.length => total,
            (StatusCode::PARTIAL_CONTENT, _) => {
                partial.clear()?;
                return Err(Trouble::again(
                    "the server sent another part of the file than the one asked for; try again later",
                ));
            }
            _ => {
                // A server that knows no ranges sends the whole file.
                partial.clear()?;
                meter.at(0);
                answer.content_length()
            }
        };
        let other = |size: &u64| *size != file.size;
        let checksum = answer.etag.as_deref().filter(|etag| etag.len() == 64 && file.etag.len() == 64);
        if announced.or(answer.size).as_ref().is_some_and(other)
            || checksum.is_some_and(|c| !c.eq_ignore_ascii_case(&file.etag))
        {
            partial.clear()?;
            return Err(Trouble::Final(Problem::Checksum.error(format!(
                "the server has another {} than the one that the list of {id} names: try again later",
                file.path
            ))));
        }
        while let Some(piece) = session.piece(&mut answer.response, failures, &mut |failures| meter.tick(failures))? {
            let piece = piece.as_ref();
            let room = file.size.saturating_sub(partial.length);
            if piece.len() as u64 > room {
                partial.clear()?;
                return Err(Trouble::again(format!(
                    "the server sent more of {} than there is; try again later",
                    file.path
                )));
            }
            partial.push(piece)?;
            if !meter.received(piece.len() as u64) {
                return Err(Trouble::Final(cancelled()));
            }
        }
        if partial.length < file.size {
            return Err(Trouble::again(format!(
                "the connection was cut in the middle of {}; try again: what has arrived is kept",
                file.path
            )));
        }
        Ok(())
    }
}

/// Where a file's contents grow. Without locks each process has its own, so that two never write into one.
fn partial_of(blob: &Path, own: bool) -> PathBuf {
    let mut name = blob.as_os_str().to_os_string();
    if own {
        name.push(format!(".{}", std::process::id()));
    }
    name.push(".incomplete");
    PathBuf::from(name)
}

/// The part of a file that has arrived.
struct Partial {
    path: PathBuf,
    file: File,
    length: u64,
    size: u64,
    checksum: Checksum,
}

impl Partial {
    /// Opens what an earlier download left, and reads it for the checksum.
    fn open(path: &Path, file: &RemoteFile, meter: &mut Meter<'_>) -> Result<Partial> {
        let mut options = OpenOptions::new();
        let opened =
            options.read(true).append(true).create(true).open(path).map_err(Error::io("open the file", path))?;
        let checksum = Checksum::new(&file.etag, file.size);
        let mut partial = Partial { path: path.to_path_buf(), file: opened, length: 0, size: file.size, checksum };
        let mut buffer = vec![0; 1 << 20];
        loop {
            let read = partial.file.read(&mut buffer).map_err(Error::io("read the file", path))?;
            if read == 0 {
                break;
            }
            partial.length += read as u64;
            if partial.length > file.size {
                partial.clear()?;
                break;
            }
            partial.checksum.update(&buffer[..read]);
            if !meter.found(partial.length) {
                return Err(cancelled());
            }
        }
        meter.at(partial.length);
        Ok(partial)
    }

    fn push(&mut self, piece: &[u8]) -> Result<()> {
        let written = self.file.write_all(piece);
        written.map_err(|e| self.write_error(e))?;
        self.checksum.update(piece);
        self.length += piece.len() as u64;
        Ok(())
    }

    fn clear(&mut self) -> Result<()> {
        self.file.set_len(0).map_err(Error::io("empty the file", &self.path))?;
        self.length = 0;
        self.checksum.reset(self.size);
        Ok(())
    }

    /// Gives the file its name; the contents are on the disk before the name is.
    fn keep(self, blob: &Path) -> Result<()> {
        self.file.sync_all().map_err(|e| self.write_error(e))?;
        let Partial { path, file, .. } = self;
        drop(file);
        fs::rename(&path, blob).map_err(Error::io("name the file", blob))?;
        if cfg!(unix)
            && let Some(folder) = blob.parent().and_then(|folder| File::open(folder).ok())
        {
            let _ = folder.sync_all();
        }
        Ok(())
    }

    fn remove(self) {
        drop(self.file);
        // What stays behind is empty and is used by the next download.
        let _ = fs::remove_file(&self.path);
    }

    fn write_error(&self, error: io::Error) -> Error {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Problem::DiskFull.error(format!(
                "the disk is full; free some space and go on: what has arrived is kept: {}",
                self.path.display()
            )),
            _ => Error::io("write the file", &self.path)(error),
        }
    }
}
