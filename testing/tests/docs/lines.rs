//! The table of log lines in docs/LOGS.md that have a name.

use std::collections::BTreeMap;
use std::fs;

use emshop_testing::docs::{assert_section, table};
use emshop_testing::{files, root};
use proc_macro2::{Delimiter, TokenStream, TokenTree};

const FOLDERS: [&str; 5] = ["src", "engine/src", "ingress/src", "search/src", "storage"];
const LEVELS: [&str; 4] = ["debug", "info", "warn", "error"];

/// A name stands for one kind of line: whoever looks for it must not find another.
#[test]
fn the_table_is_fresh() {
    let mut named = BTreeMap::new();
    for file in FOLDERS.iter().flat_map(|folder| files(&root().join(folder), "rs")) {
        let text = fs::read_to_string(&file).expect("a source file");
        find(text.parse().expect("the source compiles"), &mut |name, level, message| {
            let before = named.insert(name.clone(), vec![format!("`{name}`"), level.to_owned(), message.clone()]);
            assert!(before.is_none_or(|before| before[2] == message), "{name} is the name of two kinds of lines");
        });
    }
    assert!(named.len() > 40, "the lines are found");
    let text = table(&["event", "level", "message"], named.into_values());
    assert_section("docs/LOGS.md", "lines", &text);
}

/// Tells name, level and message of each line in a piece of source that has a name.
fn find(source: TokenStream, found: &mut impl FnMut(String, &'static str, String)) {
    let tokens: Vec<_> = source.into_iter().collect();
    for (at, token) in tokens.iter().enumerate() {
        let TokenTree::Group(group) = token else { continue };
        let level = at.checked_sub(2).and_then(|level| LEVELS.into_iter().find(|name| tokens[level].to_string() == *name));
        if let (Some(level), Delimiter::Parenthesis) = (level, group.delimiter())
            && let Some((name, message)) = line(group.stream())
        {
            found(name, level, message);
        }
        find(group.stream(), found);
    }
}

/// Name and message of a line; `None` when it has no name.
fn line(fields: TokenStream) -> Option<(String, String)> {
    let tokens: Vec<_> = fields.into_iter().map(|token| token.to_string()).collect();
    let named = tokens.windows(3).find(|tokens| tokens[0] == "event" && tokens[1] == "=")?;
    let name = named[2].trim_matches('"').to_owned();
    let is_message = |at: &usize| tokens[*at].starts_with('"') && *at > 0 && tokens[at - 1] == ",";
    let message = (0..tokens.len()).find(is_message)?;
    let whole = tokens[message].trim_matches('"').split("{").next().unwrap_or_default();
    // What is put in differs from line to line.
    let end = if tokens[message].contains('{') { "…" } else { "" };
    Some((name, format!("{}{end}", whole.trim_end())))
}
