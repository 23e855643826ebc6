//! The table itself.

use super::{Asks, Each, Function, Group, Lazy, Parameter, Run, Shape, booleans, lists, maths, strings};

/// Every function, by group.
#[must_use]
pub const fn functions() -> &'static [Function] {
    FUNCTIONS
}

const fn needs(name: &'static str, shape: Shape) -> Parameter {
    Parameter { name, shape, optional: false, variadic: false }
}

const fn may(name: &'static str, shape: Shape) -> Parameter {
    Parameter { name, shape, optional: true, variadic: false }
}

/// One or more.
const fn many(name: &'static str, shape: Shape) -> Parameter {
    Parameter { name, shape, optional: false, variadic: true }
}

/// The further ones of what has at least one.
const fn more(name: &'static str, shape: Shape) -> Parameter {
    Parameter { name, shape, optional: true, variadic: true }
}

use Group::{Arrays, Boolean, General, Maths, Objects, String};
use Run::Values;

macro_rules! table {
    ($($group:ident $name:ident($($parameter:expr),*) -> $result:ident, $run:expr, $doc:literal;)*) => {
        &[$(Function {
            name: stringify!($name),
            group: $group,
            parameters: &[$($parameter),*],
            result: Shape::$result,
            doc: $doc,
            run: $run,
        }),*]
    };
}

const TEXT: Parameter = needs("text", Shape::Text);
const A: Parameter = needs("a", Shape::Number);
const B: Parameter = needs("b", Shape::Number);
const LIST: Parameter = needs("list", Shape::List);
const OBJECT: Parameter = needs("object", Shape::Object);
const PATTERN: Parameter = needs("pattern", Shape::Pattern);
const FUNCTION: Parameter = needs("function", Shape::Function);

static FUNCTIONS: &[Function] = table! {
    General randomSecret(needs("length", Shape::Number), may("encoding", Shape::Text)) -> Text,
        Run::Scope(Asks::RandomSecret),
        "A secret of so many characters, 'base64' or 'hex': made at first use, then kept.";
    General date(may("format", Shape::Text)) -> Text, Run::Scope(Asks::Date),
        "The time of the plan in UTC, as ISO 8601 or in a format such as 'YYYY-MM-DD'.";
    General fetchSecret(needs("id", Shape::Text)) -> Text, Run::Scope(Asks::FetchSecret),
        "The secret of that id, as `secrets.ID`, where the id itself is the result of an expression.";

    String toBase64(TEXT) -> Text, Values(strings::to_base64), "The text in base64.";
    String fromBase64(TEXT) -> Text, Values(strings::from_base64), "The text that is written in base64.";
    String slug(TEXT) -> Text, Values(strings::slug),
        "The text in lower case, everything but letters and digits a hyphen.";
    String indexOf(TEXT, needs("part", Shape::Text)) -> Number, Values(strings::index_of),
        "Where the part first stands in the text, 0 for its beginning; -1 if nowhere.";
    String search(TEXT, PATTERN) -> Number, Values(strings::search),
        "Where the regular expression first fits the text; -1 if nowhere. A text is read as one.";
    String replace(TEXT, PATTERN, needs("replacement", Shape::Text)) -> Text, Values(strings::replace),
        "The text with the first place that fits replaced, or all with the flag g; $1 stands for a group.";
    String replaceAll(TEXT, PATTERN, needs("replacement", Shape::Text)) -> Text, Values(strings::replace_all),
        "The text with all places that fit replaced; $1 stands for a group.";
    String slice(TEXT, needs("start", Shape::Number), may("end", Shape::Number)) -> Text,
        Values(strings::slice),
        "The part of the text from a position up to another; negative ones count from the end.";
    String length(needs("text", Shape::Sequence)) -> Number, Values(lists::length),
        "How many characters the text has.";
    String toUpper(TEXT) -> Text, Values(strings::to_upper), "The text in upper case.";
    String toLower(TEXT) -> Text, Values(strings::to_lower), "The text in lower case.";
    String split(TEXT, needs("separator", Shape::Pattern), may("limit", Shape::Number)) -> List,
        Values(strings::split),
        "The parts of the text between separators, at most so many.";
    String join(LIST, may("separator", Shape::Text)) -> Text, Values(strings::join),
        "The elements as one text, with the separator between them, else a comma.";

    Boolean not(needs("value", Shape::Boolean)) -> Boolean, Values(booleans::not), "Whether the value is false.";
    Boolean or(many("value", Shape::Boolean)) -> Boolean, Run::Lazy(Lazy::Or),
        "Whether one of the values is true; looks no further than the first.";
    Boolean and(many("value", Shape::Boolean)) -> Boolean, Run::Lazy(Lazy::And),
        "Whether all values are true; looks no further than the first that is not.";
    Boolean if(needs("condition", Shape::Boolean), needs("then", Shape::Any), may("else", Shape::Any)) -> Any,
        Run::Lazy(Lazy::If),
        "The second value if the condition is true, else the third, else null.";
    Boolean eq(needs("a", Shape::Any), many("b", Shape::Any)) -> Boolean, Values(booleans::eq),
        "Whether all are of one type and value; objects and lists are compared by what is in them.";
    Boolean neq(needs("a", Shape::Any), many("b", Shape::Any)) -> Boolean, Values(booleans::neq),
        "Whether one of them differs from the first in type or value.";
    Boolean gt(A, B) -> Boolean, Values(booleans::gt), "Whether a is greater than b.";
    Boolean lt(A, B) -> Boolean, Values(booleans::lt), "Whether a is less than b.";
    Boolean gte(A, B) -> Boolean, Values(booleans::gte), "Whether a is greater than b, or the same.";
    Boolean lte(A, B) -> Boolean, Values(booleans::lte), "Whether a is less than b, or the same.";

    Maths add(many("number", Shape::Number)) -> Number, Values(maths::add), "The sum of all.";
    Maths subtract(A, more("b", Shape::Number)) -> Number, Values(maths::subtract), "The first less all others.";
    Maths multiply(many("number", Shape::Number)) -> Number, Values(maths::multiply), "The product of all.";
    Maths divide(A, B) -> Number, Values(maths::divide), "a divided by b, which is not 0.";
    Maths remainder(A, B) -> Number, Values(maths::remainder),
        "What is left of a after division by b, which is not 0; it has the sign of a.";
    Maths exp(A, B) -> Number, Values(maths::exp), "a to the power of b.";
    Maths floor(A) -> Number, Values(maths::floor), "The next whole number that is not above.";
    Maths ceil(A) -> Number, Values(maths::ceil), "The next whole number that is not below.";

    Objects get(needs("from", Shape::Container), needs("path", Shape::Text)) -> Any, Values(lists::get),
        "What stands at a path like 'a.b.0'; undefined if there is nothing.";
    Objects stringifyJSON(needs("value", Shape::Any)) -> Text, Values(lists::stringify), "The value as JSON.";
    Objects parseJSON(TEXT) -> Any, Values(lists::parse), "The value that the JSON says; '' if it is none.";
    Objects entries(OBJECT) -> List, Values(lists::entries), "The object's members, each a list of key and value.";
    Objects values(OBJECT) -> List, Values(lists::values), "The values of the object's members.";
    Objects keys(OBJECT) -> List, Values(lists::keys), "The keys of the object's members.";

    Arrays find(LIST, FUNCTION) -> Any, Run::Each(Each::Find),
        "The first element that the function is true for; undefined if there is none.";
    Arrays concat(many("list", Shape::Any)) -> List, Values(lists::concat),
        "All lists one after another; what is no list is one element.";
    Arrays some(LIST, FUNCTION) -> Boolean, Run::Each(Each::Some),
        "Whether the function is true for an element.";
    Arrays every(LIST, FUNCTION) -> Boolean, Run::Each(Each::Every),
        "Whether the function is true for all elements.";
    Arrays filter(LIST, FUNCTION) -> List, Run::Each(Each::Filter),
        "The elements that the function is true for.";
    Arrays map(LIST, FUNCTION) -> List, Run::Each(Each::Map), "What the function makes of each element.";
    Arrays arrSlice(LIST, needs("start", Shape::Number), may("end", Shape::Number)) -> List,
        Values(lists::slice),
        "The elements from a position up to another; negative ones count from the end.";
    Arrays arrLength(LIST) -> Number, Values(lists::count), "How many elements the list has.";
};
