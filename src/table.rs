//! Tables for people.

use comfy_table::{CellAlignment, LineStyle, Row, Table, TableStyle};

/// A rule below the header and nothing else.
const STYLE: TableStyle = TableStyle::new().header_separator(LineStyle::new('─', '─', '─', '─'));

/// A table with `header` whose columns `numbers` are set flush right.
pub fn with_header(header: impl Into<Row>, numbers: impl IntoIterator<Item = usize>) -> Table {
    let mut table = Table::new();
    table.load_style(STYLE).set_header(header);
    for index in numbers {
        table.column_mut(index).expect("the header has this column").set_cell_alignment(CellAlignment::Right);
    }
    table
}
