//! Requests that can be cancelled at any moment, never hang, and are tried again when the connection fails.

use std::error::Error as _;
use std::future::Future;
use std::pin::pin;
use std::time::{Duration, Instant};

use reqwest::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE, ETAG, HeaderMap, LINK, LOCATION, RANGE, RETRY_AFTER,
};
use reqwest::{Client, Method, Response, StatusCode, Url};
use serde_json::Value;

use super::Hub;
use super::id::HubId;
use super::problem::{Problem, cancelled};
use super::refusal::refusal;
use crate::engine::{Error, Result};

/// How often a wait looks whether it should go on.
const TICK: Duration = Duration::from_millis(50);
/// Tries of a question to the API.
const TRIES: u32 = 5;
/// Tries without a byte of progress once a download began: with the pauses between them half a minute, in which a
/// network comes back.
const DOWNLOAD_TRIES: u32 = 8;
/// Tries in all; a line that breaks this often is not worth more.
const MOST_TRIES: u32 = 100;
/// A server that asks for a longer pause than this is not waited for.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Answers of the API are lists of files; none is near this size.
const LARGEST_JSON: usize = 128 << 20;
const REDIRECTS: usize = 10;

/// Asked at every tick; `false` ends the wait. The number counts the tries that failed so far.
pub(super) type KeepGoing<'a> = dyn FnMut(u32) -> bool + 'a;

/// Why a request failed.
pub(super) enum Trouble {
    /// Trying again may help.
    Again {
        /// What to say when it did not.
        error: Error,
        /// The pause that the server asks for.
        pause: Option<Duration>,
        /// Nothing answered at all: there is probably no network.
        unreachable: bool,
    },
    /// It will not.
    Final(Error),
}

impl Trouble {
    /// The server failed in a way that may pass.
    pub fn again(message: impl Into<String>) -> Trouble {
        Trouble::Again { error: Problem::Server.error(message), pause: None, unreachable: false }
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Trouble {
        Trouble::Final(error)
    }
}

/// Counts failures and waits between them.
#[derive(Debug)]
pub(super) struct Patience {
    /// Failures since something went well.
    pub failures: u32,
    ever: u32,
    tries: u32,
}

impl Patience {
    /// For a question, whose answer should come soon.
    pub fn of_a_question() -> Patience {
        Patience { failures: 0, ever: 0, tries: TRIES }
    }

    /// For a file, whose list came over the same network.
    pub fn of_a_download() -> Patience {
        Patience { failures: 0, ever: 0, tries: DOWNLOAD_TRIES }
    }

    /// Something arrived.
    pub fn progress(&mut self) {
        self.failures = 0;
    }
}

/// The connections of one call.
pub(super) struct Session<'a> {
    hub: &'a Hub,
    client: Client,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        // A name that is being looked up cannot be interrupted; waiting for it would make cancelling hang.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// An answer whose status is a success, and what the Hub said of the file before it sent us to a storage server.
pub(super) struct Answer {
    /// The body is still to be read.
    pub response: Response,
    /// `X-Linked-Etag`, or the `ETag` of the Hub's own answer, without quotes.
    pub etag: Option<String>,
    /// `X-Linked-Size`.
    pub size: Option<u64>,
}

impl Answer {
    /// First byte and full size of a partial answer.
    pub fn content_range(&self) -> Option<(u64, Option<u64>)> {
        let text = header(self.response.headers(), CONTENT_RANGE.as_str())?;
        let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
        Some((range.split('-').next()?.parse().ok()?, total.parse().ok()))
    }

    /// Bytes of the body.
    pub fn content_length(&self) -> Option<u64> {
        header(self.response.headers(), CONTENT_LENGTH.as_str())?.parse().ok()
    }
}

impl<'a> Session<'a> {
    pub fn new(hub: &'a Hub) -> Result<Session<'a>> {
        if hub.settings.offline {
            return Err(Problem::Offline.error(
                "offline mode is on (HF_HUB_OFFLINE), so nothing is downloaded; what is on this computer already works",
            ));
        }
        let failed = |e: &dyn std::error::Error| Error::Other(format!("could not prepare the download: {e}"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| failed(&e))?;
        // Redirects are followed here, where the headers of each answer can be read.
        let client = Client::builder()
            .user_agent(concat!("lora-studio/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(hub.limits.stall)
            .build()
            .map_err(|e| failed(&e))?;
        Ok(Session { hub, client, runtime: Some(runtime) })
    }

    /// Waits for a future, but not longer than without a sign of life is sensible, and not when cancelled.
    fn wait<T>(
        &self,
        future: impl Future<Output = reqwest::Result<T>>,
        failures: u32,
        keep_going: &mut KeepGoing<'_>,
    ) -> std::result::Result<T, Trouble> {
        let Some(runtime) = &self.runtime else { return Err(Trouble::Final(cancelled())) };
        let started = Instant::now();
        runtime.block_on(async {
            let mut future = pin!(future);
            loop {
                match tokio::time::timeout(TICK, &mut future).await {
                    Ok(result) => return result.map_err(|e| self.connection_trouble(e)),
                    Err(_) if !keep_going(failures) => return Err(Trouble::Final(cancelled())),
                    Err(_) if started.elapsed() > self.hub.limits.stall => {
                        let seconds = self.hub.limits.stall.as_secs().max(1);
                        return Err(Trouble::again(format!(
                            "the server sent nothing for {seconds} s; try again later: what has arrived is kept"
                        )));
                    }
                    Err(_) => {}
                }
            }
        })
    }

    /// A try failed: waits before the next one, or gives up.
    pub fn pause(&self, trouble: Trouble, patience: &mut Patience, keep_going: &mut KeepGoing<'_>) -> Result<()> {
        let (error, pause, unreachable) = match trouble {
            Trouble::Final(error) => return Err(error),
            Trouble::Again { error, pause, unreachable } => (error, pause, unreachable),
        };
        patience.failures += 1;
        patience.ever += 1;
        let tries = if unreachable && patience.tries == TRIES { 2 } else { patience.tries };
        if patience.failures >= tries || patience.ever >= MOST_TRIES || pause.is_some_and(|p| p > LONGEST_PAUSE) {
            return Err(error);
        }
        let backoff = self.hub.limits.backoff * 2u32.pow(patience.failures.min(5) - 1);
        let until = Instant::now() + pause.unwrap_or_default().max(backoff);
        while Instant::now() < until {
            if !keep_going(patience.failures) {
                return Err(cancelled());
            }
            std::thread::sleep(TICK.min(until.saturating_duration_since(Instant::now())));
        }
        Ok(())
    }

    /// A request to the Hub about a repository; `from` asks for a file's bytes from there on.
    pub fn send(
        &self,
        method: Method,
        url: Url,
        id: &HubId,
        from: u64,
        failures: u32,
        keep_going: &mut KeepGoing<'_>,
    ) -> std::result::Result<Answer, Trouble> {
        let home = url.origin();
        let (mut url, mut etag, mut size) = (url, None, None);
        for _ in 0..=REDIRECTS {
            let at_home = url.origin() == home;
            let mut request = self.client.request(method.clone(), url.clone()).header(ACCEPT_ENCODING, "identity");
            if from > 0 {
                request = request.header(RANGE, format!("bytes={from}-"));
            }
            let token = self.hub.settings.token.as_ref().filter(|_| at_home);
            if let Some(token) = token {
                request = request.header(AUTHORIZATION, format!("Bearer {}", token.secret()));
            }
            let response = self.wait(request.send(), failures, keep_going)?;
            let headers = response.headers();
            if at_home {
                etag = header(headers, "x-linked-etag")
                    .or_else(|| header(headers, ETAG.as_str()))
                    .map(|text| text.trim_start_matches("W/").trim_matches('"').to_string());
                size = header(headers, "x-linked-size").and_then(|text| text.parse().ok());
            }
            let status = response.status();
            if status.is_redirection() && status != StatusCode::NOT_MODIFIED {
                let next = header(headers, LOCATION.as_str()).and_then(|to| url.join(&to).ok());
                let Some(next) = next else { return Err(Trouble::again("the server redirected to nowhere")) };
                if url.scheme() == "https" && next.scheme() != "https" {
                    let message = "the server redirected to an unencrypted address, which is refused";
                    return Err(Trouble::Final(Problem::Server.error(message)));
                }
                url = next;
                continue;
            }
            if status.is_success() {
                return Ok(Answer { response, etag, size });
            }
            return Err(self.status_trouble(&response, id, at_home));
        }
        Err(Trouble::Final(Problem::Server.error("the server redirected too many times; try again later")))
    }

    fn status_trouble(&self, response: &Response, id: &HubId, at_home: bool) -> Trouble {
        let (status, headers) = (response.status(), response.headers());
        let with_token = self.hub.settings.token.is_some();
        if !at_home && status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS {
            // Addresses of the storage servers expire; the Hub gives a new one.
            return Trouble::again(format!("the storage server answered {status}; try again later"));
        }
        let error = refusal(status, headers, id, &self.hub.settings.endpoint, with_token);
        match status {
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => {
                let pause = header(headers, RETRY_AFTER.as_str()).and_then(|text| text.parse().ok());
                Trouble::Again { error, pause: pause.map(Duration::from_secs), unreachable: false }
            }
            status if status.is_server_error() => Trouble::Again { error, pause: None, unreachable: false },
            _ => Trouble::Final(error),
        }
    }

    /// The next piece of a body; `None` at its end.
    pub fn piece(
        &self,
        response: &mut Response,
        failures: u32,
        keep_going: &mut KeepGoing<'_>,
    ) -> std::result::Result<Option<impl AsRef<[u8]> + use<>>, Trouble> {
        self.wait(response.chunk(), failures, keep_going)
    }

    /// JSON of the API, and the address of the next page if there is one.
    pub fn json(&self, url: &Url, id: &HubId, keep_going: &mut KeepGoing<'_>) -> Result<(Value, Option<Url>)> {
        let mut patience = Patience::of_a_question();
        loop {
            match self.try_json(url, id, patience.failures, keep_going) {
                Ok(found) => return Ok(found),
                Err(trouble) => self.pause(trouble, &mut patience, keep_going)?,
            }
        }
    }

    fn try_json(
        &self,
        url: &Url,
        id: &HubId,
        failures: u32,
        keep_going: &mut KeepGoing<'_>,
    ) -> std::result::Result<(Value, Option<Url>), Trouble> {
        let Answer { mut response, .. } = self.send(Method::GET, url.clone(), id, 0, failures, keep_going)?;
        let next = header(response.headers(), LINK.as_str()).and_then(|text| next_page(&text, url));
        let mut body = Vec::new();
        while let Some(piece) = self.piece(&mut response, failures, keep_going)? {
            body.extend_from_slice(piece.as_ref());
            if body.len() > LARGEST_JSON {
                return Err(Trouble::Final(Problem::Server.error("the server's list of files has no end")));
            }
        }
        let value = serde_json::from_slice(&body).map_err(|e| {
            let endpoint = &self.hub.settings.endpoint;
            Problem::Server.error(format!("{endpoint} did not answer as the Hub does ({e}); check HF_ENDPOINT"))
        })?;
        Ok((value, next))
    }

    fn connection_trouble(&self, error: reqwest::Error) -> Trouble {
        let unreachable = error.is_connect() || error.is_timeout();
        // The innermost reason is the one that a person understands; addresses may hold signatures.
        let error = error.without_url();
        let mut reason = error.to_string();
        let mut source = error.source();
        while let Some(inner) = source {
            reason = inner.to_string();
            source = inner.source();
        }
        let host = &self.hub.settings.endpoint;
        let error = if unreachable {
            Problem::Offline.error(format!(
                "cannot reach {host} ({reason}): check the network connection; models that are on this computer \
                 already work without it"
            ))
        } else {
            let message = format!("the connection to {host} broke ({reason}): try again; what has arrived is kept");
            Problem::Offline.error(message)
        };
        Trouble::Again { error, pause: None, unreachable }
    }
}

/// A header as text.
pub(super) fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    Some(headers.get(name)?.to_str().ok()?.trim().to_string())
}

/// The address behind `rel="next"`, if it is on the same server.
fn next_page(link: &str, url: &Url) -> Option<Url> {
    let part = link.split(',').find(|part| part.contains("rel=\"next\""))?;
    let address = part.split('<').nth(1)?.split('>').next()?;
    let mut next = url.join(address).ok()?;
    // A mirror may name the original's address.
    if next.origin() != url.origin() {
        let (path, query) = (next.path().to_string(), next.query().map(str::to_string));
        next = url.clone();
        next.set_path(&path);
        next.set_query(query.as_deref());
    }
    Some(next)
}
