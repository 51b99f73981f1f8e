//! The demo's table: redrawn in place on a terminal, a line for each change elsewhere.

use std::{
    collections::BTreeMap,
    io::{self, Write},
};

use super::table;

/// One line of the table: an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) pid: u32,
    pub(super) http: String,
    /// The state of its process: it runs, is silent, or has ended.
    pub(super) process: String,
    /// Number of members it sees, by status.
    pub(super) sees: String,
    /// Its status in the view of the others.
    pub(super) seen_as: String,
    /// Its answer about the quorum.
    pub(super) quorum: String,
}

/// The place where the table is drawn, and its last content.
#[derive(Debug)]
pub(super) struct Screen {
    on: Medium,
    drawn: BTreeMap<String, Row>,
}

/// Place to which rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Medium {
    /// A terminal, on which rows can be drawn over.
    Terminal,
    /// A pipe or a file.
    Pipe,
}

impl Screen {
    /// A screen that draws over its last rows on a terminal, and else adds new ones.
    pub(super) fn new(on: Medium) -> Self {
        Self { on, drawn: BTreeMap::new() }
    }

    /// Shows `rows`, if they differ from what is shown.
    pub(super) fn draw(&mut self, out: &mut dyn Write, rows: &[Row]) -> io::Result<()> {
        let changed: Vec<&Row> = rows.iter().filter(|row| self.drawn.get(&row.name) != Some(row)).collect();
        if changed.is_empty() {
            return Ok(());
        }
        if self.on == Medium::Terminal {
            if !self.drawn.is_empty() {
                // Up to the heading of the last drawing, and clear what is below.
                write!(out, "\x1b[{}A\x1b[J", rows.len() + 1)?;
            }
            let heading = ["NODE", "PID", "API", "PROCESS", "SEES", "SEEN AS", "QUORUM"].map(str::to_owned);
            let rows = rows.iter().map(cells);
            let rows: Vec<Vec<String>> = std::iter::once(heading.to_vec()).chain(rows).collect();
            // Without line wrap: in a narrow window a row must stay one line, or the next drawing goes up too little.
            write!(out, "\x1b[?7l")?;
            table::write(out, &rows)?;
            write!(out, "\x1b[?7h")?;
        } else {
            for row in changed {
                let Row { name, pid, http, process, sees, seen_as, quorum } = row;
                writeln!(
                    out,
                    "{name} (pid {pid}, {http}) {process}; sees {sees}; seen as {seen_as}; quorum {quorum}"
                )?;
            }
        }
        self.drawn = rows.iter().map(|row| (row.name.clone(), row.clone())).collect();
        out.flush()
    }
}

fn cells(row: &Row) -> Vec<String> {
    let Row { name, pid, http, process, sees, seen_as, quorum } = row.clone();
    vec![name, pid.to_string(), http, process, sees, seen_as, quorum]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, sees: &str) -> Row {
        Row {
            name: name.to_owned(),
            pid: 7,
            http: "http://127.0.0.1:1".to_owned(),
            process: "running".to_owned(),
            sees: sees.to_owned(),
            seen_as: "alive".to_owned(),
            quorum: "forming, 1 of 3".to_owned(),
        }
    }

    #[test]
    fn a_pipe_gets_a_line_for_each_change() {
        let (mut screen, mut out) = (Screen::new(Medium::Pipe), Vec::new());
        screen.draw(&mut out, &[row("a", "1 alive"), row("b", "1 alive")]).unwrap();
        screen.draw(&mut out, &[row("a", "1 alive"), row("b", "1 alive")]).unwrap();
        screen.draw(&mut out, &[row("a", "2 alive"), row("b", "1 alive")]).unwrap();
        let text = String::from_utf8(out).unwrap();
        let rest = "(pid 7, http://127.0.0.1:1) running; sees";
        let end = "; seen as alive; quorum forming, 1 of 3\n";
        assert_eq!(text, format!("a {rest} 1 alive{end}b {rest} 1 alive{end}a {rest} 2 alive{end}"));
    }

    #[test]
    fn a_terminal_is_redrawn_in_place() {
        let (mut screen, mut out) = (Screen::new(Medium::Terminal), Vec::new());
        screen.draw(&mut out, &[row("a", "1 alive")]).unwrap();
        screen.draw(&mut out, &[row("a", "2 alive")]).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text.matches("\x1b[2A\x1b[J").count(), 1, "{text}");
        assert_eq!(text.matches('\n').count(), 4);
    }
}
