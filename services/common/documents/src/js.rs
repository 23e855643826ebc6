//! Values as JavaScript sees them: truth, text, numbers.

use serde_json::{Number, Value};

use crate::secret;

/// JavaScript's truth: false are `false`, `null`, `0` and `""`. Text is taken as it is: `"false"` is true.
#[must_use]
pub fn truthy(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(truth) => *truth,
        Value::Number(number) => number.as_f64().is_some_and(|number| number != 0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(_) | Value::Object(_) => true,
    }
}

/// A value as part of a text, as JavaScript's `String(value)`: lists are joined with commas. None for an
/// object, whose text in JavaScript is of no use to anyone.
#[must_use]
pub fn plain_text(value: &Value) -> Option<String> {
    Some(match value {
        Value::Null => "null".to_owned(),
        Value::Bool(truth) => truth.to_string(),
        Value::Number(number) => number_text(number),
        Value::String(text) => text.clone(),
        Value::Array(items) => {
            let part = |item: &Value| if item.is_null() { Some(String::new()) } else { plain_text(item) };
            items.iter().map(part).collect::<Option<Vec<_>>>()?.join(",")
        }
        Value::Object(_) => return None,
    })
}

/// A number as JavaScript prints it: `3`, `0.1`, `1e+21`, `1e-7`.
#[must_use]
pub fn number_text(number: &Number) -> String {
    let value = number.as_f64().unwrap_or(0.0);
    if value == 0.0 {
        return "0".to_owned();
    }
    let scientific = format!("{:e}", value.abs());
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let count = i32::try_from(digits.len()).unwrap_or(i32::MAX);
    let sign = if value < 0.0 { "-" } else { "" };
    // `point` digits stand before the decimal point.
    let point = exponent + 1;
    let zeros = |n: i32| "0".repeat(usize::try_from(n).unwrap_or(0));
    let body = if count <= point && point <= 21 {
        format!("{digits}{}", zeros(point - count))
    } else if 0 < point && point <= 21 {
        let (whole, part) = digits.split_at(usize::try_from(point).unwrap_or(0));
        format!("{whole}.{part}")
    } else if -6 < point && point <= 0 {
        format!("0.{}{digits}", zeros(-point))
    } else {
        let (first, rest) = digits.split_at(1);
        let dot = if rest.is_empty() { "" } else { "." };
        format!("{first}{dot}{rest}e{}{}", if exponent < 0 { "-" } else { "+" }, exponent.abs())
    };
    format!("{sign}{body}")
}

/// JSON without spaces, numbers as JavaScript prints them.
#[must_use]
pub fn json_text(value: &Value) -> String {
    let mut text = String::new();
    write_json(value, &mut text);
    text
}

fn write_json(value: &Value, out: &mut String) {
    match value {
        Value::Number(number) => out.push_str(&number_text(number)),
        Value::Array(items) => {
            out.push('[');
            for (n, item) in items.iter().enumerate() {
                out.push_str(if n > 0 { "," } else { "" });
                write_json(item, out);
            }
            out.push(']');
        }
        Value::Object(members) => {
            out.push('{');
            for (n, (key, member)) in members.iter().enumerate() {
                out.push_str(if n > 0 { "," } else { "" });
                out.push_str(&Value::from(key.as_str()).to_string());
                out.push(':');
                write_json(member, out);
            }
            out.push('}');
        }
        Value::Null | Value::Bool(_) | Value::String(_) => out.push_str(&value.to_string()),
    }
}

/// The number of a number or of a text that is one; none for everything else.
pub(crate) fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => {
            let text = text.trim();
            let shaped = text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.'))
                && text.ends_with(|c: char| c.is_ascii_digit() || c == '.');
            text.parse().ok().filter(|number: &f64| shaped && number.is_finite())
        }
        _ => None,
    }
}

/// A number as a value, whole ones without a decimal point; none for what is not finite.
pub(crate) fn from_number(number: f64) -> Option<Value> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if number.fract() == 0.0 && number.abs() <= EXACT {
        #[expect(clippy::cast_possible_truncation, reason = "whole and within 53 bits")]
        return Some(Value::from(number as i64));
    }
    Number::from_f64(number).map(Value::Number)
}

/// Same type and same value, objects and lists deeply, numbers by their value.
pub(crate) fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| equal(a, b)))
        }
        _ => a == b,
    }
}

/// What kind of value it is, for messages; a secret's kind only.
pub(crate) fn type_name(value: &Value) -> &'static str {
    match value {
        _ if secret::is_mark(value) => "a secret",
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn numbers_print_as_in_javascript() {
        let cases: [(f64, &str); 14] = [
            (0.0, "0"),
            (-0.0, "0"),
            (1.0, "1"),
            (-1.5, "-1.5"),
            (0.1 + 0.2, "0.30000000000000004"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (1.5e21, "1.5e+21"),
            (123_456_789.125, "123456789.125"),
            (0.000_001, "0.000001"),
            (1e-7, "1e-7"),
            (1.25e-7, "1.25e-7"),
            (1.797_693_134_862_315_7e308, "1.7976931348623157e+308"),
            (5e-324, "5e-324"),
        ];
        for (number, text) in cases {
            assert_eq!(number_text(&Number::from_f64(number).unwrap()), text);
        }
        assert_eq!(number_text(&Number::from(9_007_199_254_740_993_u64)), "9007199254740992");
    }

    #[test]
    fn truth_is_javascripts() {
        for falsy in [json!(null), json!(false), json!(0), json!(-0.0), json!("")] {
            assert!(!truthy(&falsy), "{falsy}");
        }
        for value in [json!(true), json!(-1), json!("false"), json!("0"), json!([]), json!({})] {
            assert!(truthy(&value), "{value}");
        }
    }

    #[test]
    fn text_is_javascripts() {
        assert_eq!(plain_text(&json!([1, [2, 3], null, "a", true])).unwrap(), "1,2,3,,a,true");
        assert_eq!(plain_text(&json!(null)).unwrap(), "null");
        assert_eq!(plain_text(&json!({})), None);
        assert_eq!(json_text(&json!({"a": [1.0, "x\n", null], "b": 1e21})), r#"{"a":[1,"x\n",null],"b":1e+21}"#);
    }

    #[test]
    fn only_numbers_are_numbers() {
        for (text, expected) in [("12", Some(12.0)), (" -1.5 ", Some(-1.5)), ("1e3", Some(1000.0))] {
            assert_eq!(number(&json!(text)), expected);
        }
        for text in ["", "abc", "inf", "NaN", "1x", "0x10", "1e999"] {
            assert_eq!(number(&json!(text)), None, "{text}");
        }
    }
}
