//! A bounded run of each target: its corpus, then inputs by chance out of one seed, mixed with pieces of the corpus.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use emshop_fuzz::{TARGETS, Target, target};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// `EMSHOP_FUZZ_SEED` takes its place.
const SEED: u64 = 1;

fn folder(target: &Target) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target.name)
}

/// By their names, so that each run tries them in the same order.
fn corpus(target: &Target) -> Vec<(String, Vec<u8>)> {
    let files = fs::read_dir(folder(target)).unwrap_or_else(|error| panic!("the corpus of {}: {error}", target.name));
    let read = |file: fs::DirEntry| {
        let input = fs::read(file.path()).expect("a file of the corpus");
        (file.file_name().into_string().expect("a readable name"), input)
    };
    let mut corpus: Vec<_> = files.map(|file| read(file.expect("a file"))).collect();
    corpus.sort();
    corpus
}

fn try_one(target: &Target, input: &[u8], what: &str) {
    if catch_unwind(AssertUnwindSafe(|| (target.run)(input))).is_err() {
        let kept = std::env::temp_dir().join(format!("emshop-fuzz-{}", target.name));
        fs::write(&kept, input).expect("a file in the temporary folder");
        let file = kept.display();
        panic!("{what} is not taken; again: cargo run --release -p emshop-fuzz {} {file}", target.name);
    }
}

fn by_chance(random: &mut StdRng, corpus: &[(String, Vec<u8>)], bytes_max: usize) -> Vec<u8> {
    let mut input = match corpus.len() {
        0 => Vec::new(),
        count if random.random_bool(0.5) => corpus[random.random_range(0..count)].1.clone(),
        _ => Vec::new(),
    };
    if input.is_empty() {
        input = vec![0; random.random_range(0..=bytes_max)];
        random.fill(input.as_mut_slice());
        return input;
    }
    for _ in 0..random.random_range(1..=4) {
        let at = random.random_range(0..=input.len());
        match random.random_range(0..3) {
            0 if at < input.len() => input[at] = random.random(),
            1 => input.insert(at, random.random()),
            _ => input.truncate(at.max(1)),
        }
    }
    input.truncate(bytes_max);
    input
}

fn run(name: &str) {
    let target = target(name).expect("a target of this name");
    let corpus = corpus(&target);
    corpus.iter().for_each(|(file, input)| try_one(&target, input, &format!("corpus/{name}/{file}")));
    let seed = std::env::var("EMSHOP_FUZZ_SEED").map_or(SEED, |seed| seed.parse().expect("a number"));
    println!("EMSHOP_FUZZ_SEED={seed}: {} files, then {} inputs by chance", corpus.len(), target.runs);
    let mut random = StdRng::seed_from_u64(seed);
    for count in 1..=target.runs {
        let input = by_chance(&mut random, &corpus, target.bytes_max);
        try_one(&target, &input, &format!("input {count} of EMSHOP_FUZZ_SEED={seed}"));
    }
}

macro_rules! runs {
    ($($test:ident: $name:literal,)+) => {
        $(
            #[test]
            fn $test() {
                run($name);
            }
        )+

        const RUN: &[&str] = &[$($name),+];
    };
}

runs! {
    envelope: "envelope",
    record: "record",
    message: "message",
    events: "events",
    keys: "keys",
    ids: "ids",
    tracking_number: "tracking-number",
    page_token: "page-token",
    token: "token",
    webhook: "webhook",
    batch: "batch",
    shop: "shop",
}

#[test]
fn each_target_is_run() {
    assert_eq!(RUN, TARGETS.map(|target| target.name));
}
