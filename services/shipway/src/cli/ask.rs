//! Asks a person for what a run needs and was not given.

use std::io::{self, BufRead, IsTerminal, Write};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use serde_json::{Map, Value};
use shipway_contracts::v1::GetFormRequest;
use shipway_documents::{
    flow::{Field, Form},
    plain_text,
};

use super::{Client, Failure};

/// Whether there is a person who can be asked.
pub(crate) fn can_ask() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks for the arguments that the flow needs beside those given, and adds them. A flow that is not there is for the
/// start of the run to tell.
pub(crate) async fn complete(
    client: &Client,
    project: &str,
    flow: &str,
    given: &mut Map<String, Value>,
) -> Result<(), Failure> {
    let request = GetFormRequest { project: project.to_owned(), flow: flow.to_owned() };
    let Ok(reply) = client.pipelines().get_form(request).await else { return Ok(()) };
    let Ok(form) = serde_json::from_str::<Form>(&reply.into_inner().form_json) else { return Ok(()) };
    let asked = fill(&form, given, &mut io::stdin().lock(), &mut io::stderr());
    asked.map_err(|error| Failure::new(format!("asking for the arguments: {error}")))
}

/// Asks for each field that is missing until its value fits.
fn fill(
    form: &Form,
    given: &mut Map<String, Value>,
    input: &mut dyn BufRead,
    talk: &mut dyn Write,
) -> io::Result<()> {
    for field in form.missing(given) {
        if !field.help.is_empty() {
            writeln!(talk, "{}", field.help)?;
        }
        for (n, choice) in field.choices.iter().enumerate() {
            writeln!(talk, "  {}) {}", n + 1, shown(choice))?;
        }
        loop {
            write!(talk, "{}: ", prompt(field))?;
            talk.flush()?;
            let line = read_line(field.secret, input, talk)?;
            if line.is_empty() {
                writeln!(talk, "a value is needed")?;
                continue;
            }
            match field.accept(&chosen(field, &line)) {
                Ok(value) => {
                    given.insert(field.name.clone(), value);
                    break;
                }
                Err(problem) => writeln!(talk, "{problem}")?,
            }
        }
    }
    Ok(())
}

/// `Release branch (RELEASE_BRANCH, a whole number)`
fn prompt(field: &Field) -> String {
    let kind = match field.r#type.as_str() {
        "any" | "string" => String::new(),
        other => format!(", {other}"),
    };
    let secret = if field.secret { ", not shown" } else { "" };
    format!("{} ({}{kind}{secret})", field.label, field.name)
}

/// What was typed: the number of a choice stands for the choice, unless it is one itself.
fn chosen(field: &Field, line: &str) -> Value {
    let typed = Value::from(line);
    let is_one = field.choices.iter().any(|choice| shown(choice) == line);
    let place = line.parse::<usize>().ok().and_then(|n| n.checked_sub(1)).filter(|_| !is_one);
    place.and_then(|n| field.choices.get(n)).cloned().unwrap_or(typed)
}

fn shown(value: &Value) -> String {
    plain_text(value).unwrap_or_else(|| value.to_string())
}

fn read_line(secret: bool, input: &mut dyn BufRead, talk: &mut dyn Write) -> io::Result<String> {
    let mut line = String::new();
    let hidden = secret.then(Hidden::new).flatten();
    let read = input.read_line(&mut line)?;
    if hidden.is_some() {
        // The line's end was not shown either.
        writeln!(talk)?;
    }
    drop(hidden);
    if read == 0 {
        return Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "the input has ended; give the rest with `-p NAME=VALUE`",
        ));
    }
    Ok(line.trim_end_matches(['\n', '\r']).to_owned())
}

/// A terminal that does not show what is typed, until this goes.
struct Hidden {
    before: Termios,
}

impl Hidden {
    /// None where there is no terminal.
    fn new() -> Option<Self> {
        let before = tcgetattr(io::stdin()).ok()?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(io::stdin(), OptionalActions::Now, &silent).ok()?;
        Some(Self { before })
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use shipway_documents::flow::Flow;

    use super::*;

    fn form() -> Form {
        let document = json!({
            "arguments": {
                "PLAIN": "x",
                "COUNT": {"type": "integer", "required": true, "description": "How many"},
                "REGION": {"type": "string", "enum": ["north", "south"], "required": true},
                "GIVEN": {"type": "string", "required": true},
            },
            "spec": {"kind": "Workflow", "spec": {"type": "sequential", "steps": []}},
        });
        Flow::parse(&document).unwrap().form(&[])
    }

    fn answered(typed: &str) -> (Map<String, Value>, String, io::Result<()>) {
        let mut given = Map::from_iter([("GIVEN".to_owned(), json!("y"))]);
        let mut talk = Vec::new();
        let result = fill(&form(), &mut given, &mut typed.as_bytes(), &mut talk);
        (given, String::from_utf8(talk).unwrap(), result)
    }

    #[test]
    fn what_is_missing_is_asked_until_it_fits() {
        let (given, talk, result) = answered("\nmany\n3\n2\n");
        result.unwrap();
        assert_eq!(Value::Object(given), json!({"GIVEN": "y", "COUNT": 3, "REGION": "south"}));
        assert_eq!(
            talk,
            "How many\n\
             Count (COUNT, integer): a value is needed\n\
             Count (COUNT, integer): the argument `COUNT` must be a whole number, not text; write it in digits, such \
             as `2`\n\
             Count (COUNT, integer):   1) north\n  2) south\n\
             Region (REGION): "
        );
    }

    #[test]
    fn an_input_that_ends_is_an_error() {
        let (_, _, result) = answered("3\n");
        assert!(result.unwrap_err().to_string().contains("the input has ended"));
    }
}
