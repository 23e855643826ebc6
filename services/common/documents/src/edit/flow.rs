//! Patches of what stands in brackets: all of JSON, and YAML's short form.

use serde_json::Value;

use super::{
    Patch,
    place::{Content, Spot, own_line},
    style::indent,
    write::{self, Flow},
};
use crate::cst::{Entry, Kind, line_end, line_start, next_line, skip_trivia};

/// Another value for the one at the end of the way.
pub(super) fn replace(spot: Spot<'_>, value: &Value) -> Vec<Patch> {
    let (text, node) = (spot.text, spot.way.node());
    let entry = spot.way.entries.last().map(|(_, entry)| *entry);
    let at = entry.map_or(node.span.start, |entry| entry.start);
    let siblings =
        spot.way.parent().and_then(|parent| parent.entries()).map_or(&[][..], |(_, entries)| entries);
    let own_lines = siblings.iter().any(|entry| own_line(text, entry));
    // What was written in one line stays so, if there was something in it.
    let was_line = node.entries().is_some_and(|(_, entries)| !entries.is_empty())
        && !text[node.span.clone()].contains('\n');
    let lines = spot.style.lines && (siblings.is_empty() || own_lines) && !was_line;
    let writer = Flow { style: spot.style, inside: true, lines };
    let new = match value {
        value if write::is_filled(value) => writer.write(value, indent(text, at)),
        value => write::scalar(value, true, Some(&node.kind), spot.style),
    };
    let new = match (&node.kind, entry) {
        (Kind::Empty, Some(entry)) if text[..entry.after].ends_with(':') => format!(" {new}"),
        (Kind::Empty, Some(_)) => format!(": {new}"),
        _ => new,
    };
    vec![spot.patch(node.span.clone(), new)]
}

/// One more entry before that of `index`.
pub(super) fn insert(
    spot: Spot<'_>,
    entries: &[Entry],
    index: usize,
    name: Option<&str>,
    content: Content<'_>,
) -> Vec<Patch> {
    let (text, eol) = (spot.text, spot.style.eol);
    let beside = entries.get(index).unwrap_or(&entries[entries.len() - 1]);
    let own = own_line(text, beside);
    let lead = indent(text, beside.start);
    let new = entry(spot, name, content, lead, own);
    let comma = spot.style.comma;
    if let Some(next) = entries.get(index) {
        return vec![if own {
            let place = above(spot, entries, index);
            spot.patch(place..place, format!("{lead}{new},{eol}"))
        } else {
            spot.patch(next.start..next.start, format!("{new}{comma}"))
        }];
    }
    let end = beside.end();
    let after = after_comma(text, end);
    if !own {
        return vec![match after {
            Some(after) => spot.patch(after..after, format!(" {new}")),
            None => spot.patch(end..end, format!("{comma}{new}")),
        }];
    }
    // A comment beside the last entry stays beside it.
    let from = after.unwrap_or(end);
    let line = line_end(text, from);
    let rest = text[from..line].trim_start();
    let place = if rest.is_empty() || rest.starts_with('#') { line } else { from };
    let mut patches = Vec::new();
    let tail = if after.is_some() { "," } else { "" };
    if after.is_none() {
        patches.push(spot.patch(end..end, ","));
    }
    patches.push(spot.patch(place..place, format!("{eol}{lead}{new}{tail}")));
    patches
}

fn entry(spot: Spot<'_>, name: Option<&str>, content: Content<'_>, lead: &str, own: bool) -> String {
    let value = match content {
        Content::Raw(_, raw) if raw.flow => {
            let mut lines = raw.text.split('\n');
            let mut out = lines.next().unwrap_or_default().trim_start().to_owned();
            for line in lines {
                out.push('\n');
                out.push_str(
                    &line
                        .strip_prefix(raw.indent.as_str())
                        .map_or_else(|| line.to_owned(), |line| format!("{lead}{line}")),
                );
            }
            out
        }
        content => Flow { style: spot.style, inside: true, lines: spot.style.lines && own }
            .write(content.value(), lead),
    };
    match name {
        Some(name) => format!("{}{}{value}", write::key(name, true, None, spot.style), spot.style.colon),
        None => value,
    }
}

/// Without the entry of that number; there are others.
pub(super) fn remove(spot: Spot<'_>, entries: &[Entry], index: usize) -> Vec<Patch> {
    let (text, entry) = (spot.text, &entries[index]);
    let after = after_comma(text, entry.end());
    let end = after.unwrap_or(entry.end());
    let line = line_end(text, end);
    let rest = text[end..line].trim_start();
    let alone = own_line(text, entry) && (rest.is_empty() || rest.starts_with('#'));
    if alone {
        let lines = spot.patch(above(spot, entries, index)..next_line(text, end), "");
        let comma = index.checked_sub(1).filter(|_| after.is_none()).and_then(|before| {
            let end = entries[before].end();
            after_comma(text, end).map(|after| spot.patch(after - 1..after, ""))
        });
        return comma.into_iter().chain([lines]).collect();
    }
    match (index.checked_sub(1), entries.get(index + 1)) {
        (_, Some(next)) => vec![spot.patch(entry.start..next.start, "")],
        (Some(before), None) => vec![spot.patch(entries[before].end()..entry.end(), "")],
        (None, None) => vec![spot.patch(entry.start..entry.end(), "")],
    }
}

/// Where the line of an entry begins, comment lines above it included.
fn above(spot: Spot<'_>, entries: &[Entry], index: usize) -> usize {
    let text = spot.text;
    let floor = match index.checked_sub(1) {
        Some(before) => next_line(text, entries[before].end()),
        None => next_line(text, spot.way.node().span.start),
    };
    let mut start = line_start(text, entries[index].start);
    while start > floor {
        let before = line_start(text, start - 1);
        if before < floor || spot.style.json || !text[before..start].trim_start().starts_with('#') {
            break;
        }
        start = before;
    }
    start
}

/// The byte after the comma that follows, if one does.
fn after_comma(text: &str, end: usize) -> Option<usize> {
    let next = skip_trivia(text, end);
    (text.as_bytes().get(next) == Some(&b',')).then_some(next + 1)
}
