//! What the checker promises: of a flow in which it finds no error, no expression is without a value when its
//! node's turn comes and all goes well. Random flows, carried out by a small model of how steps follow each other.

use std::{borrow::Cow, cell::Cell, collections::BTreeMap};

use proptest::{prelude::*, test_runner::TestRunner};
use serde_json::{Value, json};
use shipway_documents::{
    Code, Problem, Severity,
    expr::{Lookup, Scope, resolve},
    flow::{Flow, Node, is_skipped},
};
use shipway_events::plan::When;
use shipway_nodes::{
    Outputs, find,
    lint::{Knowledge, lint, lint_document},
};

/// A node to be: its shape by numbers, so that it shrinks well.
#[derive(Clone, Debug)]
struct Seed {
    kind: u8,
    order: u8,
    when: u8,
    skip: u8,
    refers: Vec<(u8, u8)>,
    waits: Vec<u8>,
    steps: Vec<Seed>,
}

fn seed() -> impl Strategy<Value = Seed> {
    let refers = || prop::collection::vec((any::<u8>(), any::<u8>()), 0..3);
    let waits = || prop::collection::vec(any::<u8>(), 0..3);
    let leaf = (any::<u8>(), any::<u8>(), any::<u8>(), refers(), waits()).prop_map(
        |(kind, when, skip, refers, waits)| Seed { kind, order: 0, when, skip, refers, waits, steps: vec![] },
    );
    leaf.prop_recursive(3, 14, 5, move |inner| {
        (any::<u8>(), any::<u8>(), any::<u8>(), waits(), prop::collection::vec(inner, 1..5)).prop_map(
            |(order, when, skip, waits, steps)| Seed {
                kind: 0,
                order,
                when,
                skip,
                refers: vec![],
                waits,
                steps,
            },
        )
    })
}

impl Seed {
    /// This one and all in it, in the order of the document.
    fn all<'a>(&'a self, found: &mut Vec<&'a Seed>) {
        found.push(self);
        self.steps.iter().for_each(|step| step.all(found));
    }

    /// An output that a node of this seed has.
    fn output(&self) -> &'static str {
        if self.kind.is_multiple_of(3) { "a" } else { "id" }
    }
}

/// Makes a document of seeds.
struct Writer<'a> {
    all: Vec<&'a Seed>,
    next: usize,
}

impl Writer<'_> {
    fn node(&mut self, seed: &Seed) -> Value {
        let own = self.next;
        self.next += 1;
        let mut node = json!({"ref": format!("n{own}")});
        if seed.steps.is_empty() {
            self.work(seed, own, &mut node);
        } else {
            let orders = ["sequential", "sequential", "sequential", "parallel", "graph", "graph"];
            let order = orders[usize::from(seed.order) % orders.len()];
            let mut steps: Vec<Value> = seed.steps.iter().map(|step| self.node(step)).collect();
            let names: Vec<Value> = steps.iter().map(|step| step["ref"].clone()).collect();
            for (n, (step, seed)) in steps.iter_mut().zip(&seed.steps).enumerate().skip(1) {
                if order == "graph" {
                    // Mostly for one that comes before: a circle is wrong whatever else there is.
                    let among = |which: &u8| if which % 16 < 15 { n } else { names.len() };
                    let waits = seed.waits.iter().map(|which| &names[usize::from(*which) % among(which)]);
                    step["dependsOn"] = waits.cloned().collect();
                }
            }
            node["kind"] = json!("Workflow");
            node["spec"] = json!({"type": order, "steps": steps});
        }
        match seed.when % 24 {
            0 => node["when"] = json!("failure"),
            1 => node["when"] = json!("always"),
            _ => {}
        }
        match seed.skip % 24 {
            0 => node["skipNodeExecution"] = json!("true"),
            1 => node["skipNodeExecution"] = json!("${fn.eq('a', 'b')}"),
            _ => {}
        }
        node
    }

    fn work(&self, seed: &Seed, own: usize, node: &mut Value) {
        let works = |from: usize, to: usize| -> Vec<usize> {
            (from..to).filter(|n| self.all[*n].steps.is_empty()).collect()
        };
        let reference = |(which, path): &(u8, u8)| {
            // Mostly one that comes before.
            let all = self.all.len();
            let among = if path % 16 < 15 { works(own.saturating_sub(4), own) } else { works(0, all) };
            let target = *among.get(usize::from(*which) % among.len().max(1))?;
            let output = match path % 32 {
                0 => "status",
                1 => "nothing",
                _ => self.all[target].output(),
            };
            Some(format!("${{refs.n{target}.{output}}}"))
        };
        let mut text: String = seed.refers.iter().filter_map(reference).collect();
        if text.is_empty() {
            text.push('x');
        }
        let (kind, spec) = match seed.kind % 3 {
            0 => ("Noop", json!({"outputs": {"a": text}})),
            _ => ("JobRun", json!({"jobId": "job", "runtimeEnvironment": {"A": text}})),
        };
        (node["kind"], node["spec"]) = (json!(kind), spec);
        if seed.kind % 3 == 1 {
            node["condition"] = json!("success");
        }
    }
}

/// The outputs so far.
#[derive(Default)]
struct World {
    outputs: BTreeMap<String, Value>,
    skipped: Vec<String>,
}

impl Scope for World {
    fn arg(&self, _name: &str) -> Lookup<'_> {
        Lookup::Missing { known: Vec::new() }
    }

    fn reference(&self, reference: &str) -> Lookup<'_> {
        match self.outputs.get(reference) {
            Some(outputs) => Lookup::Value(Cow::Borrowed(outputs)),
            None if self.skipped.iter().any(|name| name == reference) => Lookup::Skipped(String::new()),
            None => Lookup::Later,
        }
    }

    fn trigger(&self, _reference: &str) -> Lookup<'_> {
        Lookup::Missing { known: Vec::new() }
    }
}

impl World {
    /// Carries out a node whose turn has come, and tells the first expression without a value.
    fn run(&mut self, node: &Node) -> Result<(), String> {
        let skip =
            node.skip.as_ref().map(|skip| resolve(skip, self, "").map_err(|found| format!("{found:?}")));
        if node.when == When::Failure || skip.transpose()?.is_some_and(|skip| is_skipped(&skip)) {
            self.skip(node);
            return Ok(());
        }
        if node.kind == "Workflow" {
            return self.steps(node);
        }
        let spec = resolve(&node.spec, self, &node.pointer)
            .map_err(|found| format!("{}: {found:?}", node.reference))?;
        let kind = find(&node.kind).ok_or("no such kind")?;
        let awaited = kind.awaited(&node.spec, node.condition.as_deref());
        let Outputs { always, finished, .. } = kind.outputs(&node.spec);
        let mut outputs = json!({});
        for path in always.iter().chain(finished.iter().filter(|_| awaited)) {
            let name = path.split('.').next().unwrap_or_default();
            outputs[name] = spec.pointer(&format!("/outputs/{name}")).cloned().unwrap_or(json!("x"));
        }
        self.outputs.insert(node.reference.clone(), outputs);
        Ok(())
    }

    fn skip(&mut self, node: &Node) {
        self.skipped.push(node.reference.clone());
        node.children.iter().for_each(|child| self.skip(child));
    }

    /// Steps side by side run last to first: that the document has them in some order must not matter.
    fn steps(&mut self, workflow: &Node) -> Result<(), String> {
        let steps = &workflow.children;
        match workflow.spec["type"].as_str() {
            Some("sequential") => steps.iter().try_for_each(|step| self.run(step)),
            Some("parallel") => {
                let plain = |step: &&Node| step.when == When::Success;
                let (first, last): (Vec<&Node>, Vec<&Node>) = steps.iter().rev().partition(plain);
                first.into_iter().chain(last).try_for_each(|step| self.run(step))
            }
            _ => {
                let mut open: Vec<&Node> = steps.iter().rev().collect();
                while !open.is_empty() {
                    let waits = |step: &&Node| {
                        step.depends_on.iter().any(|name| open.iter().any(|other| other.reference == *name))
                    };
                    let Some(next) = open.iter().position(|step| !waits(step)) else {
                        return Err("the steps wait for each other".to_owned());
                    };
                    self.run(open.remove(next))?;
                }
                Ok(())
            }
        }
    }
}

#[test]
fn a_flow_without_errors_has_a_value_for_every_expression() {
    let (sound, referring) = (Cell::new(0), Cell::new(0));
    let config = ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() };
    let seeds = prop::collection::vec(seed(), 1..6);
    let result = TestRunner::new(config).run(&seeds, |steps| {
        let root = Seed { kind: 0, order: 0, when: 7, skip: 7, refers: vec![], waits: vec![], steps };
        let mut writer = Writer { all: Vec::new(), next: 0 };
        root.all(&mut writer.all);
        let document = json!({"spec": writer.node(&root)});
        let located = shipway_documents::parse("flow.json", &document.to_string()).unwrap();
        let problems = lint_document(&located, Knowledge::default());
        let wrong = |problem: &Problem| problem.severity == Severity::Error || problem.code == Code::RefMaybe;
        if !problems.iter().any(wrong) {
            sound.set(sound.get() + 1);
            referring.set(referring.get() + u32::from(document.to_string().contains("${refs.")));
            let flow = Flow::parse(&document).unwrap();
            let result = World::default().run(&flow.root);
            prop_assert!(result.is_ok(), "{}\n{document:#}\n{problems}", result.unwrap_err());
        }
        Ok(())
    });
    println!("{} flows without errors, {} of them with references", sound.get(), referring.get());
    assert!(result.is_ok(), "{}", result.unwrap_err());
    assert!(referring.get() > cases() / 40, "hardly any flow with references was right");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_that_parses_makes_the_check_panic(text in "[a-z{}\\[\\]:,\"$.() \n-]{0,80}", inner in ".{0,60}") {
        let quoted = json!(format!("${{{inner}}}"));
        for (name, text) in [
            ("a.yaml", text.clone()),
            ("b.yaml", format!("spec: {{kind: Workflow, spec: {{type: graph, steps: [{text}]}}}}")),
            ("c.json", json!({"spec": {"kind": "Workflow", "spec": {"type": "sequential", "steps": [
                {"kind": "Noop", "spec": {"outputs": {"a": quoted}}},
            ]}}}).to_string()),
        ] {
            let _ = lint(name, &text, Knowledge::default()).to_string();
        }
    }
}

/// How many random flows.
fn cases() -> u32 {
    if std::env::var_os("SHIPWAY_FULL").is_some() { 20_000 } else { 400 }
}
