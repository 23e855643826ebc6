//! JSON: serde_json reads the values, a scan of the then valid text finds the places.

use std::collections::HashMap;

use serde_json::Value;

use super::{Children, Fault, MAX_DEPTH, Node, Position, Span};

pub(super) fn parse(text: &str) -> Result<(Value, Node), Fault> {
    let value = serde_json::from_str(text).map_err(|error| fault(text, &error))?;
    let mut scan = Scan { rest: text, at: Position::START };
    scan.space();
    let node = scan.value(1)?;
    Ok((value, node))
}

fn fault(text: &str, error: &serde_json::Error) -> Fault {
    let line = error.line().max(1);
    // serde_json counts columns in bytes, 0 before the first.
    let bytes = error.column().saturating_sub(1);
    let source = text.lines().nth(line - 1).unwrap_or_default();
    let column = source.char_indices().take_while(|(at, _)| *at < bytes).count() + 1;
    let at = Position {
        line: u32::try_from(line).unwrap_or(u32::MAX),
        column: u32::try_from(column).unwrap_or(u32::MAX),
    };
    let message = error.to_string();
    let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(message, _)| message);
    let shown = message.replace("EOF while parsing", "the text ends inside");
    let fault = Fault::new(at, format!("this is not JSON: {shown}"));
    match message {
        _ if text.trim().is_empty() => Fault::empty(at),
        _ if source.chars().nth(column - 1).is_some_and(|c| matches!(c, '/' | '#')) => {
            fault.help("JSON has no comments: take it away, or write the document as YAML")
        }
        "trailing comma" => fault.help("take the comma away"),
        "recursion limit exceeded" => Fault::too_deep(at),
        "key must be a string" => fault.help("put the name in double quotes"),
        "trailing characters" => fault.help("a JSON file holds one value; use a list `[…]` for several"),
        _ if message.starts_with("EOF") => fault.help("a `}`, `]` or `\"` is missing before the end"),
        _ => fault.help(
            "look for a missing comma, colon or double quote just before; YAML is more forgiving (`.yaml`)",
        ),
    }
}

/// Walks text that serde_json has found to be JSON.
struct Scan<'a> {
    rest: &'a str,
    at: Position,
}

impl Scan<'_> {
    fn value(&mut self, depth: usize) -> Result<Node, Fault> {
        let start = self.at;
        let children = match self.peek() {
            b'{' | b'[' if depth > MAX_DEPTH => return Err(Fault::too_deep(start)),
            b'{' => self.object(depth)?,
            b'[' => self.list(depth)?,
            b'"' => {
                self.string();
                Children::Leaf
            }
            _ => {
                while !matches!(self.peek(), b',' | b']' | b'}' | b' ' | b'\n' | b'\r' | b'\t' | 0) {
                    self.step();
                }
                Children::Leaf
            }
        };
        Ok(Node { span: Span { start, end: self.at }, key: None, children })
    }

    fn object(&mut self, depth: usize) -> Result<Children, Fault> {
        let mut members: Vec<(String, Node)> = Vec::new();
        let mut seen: HashMap<String, Position> = HashMap::new();
        self.step();
        loop {
            self.space();
            match self.peek() {
                b',' => self.step(),
                b'"' => {
                    let at = self.at;
                    let raw = self.string();
                    let key: String = serde_json::from_str(raw).map_err(|error| {
                        Fault::new(at, format!("this is no name: {error}")).help("put it in double quotes")
                    })?;
                    self.space();
                    self.step();
                    self.space();
                    let mut node = self.value(depth + 1)?;
                    node.key = Some(at);
                    if let Some(first) = seen.insert(key.clone(), at) {
                        return Err(Fault::duplicate(at, &key, first));
                    }
                    members.push((key, node));
                }
                _ => break,
            }
        }
        self.step();
        Ok(Children::Map(members))
    }

    fn list(&mut self, depth: usize) -> Result<Children, Fault> {
        let mut items = Vec::new();
        self.step();
        loop {
            self.space();
            match self.peek() {
                b',' => self.step(),
                b']' | 0 => break,
                _ => items.push(self.value(depth + 1)?),
            }
        }
        self.step();
        Ok(Children::List(items))
    }

    /// Passes a string and gives back its source, quotes included.
    fn string(&mut self) -> &str {
        let before = self.rest;
        self.step();
        while !matches!(self.peek(), b'"' | 0) {
            if self.peek() == b'\\' {
                self.step();
            }
            self.step();
        }
        self.step();
        &before[..before.len() - self.rest.len()]
    }

    fn space(&mut self) {
        while matches!(self.peek(), b' ' | b'\n' | b'\r' | b'\t') {
            self.step();
        }
    }

    fn peek(&self) -> u8 {
        self.rest.as_bytes().first().copied().unwrap_or(0)
    }

    fn step(&mut self) {
        let mut chars = self.rest.chars();
        match chars.next() {
            Some('\n') => self.at = Position { line: self.at.line + 1, column: 1 },
            Some(_) => self.at.column += 1,
            None => {}
        }
        self.rest = chars.as_str();
    }
}
