//! The files, parsed: what they declare, and everything that is wrong with their text.

use serde_json::{Map, Value};
use shipway_contracts::v1::{ApplyRequest, Problem, problem::Severity};
use shipway_documents::{
    self as documents, Document, Problems,
    resources::{Addresses, Declaration, Declared},
};
use shipway_nodes::lint::lint_declarations;

/// What was handed in.
pub(super) struct Intake {
    /// The files that could be read.
    pub(super) files: Vec<File>,
    /// What is wrong with them so far, warnings among it.
    pub(super) problems: Vec<Problem>,
}

/// A file that could be read.
pub(super) struct File {
    /// Its text and places.
    pub(super) document: Document,
    /// What it declares, in order.
    pub(super) declarations: Vec<Declaration>,
}

impl Intake {
    /// Reads all files; a problem in one does not hide those of another. `addresses` tells where services will be.
    pub(super) fn read(request: &ApplyRequest, addresses: Addresses<'_>) -> Self {
        let arguments: Map<String, Value> =
            request.arguments.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
        let mut intake = Self { files: Vec::new(), problems: Vec::new() };
        if request.files.is_empty() {
            let problem = documents::Problem::error("", "no file was given").help("name one: `-f shop.yaml`");
            intake.problems.push(shown("", &problem));
        }
        for file in &request.files {
            match documents::parse(&file.name, &file.text) {
                Ok(document) => intake.take(document, &arguments, addresses),
                Err(report) => intake.problems.extend(all_shown(&file.name, &report.problems)),
            }
        }
        intake.refuse_repeats();
        intake
    }

    fn take(&mut self, document: Document, arguments: &Map<String, Value>, addresses: Addresses<'_>) {
        let name = document.source().name().to_owned();
        let (declarations, problems) = lint_declarations(&document, arguments, addresses);
        self.problems.extend(all_shown(&name, &problems));
        if !problems.has_errors() {
            self.files.push(File { document, declarations });
        }
    }

    /// One file is checked when it is read; here what two files declare both.
    fn refuse_repeats(&mut self) {
        let mut seen: Vec<(usize, &Declaration)> = Vec::new();
        let mut repeats = Vec::new();
        for (index, file) in self.files.iter().enumerate() {
            for declaration in &file.declarations {
                let first = seen.iter().find(|(other, known)| *other != index && same(known, declaration));
                if let Some((other, _)) = first {
                    let other = self.files[*other].document.source().name();
                    let message = format!("`{}` is declared in {other} too", declaration.slug);
                    repeats.push((index, format!("{}/spec/name", declaration.pointer), message));
                }
                seen.push((index, declaration));
            }
        }
        for (index, pointer, message) in repeats {
            let problem = documents::Problem::error(pointer, message).help("declare it once");
            self.note(index, problem);
        }
    }

    /// Notes a problem with a file, with its place.
    pub(super) fn note(&mut self, file: usize, problem: documents::Problem) {
        let problem = self.located(file, problem);
        self.problems.push(problem);
    }

    /// A problem with its place in a file.
    pub(super) fn located(&self, file: usize, problem: documents::Problem) -> Problem {
        let document = &self.files[file].document;
        let mut problems = Problems::from(problem);
        document.locate(&mut problems);
        let located = problems.into_iter().next().expect("one went in");
        shown(document.source().name(), &located)
    }

    /// Everything that is declared, in the order of the files.
    pub(super) fn declarations(&self) -> impl Iterator<Item = &Declaration> {
        self.files.iter().flat_map(|file| &file.declarations)
    }

    /// The same with the index of the file.
    pub(super) fn placed(&self) -> impl Iterator<Item = (usize, &Declaration)> {
        self.files.iter().enumerate().flat_map(|(n, file)| file.declarations.iter().map(move |one| (n, one)))
    }

    /// Whether nothing of it can be applied.
    pub(super) fn has_errors(&self) -> bool {
        super::any_error(&self.problems)
    }
}

fn same(one: &Declaration, other: &Declaration) -> bool {
    one.slug == other.slug
        && one.project == other.project
        && matches!(
            (&one.declared, &other.declared),
            (Declared::Project, Declared::Project)
                | (Declared::Resource(_), Declared::Resource(_))
                | (Declared::Pipeline(_), Declared::Pipeline(_))
        )
}

fn all_shown(file: &str, problems: &Problems) -> Vec<Problem> {
    problems.iter().map(|problem| shown(file, problem)).collect()
}

/// A problem as the API shows it. What is not supported is refused here.
fn shown(file: &str, problem: &documents::Problem) -> Problem {
    let shown = crate::check::shown(file, problem);
    match shown.severity() {
        Severity::Unsupported => Problem { severity: Severity::Error.into(), ..shown },
        _ => shown,
    }
}
