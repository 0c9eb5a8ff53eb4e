//! Where the Hub is and where its files go: the environment variables that every program of Hugging Face understands.

use std::fmt;
use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use crate::engine::config::expand_home;
use crate::engine::{Error, Result};

const ENDPOINT: &str = "https://huggingface.co";

/// An access token; it never shows itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// A token without the spaces and line ends that copying adds; `None` when nothing is left.
    pub fn new(text: &str) -> Option<Token> {
        let text: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        (!text.is_empty()).then_some(Token(text))
    }

    /// The secret itself, for the one header that carries it.
    pub(super) fn secret(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(hidden)")
    }
}

/// What the environment says about the Hub.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub endpoint: String,
    pub cache: PathBuf,
    pub token: Option<Token>,
    /// The file that the token of `hf auth login` is in.
    pub token_path: PathBuf,
    /// Whether the token is of a variable: it wins over the file.
    pub token_from_variable: bool,
    pub offline: bool,
}

impl Settings {
    /// Reads the variables through `get`; files below the home folder are looked for where huggingface_hub does.
    pub(super) fn read(get: impl Fn(&str) -> Option<String>) -> Settings {
        let get = |name: &str| get(name).filter(|value| !value.trim().is_empty());
        let path = |name: &str| get(name).map(|value| expand_home(value.trim()));
        let home = path("HF_HOME").unwrap_or_else(|| {
            let cache = path("XDG_CACHE_HOME").unwrap_or_else(|| expand_home("~").join(".cache"));
            cache.join("huggingface")
        });
        let cache = path("HF_HUB_CACHE").or_else(|| path("HUGGINGFACE_HUB_CACHE")).unwrap_or_else(|| home.join("hub"));
        let on = |name: &str| {
            get(name).is_some_and(|v| ["1", "ON", "YES", "TRUE"].contains(&v.trim().to_ascii_uppercase().as_str()))
        };
        let token_path = path("HF_TOKEN_PATH").unwrap_or_else(|| home.join("token"));
        let implicit = !on("HF_HUB_DISABLE_IMPLICIT_TOKEN");
        let variable = ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"].iter().find_map(|name| Token::new(&get(name)?));
        let variable = variable.filter(|_| implicit);
        let token_from_variable = variable.is_some();
        let token = variable.or_else(|| token_file(&token_path).filter(|_| implicit));
        let endpoint = get("HF_ENDPOINT").unwrap_or_else(|| ENDPOINT.into());
        Settings {
            endpoint: endpoint.trim().trim_end_matches('/').to_string(),
            cache,
            token,
            token_path,
            token_from_variable,
            offline: on("HF_HUB_OFFLINE") || on("TRANSFORMERS_OFFLINE"),
        }
    }
}

/// Writes the file that `hf auth login` writes, which nobody else can read; `None` removes it.
pub(super) fn write_token_file(path: &Path, token: Option<&Token>) -> Result<()> {
    let Some(token) = token else {
        return match fs::remove_file(path) {
            Err(e) if e.kind() != ErrorKind::NotFound => Err(Error::io("remove the access token", path)(e)),
            _ => Ok(()),
        };
    };
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(Error::io("create the folder", folder))?;
    // A temporary file belongs to its owner alone from its first byte on, and keeps that when it gets its name.
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(Error::io("write the access token in", folder))?;
    file.write_all(token.secret().as_bytes()).map_err(Error::io("write the access token in", folder))?;
    file.as_file().sync_all().map_err(Error::io("write the access token in", folder))?;
    file.persist(path).map_err(|e| Error::io("write the access token", path)(e.error))?;
    Ok(())
}

/// The file that `hf auth login` writes. One that cannot be read counts as absent: most models need no token.
fn token_file(path: &Path) -> Option<Token> {
    Token::new(&std::fs::read_to_string(path).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Settings {
        Settings::read(|name| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| v.to_string()))
    }

    #[test]
    fn a_token_that_is_written_is_read_and_belongs_to_its_owner() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("new");
        let variables = [("HF_HOME", home.to_str().unwrap())];
        let path = read(&variables).token_path;
        write_token_file(&path, Token::new("hf_one").as_ref()).unwrap();
        write_token_file(&path, Token::new("hf_two").as_ref()).unwrap();
        assert_eq!(read(&variables).token.unwrap().secret(), "hf_two");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        for _ in 0..2 {
            write_token_file(&path, None).unwrap();
        }
        assert_eq!((path.exists(), read(&variables).token), (false, None));
        let from_variable = read(&[("HF_HOME", home.to_str().unwrap()), ("HF_TOKEN", "hf_v")]);
        assert!(from_variable.token_from_variable && !read(&variables).token_from_variable);
    }

    #[test]
    fn variables_name_the_cache_in_the_order_of_huggingface_hub() {
        assert_eq!(read(&[]).cache, dirs::home_dir().unwrap().join(".cache/huggingface/hub"));
        assert_eq!(read(&[("XDG_CACHE_HOME", "/x")]).cache, Path::new("/x/huggingface/hub"));
        assert_eq!(read(&[("XDG_CACHE_HOME", "/x"), ("HF_HOME", "/h")]).cache, Path::new("/h/hub"));
        assert_eq!(read(&[("HF_HOME", "/h"), ("HUGGINGFACE_HUB_CACHE", "/o")]).cache, Path::new("/o"));
        let both = [("HF_HUB_CACHE", "~/c"), ("HUGGINGFACE_HUB_CACHE", "/o")];
        assert_eq!(read(&both).cache, dirs::home_dir().unwrap().join("c"));
    }

    #[test]
    fn endpoint_and_offline() {
        assert_eq!(read(&[]).endpoint, "https://huggingface.co");
        assert_eq!(read(&[("HF_ENDPOINT", "http://127.0.0.1:9/ ")]).endpoint, "http://127.0.0.1:9");
        for (value, offline) in [("1", true), ("true", true), ("ON", true), ("0", false), ("", false)] {
            assert_eq!(read(&[("HF_HUB_OFFLINE", value)]).offline, offline, "{value:?}");
        }
        assert!(read(&[("TRANSFORMERS_OFFLINE", "yes")]).offline);
    }

    #[test]
    fn the_variable_wins_over_the_file_and_neither_shows() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("token"), "hf_file\n").unwrap();
        let home = dir.path().to_str().unwrap();
        let secret = |variables: &[(&str, &str)]| read(variables).token.map(|t| t.secret().to_string());
        assert_eq!(secret(&[("HF_HOME", home)]).as_deref(), Some("hf_file"));
        assert_eq!(secret(&[("HF_HOME", home), ("HF_TOKEN", " hf_env\r\n")]).as_deref(), Some("hf_env"));
        assert_eq!(secret(&[("HF_HOME", home), ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")]), None);
        let other = dir.path().join("other");
        std::fs::write(&other, "hf_other").unwrap();
        assert_eq!(secret(&[("HF_TOKEN_PATH", other.to_str().unwrap())]).as_deref(), Some("hf_other"));
        let shown = format!("{:?}", read(&[("HF_TOKEN", "hf_secret")]));
        assert!(!shown.contains("hf_secret"), "{shown}");
    }
}
