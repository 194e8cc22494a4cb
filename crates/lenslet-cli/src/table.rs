//! Tables of text: columns as wide as their widest cell, numbers to the right.
//!
//! No colours and no lines but one under the heads, so that a table looks the same in a terminal, a file and a message.

use std::fmt;

use unicode_width::UnicodeWidthStr;

/// Where a column's cells stand.
#[derive(Clone, Copy)]
pub(crate) enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// A table in the making.
pub(crate) struct Table<const N: usize> {
    heads: [&'static str; N],
    aligns: [Align; N],
    rows: Vec<[String; N]>,
    /// Rows at the end that are sums, set apart by a line.
    sums: usize,
}

impl<const N: usize> Table<N> {
    /// A table without rows.
    pub(crate) fn new(columns: [(&'static str, Align); N]) -> Self {
        Self { heads: columns.map(|(head, _)| head), aligns: columns.map(|(_, align)| align), rows: vec![], sums: 0 }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: [String; N]) {
        self.rows.push(cells);
    }

    /// Adds a row of sums, below a line; no others follow.
    pub(crate) fn sum(&mut self, cells: [String; N]) {
        self.rows.push(cells);
        self.sums += 1;
    }
}

impl<const N: usize> fmt::Display for Table<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let heads = self.heads.map(String::from);
        let width = |column: usize| {
            let cells = self.rows.iter().chain([&heads]).map(|row| row[column].width());
            cells.max().unwrap_or(0)
        };
        let widths: [usize; N] = std::array::from_fn(width);
        let rule = widths.map(|width| "─".repeat(width)).join("  ");
        let line = |cells: &[String; N]| {
            let cells: [String; N] = std::array::from_fn(|c| pad(&cells[c], widths[c], self.aligns[c]));
            cells.join("  ").trim_end().to_owned()
        };
        write!(f, "{}\n{rule}", line(&heads))?;
        for (number, row) in self.rows.iter().enumerate() {
            if self.sums > 0 && number == self.rows.len() - self.sums {
                write!(f, "\n{rule}")?;
            }
            write!(f, "\n{}", line(row))?;
        }
        Ok(())
    }
}

/// `text` in a field of `width`, counted as terminals do.
pub(crate) fn pad(text: &str, width: usize, align: Align) -> String {
    let space = " ".repeat(width.saturating_sub(text.width()));
    match align {
        Align::Left => format!("{text}{space}"),
        Align::Right => format!("{space}{text}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_below_their_heads() {
        let mut table = Table::new([("class", Align::Left), ("images", Align::Right)]);
        table.row(["犬".into(), "5".into()]);
        table.row(["hexagon".into(), "1,200".into()]);
        table.sum(["all".into(), "1,205".into()]);
        let expected = "\
class    images
───────  ──────
犬            5
hexagon   1,200
───────  ──────
all       1,205";
        assert_eq!(table.to_string(), expected);
    }
}
