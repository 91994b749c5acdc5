//! Pages, and sections of pages, that are generated from the source. A test fails when one is stale; with `EMSHOP_WRITE_DOCS` in the
//! environment (`make docs`) it writes it instead.

use std::fs;

use crate::{read, root};

/// A whole page of the documentation, such as `docs/API.md`, must be `text`.
///
/// # Panics
/// When it is not.
pub fn assert_page(path: &str, text: &str) {
    if std::env::var_os("EMSHOP_WRITE_DOCS").is_some() {
        fs::write(root().join(path), text).unwrap_or_else(|error| panic!("{path}: {error}"));
    }
    assert!(read(path) == text, "{path} is stale: run `make docs`");
}

/// What stands in a page between `<!-- generated: NAME … -->` and `<!-- end -->` must be `text`. All sections of a page belong into one
/// test, since tests run side by side.
///
/// # Panics
/// When it is not, or there is no such section.
pub fn assert_section(path: &str, name: &str, text: &str) {
    let page = read(path);
    let (before, after) = halves(&page, name).unwrap_or_else(|| panic!("{path} has no generated section {name:?}"));
    let fresh = format!("{before}\n{text}{after}");
    if std::env::var_os("EMSHOP_WRITE_DOCS").is_some() {
        fs::write(root().join(path), &fresh).unwrap_or_else(|error| panic!("{path}: {error}"));
    } else {
        assert!(page == fresh, "{name} in {path} is stale: run `make docs`");
    }
}

/// The page up to the end of the line that begins the section, and from the line that ends it.
fn halves<'a>(page: &'a str, name: &str) -> Option<(&'a str, &'a str)> {
    let begin = page.find(&format!("<!-- generated: {name}"))?;
    let text = begin + page[begin..].find('\n')?;
    let end = text + page[text..].find("<!-- end -->")?;
    Some((&page[..text], &page[end..]))
}

/// A table of a page; `heads` are its columns.
pub fn table(heads: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut text = format!("| {} |\n|{}\n", heads.join(" | "), "---|".repeat(heads.len()));
    for row in rows {
        let cells: Vec<_> = row.iter().map(|cell| cell.replace('|', "\\|")).collect();
        text.push_str(&format!("| {} |\n", cells.join(" | ")).replace("  |", " |"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_are_found_by_name() {
        let page = "# A\n<!-- generated: one from x -->\nold\n<!-- end -->\n<!-- generated: two -->\n<!-- end -->\n";
        let (before, after) = halves(page, "one").expect("it is there");
        assert_eq!(before, "# A\n<!-- generated: one from x -->");
        assert!(after.starts_with("<!-- end -->\n<!-- generated: two"));
        assert_eq!(halves(page, "three"), None);
    }

    #[test]
    fn tables_have_a_cell_a_column() {
        let rows = vec![vec!["1".to_owned(), "x | y".to_owned()], vec!["2".to_owned(), String::new()]];
        assert_eq!(table(&["a", "b"], rows), "| a | b |\n|---|---|\n| 1 | x \\| y |\n| 2 | |\n");
    }
}
