//! The tree of YAML: the parser's events say what there is, the text between them where it stands.
//!
//! The parser's own places are not enough: it does not say where dashes and colons are, and the end that it gives
//! of a quoted text can be behind a comment.

use saphyr_parser::{Event, Parser, ScalarStyle, StrInput};

use super::{Entry, Key, Kind, Layout, Node, Tree, line_end, skip_trivia};

pub(super) fn build(text: &str) -> Option<Tree> {
    let mut offsets = Vec::new();
    if !text.is_ascii() {
        offsets = text.char_indices().map(|(at, _)| at).collect();
        offsets.push(text.len());
    }
    let mut reader = Reader { text, offsets, parser: Parser::new_from_str(text), at: 0 };
    let mut roots = Vec::new();
    loop {
        let event = reader.next()?;
        match event.event {
            Event::StreamEnd => break,
            Event::DocumentStart(explicit) => {
                reader.at = if explicit { event.end } else { event.start };
                let event = reader.next()?;
                let node = reader.value(event, false)?;
                // As the reader of documents does, one without any text is passed over.
                if !matches!(node, Node { anchor: None, kind: Kind::Empty, .. }) {
                    roots.push(node);
                }
            }
            _ => {}
        }
    }
    (!roots.is_empty()).then_some(Tree { roots })
}

/// An event and its place in bytes.
struct Placed<'a> {
    event: Event<'a>,
    start: usize,
    end: usize,
}

struct Reader<'a> {
    text: &'a str,
    /// The byte of each character; empty for text where they are the same.
    offsets: Vec<usize>,
    parser: Parser<'a, StrInput<'a>>,
    /// The byte after what has been read.
    at: usize,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Option<Placed<'a>> {
        let (event, span) = self.parser.next_event()?.ok()?;
        Some(Placed { event, start: self.byte(span.start.index()), end: self.byte(span.end.index()) })
    }

    fn byte(&self, index: usize) -> usize {
        if self.offsets.is_empty() {
            index.min(self.text.len())
        } else {
            self.offsets.get(index).copied().unwrap_or(self.text.len())
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn trivia(&mut self) {
        self.at = skip_trivia(self.text, self.at);
    }

    /// The value of `event`, which begins somewhere after `self.at`.
    fn value(&mut self, event: Placed<'a>, in_flow: bool) -> Option<Node> {
        let anchor = self.anchor(&event.event)?;
        let from = anchor.as_ref().map_or(self.at, |anchor| anchor.end);
        if let Event::Scalar(text, ScalarStyle::Plain, ..) = &event.event
            && text.is_empty()
        {
            self.at = from;
            return Some(Node { anchor, span: from..from, kind: Kind::Empty });
        }
        self.trivia();
        let start = self.at;
        let kind = match event.event {
            Event::Scalar(_, style, ..) => {
                let kind = self.scalar(style, event.end)?;
                return Some(Node { anchor, span: start..self.at, kind });
            }
            Event::Alias(_) => {
                self.at = event.end;
                Kind::Alias
            }
            Event::SequenceStart(..) => self.list()?,
            Event::MappingStart(..) => self.map(in_flow)?,
            _ => return None,
        };
        // A layout by lines ends with its last entry.
        let end = match &kind {
            Kind::Map(Layout::Block | Layout::Pair, entries) | Kind::List(Layout::Block, entries) => {
                entries.last().map_or(self.at, Entry::end)
            }
            _ => self.at,
        };
        Some(Node { anchor, span: start..end, kind })
    }

    /// Passes `&name`, if the event has one.
    #[expect(clippy::option_option, reason = "none is a text that does not fit, none inside it no anchor")]
    fn anchor(&mut self, event: &Event<'a>) -> Option<Option<std::ops::Range<usize>>> {
        let (Event::Scalar(_, _, id, _) | Event::SequenceStart(id, _) | Event::MappingStart(id, _)) = event
        else {
            return Some(None);
        };
        if *id == 0 {
            return Some(None);
        }
        let start = skip_trivia(self.text, self.at);
        let name = self.text.get(start..)?.strip_prefix('&')?;
        let length = name.find(|c: char| c.is_whitespace() || ",[]{}".contains(c)).unwrap_or(name.len());
        self.at = start + 1 + length;
        Some(Some(start..self.at))
    }

    fn scalar(&mut self, style: ScalarStyle, event_end: usize) -> Option<Kind> {
        let start = self.at;
        let (end, kind) = match style {
            ScalarStyle::Plain => {
                let raw = self.text.get(start..event_end)?;
                (start + raw.trim_end().len(), Kind::Plain)
            }
            ScalarStyle::SingleQuoted => (after_single(self.text, start)?, Kind::Single),
            ScalarStyle::DoubleQuoted => (after_double(self.text, start)?, Kind::Double),
            ScalarStyle::Literal | ScalarStyle::Folded => (self.block_end(start, event_end)?, Kind::Block),
        };
        self.at = end;
        Some(kind)
    }

    /// Where a text after `|` or `>` ends. Blank lines after it are its own only with `+`.
    fn block_end(&self, start: usize, event_end: usize) -> Option<usize> {
        let first = line_end(self.text, start);
        let raw = self.text.get(start..event_end)?;
        if event_end <= first || raw[first - start..].trim().is_empty() {
            let header = self.text.get(start..first)?;
            return Some(start + header.find([' ', '\t']).unwrap_or(header.len()));
        }
        let keeps = raw[..first - start].split_whitespace().next().is_some_and(|header| header.contains('+'));
        Some(if keeps {
            // The parser's end can be behind the spaces that the next line begins with.
            let raw = raw.trim_end_matches([' ', '\t']);
            let raw = raw.strip_suffix('\n').unwrap_or(raw);
            start + raw.strip_suffix('\r').unwrap_or(raw).len()
        } else {
            let raw = raw.trim_end_matches([' ', '\t', '\r', '\n']);
            // Spaces at the end of the last line with text are part of it.
            line_end(self.text, start + raw.len())
        })
    }

    fn list(&mut self) -> Option<Kind> {
        let flow = self.peek()? == b'[';
        let mut entries = Vec::new();
        if flow {
            self.at += 1;
        }
        loop {
            let event = self.next()?;
            if matches!(event.event, Event::SequenceEnd) {
                break;
            }
            self.trivia();
            if !flow {
                let start = self.at;
                (self.peek()? == b'-').then_some(())?;
                self.at += 1;
                entries.push(Entry { start, after: start + 1, key: None, value: self.value(event, false)? });
            } else {
                let start = self.at;
                entries.push(Entry { start, after: start, key: None, value: self.value(event, true)? });
                self.comma();
            }
        }
        if flow {
            self.close(b']')?;
        }
        Some(Kind::List(if flow { Layout::Flow } else { Layout::Block }, entries))
    }

    fn map(&mut self, in_flow: bool) -> Option<Kind> {
        let layout = match self.peek()? {
            b'{' => Layout::Flow,
            _ if in_flow => Layout::Pair,
            _ => Layout::Block,
        };
        let mut entries = Vec::new();
        if layout == Layout::Flow {
            self.at += 1;
        }
        loop {
            let event = self.next()?;
            if matches!(event.event, Event::MappingEnd) {
                break;
            }
            entries.push(self.entry(event, layout != Layout::Block)?);
            if layout == Layout::Flow {
                self.comma();
            }
        }
        if layout == Layout::Flow {
            self.close(b'}')?;
        }
        Some(Kind::Map(layout, entries))
    }

    fn entry(&mut self, event: Placed<'a>, in_flow: bool) -> Option<Entry> {
        let Event::Scalar(name, style, ..) = &event.event else { return None };
        self.trivia();
        let start = self.at;
        let (name, style) = (name.clone().into_owned(), *style);
        let next = self.text.as_bytes().get(start + 1);
        let explicit = self.peek() == Some(b'?') && next.is_none_or(u8::is_ascii_whitespace);
        if explicit {
            self.at += 1;
        }
        self.anchor(&event.event)?;
        let empty = name.is_empty() && style == ScalarStyle::Plain;
        if !empty {
            self.trivia();
        }
        let key_start = self.at;
        if !empty {
            self.scalar(style, event.end)?;
        }
        let key = Some(Key { name, span: key_start..self.at, explicit });
        let colon = skip_trivia(self.text, self.at);
        if self.text.as_bytes().get(colon) == Some(&b':') {
            self.at = colon + 1;
        }
        let after = self.at;
        let event = self.next()?;
        let value = self.value(event, in_flow)?;
        Some(Entry { start, after, key, value })
    }

    fn comma(&mut self) {
        let next = skip_trivia(self.text, self.at);
        if self.text.as_bytes().get(next) == Some(&b',') {
            self.at = next + 1;
        }
    }

    fn close(&mut self, bracket: u8) -> Option<()> {
        self.trivia();
        (self.peek()? == bracket).then(|| self.at += 1)
    }
}

/// The byte after a text in `"…"`.
pub(super) fn after_double(text: &str, start: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = start + 1;
    loop {
        match bytes.get(at)? {
            b'\\' => at += 2,
            b'"' => return Some(at + 1),
            _ => at += 1,
        }
    }
}

/// The byte after a text in `'…'`.
fn after_single(text: &str, start: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = start + 1;
    loop {
        match (bytes.get(at)?, bytes.get(at + 1)) {
            (b'\'', Some(b'\'')) => at += 2,
            (b'\'', _) => return Some(at + 1),
            _ => at += 1,
        }
    }
}
