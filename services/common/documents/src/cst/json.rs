//! The tree of JSON: all of it in brackets.

use super::{Entry, Key, Kind, Layout, Node, Tree};

pub(super) fn build(text: &str) -> Option<Tree> {
    let mut scan = Scan { text, at: 0 };
    let root = scan.value()?;
    Some(Tree { roots: vec![root] })
}

/// Walks text that is known to be JSON.
struct Scan<'a> {
    text: &'a str,
    at: usize,
}

impl Scan<'_> {
    fn value(&mut self) -> Option<Node> {
        self.space();
        let start = self.at;
        let kind = match self.peek()? {
            b'{' => Kind::Map(Layout::Flow, self.members()?),
            b'[' => Kind::List(Layout::Flow, self.items()?),
            b'"' => {
                self.string()?;
                Kind::Double
            }
            _ => {
                while self.peek().is_some_and(|byte| !b",]} \n\r\t".contains(&byte)) {
                    self.at += 1;
                }
                Kind::Plain
            }
        };
        Some(Node { anchor: None, span: start..self.at, kind })
    }

    fn members(&mut self) -> Option<Vec<Entry>> {
        let mut members = Vec::new();
        self.at += 1;
        while self.more(b'}')? {
            let start = self.at;
            self.string()?;
            let span = start..self.at;
            let name = serde_json::from_str(self.text.get(span.clone())?).ok()?;
            self.space();
            self.at += 1;
            let after = self.at;
            let value = self.value()?;
            let key = Some(Key { name, span, explicit: false });
            members.push(Entry { start, after, key, value });
        }
        Some(members)
    }

    fn items(&mut self) -> Option<Vec<Entry>> {
        let mut items = Vec::new();
        self.at += 1;
        while self.more(b']')? {
            let start = self.at;
            items.push(Entry { start, after: start, key: None, value: self.value()? });
        }
        Some(items)
    }

    /// Passes a comma, or what closes.
    fn more(&mut self, close: u8) -> Option<bool> {
        self.space();
        if self.peek()? == b',' {
            self.at += 1;
            self.space();
        }
        if self.peek()? == close {
            self.at += 1;
            return Some(false);
        }
        Some(true)
    }

    fn string(&mut self) -> Option<()> {
        self.at = super::yaml::after_double(self.text, self.at)?;
        Some(())
    }

    fn space(&mut self) {
        while self.peek().is_some_and(|byte| b" \n\r\t".contains(&byte)) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }
}
