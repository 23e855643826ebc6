//! `shipway lint`: all that is wrong with documents, before anything is published or run.

use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::{Value, json};
use shipway_contracts::v1::{self, CheckDocumentRequest, SourceFile, problem};
use shipway_documents::{Code, DocumentType, Problem, Related, Report, Severity, Source, list, nearest};
use shipway_nodes::lint::{Knowledge, lint as check};

use super::{Client, Exit, Failure, Outcome, Paint, Style, flags::Common, out, output::out_json, talk};

/// Arguments of `shipway lint`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// YAML or JSON files; `-` for standard input.
    #[arg(value_name = "FILE", required_unless_present = "explain")]
    files: Vec<PathBuf>,
    /// What the files are, where they do not show it: template, release-flow, preview, workflow, blueprint, teardown.
    #[arg(long = "as", value_name = "TYPE", value_parser = document_type)]
    document: Option<DocumentType>,
    /// Asks the server, which knows the project: the file is to be the next version of this flow.
    #[arg(long, value_name = "FLOW")]
    flow: Option<String>,
    /// Explains a code, with an example and the way out.
    #[arg(long, value_name = "CODE", conflicts_with = "files")]
    explain: Option<String>,
    #[command(flatten)]
    common: Common,
}

fn document_type(word: &str) -> Result<DocumentType, String> {
    DocumentType::parse(word).ok_or_else(|| {
        let known = list(DocumentType::ALL.iter().map(|document| document.as_str()));
        format!("it is one of {known}")
    })
}

/// Checks files: here, or, with a flow, on the server.
pub(crate) async fn lint(args: Args) -> Outcome {
    if let Some(code) = &args.explain {
        return explain(code);
    }
    let client = match &args.flow {
        Some(_) => Some(Client::connect(&args.common.place).await?),
        None => None,
    };
    let (mut reports, mut unread) = (Vec::new(), Vec::new());
    for path in &args.files {
        match read(path) {
            Ok(file) => reports.push(match (&client, &args.flow) {
                (Some(client), Some(flow)) => ask(client, &file, flow, args.document).await?,
                _ => check(
                    &file.name,
                    &file.text,
                    Knowledge { document: args.document, ..Knowledge::default() },
                ),
            }),
            Err(failure) => unread.push(failure),
        }
    }
    if args.common.json() {
        out_json(&as_json(&reports));
    } else {
        print(&reports);
    }
    unread.iter().for_each(Failure::print);
    Ok(if !unread.is_empty() {
        Exit::Usage
    } else if count(&reports, Severity::Error) > 0 {
        Exit::Failed
    } else {
        Exit::Ok
    })
}

fn explain(code: &str) -> Outcome {
    let Ok(code) = code.parse::<Code>() else {
        let known = || Code::ALL.iter().map(|code| code.as_str());
        let failure = Failure::usage(format!("no problem has the code `{code}`"));
        return Err(match nearest(code, known()) {
            Some(near) => failure.help(format!("did you mean `{near}`?")),
            None => failure.help(format!("the codes are {}", known().collect::<Vec<_>>().join(", "))),
        });
    };
    out(&format!("{code}\n\n{}", code.explanation()));
    Ok(Exit::Ok)
}

fn read(path: &Path) -> Result<SourceFile, Failure> {
    let name = path.display().to_string();
    let mut bytes = Vec::new();
    let read = if name == "-" {
        io::stdin().read_to_end(&mut bytes).map(drop)
    } else {
        fs::read(path).map(|content| bytes = content)
    };
    read.map_err(|error| Failure::usage(format!("reading {name}: {error}")))?;
    let text = String::from_utf8(bytes).map_err(|_| {
        Failure::usage(format!("reading {name}: it is not UTF-8 text")).help("save it as UTF-8")
    })?;
    Ok(SourceFile { name, text })
}

/// What the server says of a file that is to be a version of the flow.
async fn ask(
    client: &Client,
    file: &SourceFile,
    flow: &str,
    document: Option<DocumentType>,
) -> Result<Report, Failure> {
    let request = CheckDocumentRequest {
        file: Some(file.clone()),
        document_type: document.map(|document| document.to_string()).unwrap_or_default(),
        project: String::new(),
        flow: flow.to_owned(),
    };
    let reply = client.pipelines().check_document(request).await?.into_inner();
    let problems: Vec<Problem> = reply.problems.into_iter().map(problem).collect();
    Ok(Report { source: Arc::new(Source::new(&file.name, &file.text)), problems: problems.into() })
}

/// A problem of the server as one of this program. A code of a newer server is shown as the general one.
fn problem(shown: v1::Problem) -> Problem {
    let known = |number: u32| (number > 0).then_some(number);
    let new = match shown.severity() {
        problem::Severity::Warning => Problem::warning,
        problem::Severity::Unsupported => Problem::unsupported,
        problem::Severity::Error | problem::Severity::Unspecified => Problem::error,
    };
    let mut problem = new(shown.pointer, shown.message);
    problem.code = shown.code.parse().unwrap_or(problem.code);
    problem.help = (!shown.help.is_empty()).then_some(shown.help);
    (problem.line, problem.column) = (known(shown.line), known(shown.column));
    (problem.end_line, problem.end_column) = (known(shown.end_line), known(shown.end_column));
    problem.related = shown
        .related
        .into_iter()
        .map(|other| Related {
            pointer: other.pointer,
            message: other.message,
            line: known(other.line),
            column: known(other.column),
        })
        .collect();
    problem
}

fn count(reports: &[Report], severity: Severity) -> usize {
    reports.iter().map(|report| report.problems.count(severity)).sum()
}

fn print(reports: &[Report]) {
    let paint = Paint::stdout();
    for report in reports {
        for problem in &report.problems {
            let text = report.show(problem);
            let (first, rest) = text.split_once('\n').unwrap_or((&text, ""));
            let style = match problem.severity {
                Severity::Error => Style::Bad,
                Severity::Unsupported | Severity::Warning => Style::Busy,
            };
            out(&format!("{}\n{rest}\n", paint.on(first, style)));
        }
    }
    let [errors, unsupported, warnings] =
        [Severity::Error, Severity::Unsupported, Severity::Warning].map(|severity| count(reports, severity));
    let files = match reports {
        [] => return,
        [one] => one.source.name().to_owned(),
        all => format!("{} files", all.len()),
    };
    talk(&if errors + unsupported + warnings == 0 {
        format!("{files}: nothing to say")
    } else {
        let parts = [(errors, "error"), (unsupported, "unsupported"), (warnings, "warning")];
        let parts = parts.iter().filter(|(count, _)| *count > 0).map(|(count, word)| {
            let ending = if *count > 1 && *word != "unsupported" { "s" } else { "" };
            format!("{count} {word}{ending}")
        });
        format!("{files}: {}; `shipway lint --explain CODE` tells more", parts.collect::<Vec<_>>().join(", "))
    });
}

/// The stable shape: every problem by itself, with its file.
fn as_json(reports: &[Report]) -> Value {
    let all = reports.iter().flat_map(|report| report.problems.iter().map(move |problem| (report, problem)));
    json!({
        "ok": count(reports, Severity::Error) == 0,
        "errors": count(reports, Severity::Error),
        "unsupported": count(reports, Severity::Unsupported),
        "warnings": count(reports, Severity::Warning),
        "problems": all.map(|(report, problem)| one_as_json(report.source.name(), problem)).collect::<Vec<_>>(),
    })
}

fn one_as_json(file: &str, problem: &Problem) -> Value {
    let related = problem.related.iter().map(|other| {
        json!({
            "pointer": other.pointer,
            "line": other.line,
            "column": other.column,
            "message": other.message,
        })
    });
    json!({
        "file": file,
        "line": problem.line,
        "column": problem.column,
        "endLine": problem.end_line,
        "endColumn": problem.end_column,
        "pointer": problem.pointer,
        "severity": problem.severity.to_string(),
        "code": problem.code.as_str(),
        "message": problem.message,
        "help": problem.help,
        "related": related.collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    async fn ends(words: &[&str]) -> Exit {
        let words = std::iter::once("lint").chain(words.iter().copied());
        match lint(Line::try_parse_from(words).unwrap().args).await {
            Ok(exit) => exit,
            Err(failure) => failure.exit,
        }
    }

    #[tokio::test]
    async fn exit_codes_are_three() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let flow =
            |steps: &str| format!("spec: {{kind: Workflow, spec: {{type: sequential, steps: [{steps}]}}}}");
        let good = file("good.yaml", &flow("{kind: Noop, spec: {}}"));
        let warned = file("warned.yaml", &flow(""));
        let later =
            file("later.yaml", &flow("{kind: AddonImport, spec: {addonId: db, importUrl: 'https://x'}}"));
        let bad = file("bad.yaml", &flow("{kind: Nop, spec: {}}"));
        let broken = file("broken.json", "{");
        assert_eq!(ends(&[&good]).await, Exit::Ok);
        assert_eq!(ends(&[&good, &warned, &later, "-o", "json"]).await, Exit::Ok);
        assert_eq!(ends(&[&good, &bad]).await, Exit::Failed);
        assert_eq!(ends(&[&broken]).await, Exit::Failed);
        assert_eq!(ends(&[&bad, "no-such-file.yaml"]).await, Exit::Usage);
        assert_eq!(ends(&["--explain", "ref.unknown"]).await, Exit::Ok);
        assert_eq!(ends(&["--explain", "ref.unknwon"]).await, Exit::Usage);
        assert!(Line::try_parse_from(["lint"]).is_err());
        assert!(Line::try_parse_from(["lint", "a.yaml", "--as", "flow"]).is_err());
    }

    #[test]
    fn the_shape_for_programs_is_stable() {
        let text = "spec:\n  kind: Workflow\n  spec: {type: sequential, steps: [{kind: Nop, spec: {}}]}\n";
        let report = check("a.yaml", text, Knowledge::default());
        assert_eq!(
            as_json(&[report]),
            json!({
                "ok": false,
                "errors": 1,
                "unsupported": 0,
                "warnings": 0,
                "problems": [{
                    "file": "a.yaml",
                    "line": 3,
                    "column": 43,
                    "endLine": 3,
                    "endColumn": 46,
                    "pointer": "/spec/spec/steps/0/kind",
                    "severity": "error",
                    "code": "kind.unknown",
                    "message": "no node is of kind `Nop`",
                    "help": "did you mean `Noop`?",
                    "related": [],
                }],
            })
        );
    }

    #[test]
    fn what_the_server_says_comes_back_as_it_was() {
        let text = "spec: {kind: Workflow, spec: {type: sequential, steps: []}}";
        let mut there = check("a.yaml", text, Knowledge::default()).problems.into_iter().next().unwrap();
        there.related.push(Related {
            pointer: "/spec".to_owned(),
            message: "here".to_owned(),
            line: Some(1),
            column: None,
        });
        let sent = v1::Problem {
            severity: problem::Severity::Warning.into(),
            code: there.code.to_string(),
            pointer: there.pointer.clone(),
            message: there.message.clone(),
            help: there.help.clone().unwrap(),
            line: there.line.unwrap(),
            column: there.column.unwrap(),
            end_line: there.end_line.unwrap(),
            end_column: there.end_column.unwrap(),
            related: vec![problem::Related {
                pointer: "/spec".to_owned(),
                message: "here".to_owned(),
                line: 1,
                column: 0,
            }],
            ..v1::Problem::default()
        };
        assert_eq!(problem(sent), there);
    }
}
