//! Splits a command into words as a shell does, without being one: quotes and backslashes, no variables.

/// The words of a command. Variables, globs and `;` mean nothing; wrap as `sh -c "…"` where they should.
///
/// # Errors
/// A quote that is never closed, in words.
pub fn split_words(command: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = command.chars();
    while let Some(c) = chars.next() {
        match c {
            c if c.is_whitespace() => words.extend(word.take()),
            '\'' => single(&mut chars, word.get_or_insert_default())?,
            '"' => double(&mut chars, word.get_or_insert_default())?,
            '\\' => match chars.next() {
                Some('\n') => {}
                Some(c) => word.get_or_insert_default().push(c),
                None => return Err("the command ends with a backslash".into()),
            },
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Ok(words)
}

fn single(chars: &mut std::str::Chars<'_>, word: &mut String) -> Result<(), String> {
    for c in chars {
        if c == '\'' {
            return Ok(());
        }
        word.push(c);
    }
    Err("a `'` in the command is never closed".into())
}

fn double(chars: &mut std::str::Chars<'_>, word: &mut String) -> Result<(), String> {
    while let Some(c) = chars.next() {
        match c {
            '"' => return Ok(()),
            '\\' => match chars.next() {
                Some('\n') => {}
                Some(c @ ('"' | '\\' | '$' | '`')) => word.push(c),
                Some(c) => word.extend(['\\', c]),
                None => break,
            },
            c => word.push(c),
        }
    }
    Err("a `\"` in the command is never closed".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_a_shell() {
        let cases: [(&str, &[&str]); 9] = [
            ("", &[]),
            ("  a  b\tc\n", &["a", "b", "c"]),
            (r#"sh -c "bin/rails db:migrate""#, &["sh", "-c", "bin/rails db:migrate"]),
            (r"echo 'a \b $c' d\ e", &["echo", r"a \b $c", "d e"]),
            (r#"echo "a \"b\" \$c \d""#, &["echo", r#"a "b" $c \d"#]),
            (r#"a"b"'c'"#, &["abc"]),
            (r#"'' """#, &["", ""]),
            ("a; b && $HOME *", &["a;", "b", "&&", "$HOME", "*"]),
            ("a\\\nb", &["ab"]),
        ];
        for (command, expected) in cases {
            assert_eq!(split_words(command).unwrap(), expected, "{command}");
        }
    }

    #[test]
    fn open_quotes_are_errors() {
        assert!(split_words("a 'b").unwrap_err().contains("`'`"));
        assert!(split_words("a \"b").unwrap_err().contains("`\"`"));
        assert!(split_words("a \\").unwrap_err().contains("backslash"));
    }
}
