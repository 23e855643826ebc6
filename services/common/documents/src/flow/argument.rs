//! Arguments: a bare value, or an object that says what is allowed.

use serde_json::Value;

use crate::{Code, Fields, Problem, Problems, is_expression, js, pointer, secret, suggest, way_to};

/// An argument of a flow.
#[derive(Clone, Debug, PartialEq)]
pub struct Argument {
    /// Its name in `${args.NAME}`.
    pub name: String,
    /// What values it takes; anything when the document gives a bare value.
    pub kind: ArgumentType,
    /// What it is for.
    pub description: String,
    /// Whether a run needs a value for it.
    pub required: bool,
    /// Its value when nothing else gives one.
    pub default: Option<Value>,
    /// The only values that it takes; any when empty.
    pub allowed: Vec<Value>,
    /// Whether its values are secret.
    pub secret: bool,
}

/// The type of an argument's values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ArgumentType {
    /// Anything.
    #[default]
    Any,
    /// Text.
    String,
    /// A number.
    Number,
    /// A whole number.
    Integer,
    /// True or false.
    Boolean,
    /// A list.
    Array,
    /// An object.
    Object,
}

impl ArgumentType {
    const WORDS: &'static [&'static str] = &["string", "number", "integer", "boolean", "array", "object"];

    /// The word in documents; `any` where a document says nothing.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::String => "string",
            Self::Number => "number",
            Self::Integer => "integer",
            Self::Boolean => "boolean",
            Self::Array => "array",
            Self::Object => "object",
        }
    }

    pub(super) fn parse(text: &str) -> Self {
        match text {
            "string" => Self::String,
            "number" => Self::Number,
            "integer" => Self::Integer,
            "boolean" => Self::Boolean,
            "array" => Self::Array,
            "object" => Self::Object,
            _ => Self::Any,
        }
    }

    /// The type for people: `a number`.
    #[must_use]
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Any => "any value",
            Self::String => "text",
            Self::Number => "a number",
            Self::Integer => "a whole number",
            Self::Boolean => "true or false",
            Self::Array => "a list",
            Self::Object => "an object",
        }
    }
}

const MEMBERS: &[&str] = &["type", "description", "required", "default", "enum", "secret"];

impl Argument {
    pub(super) fn read(name: &str, value: &Value, problems: &mut Problems) -> Self {
        let mut argument = Self {
            name: name.to_owned(),
            kind: ArgumentType::Any,
            description: String::new(),
            required: false,
            default: Some(value.clone()),
            allowed: Vec::new(),
            secret: false,
        };
        // Objects with other members are values of their own, as in other tools' files.
        let typed = value.as_object().is_some_and(|members| {
            !members.is_empty() && members.keys().all(|key| MEMBERS.contains(&key.as_str()))
        });
        if !typed {
            return argument;
        }
        let at = pointer::join("/arguments", name);
        let mut fields = Fields::new(value, &at, "an argument", problems);
        argument.kind =
            fields.one_of("type", ArgumentType::WORDS).map(ArgumentType::parse).unwrap_or_default();
        argument.description = fields.text("description").unwrap_or_default().to_owned();
        argument.required = fields.boolean("required").unwrap_or_default();
        argument.secret = fields.boolean("secret").unwrap_or_default();
        argument.allowed = fields.list("enum").to_vec();
        argument.default = fields.get("default").cloned();
        if argument.secret && argument.default.as_ref().is_some_and(|value| value != "") {
            fields.note(
                Problem::error(
                    fields.at("default"),
                    format!("the secret argument `{name}` has its value in the document"),
                )
                .code(Code::SecretLiteral)
                .help("take `default` away and set an override"),
            );
        }
        if let Some(default) = argument.default.clone() {
            match argument.accept(&default) {
                Ok(value) => argument.default = Some(value),
                Err(problem) => fields.note(Problem { pointer: fields.at("default"), ..problem }),
            }
        }
        argument
    }

    /// The value as this argument's type.
    ///
    /// # Errors
    /// It is of another type, or not one of the values that are allowed.
    pub fn accept(&self, value: &Value) -> Result<Value, Problem> {
        if secret::is_secret(value) {
            return Ok(value.clone());
        }
        let text = value.as_str();
        let number = || js::number(value);
        let fits = match self.kind {
            ArgumentType::Any => Some(value.clone()),
            ArgumentType::String => js::plain_text(value).filter(|_| !value.is_array()).map(Value::from),
            ArgumentType::Number => number().and_then(js::from_number),
            ArgumentType::Integer => {
                number().filter(|number| number.fract() == 0.0).and_then(js::from_number)
            }
            ArgumentType::Boolean => value.as_bool().or_else(|| text?.parse().ok()).map(Value::from),
            ArgumentType::Array => parsed(value).filter(Value::is_array),
            ArgumentType::Object => parsed(value).filter(Value::is_object),
        };
        let Some(fits) = fits else {
            let (wanted, kind) = (self.kind.describe(), js::type_name(value));
            let message = format!("the argument `{}` must be {wanted}, not {kind}", self.name);
            return Err(self.problem(message).help(way_to(wanted)));
        };
        if self.allowed.is_empty() || self.allowed.iter().any(|allowed| js::equal(allowed, &fits)) {
            return Ok(fits);
        }
        let allowed: Vec<_> = self.allowed.iter().map(js::json_text).collect();
        let shown = if self.secret { "this value".to_owned() } else { js::json_text(&fits) };
        Err(self
            .problem(format!("the argument `{}` cannot be {shown}", self.name))
            .help(format!("it is one of {}", suggest::list(allowed.iter().map(String::as_str)))))
    }

    pub(super) fn missing(&self) -> Problem {
        let problem = self.problem(format!("the argument `{}` needs a value", self.name));
        let what =
            if self.description.is_empty() { String::new() } else { format!(" ({})", self.description) };
        problem.code(Code::ArgRequired).help(format!("give one with `-p {}=…`{what}", self.name))
    }

    fn problem(&self, message: String) -> Problem {
        Problem::error(pointer::join("/arguments", &self.name), message).code(Code::ArgValue)
    }
}

/// What is said of an argument's value, which stands at `at`, where it holds expressions: it is taken as it is written.
#[must_use]
pub fn unresolved(value: &Value, at: &str) -> Vec<Problem> {
    let each = |(step, value): (String, &Value)| unresolved(value, &pointer::join(at, &step));
    match value {
        Value::Array(items) => {
            items.iter().enumerate().flat_map(|(n, item)| each((n.to_string(), item))).collect()
        }
        Value::Object(members) => {
            members.iter().flat_map(|(name, member)| each((name.clone(), member))).collect()
        }
        text if is_expression(text) => {
            let message = "arguments with expressions are not supported yet";
            vec![Problem::unsupported(at, message).help("give the value itself")]
        }
        _ => Vec::new(),
    }
}

/// Lists and objects given on a command line come as JSON text.
fn parsed(value: &Value) -> Option<Value> {
    match value {
        Value::String(text) => serde_json::from_str(text).ok(),
        other => Some(other.clone()),
    }
}
