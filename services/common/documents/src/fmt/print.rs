//! YAML in its usual form.

use super::read::{Body, File, Head, Item, Line, Value};

/// One step of indentation.
const STEP: usize = 2;

pub(super) fn format(file: &File, eol: &str) -> String {
    let mut printer = Printer { out: String::new(), eol, keeps: false };
    for root in &file.documents {
        printer.lines(&root.head, 0);
        if root.blank && !root.head.is_empty() {
            printer.blank();
        }
        if root.beside {
            printer.line(0);
            printer.out.push_str("---");
            printer.value(&root.value, 0, Place::Root { beside: true });
        } else {
            printer.value(&root.value, 0, Place::Root { beside: false });
        }
    }
    printer.lines(&file.tail, 0);
    let mut out = printer.out;
    out.push_str(eol);
    out
}

/// Where a value is printed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Root { beside: bool },
    Dash,
    Name,
}

struct Printer<'a> {
    out: String,
    eol: &'a str,
    /// Whether the last thing was a text that keeps its blank lines: one more would be part of it.
    keeps: bool,
}

impl Printer<'_> {
    /// Begins a line, but for the first of the file.
    fn line(&mut self, column: usize) {
        if !self.out.is_empty() {
            self.out.push_str(self.eol);
        }
        self.out.push_str(&" ".repeat(column));
    }

    /// Makes the next line one after a blank one.
    fn blank(&mut self) {
        if !self.out.is_empty() && !self.keeps {
            self.out.push_str(self.eol);
        }
    }

    fn lines(&mut self, lines: &[Line], column: usize) {
        for line in lines {
            if line.blank {
                self.blank();
            }
            self.line(column);
            self.out.push_str(&line.text);
            self.keeps = false;
        }
    }

    /// A value behind its dash or colon, which stands in `column`.
    fn value(&mut self, value: &Value, column: usize, place: Place) {
        let inside = if matches!(place, Place::Root { .. }) { 0 } else { column + STEP };
        if let Some(anchor) = &value.anchor {
            if place == (Place::Root { beside: false }) {
                self.line(0);
            } else {
                self.out.push(' ');
            }
            self.out.push_str(anchor);
        }
        if let Some(note) = &value.note {
            self.out.push_str(note);
        }
        match &value.body {
            Body::Nothing => self.keeps = false,
            Body::Entries(items, tail) => self.entries(value, items, tail, inside, place),
            scalar => {
                self.lines(&value.above, inside);
                let fresh = value.note.is_some() || !value.above.is_empty();
                if fresh || (place == (Place::Root { beside: false }) && value.anchor.is_none()) {
                    self.line(inside);
                } else {
                    self.out.push(' ');
                }
                self.scalar(scalar, column, inside);
            }
        }
        if let Some(after) = &value.after {
            self.out.push_str(after);
        }
    }

    fn entries(&mut self, value: &Value, items: &[Item], tail: &[Line], column: usize, place: Place) {
        let plain = value.anchor.is_none() && value.note.is_none();
        let beside =
            place == Place::Dash && plain && items.first().is_some_and(|first| first.above.is_empty());
        for (n, item) in items.iter().enumerate() {
            if n == 0 && beside {
                self.out.push(' ');
            } else {
                for (m, line) in item.above.iter().enumerate() {
                    if line.blank && n + m > 0 {
                        self.blank();
                    }
                    self.lines(&[Line { blank: false, text: line.text.clone() }], column);
                }
                if item.blank && (n > 0 || !item.above.is_empty()) {
                    self.blank();
                }
                self.line(column);
            }
            self.item(item, column);
        }
        self.lines(tail, column);
    }

    fn item(&mut self, item: &Item, column: usize) {
        match &item.head {
            Head::Dash => {
                self.out.push('-');
                self.value(&item.value, column, Place::Dash);
            }
            Head::Name(name) => {
                self.out.push_str(name);
                self.out.push(':');
                self.value(&item.value, column, Place::Name);
            }
            Head::Asked(name, colon) => {
                self.out.push_str("? ");
                self.out.push_str(name);
                if *colon {
                    self.line(column);
                    self.out.push(':');
                }
                self.value(&item.value, column, Place::Name);
            }
        }
    }

    fn scalar(&mut self, scalar: &Body, column: usize, inside: usize) {
        self.keeps = false;
        match scalar {
            Body::Text(text) => {
                for (n, line) in text.lines().enumerate() {
                    if n == 0 {
                        self.out.push_str(line);
                    } else if line.trim().is_empty() {
                        self.out.push_str(self.eol);
                    } else {
                        self.line(inside);
                        self.out.push_str(line.trim_start_matches([' ', '\t']));
                    }
                }
            }
            Body::Flow(text, old) => {
                for (n, line) in text.lines().enumerate() {
                    let trimmed = line.trim_start_matches(' ');
                    if n == 0 {
                        self.out.push_str(line);
                    } else if trimmed.trim().is_empty() {
                        self.out.push_str(self.eol);
                    } else {
                        let deeper = (line.len() - trimmed.len()).saturating_sub(*old);
                        self.line(column + deeper);
                        self.out.push_str(trimmed);
                    }
                }
            }
            Body::Block { head, lines, digit, keeps } => {
                self.out.push_str(head);
                let indent = digit.map_or(inside.max(STEP), |digit| column + digit);
                for line in lines {
                    if line.is_empty() {
                        self.out.push_str(self.eol);
                    } else {
                        self.line(indent);
                        self.out.push_str(line);
                    }
                }
                self.keeps = *keeps;
            }
            Body::Nothing | Body::Entries(..) => {}
        }
    }
}
