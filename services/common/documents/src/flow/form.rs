//! The form that a run is asked for with: what the console shows and the command line asks.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Argument, ArgumentType, Flow};
use crate::Problems;

/// What can be given to a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Form {
    /// A field for each argument, in the order of the document.
    pub fields: Vec<Field>,
    /// Choices that fill several fields at once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub selectors: Vec<Selector>,
}

/// A field of a form: an argument.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Field {
    /// The argument.
    pub name: String,
    /// What values it takes: `string`, `number`, `integer`, `boolean`, `array`, `object`, `any`.
    pub r#type: String,
    /// The argument's name for people: `Release branch` for `RELEASE_BRANCH`.
    pub label: String,
    /// What it is for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub help: String,
    /// Its value unless another is given; none for secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
    /// Whether a run needs a value that the document and its overrides do not give.
    pub required: bool,
    /// The only values that it takes; any when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<Value>,
    /// Whether what is typed is not shown.
    pub secret: bool,
}

/// A choice that fills several fields.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Selector {
    /// `BranchCommitSelector` or `BuildSelector`.
    pub kind: String,
    /// Its title.
    pub label: String,
    /// What it is for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub help: String,
    /// Whether a choice must be made, unless the fields are filled by hand.
    pub required: bool,
    /// The build service whose commits or builds are shown.
    pub source: String,
    /// The fields that it fills, by what fills them: `branch`, `buildSha`, `buildId`.
    pub fills: BTreeMap<String, String>,
}

impl Flow {
    /// The form of its arguments and rich inputs. `overridden` are the arguments that have a value beside the
    /// document: they need none here.
    #[must_use]
    pub fn form(&self, overridden: &[&str]) -> Form {
        let mut needed = Vec::new();
        let selectors: Vec<_> = self
            .rich_inputs
            .iter()
            .map(|input| {
                if input.required {
                    needed.extend(input.outputs.iter().map(|(_, argument)| argument.as_str()));
                }
                Selector {
                    kind: input.kind.as_str().to_owned(),
                    label: if input.title.is_empty() { label(&input.source) } else { input.title.clone() },
                    help: input.description.clone(),
                    required: input.required,
                    source: input.source.clone(),
                    fills: input.outputs.iter().cloned().collect(),
                }
            })
            .collect();
        let field = |argument: &Argument| {
            let name = argument.name.as_str();
            let has_value = argument.default.as_ref().is_some_and(|value| value != "");
            let wanted =
                (argument.required && argument.default.is_none()) || (needed.contains(&name) && !has_value);
            Field::of(argument, wanted && !overridden.contains(&name))
        };
        Form { fields: self.arguments.iter().map(field).collect(), selectors }
    }

    /// The fields that somebody who starts a run has to fill and has not, as problems. What no form asks for, as a run
    /// that a trigger starts, needs none of them.
    #[must_use]
    pub fn unfilled(&self, overrides: &Map<String, Value>, given: &Map<String, Value>) -> Problems {
        let overridden: Vec<&str> = overrides.keys().map(String::as_str).collect();
        let form = self.form(&overridden);
        let missing = form.missing(given);
        let is_missing = |argument: &&Argument| missing.iter().any(|field| field.name == argument.name);
        let mut problems = Problems::new();
        problems.extend(self.arguments.iter().filter(is_missing).map(Argument::missing));
        problems
    }
}

impl Form {
    /// The fields that a run needs and that were not given a value.
    #[must_use]
    pub fn missing(&self, given: &Map<String, Value>) -> Vec<&Field> {
        let has_value = |field: &Field| given.get(&field.name).is_some_and(|value| value != "");
        self.fields.iter().filter(|field| field.required && !has_value(field)).collect()
    }
}

impl Field {
    fn of(argument: &Argument, required: bool) -> Self {
        Self {
            name: argument.name.clone(),
            r#type: argument.kind.as_str().to_owned(),
            label: label(&argument.name),
            help: argument.description.clone(),
            default: argument.default.clone().filter(|_| !argument.secret),
            required,
            choices: argument.allowed.clone(),
            secret: argument.secret,
        }
    }

    /// What the field takes, as the argument that it was made of checks it.
    ///
    /// # Errors
    /// Why the value does not fit, as a sentence.
    pub fn accept(&self, value: &Value) -> Result<Value, String> {
        let argument = Argument {
            name: self.name.clone(),
            kind: ArgumentType::parse(&self.r#type),
            description: String::new(),
            required: self.required,
            default: None,
            allowed: self.choices.clone(),
            secret: self.secret,
        };
        argument.accept(value).map_err(|problem| match problem.help {
            Some(help) => format!("{}; {help}", problem.message),
            None => problem.message,
        })
    }
}

/// `RELEASE_BRANCH`, `releaseBranch` and `release-branch` are `Release branch`.
fn label(name: &str) -> String {
    let mut words = String::new();
    let mut previous = ' ';
    for c in name.chars() {
        if matches!(c, '_' | '-' | '.') {
            words.push(' ');
        } else if c.is_uppercase() && previous.is_lowercase() {
            words.push(' ');
            words.extend(c.to_lowercase());
        } else {
            words.extend(c.to_lowercase());
        }
        previous = c;
    }
    let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut chars = words.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_labels() {
        for (name, expected) in [
            ("RELEASE_BRANCH", "Release branch"),
            ("releaseBranch", "Release branch"),
            ("image-tag", "Image tag"),
            ("X", "X"),
            ("", ""),
        ] {
            assert_eq!(label(name), expected);
        }
    }
}
