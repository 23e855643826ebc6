//! Patches of what is laid out by lines.

use serde_json::Value;

use super::{
    Patch,
    place::{Content, Raw, Spot, own_line},
    write::{self, Flow, Lines},
};
use crate::cst::{Entry, Kind, Node, column, first_in_line, line_end, line_start, next_line};

/// Another value for the one at the end of the way.
pub(super) fn replace(spot: Spot<'_>, value: &Value) -> Option<Vec<Patch>> {
    let node = spot.way.node();
    // Brackets stay brackets.
    let bracketed = node.entries().is_some_and(|(_, entries)| !node.is_block() && !entries.is_empty());
    if write::is_filled(value) && !bracketed {
        Some(with_lines(spot, node, value))
    } else {
        let text = in_one_line(spot, node, value);
        Some(with_line(spot, node, &text))
    }
}

fn in_one_line(spot: Spot<'_>, node: &Node, value: &Value) -> String {
    if write::is_filled(value) {
        return Flow { style: spot.style, inside: false, lines: false }.write(value, "");
    }
    let at = spot.way.entries.last().map_or(0, |(_, entry)| column(spot.text, entry.start));
    Lines { style: spot.style }.scalar(value, at, Some(&node.kind))
}

/// The value in the line of its dash or colon.
fn with_line(spot: Spot<'_>, node: &Node, new: &str) -> Vec<Patch> {
    let text = spot.text;
    let span = node.span.clone();
    match &node.kind {
        Kind::Empty => vec![spot.patch(span, format!("{}{new}", colon(spot)))],
        Kind::Block if !new.starts_with('|') => {
            let header = header_end(text, span.start);
            let first = line_end(text, span.start).max(header);
            // Comments after the `|` stay; the lines below go.
            let rest = spot.patch(first.min(span.end)..span.end, "");
            vec![spot.patch(span.start..header, new), rest]
        }
        _ if node.is_block() => {
            let from = node.anchor.as_ref().map(|anchor| anchor.end).or_else(|| spot.floor());
            let end = end_of_line(text, span.end);
            match from {
                Some(from) if line_start(text, from) != line_start(text, span.start) => {
                    vec![spot.patch(from..from, format!(" {new}")), spot.patch(line_end(text, from)..end, "")]
                }
                _ => vec![spot.patch(span.start..end, new)],
            }
        }
        _ => vec![spot.patch(span, new)],
    }
}

/// What comes before a value where none was: `? name` may not even have a colon.
fn colon(spot: Spot<'_>) -> String {
    match spot.way.entries.last() {
        Some((_, entry))
            if entry.key.as_ref().is_some_and(|key| key.explicit)
                && !spot.text[..entry.after].ends_with(':') =>
        {
            format!("{}{}: ", spot.style.eol, " ".repeat(column(spot.text, entry.start)))
        }
        _ => " ".to_owned(),
    }
}

/// The value on lines of its own.
fn with_lines(spot: Spot<'_>, node: &Node, value: &Value) -> Vec<Patch> {
    let (text, lines) = (spot.text, Lines { style: spot.style });
    let span = node.span.clone();
    let entry = spot.way.entries.last().map(|(_, entry)| *entry);
    let Some(entry) = entry else { return root_with_lines(spot, node, value) };
    let here = column(text, entry.start);
    let fits = |at: usize| at > here || (at == here && entry.key.is_some() && value.is_array());
    if node.is_block() && fits(column(text, span.start)) {
        let new = lines.collection(value, column(text, span.start));
        return vec![spot.patch(span.start..end_of_line(text, span.end), new)];
    }
    let from = node.anchor.as_ref().map_or(entry.after, |anchor| anchor.end);
    if entry.key.is_none() && node.anchor.is_none() && line_start(text, span.start) == line_start(text, from)
    {
        return beside_dash(spot, node, &lines.collection(value, here + 2));
    }
    let at = if entry.key.is_none() { here + 2 } else { lines.below(value, here) };
    let new = format!("{}{}", lines.line(at), lines.collection(value, at));
    match &node.kind {
        _ if node.is_block() => vec![spot.patch(line_end(text, from)..end_of_line(text, span.end), new)],
        Kind::Empty => {
            let end = line_end(text, span.end);
            vec![spot.patch(end..end, new)]
        }
        Kind::Block => {
            let header = header_end(text, span.start);
            let first = line_end(text, span.start);
            vec![spot.patch(from..header, ""), spot.patch(first..span.end.max(first), new)]
        }
        _ => {
            let end = line_end(text, span.end);
            vec![spot.patch(from..span.end, ""), spot.patch(end..end, new)]
        }
    }
}

/// The first line stands beside the dash: `- kind: Build`. What comments that line stays there.
fn beside_dash(spot: Spot<'_>, node: &Node, new: &str) -> Vec<Patch> {
    let span = node.span.clone();
    let lead = if matches!(node.kind, Kind::Empty) { " " } else { "" };
    let end = line_end(spot.text, span.end);
    match new.split_once(spot.style.eol) {
        Some((first, rest)) if !matches!(node.kind, Kind::Block) && !node.is_block() => vec![
            spot.patch(span, format!("{lead}{first}")),
            spot.patch(end..end, format!("{}{rest}", spot.style.eol)),
        ],
        _ if node.is_block() => vec![spot.patch(span.start..end_of_line(spot.text, span.end), new)],
        _ => vec![spot.patch(span, format!("{lead}{new}"))],
    }
}

fn root_with_lines(spot: Spot<'_>, node: &Node, value: &Value) -> Vec<Patch> {
    let (text, span) = (spot.text, node.span.clone());
    let lines = Lines { style: spot.style };
    if node.anchor.is_none() && first_in_line(text, span.start) {
        let at = column(text, span.start);
        return vec![spot.patch(span.start..end_of_line(text, span.end), lines.collection(value, at))];
    }
    vec![spot.patch(span, format!("{}{}", spot.style.eol, lines.collection(value, 0)))]
}

/// One more entry before that of `index`.
pub(super) fn insert(
    spot: Spot<'_>,
    entries: &[Entry],
    index: usize,
    name: Option<&str>,
    content: Content<'_>,
) -> Option<Vec<Patch>> {
    let (text, eol) = (spot.text, spot.style.eol);
    let at = column(text, entries[0].start);
    let indent = " ".repeat(at);
    let new = entry(spot, name, content, at)?;
    Some(vec![match entries.get(index) {
        Some(next) if own_line(text, next) => {
            let place = with_comments(spot, index);
            spot.patch(place..place, format!("{indent}{new}{eol}"))
        }
        Some(next) => spot.patch(next.start..next.start, format!("{new}{eol}{indent}")),
        None => {
            let place = next_line(text, entries.last()?.end());
            if text[..place].ends_with('\n') {
                spot.patch(place..place, format!("{indent}{new}{eol}"))
            } else {
                spot.patch(place..place, format!("{eol}{indent}{new}"))
            }
        }
    }])
}

/// An entry's lines, the first without its indentation.
fn entry(spot: Spot<'_>, name: Option<&str>, content: Content<'_>, at: usize) -> Option<String> {
    let lines = Lines { style: spot.style };
    match (content, name) {
        (Content::Value(value), None) => Some(lines.item(value, at)),
        (Content::Value(value), Some(name)) => Some(lines.member(name, value, at)),
        (Content::Raw(_, raw), name) if raw.item == name.is_none() && !raw.flow => {
            let mut new = String::new();
            for comment in &raw.above {
                new.push_str(comment);
                new.push_str(&lines.line(at));
            }
            if let Some(name) = name {
                new.push_str(&write::key(name, false, None, spot.style));
                new.push(':');
            }
            new.push_str(&shifted(raw, at));
            Some(new)
        }
        (Content::Raw(..), _) => None,
    }
}

/// The lines of an entry in another column.
fn shifted(raw: &Raw, at: usize) -> String {
    let mut lines = raw.text.split('\n');
    let mut out = lines.next().unwrap_or_default().to_owned();
    for line in lines {
        out.push('\n');
        let spaces = line.len() - line.trim_start_matches(' ').len();
        if line.trim().is_empty() {
            out.push_str(line);
        } else {
            out.push_str(&" ".repeat((spaces + at).saturating_sub(raw.column)));
            out.push_str(&line[spaces..]);
        }
    }
    out
}

/// Without the entry of that number; there are others.
pub(super) fn remove(spot: Spot<'_>, entries: &[Entry], index: usize) -> Vec<Patch> {
    let (text, entry) = (spot.text, &entries[index]);
    if own_line(text, entry) {
        let mut end = next_line(text, entry.end());
        // Empty lines below would become part of a text above that keeps them.
        let above = index.checked_sub(1).map(|before| &text[entries[before].start..entry.start]);
        if above.is_some_and(|above| above.lines().any(keeps_empty_lines)) {
            while end < text.len() && text[end..next_line(text, end)].trim().is_empty() {
                end = next_line(text, end);
            }
        }
        return vec![spot.patch(with_comments(spot, index)..end, "")];
    }
    // It stands beside a dash: `- kind: Build`. What follows takes its place there.
    let next = entries.get(index + 1).map_or(entry.end(), |next| next.start);
    if text[entry.end()..next].trim().is_empty() {
        return vec![spot.patch(entry.start..next, "")];
    }
    let before = text[..entry.start].trim_end_matches(' ').len();
    vec![spot.patch(before..end_of_line(text, entry.end()), "")]
}

/// Whether a block scalar begins in a line that keeps the empty lines at its end: `|+`, `>2+`.
fn keeps_empty_lines(line: &str) -> bool {
    let head = line.trim_end().trim_end_matches(|c: char| c.is_ascii_digit());
    head.strip_suffix('+')
        .is_some_and(|head| head.trim_end_matches(|c: char| c.is_ascii_digit()).ends_with(['|', '>']))
}

/// Where an entry begins if the comments directly above it belong to it: those in its own column, without a
/// blank line between. Comments at the head of a file are the file's.
pub(super) fn with_comments(spot: Spot<'_>, index: usize) -> usize {
    let text = spot.text;
    let entries = spot.way.node().entries().map_or(&[][..], |(_, entries)| entries);
    let entry = &entries[index];
    let floor = match (index.checked_sub(1), spot.floor()) {
        (Some(before), _) => next_line(text, entries[before].end()),
        (None, Some(after)) => next_line(text, after),
        (None, None) => text.len(),
    };
    let mut start = line_start(text, entry.start);
    let at = column(text, entry.start);
    while start > floor {
        let above = line_start(text, start - 1);
        let line = text[above..start].trim_end();
        let is_comment =
            line.get(at..).is_some_and(|rest| rest.starts_with('#')) && line[..at].trim().is_empty();
        if above < floor || !is_comment {
            break;
        }
        start = above;
    }
    start
}

/// Where the line of the last byte of a value ends, if only spaces and a comment come after it.
pub(super) fn end_of_line(text: &str, at: usize) -> usize {
    let end = line_end(text, at);
    let rest = text[at..end].trim_start();
    if rest.is_empty() || rest.starts_with('#') { end } else { at }
}

/// Where the mark of a text of several lines ends: `|-`.
fn header_end(text: &str, start: usize) -> usize {
    let line = &text[start..line_end(text, start)];
    start + line.find([' ', '\t']).unwrap_or(line.len())
}
