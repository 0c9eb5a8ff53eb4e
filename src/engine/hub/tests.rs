//! Downloads from a Hub on this computer, with everything that can go wrong on the way.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;

use super::testing::{COMMIT, Fault, Server, checksum};
use super::*;
use crate::engine::Error;

const LENGTH: usize = 300_000;

fn weights() -> Vec<u8> {
    (0..LENGTH as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

/// A small model's files; the weights are large enough to be in large file storage.
fn server() -> Server {
    Server::new(&[
        ("README.md", b"---\nlicense: mit\n---\n".to_vec()),
        ("config.json", b"{\"model_type\": \"llama\"}".to_vec()),
        ("model.safetensors", weights()),
        ("pytorch_model.bin", vec![7; 5000]),
        ("tokenizer.json", b"{}".to_vec()),
    ])
}

fn hub(server: &Server, cache: &Path) -> Hub {
    let mut hub = server.hub(cache);
    hub.settings.cache = cache.into();
    hub.cache.root = cache.into();
    hub
}

fn id(text: &str) -> HubId {
    HubId::parse(text, RepoKind::Model).unwrap()
}

fn get(hub: &Hub) -> crate::engine::Result<PathBuf> {
    hub.download(&hub.model_files(&id("owner/name"))?, &mut |_| true)
}

fn partial(cache: &Path) -> PathBuf {
    cache.join("models--owner--name/blobs").join(checksum(&weights(), 64) + ".incomplete")
}

/// Every file of the snapshot has the right contents, and nothing unfinished is left.
fn assert_whole(server: &Server, cache: &Path) {
    let snapshot = cache.join("models--owner--name/snapshots").join(COMMIT);
    for name in ["README.md", "config.json", "model.safetensors", "tokenizer.json"] {
        assert_eq!(fs::read(snapshot.join(name)).unwrap(), server.state().files[name], "{name}");
    }
    let blobs = fs::read_dir(cache.join("models--owner--name/blobs")).unwrap().flatten();
    assert!(blobs.map(|e| e.file_name()).all(|name| !name.to_string_lossy().contains("incomplete")));
}

fn failed(result: crate::engine::Result<PathBuf>) -> (Problem, String) {
    let error = result.expect_err("it should fail");
    (problem(&error).unwrap_or_else(|| panic!("{error:?}")).clone(), error.to_string())
}

#[test]
fn a_model_is_listed_then_downloaded_into_the_layout_of_huggingface_hub() {
    let (server, dir) = (server(), tempfile::tempdir().unwrap());
    server.state().info = json!({"cardData": {"license": "mit"}});
    server.state().page = 2;
    let hub = hub(&server, dir.path());
    let listing = hub.model_files(&id("owner/name")).unwrap();
    let names: Vec<_> = listing.files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(names, ["README.md", "config.json", "model.safetensors", "tokenizer.json"]);
    assert_eq!((listing.commit.as_str(), listing.license.as_deref()), (COMMIT, Some("mit")));
    assert_eq!(listing.total_bytes(), 21 + 23 + LENGTH as u64 + 2);
    assert_eq!((listing.weight_bytes(), hub.missing_bytes(&listing)), (LENGTH as u64, listing.total_bytes()));
    assert!(fs::read_dir(dir.path()).unwrap().next().is_none(), "listing downloads nothing");

    let mut last = Progress::default();
    let folder = hub.download(&listing, &mut |p| {
        assert!(p.done_bytes >= last.done_bytes && p.done_bytes <= p.total_bytes);
        last = p.clone();
        true
    });
    let repo = dir.path().join("models--owner--name");
    assert_eq!(folder.unwrap(), repo.join("snapshots").join(COMMIT));
    assert_eq!((last.done_bytes, last.total_bytes), (listing.total_bytes(), listing.total_bytes()));
    assert_whole(&server, dir.path());
    assert_eq!(fs::read_to_string(repo.join("refs/main")).unwrap(), COMMIT);
    let blob = repo.join("blobs").join(checksum(&weights(), 64));
    assert!(fs::symlink_metadata(&blob).unwrap().is_file());
    #[cfg(unix)]
    {
        let link = fs::read_link(repo.join("snapshots").join(COMMIT).join("model.safetensors")).unwrap();
        assert_eq!(link, Path::new("../../blobs").join(checksum(&weights(), 64)));
    }
    assert_eq!(hub.missing_bytes(&listing), 0);
    assert_eq!(hub.on_disk(&id("owner/name")).unwrap(), repo.join("snapshots").join(COMMIT));

    // Again: nothing is asked for but the list.
    let before = server.contents_asked().len();
    get(&hub).unwrap();
    assert_eq!(server.contents_asked().len(), before);
}

#[test]
fn a_cut_connection_is_continued_where_it_broke() {
    let (server, dir) = (server(), tempfile::tempdir().unwrap());
    // The two small files before the weights arrive whole.
    let cuts = [100_000, 0, 50_000].map(Fault::CutAfter);
    server.state().faults = [Fault::NoRange, Fault::NoRange].into_iter().chain(cuts).collect();
    get(&hub(&server, dir.path())).unwrap();
    assert_whole(&server, dir.path());
    let ranges: Vec<_> = server.contents_asked().into_iter().filter(|a| a.storage).filter_map(|a| a.range).collect();
    assert_eq!(ranges, ["bytes=100000-", "bytes=100000-", "bytes=150000-"]);
}

#[test]
fn a_connection_that_always_breaks_is_given_up_and_the_next_download_goes_on() {
    let (server, dir) = (server(), tempfile::tempdir().unwrap());
    let hub = hub(&server, dir.path());
    // The two small files before the weights arrive; then one piece, and nothing any more.
    server.state().faults = vec![Fault::NoRange, Fault::NoRange, Fault::CutAfter(70_000)].into();
    server.state().always = Some(Fault::CutAfter(0));
    let (kind, text) = failed(get(&hub));
    assert_eq!(kind, Problem::Offline, "{text}");
    assert!(text.contains("what has arrived is kept"), "{text}");
    assert_eq!(fs::read(partial(dir.path())).unwrap(), weights()[..70_000]);
    let snapshot = dir.path().join("models--owner--name/snapshots").join(COMMIT);
    assert!(!snapshot.join("model.safetensors").exists());
    assert_eq!(server.contents_asked().iter().filter(|a| a.storage).count(), 1 + 7);
    assert_eq!(problem(&hub.on_disk(&id("owner/name")).unwrap_err()), Some(&Problem::NotOnDisk));

    server.state().always = None;
    server.state().log.clear();
    let listing = hub.model_files(&id("owner/name")).unwrap();
    assert_eq!(hub.missing_bytes(&listing), LENGTH as u64 - 70_000 + 2);
    get(&hub).unwrap();
    assert_whole(&server, dir.path());
    assert_eq!(server.contents_asked().iter().find(|a| a.storage).unwrap().range.as_deref(), Some("bytes=70000-"));
}

#[test]
fn a_silent_server_counts_as_a_cut_connection() {
    let (server, dir) = (server(), tempfile::tempdir().unwrap());
    server.state().faults = vec![Fault::StallAfter(3, Duration::from_secs(5))].into();
    let started = Instant::now();
    get(&hub(&server, dir.path())).unwrap();
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
    assert_whole(&server, dir.path());
}

#[test]
fn cancelling_is_prompt_and_keeps_what_arrived() {
    let (server, dir) = (server(), tempfile::tempdir().unwrap());
    let patient = |dir: &Path| {
        let mut hub = hub(&server, dir);
        hub.limits.stall = Duration::from_secs(30);
        hub
    };
    // Slow, then silent: in both the call returns at once.
    for fault in [Fault::Slow(2000, Duration::from_millis(20)), Fault::StallAfter(9000, Duration::from_secs(20))] {
        server.state().faults = vec![Fault::NoRange, Fault::NoRange, fault.clone()].into();
        let hub = patient(dir.path());
        let listing = hub.model_files(&id("owner/name")).unwrap();
        let mut stopped = None;
        let result = hub.download(&listing, &mut |p| {
            if p.file == "model.safetensors" && p.file_done > 0 {
                stopped.get_or_insert_with(Instant::now);
            }
            stopped.is_none()
        });
        assert_eq!(failed(result).0, Problem::Cancelled);
        assert!(stopped.unwrap().elapsed() < Duration::from_millis(500), "{fault:?}");
        let kept = fs::read(partial(dir.path())).unwrap();
        assert!(!kept.is_empty() && kept == weights()[..kept.len()]);
        server.state().faults.clear();
    }
    // A flag stops a list, too.
    let flag = Arc::new(AtomicBool::new(true));
    server.state().refusal = Some((503, vec![]));
    let result = patient(dir.path()).with_cancel(flag).model_files(&id("owner/name"));
    assert_eq!(problem(&result.unwrap_err()), Some(&Problem::Cancelled));
    server.state().refusal = None;
    get(&hub(&server, dir.path())).unwrap();
    assert_whole(&server, dir.path());
}

#[test]
fn damaged_bytes_are_fetched_again_and_never_get_a_name() {
    let (server, dir) = (server(), tempfile::tempdir().unwrap());
    let hub = hub(&server, dir.path());
    // Once: it is tried again. The second file is a small one, whose checksum is git's.
    server.state().faults = vec![Fault::NoRange, Fault::Lie, Fault::NoRange, Fault::Lie].into();
    get(&hub).unwrap();
    assert_whole(&server, dir.path());
    assert_eq!(server.contents_asked().iter().filter(|a| a.storage).count(), 2);

    let (dir, hub) = {
        let dir = tempfile::tempdir().unwrap();
        let hub = self::hub(&server, dir.path());
        (dir, hub)
    };
    server.state().always = Some(Fault::Lie);
    let (kind, text) = failed(get(&hub));
    assert_eq!(kind, Problem::Checksum);
    assert!(text.contains("README.md") && text.contains("damaged"), "{text}");
    assert_eq!(fs::read_dir(dir.path().join("models--owner--name/blobs")).unwrap().count(), 0);
    assert!(!dir.path().join("models--owner--name/snapshots").exists());
}

#[test]
fn a_partial_file_with_other_bytes_is_thrown_away() {
    let (server, dir) = (server(), tempfile::tempdir().unwrap());
    for left in [vec![0; 1234], vec![0; LENGTH], vec![0; LENGTH + 1]] {
        let _ = fs::remove_dir_all(dir.path().join("models--owner--name"));
        fs::create_dir_all(partial(dir.path()).parent().unwrap()).unwrap();
        fs::write(partial(dir.path()), &left).unwrap();
        get(&hub(&server, dir.path())).unwrap();
        assert_whole(&server, dir.path());
    }
}

#[test]
fn servers_without_ranges_or_with_wrong_ones_still_give_the_right_file() {
    let (server, dir) = (server(), tempfile::tempdir().unwrap());
    let first = [Fault::NoRange, Fault::NoRange, Fault::CutAfter(1000)];
    for fault in [Fault::NoRange, Fault::OtherRange, Fault::TooLong] {
        let dir = dir.path().join(format!("{fault:?}"));
        server.state().faults = first.iter().cloned().chain([fault]).collect();
        get(&hub(&server, &dir)).unwrap();
        assert_whole(&server, &dir);
    }
}

#[test]
fn other_sizes_than_the_lists_are_refused() {
    let (server, dir) = (server(), tempfile::tempdir().unwrap());
    server.state().sizes.insert("model.safetensors".into(), LENGTH as u64 + 5);
    let (kind, text) = failed(get(&hub(&server, dir.path())));
    assert_eq!(kind, Problem::Checksum);
    assert!(text.contains("model.safetensors"), "{text}");
}

#[test]
fn a_disk_that_is_too_small_is_noticed_before_the_first_byte() {
    let (server, dir) = (server(), tempfile::tempdir().unwrap());
    server.state().sizes.insert("model.safetensors".into(), 1 << 60);
    let (kind, text) = failed(get(&hub(&server, &dir.path().join("not/yet/there"))));
    assert_eq!(kind, Problem::DiskFull);
    assert!(text.contains("needs 1152921504.6 GB") && text.contains("HF_HUB_CACHE"), "{text}");
    assert!(server.contents_asked().is_empty());
}

#[test]
fn passing_trouble_of_the_server_is_waited_for() {
    let (server, dir) = (server(), tempfile::tempdir().unwrap());
    let status = |code, headers| Fault::Status(code, headers);
    server.state().faults = vec![
        status(503, vec![]),
        status(429, vec![("Retry-After", "0".into())]),
        Fault::NoRange,
        Fault::NoRange,
        // An address of the storage server that has expired.
        status(403, vec![]),
        status(500, vec![]),
    ]
    .into();
    get(&hub(&server, dir.path())).unwrap();
    assert_whole(&server, dir.path());
}

#[test]
fn refusals_say_what_to_do() {
    let (server, dir) = (server(), tempfile::tempdir().unwrap());
    let plain = hub(&server, dir.path());
    let with_token = plain.clone().with_token(Token::new("hf_secret"));
    let refused = |hub: &Hub, status: u16, headers: &[(&'static str, &str)]| {
        let headers = headers.iter().map(|(name, value)| (*name, value.to_string())).collect();
        server.state().refusal = Some((status, headers));
        let (kind, text) = failed(get(hub));
        assert!(!text.contains("hf_secret"), "{text}");
        (kind, text)
    };
    let gated = [("X-Error-Code", "GatedRepo")];
    let page = format!("{}/owner/name", server.url);
    let cases = [
        (refused(&plain, 404, &[("X-Error-Code", "RepoNotFound")]), Problem::NotFound, "check the spelling"),
        (refused(&plain, 401, &[]), Problem::NotFound, "check the spelling"),
        (refused(&with_token, 401, &[]), Problem::BadToken, "settings/tokens"),
        (refused(&plain, 401, &gated), Problem::Gated { page: page.clone(), with_token: false }, "accept"),
        (refused(&with_token, 403, &gated), Problem::Gated { page: page.clone(), with_token: true }, &page),
        (refused(&plain, 429, &[("Retry-After", "300")]), Problem::RateLimited, "wait some minutes"),
        (refused(&plain, 500, &[]), Problem::Server, "try again later"),
        (refused(&plain, 418, &[]), Problem::Server, "418"),
    ];
    for ((kind, text), expected, part) in cases {
        assert_eq!(kind, expected, "{text}");
        assert!(text.contains(part), "{text}");
    }
    server.state().refusal = None;
    let missing = |text: &str| plain.model_files(&id(text)).unwrap_err().to_string();
    assert!(missing("owner/nome").contains("no model owner/nome"));
    assert!(missing("owner/name@v2").contains("no revision \"v2\""));
    let text = missing("owner/name:model.safetensor");
    assert!(text.contains("no file model.safetensor") && text.contains("check the spelling"), "{text}");
}

#[test]
fn a_gated_model_says_so_before_the_download_and_opens_with_the_right_token() {
    let (server, dir) = (server(), tempfile::tempdir().unwrap());
    server.state().info = json!({"gated": "manual"});
    server.state().token = Some("hf_right".into());
    let hub = hub(&server, dir.path());
    let page = hub.page(&id("owner/name"));
    let refused = |token: Option<Token>| {
        let result = hub.clone().with_token(token).model_files(&id("owner/name"));
        problem(&result.unwrap_err()).cloned()
    };
    assert_eq!(refused(None), Some(Problem::Gated { page: page.clone(), with_token: false }));
    assert_eq!(refused(Token::new("hf_wrong")), Some(Problem::Gated { page, with_token: true }));
    get(&hub.clone().with_token(Token::new("hf_right"))).unwrap();
    assert_whole(&server, dir.path());
    // The storage server is somebody else's: the token is not for it.
    let log = server.state().log.clone();
    assert!(log.iter().any(|a| a.storage) && log.iter().filter(|a| a.storage).all(|a| a.token.is_none()));
    let mut written = String::new();
    disk::walk(dir.path(), 9, &mut |file| written.push_str(&String::from_utf8_lossy(&fs::read(file).unwrap())));
    assert!(!written.contains("hf_right"));
}

#[test]
fn without_network_what_is_there_works_and_the_rest_says_how_to_get_it() {
    let (server, dir) = (server(), tempfile::tempdir().unwrap());
    let online = hub(&server, dir.path());
    let folder = get(&online).unwrap();
    let listing = online.model_files(&id("owner/name")).unwrap();
    let asked = server.state().log.len();
    let offline = online.clone().with_offline(true);
    assert_eq!(offline.on_disk(&id("owner/name")).unwrap(), folder);
    assert_eq!(offline.on_disk(&id(&format!("owner/name@{COMMIT}"))).unwrap(), folder);
    assert_eq!(offline.download(&listing, &mut |_| true).unwrap(), folder);
    let (kind, text) = failed(get(&offline));
    assert_eq!(kind, Problem::Offline);
    assert!(text.contains("HF_HUB_OFFLINE"), "{text}");
    assert!(offline.on_disk(&id("other/name")).unwrap_err().to_string().contains("offline mode is on"));
    assert_eq!(server.state().log.len(), asked);

    // Nobody listens there any more.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut gone = online;
    gone.settings.endpoint = format!("http://{port}");
    let (kind, text) = failed(get(&gone));
    assert_eq!(kind, Problem::Offline);
    assert!(text.contains("check the network") && text.contains("on this computer"), "{text}");
    let absent = gone.on_disk(&id("other/name")).unwrap_err();
    assert_eq!(problem(&absent), Some(&Problem::NotOnDisk));
    assert!(absent.to_string().contains("lora-studio download other/name"), "{absent}");
    gone.settings.endpoint = "nonsense".into();
    assert!(matches!(gone.model_files(&id("owner/name")), Err(Error::Config(text)) if text.contains("HF_ENDPOINT")));
}

#[test]
fn a_cache_that_huggingface_hub_made_is_found_and_completed() {
    let (server, dir) = (server(), tempfile::tempdir().unwrap());
    // As `snapshot_download(allow_patterns=["*.json"])` of huggingface_hub 2.4 leaves it.
    let repo = dir.path().join("models--owner--name");
    let snapshot = repo.join("snapshots").join(COMMIT);
    for folder in [&snapshot, &repo.join("blobs"), &repo.join("refs")] {
        fs::create_dir_all(folder).unwrap();
    }
    fs::write(repo.join("refs/main"), COMMIT).unwrap();
    for name in ["config.json", "tokenizer.json"] {
        let bytes = server.state().files[name].clone();
        fs::write(repo.join("blobs").join(checksum(&bytes, 40)), &bytes).unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink(format!("../../blobs/{}", checksum(&bytes, 40)), snapshot.join(name)).unwrap();
        #[cfg(windows)]
        fs::write(snapshot.join(name), &bytes).unwrap();
    }
    // A blob without its link, as an interruption leaves it.
    fs::write(repo.join("blobs").join(checksum(&weights(), 64)), weights()).unwrap();
    let hub = hub(&server, dir.path());
    let error = hub.on_disk(&id("owner/name")).unwrap_err();
    assert!(error.to_string().contains("only in part"), "{error}");
    assert!(hub.cached_models()[0].obstacle.is_some());
    get(&hub).unwrap();
    assert_whole(&server, dir.path());
    let asked: Vec<_> = server.contents_asked().into_iter().map(|a| a.path).collect();
    assert_eq!(asked, [format!("/owner/name/resolve/{COMMIT}/README.md")]);
}

#[test]
fn two_downloads_at_once_fetch_each_file_once() {
    let (server, dir) = (server(), tempfile::tempdir().unwrap());
    server.state().always = Some(Fault::Slow(60_000, Duration::from_millis(30)));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| get(&hub(&server, dir.path())).unwrap());
        }
    });
    assert_whole(&server, dir.path());
    assert_eq!(server.contents_asked().iter().filter(|a| a.storage).count(), 1);
}

#[test]
fn a_repository_of_gguf_files_lists_them_and_gives_the_chosen_one() {
    let gguf = [b"GGUF".to_vec(), vec![3; 2000]].concat();
    let server =
        Server::new(&[("README.md", b"x".to_vec()), ("a-Q4_K_M.gguf", gguf.clone()), ("q8/a-Q8_0.gguf", gguf)]);
    let dir = tempfile::tempdir().unwrap();
    let hub = hub(&server, dir.path());
    let (kind, text) = failed(get(&hub));
    let files = vec![("a-Q4_K_M.gguf".to_string(), 2004), ("q8/a-Q8_0.gguf".to_string(), 2004)];
    assert_eq!(kind, Problem::Choice { files: files.clone() });
    assert!(text.contains("owner/name:a-Q4_K_M.gguf") && text.contains("q8/a-Q8_0.gguf (0.0 GB)"), "{text}");
    for (file, _) in &files {
        let chosen = id(&format!("owner/name:{file}"));
        let path = hub.download(&hub.model_files(&chosen).unwrap(), &mut |_| true).unwrap();
        assert_eq!(path, dir.path().join("models--owner--name/snapshots").join(COMMIT).join(file));
        assert_eq!(hub.on_disk(&chosen).unwrap(), path);
    }
    let both = hub.on_disk(&id("owner/name")).unwrap_err();
    assert_eq!(problem(&both), Some(&Problem::Choice { files }));
    let names: Vec<_> = hub.cached_models().into_iter().map(|m| (m.name, m.bytes, m.kind)).collect();
    let expected = |file: &str| (format!("owner/name:{file}"), 2004, LocalKind::Gguf);
    assert_eq!(names, [expected("a-Q4_K_M.gguf"), expected("q8/a-Q8_0.gguf")]);
}

#[test]
fn a_data_set_gives_its_training_rows() {
    let rows = b"{\"text\": \"a\"}\n".to_vec();
    let server =
        Server::new(&[("README.md", b"x".to_vec()), ("data/test.jsonl", rows.clone()), ("data/train.jsonl", rows)]);
    let dir = tempfile::tempdir().unwrap();
    let hub = hub(&server, dir.path());
    let id = HubId::parse("owner/name", RepoKind::Dataset).unwrap();
    let listing = hub.dataset_files(&id).unwrap();
    assert_eq!(listing.files.iter().map(|f| f.path.as_str()).collect::<Vec<_>>(), ["data/train.jsonl"]);
    let folder = hub.download(&listing, &mut |_| true).unwrap();
    assert_eq!(folder, dir.path().join("datasets--owner--name/snapshots").join(COMMIT));
    assert_eq!(hub.dataset_on_disk(&id).unwrap(), [folder.join("data/train.jsonl")]);
    assert_eq!(server.contents_asked()[0].path, format!("/datasets/owner/name/resolve/{COMMIT}/data/train.jsonl"));
}

#[test]
fn a_split_of_a_configuration_is_listed_downloaded_and_found_again() {
    let rows = |text: &str| format!("{{\"text\": \"{text}\"}}\n").into_bytes();
    let server = Server::new(&[
        ("README.md", b"x".to_vec()),
        ("de/test.jsonl", rows("de test")),
        ("de/train-0.jsonl", rows("de train 0")),
        ("de/train-1.jsonl", rows("de train 1")),
        ("en/train.jsonl", rows("en train")),
    ]);
    let config = |name: &str, splits: serde_json::Value| json!({"config_name": name, "data_files": splits});
    server.state().info = json!({"cardData": {"configs": [
        config("en", json!([{"split": "train", "path": "en/train.jsonl"}])),
        config("de", json!([{"split": "train", "path": "de/train-*"}, {"split": "test", "path": "de/test.jsonl"}])),
    ]}});
    let dir = tempfile::tempdir().unwrap();
    let hub = hub(&server, dir.path());
    let id = HubId::parse("owner/name", RepoKind::Dataset).unwrap();
    let part = |config: &str, split: &str| PartChoice { config: config.into(), split: split.into(), held_out: false };
    let listed = |config: &str, split: &str| -> Vec<String> {
        let listing = hub.dataset_part(&id, &part(config, split)).unwrap();
        listing.files.into_iter().map(|file| file.path).collect()
    };
    assert_eq!(hub.known_parts(&id), None);
    assert_eq!(listed("", ""), ["en/train.jsonl"]);
    assert_eq!(listed("de", ""), ["de/train-0.jsonl", "de/train-1.jsonl"]);
    assert_eq!(listed("de", "test"), ["de/test.jsonl"]);
    let refused = |config: &str, split: &str| {
        let error = hub.dataset_part(&id, &part(config, split)).unwrap_err();
        assert_eq!(problem(&error), Some(&Problem::NoSuchPart));
        error.to_string()
    };
    assert_eq!(refused("fr", ""), "owner/name has no configuration \"fr\": choose one of en, de");
    let no_split = "owner/name has no split \"test\" in its configuration \"en\": choose one of train";
    assert_eq!(refused("en", "test"), no_split);
    // What was asked is known without network, before and after something of it is here.
    let parts = hub.dataset_parts(&id).unwrap();
    let offline = hub.clone().with_offline(true);
    assert_eq!(offline.known_parts(&id), Some(parts.clone()));
    hub.download(&hub.dataset_part(&id, &part("de", "test")).unwrap(), &mut |_| true).unwrap();
    assert_eq!(offline.known_parts(&id), Some(parts));
}

#[test]
fn names_that_leave_the_cache_are_refused() {
    let server = Server::new(&[("../../evil", b"x".to_vec()), ("config.json", b"{}".to_vec())]);
    let dir = tempfile::tempdir().unwrap();
    let (kind, text) = failed(get(&hub(&server, dir.path())));
    assert_eq!(kind, Problem::Server, "{text}");
}

#[test]
fn an_unfinished_newer_commit_leaves_the_older_one_usable() {
    let (server, dir) = (server(), tempfile::tempdir().unwrap());
    let old = "f".repeat(40);
    let repo = dir.path().join("models--owner--name");
    let snapshot = repo.join("snapshots").join(&old);
    fs::create_dir_all(&snapshot).unwrap();
    fs::create_dir_all(repo.join("refs")).unwrap();
    fs::write(repo.join("refs/main"), &old).unwrap();
    fs::write(snapshot.join("config.json"), "{}").unwrap();
    fs::write(snapshot.join("model.safetensors"), "x").unwrap();
    let hub = hub(&server, dir.path());
    let listing = hub.model_files(&id("owner/name")).unwrap();
    hub.download(&listing.without_weights(), &mut |_| true).unwrap();
    assert_eq!(hub.on_disk(&id("owner/name")).unwrap(), snapshot);
    assert!(!server.contents_asked().iter().any(|a| a.storage));
    hub.download(&listing, &mut |_| true).unwrap();
    assert_eq!(hub.on_disk(&id("owner/name")).unwrap(), repo.join("snapshots").join(COMMIT));
}
