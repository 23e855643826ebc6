//! Columns.

use super::color::{Paint, Style};

/// A table for people: a head and rows, columns as wide as they need.
#[derive(Debug)]
pub(crate) struct Table {
    head: Vec<&'static str>,
    rows: Vec<Vec<(String, Style)>>,
}

impl Table {
    /// An empty table.
    pub(crate) fn new(head: &[&'static str]) -> Self {
        Self { head: head.to_vec(), rows: Vec::new() }
    }

    /// Adds a row of cells in plain style.
    pub(crate) fn row<const N: usize>(&mut self, cells: [&str; N]) {
        self.styled(cells.map(|cell| (cell.to_owned(), Style::Plain)));
    }

    /// Adds a row of cells with their styles.
    pub(crate) fn styled<const N: usize>(&mut self, cells: [(String, Style); N]) {
        self.rows.push(cells.into());
    }

    /// Whether there are no rows.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The lines, head first.
    pub(crate) fn lines(&self, paint: Paint) -> Vec<String> {
        let mut widths: Vec<usize> = self.head.iter().map(|cell| cell.chars().count()).collect();
        for row in &self.rows {
            for (width, (cell, _)) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let head = self.head.iter().map(|cell| ((*cell).to_owned(), Style::Quiet)).collect::<Vec<_>>();
        std::iter::once(&head).chain(&self.rows).map(|row| line(row, &widths, paint)).collect()
    }

    /// The lines as one text.
    pub(crate) fn text(&self, paint: Paint) -> String {
        self.lines(paint).join("\n")
    }
}

fn line(row: &[(String, Style)], widths: &[usize], paint: Paint) -> String {
    let mut text = String::new();
    for (index, ((cell, style), width)) in row.iter().zip(widths).enumerate() {
        if index > 0 {
            text.push_str("  ");
        }
        text.push_str(&paint.on(cell, *style));
        if index + 1 < row.len() {
            text.extend(std::iter::repeat_n(' ', width - cell.chars().count()));
        }
    }
    text.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(&["ID", "NAME"]);
        table.row(["1", "ä"]);
        table.row(["long one", ""]);
        assert_eq!(table.text(Paint::none()), "ID        NAME\n1         ä\nlong one");
    }
}
