//! A small Hub for the tests: the API's list of files, and files behind a redirect to a second server, as the real one has
//! them; it can fail in all the ways that networks do.

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::checksum::Checksum;
use super::settings::Settings;
use super::{Hub, Limits};

pub(crate) const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
/// Files of this size and more are kept in large file storage.
const LARGE: usize = 1000;

/// What goes wrong with one request for contents.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// So many bytes of the body are sent, then the connection is cut.
    CutAfter(usize),
    /// So many bytes of the body are sent, then nothing for this long.
    StallAfter(usize, Duration),
    /// A piece of this many bytes, then a pause, and so on.
    Slow(usize, Duration),
    /// Bytes that are not the file's.
    Lie,
    /// More bytes than the file has, without saying how many.
    TooLong,
    /// The range is ignored and all is sent.
    NoRange,
    /// The range of the answer is not the one asked for.
    OtherRange,
    /// A status with headers.
    Status(u16, Vec<(&'static str, String)>),
}

#[derive(Default)]
pub(crate) struct State {
    pub files: BTreeMap<String, Vec<u8>>,
    /// What the API says of the repository beside its commit.
    pub info: Value,
    /// Faults of the next requests for contents, in order.
    pub faults: VecDeque<Fault>,
    /// Fault of each request when `faults` is empty.
    pub always: Option<Fault>,
    /// Answer of the API and of the Hub's files, instead of the right one.
    pub refusal: Option<(u16, Vec<(&'static str, String)>)>,
    /// Sizes that the list tells instead of the right ones.
    pub sizes: BTreeMap<String, u64>,
    /// Only with this token are contents given; else they are gated.
    pub token: Option<String>,
    /// Files of a page of the list.
    pub page: usize,
    /// What was asked, as `METHOD host-of-files? path range token`.
    pub log: Vec<Asked>,
}

#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub method: String,
    pub path: String,
    pub range: Option<String>,
    pub token: Option<String>,
    /// Whether the storage server was asked.
    pub storage: bool,
}

#[derive(Clone)]
pub(crate) struct Server {
    pub url: String,
    storage: String,
    state: Arc<Mutex<State>>,
}

impl Server {
    /// A Hub that has the repository `owner/name` with these files.
    pub fn new(files: &[(&str, Vec<u8>)]) -> Server {
        let (hub, storage) = (TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
        let address = |listener: &TcpListener| format!("http://{}", listener.local_addr().unwrap());
        let files = files.iter().map(|(name, bytes)| (name.to_string(), bytes.clone())).collect();
        let state = State { files, info: json!({}), page: 1000, ..State::default() };
        let server = Server { url: address(&hub), storage: address(&storage), state: Arc::new(Mutex::new(state)) };
        for (listener, is_storage) in [(hub, false), (storage, true)] {
            let server = server.clone();
            thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    let server = server.clone();
                    // Clients that cancel close the connection in the middle of an answer.
                    thread::spawn(move || drop(server.serve(stream, is_storage)));
                }
            });
        }
        server
    }

    /// This Hub as a program sees it whose cache and token are in `folder`; without patience.
    pub fn hub(&self, folder: &Path) -> Hub {
        let settings = Settings {
            endpoint: self.url.clone(),
            cache: folder.join("hub"),
            token: None,
            token_path: folder.join("token"),
            token_from_variable: false,
            offline: false,
        };
        let limits = Limits { stall: Duration::from_millis(400), backoff: Duration::from_millis(5) };
        Hub { limits, ..Hub::with(settings) }
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Requests for the contents of files, in order.
    pub fn contents_asked(&self) -> Vec<Asked> {
        self.state().log.iter().filter(|a| a.method == "GET" && !a.path.starts_with("/api")).cloned().collect()
    }

    fn serve(&self, stream: TcpStream, storage: bool) -> std::io::Result<()> {
        let mut lines = BufReader::new(stream.try_clone()?).lines();
        let first = lines.next().transpose()?.unwrap_or_default();
        let mut headers = BTreeMap::new();
        for line in lines {
            let line = line?;
            let Some((name, value)) = line.split_once(':') else { break };
            headers.insert(name.to_ascii_lowercase(), value.trim().to_string());
        }
        let mut words = first.split(' ');
        let (method, path) =
            (words.next().unwrap_or_default().to_string(), words.next().unwrap_or_default().to_string());
        let token = headers.get("authorization").map(|text| text.replace("Bearer ", ""));
        let range = headers.get("range").cloned();
        self.state().log.push(Asked {
            method: method.clone(),
            path: path.clone(),
            range: range.clone(),
            token: token.clone(),
            storage,
        });
        let from = range.and_then(|text| text.trim_start_matches("bytes=").trim_end_matches('-').parse().ok());
        let (bare, query) = path.split_once('?').unwrap_or((&path, ""));
        let mut out = Answering { stream, head: method == "HEAD" };
        if storage {
            let bytes = self.state().files.get(bare.trim_start_matches('/')).cloned().unwrap_or_default();
            return self.contents(&mut out, &bytes, from, &[]);
        }
        if let Some((status, headers)) = self.state().refusal.clone() {
            return out.send(status, &headers, b"{}");
        }
        let parts: Vec<&str> = bare.trim_start_matches('/').split('/').collect();
        let parts = if parts[0] == "datasets" { &parts[1..] } else { &parts[..] };
        match parts {
            ["api", _, "owner", "name", "revision", "main" | COMMIT] => {
                let mut info = self.state().info.clone();
                info["sha"] = json!(COMMIT);
                out.send(200, &[], info.to_string().as_bytes())
            }
            ["api", _, "owner", "name", "revision", _] => {
                out.send(404, &[("X-Error-Code", "RevisionNotFound".into())], b"{}")
            }
            ["api", _, "owner", "name", "tree", COMMIT] => self.tree(&mut out, query),
            ["owner", "name", "resolve", COMMIT, file @ ..] => self.resolve(&mut out, &file.join("/"), from, token),
            _ => out.send(404, &[("X-Error-Code", "RepoNotFound".into())], b"{}"),
        }
    }

    fn tree(&self, out: &mut Answering, query: &str) -> std::io::Result<()> {
        let state = self.state();
        let start: usize = query.split("cursor=").nth(1).and_then(|text| text.parse().ok()).unwrap_or(0);
        let entry = |(path, bytes): (&String, &Vec<u8>)| {
            let size = state.sizes.get(path).copied().unwrap_or(bytes.len() as u64);
            let mut entry = json!({"type": "file", "oid": checksum(bytes, 40), "size": size, "path": path});
            if bytes.len() >= LARGE {
                entry["lfs"] = json!({"oid": checksum(bytes, 64), "size": size, "pointerSize": 134});
            }
            entry
        };
        let page: Vec<Value> = state.files.iter().skip(start).take(state.page).map(entry).collect();
        let end = start + page.len();
        let mut headers = Vec::new();
        if end < state.files.len() {
            let address =
                format!("https://huggingface.co/api/models/owner/name/tree/{COMMIT}?recursive=true&cursor={end}");
            headers.push(("Link", format!("<{address}>; rel=\"next\"")));
        }
        drop(state);
        out.send(200, &headers, json!(page).to_string().as_bytes())
    }

    fn resolve(
        &self,
        out: &mut Answering,
        file: &str,
        from: Option<usize>,
        token: Option<String>,
    ) -> std::io::Result<()> {
        let (bytes, wanted) = {
            let state = self.state();
            (state.files.get(file).cloned(), state.token.clone())
        };
        if wanted.is_some() && token != wanted {
            let status = if token.is_some() { 403 } else { 401 };
            return out.send(status, &[("X-Error-Code", "GatedRepo".into())], b"{}");
        }
        let Some(bytes) = bytes else { return out.send(404, &[("X-Error-Code", "EntryNotFound".into())], b"{}") };
        let commit = ("X-Repo-Commit", COMMIT.to_string());
        if bytes.len() < LARGE {
            return self.contents(out, &bytes, from, &[commit, ("ETag", format!("\"{}\"", checksum(&bytes, 40)))]);
        }
        let linked = [
            commit,
            ("X-Linked-Etag", format!("\"{}\"", checksum(&bytes, 64))),
            ("X-Linked-Size", bytes.len().to_string()),
            ("Location", format!("{}/{file}?signature=x", self.storage)),
        ];
        out.send(302, &linked, b"")
    }

    fn contents(
        &self,
        out: &mut Answering,
        bytes: &[u8],
        from: Option<usize>,
        headers: &[(&'static str, String)],
    ) -> std::io::Result<()> {
        let fault = match out.head {
            true => None,
            false => {
                let mut state = self.state();
                let next = state.faults.pop_front();
                next.or_else(|| state.always.clone())
            }
        };
        let from = from.filter(|_| !matches!(fault, Some(Fault::NoRange)));
        let (start, total) = (from.unwrap_or(0).min(bytes.len()), bytes.len());
        let mut headers = headers.to_vec();
        if from.is_some() {
            let told = if matches!(fault, Some(Fault::OtherRange)) { start + 1 } else { start };
            headers.push(("Content-Range", format!("bytes {told}-{}/{total}", total - 1)));
        }
        let status = if from.is_some() { 206 } else { 200 };
        let body = &bytes[start..];
        match fault {
            Some(Fault::Status(status, headers)) => out.send(status, &headers, b""),
            Some(Fault::Lie) => {
                let wrong: Vec<u8> = body.iter().map(|byte| byte ^ 1).collect();
                out.send(status, &headers, &wrong)
            }
            Some(Fault::TooLong) => {
                out.head(status, &headers, None)?;
                out.stream.write_all(body)?;
                out.stream.write_all(b"more")
            }
            Some(Fault::CutAfter(n)) => {
                out.head(status, &headers, Some(body.len()))?;
                out.stream.write_all(&body[..n.min(body.len())])
            }
            Some(Fault::StallAfter(n, pause)) => {
                out.head(status, &headers, Some(body.len()))?;
                out.stream.write_all(&body[..n.min(body.len())])?;
                thread::sleep(pause);
                Ok(())
            }
            Some(Fault::Slow(n, pause)) => {
                out.head(status, &headers, Some(body.len()))?;
                for piece in body.chunks(n) {
                    out.stream.write_all(piece)?;
                    thread::sleep(pause);
                }
                Ok(())
            }
            None | Some(Fault::NoRange | Fault::OtherRange) => out.send(status, &headers, body),
        }
    }
}

struct Answering {
    stream: TcpStream,
    head: bool,
}

impl Answering {
    fn head(&mut self, status: u16, headers: &[(&str, String)], length: Option<usize>) -> std::io::Result<()> {
        let mut text = format!("HTTP/1.1 {status} x\r\nConnection: close\r\n");
        length.iter().for_each(|n| text.push_str(&format!("Content-Length: {n}\r\n")));
        headers.iter().for_each(|(name, value)| text.push_str(&format!("{name}: {value}\r\n")));
        self.stream.write_all((text + "\r\n").as_bytes())
    }

    fn send(&mut self, status: u16, headers: &[(&str, String)], body: &[u8]) -> std::io::Result<()> {
        self.head(status, headers, Some(body.len()))?;
        if self.head { Ok(()) } else { self.stream.write_all(body) }
    }
}

/// The checksum that the Hub names a file by.
pub(crate) fn checksum(bytes: &[u8], length: usize) -> String {
    let mut checksum = Checksum::new(&"0".repeat(length), bytes.len() as u64);
    checksum.update(bytes);
    checksum.hex()
}
