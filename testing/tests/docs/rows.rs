//! The register of row kinds in docs/DATA.md.

use emshop_core::state::keys::Kind;
use emshop_testing::docs::{assert_section, table};
use emshop_testing::read;
use emshop_testing::source::Source;

#[test]
fn the_register_is_fresh() {
    let kinds = Source::new(&read("core/src/state/keys.rs")).variants("Kind").expect("the kinds of rows");
    let rows = kinds.into_iter().map(|kind| {
        let number = kind.number.unwrap_or_else(|| panic!("{} has a number", kind.name));
        let (key, value) = kind.doc.split_once('→').unwrap_or_else(|| panic!("{} says `key → value`: {}", kind.name, kind.doc));
        let key = if key.trim().is_empty() { "–" } else { key.trim() };
        let known = u8::try_from(number).ok().and_then(Kind::from_number).expect("a kind of this build");
        let found = if known.is_looked_up() { "by key" } else { "in lists" };
        vec![number.to_string(), kind.name, key.to_owned(), value.trim().to_owned(), found.to_owned()]
    });
    assert_section("docs/DATA.md", "row kinds", &table(&["kind", "name", "rest of the key", "value", "found"], rows));
}
