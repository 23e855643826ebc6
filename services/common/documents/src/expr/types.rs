//! What is known of a value before a run.

use std::{collections::BTreeMap, fmt};

use serde_json::Value;

use super::functions::Shape;
use crate::js;

/// What is known of a value before a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Type {
    /// Nothing.
    #[default]
    Any,
    /// It is null.
    Null,
    /// It is true or false.
    Boolean,
    /// It is a number.
    Number,
    /// It is text, and that may be the text of a number or of a truth value.
    Text,
    /// It is text, and not that of a number or of a truth value.
    Word,
    /// It is a list of such elements.
    List(Box<Type>),
    /// It is an object with at least these members.
    Object(BTreeMap<String, Type>),
    /// It is one of these.
    OneOf(Vec<Type>),
}

/// Whether a value of a type can stand where another is wanted. Text that is a number counts as one, and a
/// number or a truth value as text, since arguments are text in practice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fit {
    /// Never.
    No,
    /// It depends on the value.
    Maybe,
    /// Always.
    Yes,
}

impl Type {
    /// The type of a value.
    #[must_use]
    pub fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(_) => Self::Boolean,
            Value::Number(_) => Self::Number,
            Value::String(text) if text == "true" || text == "false" || js::number(value).is_some() => {
                Self::Text
            }
            Value::String(_) => Self::Word,
            Value::Array(items) => Self::list(Self::one_of(items.iter().map(Self::of))),
            Value::Object(_) if crate::secret::is_mark(value) => Self::Any,
            Value::Object(members) => {
                Self::Object(members.iter().map(|(key, member)| (key.clone(), Self::of(member))).collect())
            }
        }
    }

    /// A list of such elements.
    #[must_use]
    pub fn list(of: Self) -> Self {
        Self::List(Box::new(of))
    }

    /// One of these types; anything if there is none.
    #[must_use]
    pub fn one_of(types: impl IntoIterator<Item = Self>) -> Self {
        let mut all: Vec<Self> = Vec::new();
        for one in types {
            match one {
                Self::Any => return Self::Any,
                Self::OneOf(more) => more.into_iter().for_each(|one| {
                    if !all.contains(&one) {
                        all.push(one);
                    }
                }),
                one if all.contains(&one) => {}
                one => all.push(one),
            }
        }
        match all.len() {
            0 => Self::Any,
            1 => all.remove(0),
            _ => Self::OneOf(all),
        }
    }

    /// Whether such a value can stand where `wanted` is.
    #[must_use]
    pub fn fits(&self, wanted: &Self) -> Fit {
        match (self, wanted) {
            (_, Self::Any) => Fit::Yes,
            (Self::Any, _) => Fit::Maybe,
            (Self::OneOf(types), wanted) => {
                let fits: Vec<_> = types.iter().map(|one| one.fits(wanted)).collect();
                if fits.iter().all(|fit| *fit == fits[0]) { fits[0] } else { Fit::Maybe }
            }
            (one, Self::OneOf(types)) => {
                types.iter().map(|wanted| one.fits(wanted)).max().unwrap_or(Fit::Maybe)
            }
            (Self::Null, Self::Null) => Fit::Yes,
            // A field that is null counts as one that is not there.
            (Self::Null, _) => Fit::Maybe,
            (Self::Text | Self::Word | Self::Number | Self::Boolean, Self::Text | Self::Word) => Fit::Yes,
            (Self::Text, Self::Number | Self::Boolean) => Fit::Maybe,
            (Self::List(own), Self::List(wanted)) => own.fits(wanted),
            (Self::Object(_), Self::Object(_)) => Fit::Yes,
            (own, wanted) if own == wanted => Fit::Yes,
            _ => Fit::No,
        }
    }

    /// Whether a function takes such a value for a parameter.
    #[must_use]
    pub fn fits_parameter(&self, shape: Shape) -> Fit {
        let any_object = || Self::Object(BTreeMap::new());
        let any_list = || Self::list(Self::Any);
        let wanted = match shape {
            Shape::Any | Shape::Boolean => return Fit::Yes,
            Shape::Function => return Fit::No,
            Shape::Text | Shape::Pattern => Self::Text,
            Shape::Number => Self::Number,
            Shape::List => any_list(),
            Shape::Object => any_object(),
            Shape::Container => Self::OneOf(vec![any_object(), any_list()]),
            Shape::Sequence => Self::OneOf(vec![Self::Text, any_list()]),
        };
        if *self == Self::Null { Fit::No } else { self.fits(&wanted) }
    }

    /// The type at a path in such a value; none if such a value has no members.
    #[must_use]
    pub fn member(&self, path: &[String]) -> Option<Self> {
        let Some((step, rest)) = path.split_first() else { return Some(self.clone()) };
        match self {
            Self::Object(members) => members.get(step).map_or(Some(Self::Any), |member| member.member(rest)),
            Self::List(item) if step.bytes().all(|byte| byte.is_ascii_digit()) => item.member(rest),
            Self::Any => Some(Self::Any),
            Self::OneOf(types) => {
                let found: Vec<_> = types.iter().filter_map(|one| one.member(path)).collect();
                (!found.is_empty()).then(|| Self::one_of(found))
            }
            _ => None,
        }
    }
}

/// For people: `a number`.
impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Any => "any value",
            Self::Null => "null",
            Self::Boolean => "a boolean",
            Self::Number => "a number",
            Self::Text | Self::Word => "text",
            Self::List(_) => "a list",
            Self::Object(_) => "an object",
            Self::OneOf(types) => {
                let mut shown: Vec<String> = Vec::new();
                for one in types.iter().map(ToString::to_string) {
                    if !shown.contains(&one) {
                        shown.push(one);
                    }
                }
                return f.write_str(&shown.join(" or "));
            }
        })
    }
}
