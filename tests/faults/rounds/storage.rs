//! Faults of what is stored, while nothing runs. Then the shop says what is wrong and does not start, or its books are right all the same;
//! and with the right storage it goes on.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use super::plan::Fault;
use super::site::Site;

/// Puts a copy of a folder in the place of another one.
pub fn replace(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    let copied = Command::new("cp").arg("-a").args([from, to]).status().expect("cp runs");
    assert!(copied.success());
}

/// Damages what the site has stored, given an older copy of it; tells what was done.
pub fn damage(fault: Fault, site: &Site, older: &Path, random: &mut StdRng) -> String {
    let (root, store) = (site.root(), site.store());
    let older_of = |path: &Path| older.join(path.strip_prefix(&root).expect("it is stored there"));
    match fault {
        Fault::OlderStore => {
            replace(&older_of(&store.join("jetstream")), &store.join("jetstream"));
            "the older copy of all streams".to_owned()
        }
        Fault::OlderStream => {
            let stream = pick(folders(&streams(&store)), random);
            replace(&older_of(&stream), &stream);
            format!("the older copy of {}", name(&stream))
        }
        Fault::EmptyStore => {
            fs::remove_dir_all(store.join("jetstream")).expect("it is there");
            "no stream".to_owned()
        }
        Fault::FlippedBit => {
            // Some have nothing in them.
            let streams = folders(&streams(&store)).into_iter().filter(|stream| !blocks(stream).is_empty());
            let stream = pick(streams.collect(), random);
            let file = pick(blocks(&stream), random);
            format!("{} of {}", flip(&file, random), name(&stream))
        }
        Fault::OlderState => {
            let state = site.state(random.random_range(0..site.layout.logs()));
            replace(&older_of(&state), &state);
            format!("the older copy of state {}", name(&state))
        }
        Fault::MissingFile => {
            let file = pick(state_files(site, random), random);
            fs::remove_file(&file).expect("it is there");
            format!("no {} of the state", name(&file))
        }
        Fault::FlippedState => {
            let file = pick(state_files(site, random).into_iter().filter(|file| size(file) > 0).collect(), random);
            format!("{} of the state", flip(&file, random))
        }
        other => panic!("{} is no fault of the storage", other.name()),
    }
}

fn streams(store: &Path) -> PathBuf {
    store.join("jetstream/SHOP/streams")
}

/// Files with messages of a stream.
fn blocks(stream: &Path) -> Vec<PathBuf> {
    let is_block = |file: &PathBuf| file.extension().is_some_and(|it| it == "blk") && size(file) > 0;
    files(&stream.join("msgs")).into_iter().filter(is_block).collect()
}

/// Those that RocksDB needs: it writes the others for people.
fn state_files(site: &Site, random: &mut StdRng) -> Vec<PathBuf> {
    let state = site.state(random.random_range(0..site.layout.logs()));
    let is_needed = |file: &PathBuf| !name(file).starts_with("LOG") && name(file) != "LOCK";
    files(&state).into_iter().filter(is_needed).collect()
}

fn flip(file: &Path, random: &mut StdRng) -> String {
    let mut bytes = fs::read(file).expect("it can be read");
    let at = random.random_range(0..bytes.len());
    bytes[at] ^= 1 << random.random_range(0..8);
    let length = bytes.len();
    fs::write(file, bytes).expect("it can be written");
    format!("a bit flipped in byte {at} of {length} in {}", name(file))
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("it can be read").path()).collect();
    paths.sort();
    paths
}

fn folders(folder: &Path) -> Vec<PathBuf> {
    entries(folder).into_iter().filter(|path| path.is_dir()).collect()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    entries(folder).into_iter().filter(|path| path.is_file()).collect()
}

fn size(file: &Path) -> u64 {
    file.metadata().expect("it is there").len()
}

fn pick(paths: Vec<PathBuf>, random: &mut StdRng) -> PathBuf {
    paths.choose(random).expect("there is one").clone()
}

fn name(path: &Path) -> String {
    path.file_name().expect("it has a name").to_string_lossy().into_owned()
}
