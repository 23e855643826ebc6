//! `shipway deliveries explain`: what a webhook's payload says, and what a flow's triggers would make of it. Asks no
//! server.

use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

use serde_json::{Value, json};
use shipway_documents::{flow::Flow, parse};
use shipway_events::delivery::{RuleOutcome, Verdict};
use shipway_triggers::domain::{
    explain::{explain as judge, triggers_of},
    push::Delivered,
    rules::FlowTrigger,
    sources::{SOURCES, Source, named},
};

use super::{Exit, Failure, Outcome, Paint, Style, Table, flags::Output, out, output::out_json};

/// Arguments of `shipway deliveries explain`.
#[derive(Debug, clap::Args)]
pub(crate) struct ExplainArgs {
    /// The payload as JSON; `-` for standard input.
    #[arg(value_name = "FILE")]
    payload: PathBuf,
    /// Who sent it: github, gitlab, gitea, forgejo, bitbucket, bitbucket-dc or azure.
    #[arg(long, value_name = "NAME", value_parser = provider)]
    provider: &'static Source,
    /// The event as its header names it: push, "Merge Request Hook", repo:push. Azure DevOps has it in the payload.
    #[arg(long, value_name = "EVENT")]
    event: Option<String>,
    /// A flow's document, or a file as `shipway apply` takes it, to see what the triggers would make of it.
    #[arg(long, value_name = "FILE")]
    flow: Option<PathBuf>,
    /// For people, or for programs.
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Output,
}

fn provider(name: &str) -> Result<&'static Source, String> {
    named(name).ok_or_else(|| {
        let known: Vec<_> = SOURCES.iter().map(|source| source.name).collect();
        format!("it is one of {}", known.join(", "))
    })
}

pub(crate) fn explain(args: &ExplainArgs) -> Outcome {
    let body = read(&args.payload)?;
    let source = args.provider;
    let event = args.event.clone().or_else(|| source.event(|_| None, &body)).ok_or_else(|| {
        Failure::usage(format!("the event is missing: {} names it in the {}", source.title, source.event))
            .help("give it with --event")
    })?;
    let delivered = (source.read)(&event, &body)
        .map_err(|unreadable| Failure::new(format!("{}: {unreadable}", args.payload.display())))?;
    let verdicts = match &args.flow {
        Some(flow) => judge(&delivered, &triggers(flow)?),
        None => Vec::new(),
    };
    if args.output == Output::Json {
        out_json(&json!({
            "provider": source.name,
            "event": event,
            "summary": delivered.summary(),
            "delivered": delivered,
            "verdicts": verdicts.iter().map(as_json).collect::<Vec<_>>(),
        }));
    } else {
        out(&text(
            source,
            &event,
            &delivered,
            args.flow.as_ref().map(|_| verdicts.as_slice()),
            Paint::stdout(),
        ));
    }
    Ok(Exit::Ok)
}

/// The event, then the facts of everything that it tells of, then each trigger's verdict.
fn text(
    source: &Source,
    event: &str,
    delivered: &Delivered,
    verdicts: Option<&[Verdict]>,
    paint: Paint,
) -> String {
    let mut text = format!("{} `{event}`: {}\n", source.title, delivered.summary());
    let parts = match json!(delivered) {
        Value::Object(kinds) => kinds.into_iter().map(|(_, value)| value).next().unwrap_or_default(),
        _ => Value::Null,
    };
    let parts = match parts {
        Value::Array(parts) => parts,
        Value::Object(fields) => vec![Value::Object(fields)],
        _ => Vec::new(),
    };
    for part in &parts {
        let mut table = Table::new(&["FACT", "VALUE"]);
        for (fact, value) in part.as_object().into_iter().flatten().filter(|(_, value)| is_told(value)) {
            table.row([fact.as_str(), &shown(value)]);
        }
        text.push_str(&format!("\n{}\n", table.text(paint).trim_end()));
    }
    if let Some(verdicts) = verdicts {
        text.push_str(&format!("\n{}\n", judged(verdicts).text(paint).trim_end()));
        let asked = asked(verdicts);
        if !asked.is_empty() {
            text.push_str(&format!("\n{}\n", asked.text(paint).trim_end()));
        }
    }
    text.trim_end().to_owned()
}

/// A trigger's name, with its flow's where there are several.
fn called(verdict: &Verdict, verdicts: &[Verdict]) -> String {
    match verdicts.iter().any(|other| other.path != verdict.path) {
        true => format!("{} {}", verdict.path, verdict.trigger),
        false => verdict.trigger.clone(),
    }
}

fn judged(verdicts: &[Verdict]) -> Table {
    let mut table = Table::new(&["TRIGGER", "STARTS IT", "WHY"]);
    for verdict in verdicts {
        let (word, style) = starts(verdict);
        table.styled([
            (called(verdict, verdicts), Style::Plain),
            (word.to_owned(), style),
            (verdict.reason.clone(), Style::Plain),
        ]);
    }
    table
}

/// Whether a verdict starts the flow: what only Git can tell is open here, where no repository is asked.
fn starts(verdict: &Verdict) -> (&'static str, Style) {
    let said = |outcome: RuleOutcome| verdict.rules.iter().any(|rule| rule.outcome == outcome);
    match verdict.matched {
        true => ("yes", Style::Good),
        false if said(RuleOutcome::Open) && !said(RuleOutcome::Failed) => ("open", Style::Busy),
        false => ("no", Style::Bad),
    }
}

/// Every rule of every trigger that was asked, in the order in which they were.
fn asked(verdicts: &[Verdict]) -> Table {
    let mut table = Table::new(&["TRIGGER", "RULE", "SAYS", "WHY"]);
    for (verdict, rule) in
        verdicts.iter().flat_map(|verdict| verdict.rules.iter().map(move |rule| (verdict, rule)))
    {
        let style = match rule.outcome {
            RuleOutcome::Passed => Style::Good,
            RuleOutcome::Failed => Style::Bad,
            RuleOutcome::Open => Style::Busy,
            RuleOutcome::Unknown => Style::Plain,
        };
        table.styled([
            (called(verdict, verdicts), Style::Plain),
            (rule.rule.clone(), Style::Plain),
            (rule.outcome.as_str().to_owned(), style),
            (rule.words.clone(), Style::Plain),
        ]);
    }
    table
}

/// A verdict without the ids that a file has not.
fn as_json(verdict: &Verdict) -> Value {
    let mut shown = json!(verdict);
    if let Some(fields) = shown.as_object_mut() {
        fields.retain(|key, _| !["project", "flow"].contains(&key.as_str()));
    }
    shown
}

fn is_told(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Array(items) => !items.is_empty(),
        Value::String(text) => !text.is_empty(),
        _ => true,
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.lines().next().unwrap_or_default().to_owned(),
        Value::Array(items) => items.iter().map(shown).collect::<Vec<_>>().join(", "),
        Value::Object(fields) => {
            let text = |key: &str| fields.get(key).map(shown);
            match (text("id"), text("message")) {
                (Some(id), Some(message)) => format!("{} {message}", id.get(..7).unwrap_or(&id)),
                _ => fields
                    .iter()
                    .map(|(key, value)| format!("{key} {}", shown(value)))
                    .collect::<Vec<_>>()
                    .join(", "),
            }
        }
        other => other.to_string(),
    }
}

/// The triggers of a flow's document, or of all flows in a file as `shipway apply` takes it.
fn triggers(file: &Path) -> Result<Vec<FlowTrigger>, Failure> {
    let name = file.display().to_string();
    let text = String::from_utf8(read(file)?)
        .map_err(|_| Failure::usage(format!("reading {name}: it is not UTF-8 text")))?;
    let document = parse(&name, &text).map_err(|report| Failure::usage(report.to_string()))?;
    let stages = stages(&document.value);
    if stages.is_empty() {
        let flow = Flow::parse(&document.value)
            .map_err(|problems| Failure::usage(document.report(problems).to_string()))?;
        return of_flow(&name, &flow);
    }
    let mut all = Vec::new();
    for (path, flow) in stages {
        let flow = Flow::parse(flow).map_err(|_| {
            Failure::usage(format!("{name}: the flow of {path} is not right"))
                .help(format!("`shipway apply --dry-run -f {name}` says what is wrong with it"))
        })?;
        all.extend(of_flow(&path, &flow)?);
    }
    Ok(all)
}

fn of_flow(path: &str, flow: &Flow) -> Result<Vec<FlowTrigger>, Failure> {
    let typed = shipway_pipelines::typed_triggers(flow, None);
    triggers_of(path, &typed).map_err(|error| Failure::usage(error.to_string()))
}

/// The flows of the pipelines among declarations, each under `pipeline/stage`.
fn stages(value: &Value) -> Vec<(String, &Value)> {
    let declared = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
    let mut all = Vec::new();
    for pipeline in declared.iter().filter(|one| one["kind"] == "Pipeline") {
        let name = pipeline["spec"]["name"].as_str().unwrap_or_default();
        for stage in pipeline["spec"]["stages"].as_array().into_iter().flatten() {
            let called = stage["name"].as_str().unwrap_or_default().to_lowercase();
            all.extend(stage.pointer("/releaseFlow/spec").map(|flow| (format!("{name}/{called}"), flow)));
        }
    }
    all
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let read = if path == Path::new("-") {
        io::stdin().read_to_end(&mut bytes).map(drop)
    } else {
        fs::read(path).map(|content| bytes = content)
    };
    read.map_err(|error| Failure::usage(format!("reading {}: {error}", path.display())))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUSH: &[u8] = include_bytes!("../../../triggers/tests/it/fixtures/gitlab-push.json");

    fn flow(patterns: &str) -> tempfile::NamedTempFile {
        let file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
        let text = format!(
            "apiVersion: v1.2\ntriggers:\n  - ref: app\n    vcsService: self-hosted\n    repoUrl: \
             https://gitlab.example.com/acme/shop\n    branchRestrictions: {patterns}\n    ciIgnoreFlagsEnabled: \
             true\nspec:\n  kind: Workflow\n  spec: {{ type: sequential, steps: [] }}\n"
        );
        fs::write(file.path(), text).unwrap();
        file
    }

    #[test]
    fn a_payload_is_told_with_what_each_trigger_makes_of_it() {
        let source = named("gitlab").unwrap();
        let delivered = (source.read)("Push Hook", PUSH).unwrap();
        let none = flow("[main]");
        let verdicts = judge(&delivered, &triggers(none.path()).unwrap());
        let text = text(source, "Push Hook", &delivered, Some(&verdicts), Paint::none());
        for line in [
            "GitLab `Push Hook`: push of ccccccc to feature/cart",
            "reference     refs/heads/feature/cart",
            "commits       bbbbbbb Try some, ccccccc Keep it",
            "app      no         branch feature/cart matches none of the rules `main`",
            "TRIGGER  RULE    SAYS    WHY",
            "app      branch  failed  branch feature/cart matches none of the rules `main`",
            "app      flags   failed  commit bbbbbbb says `[skip ci]`",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
        let flagged = flow("['feature/*']");
        let verdicts = judge(&delivered, &triggers(flagged.path()).unwrap());
        assert!(!verdicts[0].matched && verdicts[0].reason.contains("[skip ci]"), "{verdicts:?}");
        let shown = as_json(&verdicts[0]);
        assert_eq!((&shown["matched"], shown.get("flow")), (&json!(false), None));
        let rules: Vec<_> = shown["rules"].as_array().unwrap().iter().map(|rule| &rule["outcome"]).collect();
        assert_eq!(rules, ["passed", "failed"]);
    }

    #[test]
    fn a_file_as_it_is_applied_tells_of_all_its_flows() {
        let source = named("gitlab").unwrap();
        let delivered = (source.read)("Push Hook", PUSH).unwrap();
        let stage = |name: &str, branch: &str| {
            format!(
                "\n    - name: {name}\n      releaseFlow:\n        kind: ReleaseFlow\n        spec:\n          apiVersion: \
                 v1.2\n          triggers: [{{ref: app, vcsService: gitlab, repoUrl: \"https://gitlab.example.com/acme/shop\", \
                 branchRestrictions: ['{branch}']}}]\n          spec: {{kind: Workflow, spec: {{type: sequential, steps: []}}}}"
            )
        };
        let file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
        let stages = [stage("Development", "feature/*"), stage("Staging", "main")].concat();
        let text = format!(
            "kind: Project\nspec: {{name: shop, region: local}}\n---\nkind: Pipeline\nspec:\n  name: shop\n  projectId: \
             shop\n  stages:{stages}\n    - name: Production\n"
        );
        fs::write(file.path(), text).unwrap();
        let verdicts = judge(&delivered, &triggers(file.path()).unwrap());
        let told = judged(&verdicts).text(Paint::none());
        assert!(told.contains("shop/development app  yes"), "{told}");
        assert!(told.contains("shop/staging app      no"), "{told}");
    }

    #[test]
    fn what_only_git_can_tell_is_open() {
        let source = named("gitlab").unwrap();
        let delivered = (source.read)("Push Hook", PUSH).unwrap();
        let file = flow("['feature/*']\n    pathIgnoreRules: ['docs/**']");
        let text = fs::read_to_string(file.path()).unwrap().replace("Enabled: true", "Enabled: false");
        fs::write(file.path(), text).unwrap();
        let verdicts = judge(&delivered, &triggers(file.path()).unwrap());
        let told = judged(&verdicts).text(Paint::none()) + "\n" + &asked(&verdicts).text(Paint::none());
        assert!(told.contains("app      open       waits for the repository"), "{told}");
        assert!(
            told.contains("app      paths   open    which files were changed, only Git can tell"),
            "{told}"
        );
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "{\"object_kind\": \"push\"}").unwrap();
        let args = |provider: &str, event: Option<&str>| ExplainArgs {
            payload: file.path().to_owned(),
            provider: named(provider).unwrap(),
            event: event.map(str::to_owned),
            flow: None,
            output: Output::Table,
        };
        let said = explain(&args("gitlab", Some("Push Hook"))).unwrap_err();
        assert!(format!("{said:?}").contains("missing field `ref`"), "{said:?}");
        let said = explain(&args("gitlab", None)).unwrap_err();
        assert!(format!("{said:?}").contains("header `x-gitlab-event`"), "{said:?}");
        let said = explain(&args("azure", None)).unwrap_err();
        assert!(format!("{said:?}").contains("field `eventType`"), "{said:?}");
    }
}
