//! YAML 1.2, core schema, from the parser's events. No tags; aliases are bounded.

use std::collections::HashMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span as RawSpan, StrInput};
use serde_json::{Map, Number, Value};

use super::{Children, Fault, MAX_BYTES, MAX_DEPTH, Node, Position, Span};

/// What aliases may add up to, in bytes and values: the classic bomb doubles this in a few lines.
const MAX_EXPANSION: usize = 4 * MAX_BYTES;

pub(super) fn parse(text: &str) -> Result<(Value, Node), Fault> {
    let mut reader =
        Reader { parser: Parser::new_from_str(text), anchors: HashMap::new(), expansion: 0, lines: text };
    let mut documents = Vec::new();
    loop {
        let (event, span) = reader.next()?;
        match event {
            Event::StreamEnd => break,
            Event::DocumentStart(_) => {
                reader.anchors.clear();
                let (event, span) = reader.next()?;
                let blank =
                    matches!(&event, Event::Scalar(text, ScalarStyle::Plain, 0, None) if text.is_empty());
                let document = reader.value(event, span, 1)?;
                if !blank {
                    documents.push(document);
                }
            }
            Event::Nothing | Event::StreamStart | Event::DocumentEnd => {}
            _ => {
                let fault = Fault::new(position(span.start), "this stands outside of any document");
                return Err(fault.help("begin a document before it: `---`"));
            }
        }
    }
    match documents.len() {
        0 => Err(Fault::empty(Position::START)),
        1 => Ok(documents.remove(0)),
        _ => {
            let end = documents.last().map(|(_, node)| node.span.end).unwrap_or_default();
            let (values, nodes) = documents.into_iter().unzip();
            let span = Span { start: Position::START, end };
            Ok((Value::Array(values), Node { span, key: None, children: Children::List(nodes) }))
        }
    }
}

struct Reader<'a> {
    parser: Parser<'a, StrInput<'a>>,
    anchors: HashMap<usize, (Value, Node)>,
    expansion: usize,
    lines: &'a str,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<(Event<'a>, RawSpan), Fault> {
        match self.parser.next_event() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => Err(self.syntax(&error)),
            None => Ok((Event::StreamEnd, RawSpan::default())),
        }
    }

    fn value(&mut self, event: Event<'a>, raw: RawSpan, depth: usize) -> Result<(Value, Node), Fault> {
        let start = position(raw.start);
        let (anchor, tag) = match &event {
            Event::Scalar(_, _, anchor, tag)
            | Event::SequenceStart(anchor, tag)
            | Event::MappingStart(anchor, tag) => (*anchor, tag.as_ref()),
            _ => (0, None),
        };
        if let Some(tag) = tag {
            // The parser writes `!!map` out.
            let tag = tag.to_string().replacen("tag:yaml.org,2002:!", "!!", 1);
            return Err(Fault::new(start, format!("the tag `{tag}` is not supported"))
                .help("write the value without a tag; put text in quotes"));
        }
        let (value, end, children) = match event {
            Event::Scalar(text, style, ..) => {
                (scalar(&text, style, start)?, position(raw.end), Children::Leaf)
            }
            Event::Alias(id) => return self.alias(id, start),
            Event::SequenceStart(..) | Event::MappingStart(..) if depth > MAX_DEPTH => {
                return Err(Fault::too_deep(start));
            }
            Event::SequenceStart(..) => self.list(depth)?,
            Event::MappingStart(..) => self.map(depth)?,
            _ => {
                let fault = Fault::new(start, "a value was expected here");
                return Err(fault.help("write `null` for none"));
            }
        };
        let node = Node { span: Span { start, end }, key: None, children };
        if anchor > 0 {
            self.anchors.insert(anchor, (value.clone(), node.clone()));
        }
        Ok((value, node))
    }

    fn list(&mut self, depth: usize) -> Result<(Value, Position, Children), Fault> {
        let (mut values, mut nodes) = (Vec::new(), Vec::new());
        loop {
            let (event, span) = self.next()?;
            if matches!(event, Event::SequenceEnd) {
                return Ok((Value::Array(values), position(span.end), Children::List(nodes)));
            }
            let (value, node) = self.value(event, span, depth + 1)?;
            values.push(value);
            nodes.push(node);
        }
    }

    fn map(&mut self, depth: usize) -> Result<(Value, Position, Children), Fault> {
        let (mut values, mut nodes): (Map<String, Value>, Vec<(String, Node)>) = (Map::new(), Vec::new());
        let mut seen: HashMap<String, Position> = HashMap::new();
        loop {
            let (event, span) = self.next()?;
            let at = position(span.start);
            let key = match event {
                Event::MappingEnd => {
                    return Ok((Value::Object(values), position(span.end), Children::Map(nodes)));
                }
                Event::Scalar(text, style, _, None) if text != "<<" || style != ScalarStyle::Plain => {
                    text.into_owned()
                }
                Event::Scalar(_, _, _, None) => {
                    return Err(Fault::new(at, "merge keys (`<<`) are not supported")
                        .help("write the members out, or use an alias for a whole value"));
                }
                _ => {
                    let fault = Fault::new(at, "a name must be plain text");
                    return Err(fault
                        .help("write `name: value`, the name in quotes where it has `:` or braces in it"));
                }
            };
            let (event, span) = self.next()?;
            let (value, mut node) = self.value(event, span, depth + 1)?;
            node.key = Some(at);
            if let Some(first) = seen.insert(key.clone(), at) {
                return Err(Fault::duplicate(at, &key, first));
            }
            nodes.push((key.clone(), node));
            values.insert(key, value);
        }
    }

    fn alias(&mut self, id: usize, at: Position) -> Result<(Value, Node), Fault> {
        let Some((value, node)) = self.anchors.get(&id) else {
            let fault = Fault::new(at, "this alias stands inside the value that it names");
            return Err(fault.help("write the value out here"));
        };
        self.expansion += weight(value);
        if self.expansion > MAX_EXPANSION {
            return Err(Fault::new(at, "the aliases make the document too large")
                .help("use fewer aliases, or smaller ones"));
        }
        Ok((value.clone(), node.clone()))
    }

    fn syntax(&self, error: &ScanError) -> Fault {
        let at = position(*error.marker());
        let fault = Fault::new(at, format!("this is not YAML: {}", error.info()));
        let line = self.lines.lines().nth(at.line.saturating_sub(1) as usize).unwrap_or_default();
        if line.trim_start_matches(' ').starts_with('\t') {
            fault.help("indent with spaces, not tabs")
        } else if line.trim_start().starts_with("- ") && error.info().contains("parsing a block") {
            fault.help("put its `-` exactly under the `-` of the element before it")
        } else if line.contains("${") {
            fault.help("put a value that holds `${…}` in quotes")
        } else if line.matches(": ").count() > 1 {
            fault.help("put a value that holds `: ` in quotes")
        } else if error.info().contains("illegal placement of ':'") {
            fault.help("a `[`, `{` or quote before it may never be closed")
        } else {
            fault.help("compare it with the lines before: what belongs together is indented alike")
        }
    }
}

fn position(at: Marker) -> Position {
    Position {
        line: u32::try_from(at.line().max(1)).unwrap_or(u32::MAX),
        column: u32::try_from(at.col() + 1).unwrap_or(u32::MAX),
    }
}

fn weight(value: &Value) -> usize {
    match value {
        Value::String(text) => 1 + text.len(),
        Value::Array(items) => 1 + items.iter().map(weight).sum::<usize>(),
        Value::Object(members) => {
            1 + members.iter().map(|(key, value)| key.len() + weight(value)).sum::<usize>()
        }
        _ => 1,
    }
}

/// A scalar by the core schema; everything quoted is text.
fn scalar(text: &str, style: ScalarStyle, at: Position) -> Result<Value, Fault> {
    if style != ScalarStyle::Plain {
        return Ok(Value::String(text.to_owned()));
    }
    Ok(match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ => match number(text) {
            Some(Some(number)) => Value::Number(number),
            Some(None) => {
                let fault = Fault::new(at, format!("`{text}` is no number that can be used"));
                return Err(fault.help("put it in quotes if it is text"));
            }
            None => Value::String(text.to_owned()),
        },
    })
}

/// What an unquoted text means; none for a number that JSON cannot say.
pub(super) fn plain(text: &str) -> Option<Value> {
    scalar(text, ScalarStyle::Plain, Position::START).ok()
}

/// None for what is no number, `Some(None)` for one that JSON cannot say.
fn number(text: &str) -> Option<Option<Number>> {
    let radix = |digits: &str, radix| i64::from_str_radix(digits, radix).ok().map(|n| Some(Number::from(n)));
    if let Some(digits) = text.strip_prefix("0x").filter(|rest| !rest.starts_with(['+', '-'])) {
        return radix(digits, 16);
    }
    if let Some(digits) = text.strip_prefix("0o").filter(|rest| !rest.starts_with(['+', '-'])) {
        return radix(digits, 8);
    }
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF" | ".nan" | ".NaN" | ".NAN") {
        return Some(None);
    }
    let digits = unsigned.bytes().filter(u8::is_ascii_digit).count();
    let shaped = unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && unsigned.bytes().all(|c| c.is_ascii_digit() || matches!(c, b'.' | b'e' | b'E' | b'+' | b'-'));
    if digits == 0 || !shaped {
        return None;
    }
    let plain = text.strip_prefix('+').unwrap_or(text);
    if let Ok(number) = plain.parse::<i64>() {
        return Some(Some(number.into()));
    }
    if let Ok(number) = plain.parse::<u64>() {
        return Some(Some(number.into()));
    }
    plain.parse::<f64>().ok().map(Number::from_f64)
}
