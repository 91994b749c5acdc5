//! What becomes of a folder that is there already.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::{CLUSTER, changed, goods, open};
use crate::index::Index;
use crate::{Filter, SearchError};

/// An index with something in it.
fn filled() -> TempDir {
    let folder = TempDir::new().unwrap();
    let mut index = open(folder.path());
    index.apply(vec![changed(1, goods(1, "tea"))], 7).unwrap();
    index.close().unwrap();
    folder
}

fn total(index: &Index) -> u64 {
    index.listing().list(&Filter { limit: 1, ..Filter::default() }).unwrap().total
}

fn file_with(folder: &Path, extension: &str) -> PathBuf {
    let mut files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.find(|path| path.extension().is_some_and(|found| found == extension)).expect("such a file")
}

fn overwrite(path: &Path, at: usize, bytes: &[u8]) {
    let mut content = fs::read(path).unwrap();
    content[at..at + bytes.len()].copy_from_slice(bytes);
    fs::write(path, content).unwrap();
}

#[test]
fn what_fits_is_taken_up() {
    let folder = filled();
    let index = open(folder.path());
    assert_eq!((index.sequence(), total(&index)), (7, 1));
}

type Spoil = fn(&Path);

#[test]
fn what_does_not_fit_is_made_anew() {
    let spoils: [(&str, Spoil); 6] = [
        ("lost", |folder| fs::remove_dir_all(folder).unwrap()),
        ("of another format", |folder| {
            let meta = folder.join("meta.json");
            let content = fs::read_to_string(&meta).unwrap();
            let payload = format!("1 {CLUSTER} 7");
            assert!(content.contains(&payload));
            fs::write(&meta, content.replace(&payload, &format!("9 {CLUSTER} 7"))).unwrap();
        }),
        ("unreadable", |folder| fs::write(folder.join("meta.json"), "{").unwrap()),
        ("damaged", |folder| overwrite(&file_with(folder, "idx"), 0, &[0xA5; 4])),
        ("cut short", |folder| fs::write(file_with(folder, "term"), "").unwrap()),
        ("incomplete", |folder| fs::remove_file(file_with(folder, "fast")).unwrap()),
    ];
    for (what, spoil) in spoils {
        let folder = filled();
        spoil(folder.path());
        let mut index = open(folder.path());
        assert_eq!((index.sequence(), total(&index)), (0, 0), "{what}");
        index.apply(vec![changed(1, goods(1, "tea"))], 1).unwrap();
        assert_eq!(total(&index), 1, "{what}");
    }
    let folder = filled();
    let index = Index::open(folder.path(), "another").unwrap();
    assert_eq!((index.sequence(), total(&index)), (0, 0), "of another cluster");
}

#[test]
fn a_folder_in_use_or_out_of_reach_is_refused() {
    let folder = filled();
    let index = open(folder.path());
    assert!(matches!(Index::open(folder.path(), CLUSTER), Err(SearchError::Unusable { .. })));
    assert_eq!(total(&index), 1);
    let file = folder.path().join("file");
    fs::write(&file, "no folder").unwrap();
    assert!(matches!(Index::open(&file, CLUSTER), Err(SearchError::Folder { .. })));
}

#[test]
fn what_was_cleared_begins_anew() {
    let folder = filled();
    let mut index = open(folder.path());
    index.clear().unwrap();
    assert_eq!((index.sequence(), total(&index)), (0, 0));
    index.apply(vec![changed(1, goods(1, "tea"))], 1).unwrap();
    drop(index);
    let index = open(folder.path());
    assert_eq!((index.sequence(), total(&index)), (1, 1));
}
