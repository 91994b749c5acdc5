//! Whatever a settings file holds: it is settings, or it is refused.

use std::fs;

use proptest::collection::vec;
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

fn read(text: &[u8]) -> Result<Settings> {
    let folder = TempDir::new()?;
    let file = folder.path().join("settings.yaml");
    fs::write(&file, text)?;
    Sources::read(Some(&file), &[], SERVE_LOG)?.settings(&Shared::new())
}

/// What a YAML file, a size, a time or a set of logs may have in it.
const PIECES: [&str; 24] = [
    ": ",
    "{",
    "}",
    "[",
    "]",
    "- ",
    "? ",
    "| ",
    "> ",
    "&a ",
    "*a",
    "!!binary ",
    "%YAML 9.9\n",
    "---\n",
    "...\n",
    "\t",
    "\n",
    "\"",
    "'",
    "null",
    "-1",
    "99999999999999999999",
    "1e999",
    "\u{0}",
];

/// A settings file that somebody has spoilt.
fn spoilt() -> impl Strategy<Value = Vec<u8>> {
    let edit = (any::<prop::sample::Index>(), 0..40_usize, prop::option::of(prop::sample::select(&PIECES[..])), any::<u8>());
    let kept = Settings::default().to_yaml().expect("settings are YAML").into_bytes();
    vec(edit, 0..6).prop_map(move |edits| {
        let mut text = kept.clone();
        for (place, taken, piece, byte) in edits {
            let from = place.index(text.len() + 1);
            let to = (from + taken).min(text.len());
            let new = piece.map_or_else(|| vec![byte], |piece| piece.as_bytes().to_vec());
            text.splice(from..to, new);
        }
        text
    })
}

proptest! {
    #[test]
    fn any_file_is_settings_or_is_refused(text in spoilt()) {
        if let Ok(settings) = read(&text) {
            let printed = settings.to_yaml().expect("what was read can be printed");
            let again = read(printed.as_bytes()).expect("what is printed can be read");
            prop_assert_eq!(again.to_yaml().expect("it can be printed again"), printed);
            let has_password = settings.nats.url.as_ref().is_some_and(ServerUrl::has_login);
            prop_assert!(has_password || again == settings, "all but a password is printed");
        }
    }
}

#[test]
fn a_name_that_is_none_is_refused_whatever_it_stands_for() {
    for text in [
        "log[99999999999]: 1",
        "log: {'bytes_max[9]': 1}",
        "nats.url: x",
        "foo: {}",
        "nats: {bar: []}",
        "own: [1]",
        "log: {bytes_max: {a: 1}}",
    ] {
        assert!(read(text.as_bytes()).is_err(), "{text}");
    }
    assert!(read(b"").is_ok() && read(b"log: {}").is_ok());
}

#[test]
fn a_file_that_is_deep_or_refers_to_itself_is_refused() {
    for text in
        ["[".repeat(100_000), "{a: ".repeat(100_000), format!("a: &a [*a, *a]\n{}", "b: *a\n".repeat(9)), "- ".repeat(50_000)]
    {
        assert!(read(text.as_bytes()).is_err(), "{} …", &text[..20]);
    }
    let mut laughs = "l0: &l0 [x]\n".to_owned();
    (1..30).for_each(|level| laughs += &format!("l{level}: &l{level} [*l{0}, *l{0}]\n", level - 1));
    assert!(read(laughs.as_bytes()).is_err(), "a file that grows without bound when it is read");
}
