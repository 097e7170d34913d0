//! Aligned columns of text.

/// Rows under a head; the columns are as wide as their widest cell.
pub(super) struct Table {
    rows: Vec<Vec<String>>,
    /// Columns whose cells are numbers, and stand to the right.
    numbers: &'static [usize],
}

/// Between two columns.
const GAP: &str = "  ";

impl Table {
    pub(super) fn new(head: &[&str], numbers: &'static [usize]) -> Self {
        Self { rows: vec![head.iter().map(|cell| (*cell).to_owned()).collect()], numbers }
    }

    pub(super) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// The table as text, a line a row.
    pub(super) fn render(&self) -> String {
        self.lines().map(|line| line + "\n").collect()
    }

    /// The rows below the head, a line each, without ends of lines.
    pub(super) fn rows(&self) -> impl Iterator<Item = String> {
        self.lines().skip(1)
    }

    fn lines(&self) -> impl Iterator<Item = String> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or_default();
        let width = |column: usize| self.rows.iter().filter_map(|row| row.get(column)).map(|cell| wide(cell)).max();
        let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or_default()).collect();
        self.rows.iter().map(move |row| {
            let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
                let padding = " ".repeat(width.saturating_sub(wide(cell)));
                if self.numbers.contains(&column) { padding + cell } else { cell.clone() + &padding }
            });
            cells.collect::<Vec<_>>().join(GAP).trim_end().to_owned()
        })
    }
}

fn wide(cell: &str) -> usize {
    cell.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_numbers_stand_right() {
        let mut table = Table::new(&["NAME", "CALLS", "PATH"], &[1]);
        table.row(vec!["a".into(), "7".into(), "/x".into()]);
        table.row(vec!["größer".into(), "123456".into(), String::new()]);
        assert_eq!(table.render(), "NAME     CALLS  PATH\na            7  /x\ngrößer  123456\n");
    }
}
