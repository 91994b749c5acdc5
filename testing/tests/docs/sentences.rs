//! What pages for operators quote must be sentences of the program.

use std::path::Path;

use emshop_proto::subjects::CATALOGUE_STREAM;
use emshop_testing::{files, read, root};
use proc_macro2::{TokenStream, TokenTree};

/// The first column of the tables that this line begins quotes the program: `…` stands for what differs, `*n*` for a number.
const HEAD: &str = "| it says |";

/// With how many quotes there are at least.
const PAGES: [(&str, usize); 3] = [("docs/OPERATIONS.md", 40), ("docs/RUNBOOK.md", 15), ("docs/UPGRADE.md", 4)];

const FOLDERS: [&str; 7] = ["proto/src", "src", "storage", "engine/src", "ingress/src", "search/src", "core/src"];

#[test]
fn quoted_sentences_are_those_of_the_program() {
    let texts: Vec<String> =
        FOLDERS.iter().flat_map(|folder| files(&root().join(folder), "rs")).flat_map(|file| texts(&file)).collect();
    assert!(texts.len() > 500, "the texts of the program are found");
    let says = |quote: &str| texts.iter().any(|text| has_in_order(text, &fragments(quote)));
    for (page, least) in PAGES {
        let text = read(page);
        let quotes = quotes(&text);
        assert!(quotes.len() >= least, "the quotes of {page} are found");
        let unknown: Vec<_> = quotes.into_iter().filter(|quote| !says(quote)).collect();
        assert!(unknown.is_empty(), "{page} quotes what the program does not say: {unknown:#?}");
    }
}

fn quotes(page: &str) -> Vec<&str> {
    let mut quotes = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if line.starts_with(HEAD) {
            let rows = lines.by_ref().skip(1).take_while(|line| line.starts_with('|'));
            quotes.extend(rows.map(|row| row.trim_start_matches('|').split('|').next().expect("a first cell").trim()));
        }
    }
    quotes
}

/// What a quote has word by word. Between two asterisks is a name for something that differs.
fn fragments(quote: &str) -> Vec<&str> {
    let fragments = quote.split('…').flat_map(|part| part.split('*').step_by(2));
    fragments.map(str::trim).filter(|fragment| !fragment.is_empty()).collect()
}

fn has_in_order(text: &str, fragments: &[&str]) -> bool {
    let mut rest = text;
    fragments.iter().all(|fragment| match rest.find(fragment) {
        Some(at) => {
            rest = &rest[at + fragment.len()..];
            true
        }
        None => false,
    })
}

/// The string literals of a file, those within macros included.
fn texts(file: &Path) -> Vec<String> {
    let source = std::fs::read_to_string(file).expect("a source file");
    let tokens: TokenStream = source.parse().unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let mut found = Vec::new();
    collect(tokens, &mut found);
    found
}

fn collect(tokens: TokenStream, found: &mut Vec<String>) {
    for token in tokens {
        match token {
            TokenTree::Group(group) => collect(group.stream(), found),
            TokenTree::Literal(literal) => {
                if let Ok(text) = syn::parse_str::<syn::LitStr>(&literal.to_string()) {
                    found.push(text.value().replace("{CATALOGUE_STREAM}", CATALOGUE_STREAM));
                }
            }
            _ => {}
        }
    }
}

#[test]
fn fragments_leave_out_what_differs() {
    assert_eq!(fragments("the folder … is in use by *n*, or *m* more"), ["the folder", "is in use by", ", or", "more"]);
    assert!(has_in_order("the folder {} is in use by {}", &fragments("the folder … is in use")));
    assert!(!has_in_order("is in use: the folder {}", &fragments("the folder … is in use")));
}
