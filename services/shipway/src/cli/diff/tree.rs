//! A difference as a tree: what happened to each node, where it stands.

use serde_json::Value;
use shipway_documents::{
    diff::{Difference, Fate, FieldChange, NamedChange, NodeChange},
    json_text,
};

use super::super::{Paint, Style};

/// Characters of a value that are shown.
const SHOWN: usize = 60;

/// The lines of a difference.
pub(super) fn lines(difference: &Difference, paint: Paint) -> Vec<String> {
    let mut lines = Vec::new();
    let mut section = |title: &str, part: Vec<String>| {
        if !part.is_empty() {
            lines.push(paint.on(title, Style::Strong));
            lines.extend(part.into_iter().map(|line| format!("  {line}")));
        }
    };
    section("arguments", named(&difference.arguments, paint));
    section("triggers", named(&difference.triggers, paint));
    section("document", difference.fields.iter().map(|change| field("", change, paint)).collect());
    section("nodes", nodes(&difference.nodes, paint));
    lines
}

fn named(changes: &[NamedChange], paint: Paint) -> Vec<String> {
    changes
        .iter()
        .flat_map(|change| change.fields.iter().map(|part| field(&change.name, part, paint)))
        .collect()
}

/// A change of a value in one line.
fn field(of: &str, change: &FieldChange, paint: Paint) -> String {
    let dot =
        if of.is_empty() || change.label.is_empty() || change.label.starts_with('[') { "" } else { "." };
    let name = format!("{of}{dot}{}", change.label);
    match (&change.before, &change.after) {
        (None, Some(after)) => paint.on(&format!("+ {name}: {}", shown(after)), Style::Good),
        (Some(before), None) => paint.on(&format!("- {name}: {}", shown(before)), Style::Bad),
        (before, after) => format!(
            "{} {} {} {}",
            paint.on(&format!("~ {name}:"), Style::Busy),
            paint.on(&before.as_ref().map_or_else(String::new, shown), Style::Bad),
            paint.on("→", Style::Quiet),
            paint.on(&after.as_ref().map_or_else(String::new, shown), Style::Good),
        ),
    }
}

fn shown(value: &Value) -> String {
    let text = json_text(value);
    if text.chars().count() <= SHOWN {
        return text;
    }
    text.chars().take(SHOWN - 1).chain(['…']).collect()
}

/// Nodes with the workflows around them, in order.
#[derive(Default)]
struct Branch<'a> {
    name: &'a str,
    change: Option<&'a NodeChange>,
    children: Vec<Branch<'a>>,
}

impl<'a> Branch<'a> {
    fn add(&mut self, way: &'a [String], change: &'a NodeChange) {
        let Some((first, rest)) = way.split_first() else {
            // A workflow that has changed itself may stand here already, because something in it has.
            match self.children.iter_mut().find(|child| child.name == change.name && child.change.is_none()) {
                Some(child) => child.change = Some(change),
                None => {
                    self.children.push(Branch {
                        name: &change.name,
                        change: Some(change),
                        children: Vec::new(),
                    });
                }
            }
            return;
        };
        let known = self.children.iter().position(|child| child.name == first);
        let place = known.unwrap_or_else(|| {
            self.children.push(Branch { name: first, ..Branch::default() });
            self.children.len() - 1
        });
        self.children[place].add(rest, change);
    }

    fn lines(&self, indent: &str, paint: Paint, lines: &mut Vec<String>) {
        for (place, child) in self.children.iter().enumerate() {
            let last = place + 1 == self.children.len();
            let (branch, deeper) = if last { ("└ ", "  ") } else { ("├ ", "│ ") };
            let deeper = format!("{indent}{deeper}");
            let lead = paint.on(&format!("{indent}{branch}"), Style::Quiet);
            match child.change {
                Some(change) => {
                    lines.push(format!("{lead}{}", node(change, paint)));
                    if change.fate == Fate::Changed {
                        let fields = change.fields.iter().map(|change| field("", change, paint));
                        lines.extend(
                            fields.map(|line| format!("{}    {line}", paint.on(&deeper, Style::Quiet))),
                        );
                    }
                }
                None => lines.push(format!("{lead}{}", child.name)),
            }
            child.lines(&deeper, paint, lines);
        }
    }
}

fn nodes(changes: &[NodeChange], paint: Paint) -> Vec<String> {
    let mut root = Branch::default();
    for change in changes {
        root.add(&change.workflows, change);
    }
    let mut lines = Vec::new();
    root.lines("", paint, &mut lines);
    lines
}

fn node(change: &NodeChange, paint: Paint) -> String {
    let (mark, style) = match change.fate {
        Fate::Added => ("+", Style::Good),
        Fate::Removed => ("-", Style::Bad),
        Fate::Changed => ("~", Style::Busy),
    };
    let mut notes = Vec::new();
    if let Some(name) = &change.renamed_from {
        notes.push(format!("was called `{name}`"));
    }
    if let Some(from) = &change.moved_from {
        notes.push(match from.last() {
            Some(_) if *from == change.workflows => "moved within its workflow".to_owned(),
            Some(workflow) => format!("moved from `{workflow}`"),
            None => "moved".to_owned(),
        });
    }
    let notes = if notes.is_empty() { String::new() } else { format!("  {}", notes.join(", ")) };
    format!(
        "{}  {}{}",
        paint.on(&format!("{mark} {}", change.name), style),
        paint.on(&change.kind, Style::Quiet),
        paint.on(&notes, Style::Busy)
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use shipway_documents::diff::diff;

    use super::*;

    #[test]
    fn a_difference_reads_as_a_tree() {
        let step = |name: &str, id: &str| json!({"kind": "Noop", "ref": name, "spec": {"id": id}});
        let flow = |policy: &str, steps: Value| {
            json!({
                "arguments": {"REGION": policy},
                "options": {"concurrencyPolicy": policy},
                "spec": {"kind": "Workflow", "ref": "main", "spec": {"type": "sequential", "steps": steps}},
            })
        };
        let tests = |steps: Value| json!({"kind": "Workflow", "ref": "tests", "spec": {"type": "parallel", "steps": steps}});
        let before = flow(
            "queue",
            json!([
                step("build", "api"),
                step("deploy", "api"),
                tests(json!([step("smoke", "a"), step("old", "b")]))
            ]),
        );
        let after = flow(
            "latest",
            json!([
                step("approve", "x"),
                step("smoke", "a"),
                step("build", "web"),
                step("ship", "api"),
                tests(json!([]))
            ]),
        );
        let expected = "\
arguments
  ~ REGION: \"queue\" → \"latest\"
document
  ~ options.concurrencyPolicy: \"queue\" → \"latest\"
nodes
  └ main
    ├ + approve  Noop
    ├ ~ smoke  Noop  moved from `tests`
    ├ tests
    │ └ - old  Noop
    ├ ~ build  Noop
    │     ~ spec.id: \"api\" → \"web\"
    └ ~ ship  Noop  was called `deploy`";
        assert_eq!(lines(&diff(&before, &after), Paint::none()).join("\n"), expected);
    }
}
