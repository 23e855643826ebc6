//! Which type a text's value will have, and which calls can never work.

use serde_json::Value;

use super::{
    ast::{Arrow, Expr, Kind, Part, PathRoot},
    eval::constant,
    functions::{self, Function, Shape, ordinal},
    parse,
    trouble::Trouble,
    types::{Fit, Type},
};
use crate::{Problem, way_to};

/// The types of what names stand for. What is not known, or not there, is [`Type::Any`]: whether names are
/// there is not asked here.
pub trait TypeScope {
    /// The type of an argument.
    fn arg(&self, name: &str) -> Type;
    /// The type of a node's outputs, or of a trigger's values.
    fn reference(&self, reference: &str) -> Type;
    /// The type of a trigger's values.
    fn trigger(&self, reference: &str) -> Type;
}

/// The type that the value of `text`, which stands at `at`, will have, and what in it can never work: an
/// argument of a type that its function does not take, a division by a literal 0. What [`super::check`]
/// finds is not said again.
#[must_use]
pub fn infer(text: &str, types: &dyn TypeScope, at: &str) -> (Type, Vec<Problem>) {
    let Ok(parts) = parse::parts(text) else { return (Type::Any, Vec::new()) };
    let mut inferrer = Inferrer { types, parameters: Vec::new(), troubles: Vec::new() };
    let whole = match parts.as_slice() {
        [] => Type::Word,
        [Part::Text(text)] => Type::of(&Value::from(text.as_str())),
        [Part::Expression { span, template, expr }] if span.len() == text.len() => {
            if *template {
                Type::Any
            } else {
                inferrer.of(expr)
            }
        }
        parts => inferrer.embedded(parts),
    };
    let problems = inferrer.troubles.into_iter().map(|trouble| trouble.into_problem(at)).collect();
    (whole, problems)
}

struct Inferrer<'a> {
    types: &'a dyn TypeScope,
    /// The types of the parameters that are known here, outermost first.
    parameters: Vec<Type>,
    troubles: Vec<Trouble>,
}

impl Inferrer<'_> {
    /// Text with expressions in it.
    fn embedded(&mut self, parts: &[Part]) -> Type {
        let mut kind = Type::Text;
        for part in parts {
            match part {
                Part::Text(text) if text.chars().any(|c| !may_be_number_or_truth(c)) => kind = Type::Word,
                Part::Text(_) | Part::Container(_) | Part::Expression { template: true, .. } => {}
                Part::Expression { span, expr, .. } => {
                    let own = self.of(expr);
                    if matches!(own, Type::Object(_)) {
                        self.troubles.push(
                            Trouble::new(span, format!("{own} cannot be part of a text"))
                                .help("name a member of it, or use fn.stringifyJSON(…)"),
                        );
                    }
                }
            }
        }
        kind
    }

    fn of(&mut self, expr: &Expr) -> Type {
        match &expr.kind {
            Kind::Literal(value) => Type::of(value),
            Kind::Undefined | Kind::Arrow(_) | Kind::Regex(_) => Type::Any,
            Kind::List(items) => {
                let items: Vec<_> = items.iter().map(|item| self.of(item)).collect();
                Type::list(Type::one_of(items))
            }
            Kind::Path { root, name, path } => {
                let base = match root {
                    PathRoot::Args => self.types.arg(name),
                    PathRoot::Refs => self.types.reference(name),
                    PathRoot::Triggers => self.types.trigger(name),
                    PathRoot::Secrets => Type::Any,
                };
                self.member(expr, name, &base, path)
            }
            Kind::Parameter { slot, name, path } => {
                let base = self.parameters.get(*slot).cloned().unwrap_or_default();
                self.member(expr, name, &base, path)
            }
            Kind::Call { function, args } => match functions::called(expr, function, args) {
                Ok(function) => self.call(expr, function, args),
                Err(_) => Type::Any,
            },
        }
    }

    fn member(&mut self, expr: &Expr, name: &str, base: &Type, path: &[String]) -> Type {
        base.member(path).unwrap_or_else(|| {
            let message = format!("`{name}` has no `{}`", path.join("."));
            self.troubles.push(Trouble::new(&expr.span, message).help(format!("it is {base}")));
            Type::Any
        })
    }

    fn call(&mut self, expr: &Expr, function: &Function, args: &[Expr]) -> Type {
        let before = self.troubles.len();
        let mut given = Vec::with_capacity(args.len());
        for (n, arg) in args.iter().enumerate() {
            let own = match &arg.kind {
                Kind::Arrow(arrow) => {
                    let list = given.first().cloned().unwrap_or_default();
                    self.arrow(arrow, &list)
                }
                _ => self.of(arg),
            };
            self.check(function, n, arg, &own);
            given.push(own);
        }
        if before == self.troubles.len()
            && let Some(result) = constant(expr, function, args)
        {
            match result {
                Ok(value) => return Type::of(&value),
                Err(trouble) => self.troubles.push(trouble),
            }
        }
        result(function, args, &given)
    }

    fn check(&mut self, function: &Function, n: usize, arg: &Expr, own: &Type) {
        let Some(parameter) = function.parameter(n) else { return };
        if matches!(arg.kind, Kind::Arrow(_) | Kind::Regex(_) | Kind::Undefined) {
            return;
        }
        // What is written as a literal says which text it is.
        if matches!((&arg.kind, parameter.shape), (Kind::Literal(Value::String(_)), Shape::Number))
            && *own == Type::Text
        {
            return;
        }
        if own.fits_parameter(parameter.shape) == Fit::No {
            let shown = match &arg.kind {
                Kind::Literal(Value::String(text)) if text.chars().count() <= 40 => {
                    format!("the text '{text}'")
                }
                _ => own.to_string(),
            };
            let wanted = parameter.shape;
            let message =
                format!("the {} argument of fn.{} must be {wanted}, not {shown}", ordinal(n), function.name);
            let help = format!(
                "{}; it is called like this: fn.{}",
                way_to(&wanted.to_string()),
                function.signature()
            );
            self.troubles.push(Trouble::new(&arg.span, message).help(help));
        }
    }

    /// The type of what an arrow function gives for the elements of a list.
    fn arrow(&mut self, arrow: &Arrow, list: &Type) -> Type {
        let item = match list {
            Type::List(item) => (**item).clone(),
            _ => Type::Any,
        };
        let depth = self.parameters.len();
        self.parameters.truncate(arrow.outer.len());
        self.parameters.extend([item, Type::Number].into_iter().take(arrow.parameters.len()));
        let own = self.of(&arrow.body);
        self.parameters.truncate(depth);
        own
    }
}

/// What a call gives, as far as its arguments say.
fn result(function: &Function, args: &[Expr], given: &[Type]) -> Type {
    let first = || given.first().cloned().unwrap_or_default();
    match function.name {
        "if" => {
            let other = given.get(2).cloned().unwrap_or(Type::Null);
            Type::one_of([given.get(1).cloned().unwrap_or_default(), other])
        }
        "map" => Type::list(given.get(1).cloned().unwrap_or_default()),
        "filter" | "arrSlice" => match first() {
            list @ Type::List(_) => list,
            _ => Type::list(Type::Any),
        },
        "find" => match first() {
            Type::List(item) => *item,
            _ => Type::Any,
        },
        "concat" => Type::list(Type::one_of(given.iter().cloned().map(|own| match own {
            Type::List(item) => *item,
            own => own,
        }))),
        "get" => match args.get(1).map(|path| &path.kind) {
            Some(Kind::Literal(Value::String(path))) => {
                let path: Vec<_> = path.split('.').map(str::to_owned).collect();
                first().member(&path).unwrap_or_default()
            }
            _ => Type::Any,
        },
        "split" | "keys" => Type::list(Type::Text),
        // A secret is whatever it holds.
        "fetchSecret" => Type::Any,
        _ => match function.result {
            Shape::Text => Type::Text,
            Shape::Number => Type::Number,
            Shape::Boolean => Type::Boolean,
            Shape::List => Type::list(Type::Any),
            _ => Type::Any,
        },
    }
}

/// Whether the text of a number or of a truth value may hold the character.
const fn may_be_number_or_truth(c: char) -> bool {
    matches!(c, '0'..='9' | '.' | '+' | '-' | ' ' | 'E' | 't' | 'r' | 'u' | 'e' | 'f' | 'a' | 'l' | 's')
}
