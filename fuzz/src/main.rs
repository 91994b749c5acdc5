//! Runs one target: under libFuzzer when it was built for that, otherwise with the files that are named.

#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
mod with_libfuzzer {
    use std::sync::LazyLock;

    use emshop_fuzz::{TARGETS, Target, target};

    static TARGET: LazyLock<Target> = LazyLock::new(|| {
        let name = std::env::var("EMSHOP_FUZZ_TARGET").unwrap_or_default();
        target(&name).unwrap_or_else(|| panic!("EMSHOP_FUZZ_TARGET is {name:?}, none of {:?}", TARGETS.map(|target| target.name)))
    });

    libfuzzer_sys::fuzz_target!(|input: &[u8]| (TARGET.run)(input));
}

#[cfg(not(fuzzing))]
fn main() {
    use emshop_fuzz::{TARGETS, target};

    let mut arguments = std::env::args().skip(1);
    let Some(target) = arguments.next().as_deref().and_then(target) else {
        println!("emshop-fuzz TARGET FILE…, where TARGET is one of");
        TARGETS.iter().for_each(|target| println!("{}", target.name));
        return;
    };
    for file in arguments {
        let input = std::fs::read(&file).unwrap_or_else(|error| panic!("{file}: {error}"));
        (target.run)(&input);
        println!("{}: {file} is taken", target.name);
    }
}
