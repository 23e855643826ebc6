//! `dependsOn`: that it names steps beside, and that nothing waits for itself.

use shipway_documents::{Code, Problem, Problems, flow::Node, nearest, pointer};

use super::{
    MOST_SUGGESTIONS,
    index::{Index, Steps},
    reach::{circles, order},
};

pub(super) fn check(index: &Index<'_>, problems: &mut Problems) {
    let mut suggested = 0;
    for (at, item) in index.all() {
        if !item.node.depends_on.is_empty() {
            depends_on(index, at, &mut suggested, problems);
        }
        if index.steps(at) == Steps::Graph && item.node.kind == "Workflow" {
            acyclic(index, at, problems);
        }
    }
}

fn depends_on(index: &Index<'_>, at: u32, suggested: &mut usize, problems: &mut Problems) {
    let item = index.get(at);
    let list = pointer::join(&item.node.pointer, "dependsOn");
    let around = item.parent.filter(|parent| index.steps(*parent) == Steps::Graph);
    let Some(around) = around else {
        let problem = Problem::error(list, "`dependsOn` only has a meaning in a workflow of `type: graph`");
        let problem = problem.code(Code::GraphPlace).at_key();
        problems.push(match item.parent.map(|parent| index.get(parent).node) {
            Some(parent) => problem
                .related(pointer::join(&parent.spec_pointer(), "type"), "the workflow around it is of this type")
                .help("write `type: graph` there, or take `dependsOn` away: the order of the steps says what waits"),
            None => problem.help("take it away"),
        });
        return;
    };
    for (n, name) in item.node.depends_on.iter().enumerate() {
        let place = pointer::item(&list, n);
        match index.find(name) {
            None if *suggested == MOST_SUGGESTIONS => {
                let problem = Problem::error(place, format!("no step is called `{name}`"));
                problems.push(problem.code(Code::GraphUnknown).help("name a step beside this one"));
            }
            None => {
                *suggested += 1;
                let beside = index.get(around).children.iter().filter(|other| **other != at);
                let names: Vec<&str> =
                    beside.map(|other| index.get(*other).node.reference.as_str()).collect();
                let problem =
                    Problem::error(place, format!("no step is called `{name}`")).code(Code::GraphUnknown);
                problems.push(match nearest(name, index.names()) {
                    Some(near) => problem.help(format!("did you mean `{near}`?")),
                    None => problem.help("there is no other step to wait for").suggest(name, names),
                });
            }
            Some(other) if index.get(other).parent != Some(around) => {
                problems.push(foreign(index, place, name, at, other, around));
            }
            Some(_) => {}
        }
    }
}

/// What is waited for is no step of the same graph; a step of it may hold it.
fn foreign(index: &Index<'_>, place: String, name: &str, at: u32, other: u32, around: u32) -> Problem {
    let beside = |step: &u32| index.get(*step).parent == Some(around) && *step != at;
    let problem = Problem::error(place, format!("`{name}` is not a step of the same workflow"))
        .code(Code::GraphForeign)
        .related(index.get(other).node.pointer.clone(), format!("`{name}` is here"));
    match index.outwards(other).find(beside) {
        Some(step) => {
            let step = &index.get(step).node.reference;
            problem.help(format!("wait for the step that holds it: `dependsOn: [{step}]`"))
        }
        None => problem.help("`dependsOn` names steps beside this one"),
    }
}

fn acyclic(index: &Index<'_>, graph: u32, problems: &mut Problems) {
    let steps = &index.get(graph).children;
    let node = |place: u32| -> Option<&Node> { Some(index.get(*steps.get(place as usize)?).node) };
    for circle in circles(&order(index, graph)) {
        let nodes: Vec<&Node> = circle.iter().filter_map(|place| node(*place)).collect();
        let Some(first) = nodes.first() else { continue };
        let message = match nodes.as_slice() {
            [one] => format!("`{}` waits for itself: it never starts", one.reference),
            all => {
                let shown = all.iter().skip(1).take(6).map(|node| format!("`{}`", node.reference));
                let mut way: Vec<String> = shown.collect();
                if all.len() > 7 {
                    way.push(format!("{} more", all.len() - 7));
                }
                let way = way.join(", which waits for ");
                format!(
                    "`{0}` waits for {way}, which waits for `{0}`: none of them ever starts",
                    first.reference
                )
            }
        };
        let mut problem =
            Problem::error(pointer::join(&first.pointer, "dependsOn"), message).code(Code::GraphCycle);
        for other in nodes.iter().skip(1).take(6) {
            let place = pointer::join(&other.pointer, "dependsOn");
            problem = problem.related(place, format!("what `{}` waits for", other.reference));
        }
        problems.push(problem.help("take one of them out of a `dependsOn`"));
    }
}
