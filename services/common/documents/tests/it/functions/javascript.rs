//! What expressions give that are JavaScript as well: each line of the table was taken from an engine, with
//! functions that are the language's own (`fn.slice` is `slice` over the characters, and so on).

use shipway_documents::json_text;

use super::result;

const TABLE: &str = include_str!("javascript.txt");

#[test]
fn expressions_give_what_javascript_gives() {
    let (mut lines, mut wrong) = (0, Vec::new());
    for line in TABLE.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (expression, expected) = line.rsplit_once(" ==> ").unwrap();
        lines += 1;
        match result(expression) {
            Ok(value) if json_text(&value) == expected => {}
            Ok(value) => wrong.push(format!("{line}\n  gave {}", json_text(&value))),
            Err(problems) => wrong.push(format!("{line}\n  gave {problems:?}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(lines >= 300, "{lines} lines");
}
