//! Files on the disk: long ones, folders of them, and such that change.

use super::*;

#[test]
fn the_first_row_of_a_long_file_comes_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("long.jsonl");
    let mut file = std::fs::File::create(&path).unwrap();
    file.write_all(b"{\"a\":1}\n{\"a\":2}\n").unwrap();
    // A hole: it takes no place on the disk.
    file.set_len(200 << 20).unwrap();
    drop(file);
    let source = Source::find(&path.to_string_lossy()).unwrap();
    assert_eq!(source.bytes(), 200 << 20);
    let mut rows = source.rows().unwrap();
    let error = rows.next().unwrap().unwrap_err().to_string();
    assert!(error.starts_with("the file holds zero bytes"), "{error}");
    let mut file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    let line = format!("{{\"a\":\"{}\"}}\n", "x".repeat(8000 - 9));
    (0..100).for_each(|_| file.write_all(line.as_bytes()).unwrap());
    let mut rows = Source::find(&path.to_string_lossy()).unwrap().rows().unwrap();
    assert!(rows.next().unwrap().is_ok());
    assert!(rows.bytes_read() <= 2 * CHUNK as u64, "{}", rows.bytes_read());
}

#[test]
fn folders_are_read_file_by_file() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, content: &[u8]| std::fs::write(folder.path().join(name), content).unwrap();
    write("a.jsonl", b"{\"a\":1}\n{\"a\":2}\n");
    write("b.json", b"[{\"a\":3},\n{\"a\" 4},{\"a\":5}]");
    write("c.csv.gz", &gzip(b"a;b\n[6];7\n"));
    write("d.txt", b"");
    let source = Source::find(&folder.path().to_string_lossy()).unwrap();
    assert_eq!((source.files().len(), source.path()), (4, folder.path()));
    let mut rows = source.rows().unwrap();
    let (mut good, mut wrong) = (Vec::new(), Vec::new());
    loop {
        match rows.next() {
            None => break,
            Some(Ok(row)) => good.push(row),
            Some(Err(Error::Row { path, line, .. })) => {
                wrong.push((path.file_name().unwrap().to_os_string(), line));
                assert!(rows.resume());
            }
            Some(Err(other)) => panic!("{other}"),
        }
    }
    let places: Vec<_> = good.iter().map(|row| (row.index, row.file, row.line)).collect();
    assert_eq!(places, [(0, 0, 1), (1, 0, 2), (2, 1, 1), (3, 1, 2), (4, 2, 2)]);
    assert_eq!(wrong, [("b.json".into(), 2)]);
    assert_eq!(rows.bytes_read(), source.bytes());
    out_of_order(&source, &good);
    write("c.csv.gz", b"PK\x03\x04....");
    let error = Source::find(&folder.path().to_string_lossy()).unwrap().rows().unwrap().find_map(|row| match row {
        Err(e @ Error::File { .. }) => Some(e.to_string()),
        _ => None,
    });
    assert_eq!(error, None, "the iterator ends at the row that is wrong");
}

#[test]
fn a_file_that_changed_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("d.txt");
    std::fs::write(&path, "one\ntwo\n").unwrap();
    let source = Source::find(&path.to_string_lossy()).unwrap();
    let mut reader = source.reader().unwrap();
    assert!(reader.read(0, &(4..8), 1, 2).is_ok());
    std::fs::write(&path, "one\ntwo words\n").unwrap();
    let error = reader.read(0, &(4..8), 1, 2).unwrap_err().to_string();
    assert!(error.starts_with("line 2: the file has changed since it was read"), "{error}");
    for (start, end) in [(5, 4), (0, u64::MAX), (u64::MAX, u64::MAX)] {
        assert!(reader.read(0, &std::ops::Range { start, end }, 0, 1).is_err());
    }
    assert!(reader.read(7, &(0..4), 0, 1).is_err());
}

#[test]
fn a_folder_that_the_library_datasets_saved_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("train")).unwrap();
    std::fs::write(folder.path().join("dataset_dict.json"), "{}").unwrap();
    std::fs::write(folder.path().join("train/data-00000-of-00001.arrow"), "ARROW1").unwrap();
    let said = Source::find(&folder.path().to_string_lossy()).unwrap_err().to_string();
    assert!(said.starts_with("the rows of this folder are in Arrow files") && said.contains("to_parquet"), "{said}");
}
