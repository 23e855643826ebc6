//! `[…]` in a regular expression.

use super::{
    PatternError,
    translate::{SPACE, Translator, push},
};

/// What stands in a class: a character, or a class of its own.
enum Item {
    Char(char),
    Class(String),
}

/// Translates a class; the `[` is next.
pub(super) fn translate(translator: &mut Translator<'_>) -> Result<(), PatternError> {
    let start = translator.at;
    translator.next();
    let negated = translator.peek() == Some('^');
    if negated {
        translator.next();
    }
    let mut body = String::new();
    loop {
        let at = translator.at;
        match translator.peek() {
            None => {
                return Err(PatternError::new(start..start + 1, "this `[` is never closed")
                    .help("close it with `]`, or write `\\[` for text"));
            }
            Some(']') => {
                translator.next();
                break;
            }
            Some(_) => {}
        }
        let first = item(translator)?;
        let rest = &translator.source[translator.at..];
        let range = rest.starts_with('-') && !rest.starts_with("-]") && rest.len() > 1;
        if !range {
            write(first, &mut body);
            continue;
        }
        translator.next();
        let last = item(translator)?;
        match (first, last) {
            (Item::Char(first), Item::Char(last)) if first > last => {
                return Err(translator.error(at, "this range ends before it begins"));
            }
            (Item::Char(first), Item::Char(last)) => {
                push(first, &mut body);
                body.push('-');
                push(last, &mut body);
            }
            // A hyphen next to a class is a hyphen.
            (first, last) => {
                write(first, &mut body);
                push('-', &mut body);
                write(last, &mut body);
            }
        }
    }
    translator.out.push_str(&match (body.is_empty(), negated) {
        (true, true) => "(?s:.)".to_owned(),
        (true, false) => r"[^\x{0}-\x{10ffff}]".to_owned(),
        (false, true) => format!("[^{body}]"),
        (false, false) => format!("[{body}]"),
    });
    Ok(())
}

fn item(translator: &mut Translator<'_>) -> Result<Item, PatternError> {
    let start = translator.at;
    let c = translator.next();
    if c != Some('\\') {
        return c.map(Item::Char).ok_or_else(|| translator.error(start, "the text ends in a class"));
    }
    let class = match translator.peek() {
        Some('d') => "0-9".to_owned(),
        Some('D') => "[^0-9]".to_owned(),
        Some('w') => "0-9A-Za-z_".to_owned(),
        Some('W') => "[^0-9A-Za-z_]".to_owned(),
        Some('s') => SPACE.to_owned(),
        Some('S') => format!("[^{SPACE}]"),
        Some('b') => {
            translator.next();
            return Ok(Item::Char('\u{8}'));
        }
        Some('p' | 'P') => return Ok(Item::Class(translator.property(start)?)),
        _ => return Ok(Item::Char(translator.character(start)?)),
    };
    translator.next();
    Ok(Item::Class(class))
}

fn write(item: Item, body: &mut String) {
    match item {
        Item::Char(c) => push(c, body),
        Item::Class(class) => body.push_str(&class),
    }
}
