//! Which part of the text an edit is about, and what may not be edited.

use serde_json::{Value, json};

use super::{Edit, Patch, Text, block, flow, style::Style, write};
use crate::{
    Problem,
    cst::{Entry, Kind, Layout, Node, Way, column, first_in_line, line_start},
    pointer,
};

/// What is put into a text.
#[derive(Clone, Copy)]
pub(super) enum Content<'a> {
    /// A value, to be written in the file's style.
    Value(&'a Value),
    /// A value as it stands in the text.
    Raw(&'a Value, &'a Raw),
}

/// An entry as it stands in a text.
pub(super) struct Raw {
    /// Whether it is an item, with its dash or without a name.
    pub(super) item: bool,
    /// Whether it stands in brackets.
    pub(super) flow: bool,
    /// Comment lines above it, without their indentation.
    pub(super) above: Vec<String>,
    /// The value with its dash, or a member without its name: from the colon on.
    pub(super) text: String,
    /// The column that it stood in, or in brackets the spaces that its line began with.
    pub(super) column: usize,
    pub(super) indent: String,
}

impl<'a> Content<'a> {
    pub(super) fn value(self) -> &'a Value {
        match self {
            Content::Value(value) | Content::Raw(value, _) => value,
        }
    }
}

/// A place in a text with all that patches at it need.
#[derive(Clone, Copy)]
pub(super) struct Spot<'a> {
    pub(super) text: &'a str,
    pub(super) style: &'a Style,
    pub(super) way: &'a Way<'a>,
}

impl Spot<'_> {
    pub(super) fn patch(&self, range: std::ops::Range<usize>, text: impl Into<String>) -> Patch {
        Patch { range, text: text.into() }
    }

    /// Where the list or object at the end of the way may begin: after the dash or colon before it.
    pub(super) fn floor(&self) -> Option<usize> {
        self.way.entries.last().map(|(_, entry)| entry.after)
    }
}

impl Text {
    /// The patches for an edit; none if there is no way to write it in this style.
    pub(super) fn plan(
        &self,
        edit: &Edit,
        at: &str,
        content: Content<'_>,
        before: Option<&str>,
        style: &Style,
    ) -> Option<Vec<Patch>> {
        let text = self.source().text();
        let (way, last) = (self.tree.way(at), pointer::steps(at).last());
        let spot = Spot { text, style, way: &way };
        match edit {
            Edit::Set { .. } if way.rest.is_empty() => replace(spot, content.value()),
            Edit::Set { .. } | Edit::Insert { .. } | Edit::Move { .. } => {
                let above = self.tree.way(at.rsplit_once('/')?.0);
                let spot = Spot { way: &above, ..spot };
                above.rest.is_empty().then(|| insert(spot, &last?, content, before))?
            }
            Edit::Remove { .. } => {
                let above = self.tree.way(at.rsplit_once('/')?.0);
                let (index, _) = *way.entries.last()?;
                remove(Spot { way: &above, ..spot }, index)
            }
            Edit::Rename { name, .. } => {
                let (_, entry) = way.entries.last()?;
                let key = entry.key.as_ref()?;
                let quote = text[key.span.clone()].chars().next().filter(|c| matches!(c, '"' | '\''));
                let in_flow = way.parent().is_some_and(|parent| !parent.is_block());
                Some(vec![spot.patch(key.span.clone(), write::key(name, in_flow, quote, style))])
            }
        }
    }

    /// The alias that an edit goes through, if it is one below an alias.
    pub(super) fn alias_above(&self, edit: &Edit, at: &str) -> Option<String> {
        let mut alias = changed(edit, at);
        let way = self.tree.way(alias);
        // An alias itself is replaced or taken away like any other value.
        let below = !way.rest.is_empty() || alias != at;
        if !below || !matches!(way.node().kind, Kind::Alias) {
            return None;
        }
        for _ in 0..way.rest.len() {
            alias = alias.rsplit_once('/')?.0;
        }
        Some(alias.to_owned())
    }

    /// Refuses an edit of what stands elsewhere too.
    pub(super) fn refuse_shared(&self, edit: &Edit, at: &str) -> Result<(), Problem> {
        let depth = pointer::steps(at).count();
        let whole = if matches!(edit, Edit::Set { .. }) { 0 } else { 1 };
        if self.tree.roots.len() > 1 && (depth <= whole || self.tree.way(at).rest.len() == depth) {
            let problem = Problem::error(at, "whole documents of a file are not added, moved or taken away");
            return Err(problem.help("add or take away the text between two `---` by hand"));
        }
        let way = self.tree.way(changed(edit, at));
        let replaced = way.rest.is_empty() && matches!(edit, Edit::Set { .. } | Edit::Remove { .. });
        let span = way.node().span.clone();
        for (anchor, alias) in self.shared() {
            let goes_with_it = replaced && span.contains(&alias.span.start);
            let on_the_way = way.nodes().any(|node| std::ptr::eq(node, anchor));
            let inside = replaced && span.contains(&anchor.span.start);
            if !goes_with_it && (on_the_way || inside) {
                return Err(self.shared_problem(at, anchor, alias));
            }
        }
        Ok(())
    }

    fn shared_problem(&self, at: &str, anchor: &Node, alias: &Node) -> Problem {
        let text = self.source().text();
        let name = anchor.anchor.clone().map_or("", |range| &text[range]);
        let line = text[..alias.span.start].matches('\n').count() + 1;
        let message = format!("this is part of `{name}`, which line {line} uses too");
        let help =
            format!("write the value out in line {line} first, or change the text by hand to change both");
        self.locate(Problem::error(at, message).help(help))
    }

    /// Every alias with the value that it stands for.
    fn shared(&self) -> Vec<(&Node, &Node)> {
        let text = self.source().text();
        let mut all = Vec::new();
        for root in &self.tree.roots {
            let mut anchors: Vec<(&str, &Node)> = Vec::new();
            root.visit(&mut |node| {
                if let Some(anchor) = &node.anchor {
                    anchors.push((&text[anchor.start + 1..anchor.end], node));
                }
                if matches!(node.kind, Kind::Alias) {
                    let name = &text[node.span.start + 1..node.span.end];
                    all.extend(
                        anchors
                            .iter()
                            .rev()
                            .find(|(other, _)| *other == name)
                            .map(|(_, anchor)| (*anchor, node)),
                    );
                }
            });
        }
        all
    }

    /// An entry as it stands in the text, to be put elsewhere.
    pub(super) fn raw(&self, at: &str) -> Option<Raw> {
        let text = self.source().text();
        let way = self.tree.way(at);
        let (index, entry) = *way.entries.last().filter(|_| way.rest.is_empty())?;
        let parent = way.parent()?;
        let flow = !parent.is_block();
        let from = if entry.key.is_none() { entry.start } else { entry.after };
        let mut raw = Raw {
            item: entry.key.is_none(),
            flow,
            above: Vec::new(),
            text: text[from..entry.end()].to_owned(),
            column: column(text, entry.start),
            indent: super::style::indent(text, entry.start).to_owned(),
        };
        if !flow {
            let end = block::end_of_line(text, entry.end());
            raw.text = text[from..end].trim_end_matches([' ', '\t']).to_owned();
            let above = self.tree.way(at.rsplit_once('/')?.0);
            let spot = Spot { text, style: &self.style, way: &above };
            let start = block::with_comments(spot, index);
            if start < line_start(text, entry.start) {
                raw.above = text[start..line_start(text, entry.start)]
                    .lines()
                    .map(|line| line.trim().to_owned())
                    .collect();
            }
        }
        Some(raw)
    }
}

/// The value that an edit changes: the one around it where it adds or names something.
fn changed<'a>(edit: &Edit, at: &'a str) -> &'a str {
    match edit {
        Edit::Set { .. } | Edit::Remove { .. } => at,
        Edit::Insert { .. } | Edit::Move { .. } | Edit::Rename { .. } => {
            at.rsplit_once('/').map_or(at, |(around, _)| around)
        }
    }
}

fn replace(spot: Spot<'_>, value: &Value) -> Option<Vec<Patch>> {
    let in_block = spot.way.parent().is_none_or(Node::is_block) && !spot.style.json;
    if in_block { block::replace(spot, value) } else { Some(flow::replace(spot, value)) }
}

fn insert(spot: Spot<'_>, last: &str, content: Content<'_>, before: Option<&str>) -> Option<Vec<Patch>> {
    let node = spot.way.node();
    let (layout, entries) = node.entries()?;
    let member = matches!(node.kind, Kind::Map(..));
    let index = match before {
        Some(before) if member => entries.iter().position(|entry| entry.name() == Some(before))?,
        _ if member || last == "-" => entries.len(),
        _ => last.parse().ok()?,
    };
    let name = member.then_some(last);
    if entries.is_empty() {
        let value = content.value().clone();
        let filled = name.map_or_else(|| json!([value.clone()]), |name| json!({name: value.clone()}));
        return replace(spot, &filled);
    }
    match layout {
        Layout::Block => block::insert(spot, entries, index, name, content),
        Layout::Flow => Some(flow::insert(spot, entries, index, name, content)),
        Layout::Pair => None,
    }
}

fn remove(spot: Spot<'_>, index: usize) -> Option<Vec<Patch>> {
    let node = spot.way.node();
    let (layout, entries) = node.entries()?;
    if entries.len() == 1 && layout != Layout::Pair {
        return replace(spot, &if matches!(node.kind, Kind::Map(..)) { json!({}) } else { json!([]) });
    }
    match layout {
        Layout::Block => Some(block::remove(spot, entries, index)),
        Layout::Flow => Some(flow::remove(spot, entries, index)),
        Layout::Pair => None,
    }
}

/// Whether an entry begins its line.
pub(super) fn own_line(text: &str, entry: &Entry) -> bool {
    first_in_line(text, entry.start)
}
