//! Standard output and standard error.

use std::{
    io::{self, IsTerminal, Write},
    process,
};

use serde_json::Value;

use super::color::{Paint, Style};

/// Writes data. When nobody reads any more (`| head`) the command is done.
pub(crate) fn out(text: &str) {
    let mut stdout = io::stdout().lock();
    let written = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.write_all(b"\n"))
        .and_then(|()| stdout.flush());
    if written.is_err() {
        process::exit(0);
    }
}

/// Writes bytes of data as they are.
pub(crate) fn out_bytes(bytes: &[u8]) {
    let mut stdout = io::stdout().lock();
    if stdout.write_all(bytes).and_then(|()| stdout.flush()).is_err() {
        process::exit(0);
    }
}

/// Writes a JSON value: indented for one answer.
pub(crate) fn out_json(value: &Value) {
    out(&serde_json::to_string_pretty(value).expect("a JSON value has only string keys"));
}

/// Writes a JSON value on one line: for answers that keep coming.
pub(crate) fn out_json_line(value: &Value) {
    out(&value.to_string());
}

/// Says something to the person.
pub(crate) fn talk(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Says what could be done next.
pub(crate) fn hint(text: &str) {
    talk(&format!("{}{text}", Paint::stderr().on("next: ", Style::Accent)));
}

/// Whether a person watches standard output, so that it may be drawn over.
pub(crate) fn live() -> bool {
    io::stdout().is_terminal()
}

/// Columns and rows of the terminal.
pub(crate) fn size() -> (usize, usize) {
    rustix::termios::tcgetwinsize(io::stdout())
        .ok()
        .filter(|size| size.ws_col > 20 && size.ws_row > 4)
        .map_or((110, 40), |size| (size.ws_col.into(), size.ws_row.into()))
}

/// A part of the screen that is drawn again and again.
#[derive(Debug, Default)]
pub(crate) struct Screen {
    drawn: usize,
}

impl Screen {
    /// Draws lines over those drawn before. What does not fit the screen's height is left out at the top.
    pub(crate) fn draw(&mut self, lines: &[String]) {
        let (_, rows) = size();
        let from = lines.len().saturating_sub(rows - 1);
        let mut text = String::new();
        if self.drawn > 0 {
            text.push_str(&format!("\x1b[{}A", self.drawn));
        }
        text.push_str("\x1b[J");
        for line in &lines[from..] {
            text.push_str(line);
            text.push('\n');
        }
        self.drawn = lines.len() - from;
        out_bytes(text.as_bytes());
    }

    /// Removes what was drawn.
    pub(crate) fn clear(&mut self) {
        self.draw(&[]);
    }
}
