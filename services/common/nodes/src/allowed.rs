//! Whether a document may hold a node of that kind, and whether this version does what it says.

use shipway_documents::{
    Code, DocumentType, Problem, Problems, Support,
    flow::Node,
    kinds::{self, KNOWN, canonical},
    pointer,
};

use crate::{Kind, find, supported_in};

/// The kind of a node; none where there is no such kind, or the document may not hold it. What this version does
/// not do is noted, and its shape can be checked all the same.
pub(crate) fn kind(
    node: &Node,
    document: DocumentType,
    problems: &mut Problems,
) -> Option<&'static dyn Kind> {
    let at = pointer::join(&node.pointer, "kind");
    let name = node.kind.as_str();
    let right = canonical(name);
    if right != name {
        let problem = Problem::warning(&at, format!("`{name}` is another name of `{right}`"));
        problems.push(problem.code(Code::AliasUsed).help(format!("write `kind: {right}`")));
    }
    let Some(known) = kinds::find(name) else {
        let problem = Problem::error(&at, format!("no node is of kind `{name}`")).code(Code::KindUnknown);
        problems.push(problem.suggest(name, KNOWN.iter().map(|kind| kind.name)));
        return None;
    };
    if !known.is_allowed_in(document) {
        let message = format!("{} cannot hold `{name}` nodes", document.describe());
        problems.push(Problem::error(&at, message).code(Code::KindPlace).help(place(known, document)));
        return None;
    }
    let found = find(name);
    let support = if found.is_some() { known.support_in(document) } else { Support::Later };
    let reference = &node.reference;
    let message = match support {
        Support::Runs => return found,
        Support::Later => format!("the node `{reference}` is of kind `{name}`, which is not supported yet"),
        Support::OutOfScope => {
            format!("the node `{reference}` is of kind `{name}`, which is kept and not run")
        }
    };
    let problem = Problem::unsupported(&at, message).code(Code::KindUnsupported);
    problems.push(problem.help(format!("supported are {}", supported_in(document).join(", "))));
    found
}

/// What a preview does once, though it is run again and again.
const ONCE: [&str; 5] = ["AddonBackup", "AddonImport", "JobRun", "Action", "Message"];

/// Notes a `runNodeOnce` that has no meaning: only the environment of a preview has a first run.
pub(crate) fn once(node: &Node, document: DocumentType, problems: &mut Problems) {
    if !node.once {
        return;
    }
    let at = pointer::join(&node.pointer, "runNodeOnce");
    if document != DocumentType::Blueprint {
        let message = format!(
            "`runNodeOnce` is for preview blueprints: in {} nodes run every time",
            document.describe()
        );
        let help = "take it away; what may leave a node out here is `skipNodeExecution`";
        problems.push(Problem::unsupported(at, message).help(help));
    } else if !ONCE.contains(&canonical(&node.kind)) {
        let message = format!("`runNodeOnce` has no effect: `{}` nodes run every time", node.kind);
        let help = format!("it is for {} nodes", shipway_documents::list(ONCE));
        problems.push(Problem::warning(at, message).help(help));
    }
}

/// Where nodes of a kind may stand instead.
fn place(known: &kinds::KnownKind, document: DocumentType) -> String {
    let places: Vec<_> = known.documents.iter().map(|document| document.describe()).collect();
    let places = match places.split_last() {
        Some((last, [])) => (*last).to_owned(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
        None => String::new(),
    };
    let declared = known.support_in(DocumentType::Template) == Support::Runs;
    if document == DocumentType::ReleaseFlow && declared && known.is_allowed_in(DocumentType::Template) {
        format!("declare the {} beside the flow, with `shipway apply`; it may stand in {places}", known.name)
    } else {
        format!("it may stand in {places}")
    }
}

/// Notes a `condition` that nodes of the kind cannot wait for.
pub(crate) fn condition(kind: &dyn Kind, node: &Node, problems: &mut Problems) {
    let Some(condition) = &node.condition else { return };
    let allowed = kind.conditions();
    if allowed.contains(&condition.as_str()) {
        return;
    }
    let at = pointer::join(&node.pointer, "condition");
    let problem = Problem::error(at, format!("`{}` nodes cannot wait for `{condition}`", kind.name()));
    let problem = problem.code(Code::ConditionInvalid);
    problems.push(match allowed {
        [] => problem.help("take `condition` away: it is done when it has ended"),
        [one] => problem.help(format!("write `condition: {one}`")),
        some => problem.help(format!("it is one of {}", shipway_documents::list(some.iter().copied()))),
    });
}
