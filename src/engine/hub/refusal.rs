//! The Hub's refusals in plain words.

use reqwest::StatusCode;
use reqwest::header::HeaderMap;

use super::http::header;
use super::id::HubId;
use super::problem::Problem;
use crate::engine::Error;

/// What a status that is no success means, and what to do.
pub(super) fn refusal(status: StatusCode, headers: &HeaderMap, id: &HubId, endpoint: &str, with_token: bool) -> Error {
    let code = header(headers, "x-error-code").unwrap_or_default();
    let detail = header(headers, "x-error-message").unwrap_or_default();
    let page = format!("{endpoint}/{}{}", id.kind.page_prefix(), id.repo);
    let (kind, repo) = (id.kind.word(), &id.repo);
    match status {
        _ if code == "GatedRepo" => gated(id, page, with_token),
        StatusCode::UNAUTHORIZED if detail.contains("Invalid credentials") || (with_token && code.is_empty()) => {
            Problem::BadToken.error(
                "the Hub does not accept the access token: make a new one at https://huggingface.co/settings/tokens and \
                 put it in Settings or in HF_TOKEN, or remove the old one: open models need none",
            )
        }
        // To strangers the Hub answers 401 for what does not exist, so that private names stay private.
        StatusCode::UNAUTHORIZED => Problem::NotFound.error(format!(
            "there is no {kind} {repo} on the Hub: check the spelling of owner and name; a private one needs your access \
             token in Settings or HF_TOKEN"
        )),
        StatusCode::FORBIDDEN => {
            let reason = if detail.is_empty() { String::new() } else { format!(" ({detail})") };
            let advice = if with_token { "check that your token may read it" } else { "it may need an access token" };
            let message = format!("the Hub refuses access to {repo}{reason}: open {page} and {advice}");
            Problem::Gated { page, with_token }.error(message)
        }
        StatusCode::NOT_FOUND if code == "RevisionNotFound" => Problem::NotFound.error(format!(
            "{repo} has no revision {:?}: check the spelling, or leave it out for the newest",
            id.revision
        )),
        StatusCode::NOT_FOUND if code == "EntryNotFound" => {
            Problem::NotFound.error(format!("a file of {repo} is no longer there: look at {page}"))
        }
        StatusCode::NOT_FOUND => Problem::NotFound
            .error(format!("there is no {kind} {repo} on the Hub: check the spelling of owner and name")),
        StatusCode::TOO_MANY_REQUESTS => Problem::RateLimited.error(format!(
            "the Hub says that there were too many requests: wait some minutes and go on{}",
            if with_token { "" } else { "; with an access token (Settings or HF_TOKEN) more are allowed" }
        )),
        status => Problem::Server
            .error(format!("{endpoint} answered {status}: try again later; what has arrived is kept")),
    }
}

/// The licence must be accepted, or the access asked for.
pub(super) fn gated(id: &HubId, page: String, with_token: bool) -> Error {
    let repo = &id.repo;
    let message = if with_token {
        format!(
            "{repo} asks for its licence to be accepted: open {page}, accept it with the account of your access token (it \
             can take a while until the owner agrees), then download again"
        )
    } else {
        format!(
            "{repo} asks for its licence to be accepted: open {page}, sign in and accept it, then put an access token from \
             https://huggingface.co/settings/tokens in Settings or HF_TOKEN"
        )
    };
    Problem::Gated { page, with_token }.error(message)
}
