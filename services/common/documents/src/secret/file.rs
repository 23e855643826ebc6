//! Secret files: what a group says of them, and what expressions see.
//!
//! A file's `data` are base64, as in documents; its `path` is only known to the program that is given the file, so a
//! mark stands for it: `{"$file": data}`.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};

use super::is_mark;

pub(super) const FILE: &str = "$file";

/// The most bytes of a secret file: programs are handed it in one variable.
pub const MAX_FILE: usize = 64 << 10;

/// Where a secret group's `spec` has its files.
pub const FILES: &str = "/secrets/files";

/// What expressions see of a secret group's files: `{NAME: {data, path, encoding}}`. `data` are the names of secrets,
/// as they are in the `spec` of a group that was applied.
#[must_use]
pub fn files(group: &Value) -> Map<String, Value> {
    let files = group.pointer(FILES).and_then(Value::as_object);
    files
        .into_iter()
        .flatten()
        .filter_map(|(name, file)| {
            let data = file.get("data").filter(|data| is_mark(data))?;
            let encoding = file.get("encoding").and_then(Value::as_str).unwrap_or("utf-8");
            Some((name.clone(), json!({"data": data, "path": {FILE: data}, "encoding": encoding})))
        })
        .collect()
}

/// The data of the secret file whose path the value is, if it is one.
#[must_use]
pub fn file_data(value: &Value) -> Option<&Value> {
    let members = value.as_object().filter(|members| members.len() == 1)?;
    members.get(FILE).filter(|data| is_mark(data))
}

/// The contents of a secret file, of its data.
///
/// # Errors
/// What is wrong with the data, as the end of a sentence. It never holds any of them.
pub fn file_contents(data: &str) -> Result<Vec<u8>, String> {
    let lines: String = data.split_ascii_whitespace().collect();
    let contents = STANDARD.decode(lines).map_err(|_| "are not base64".to_owned())?;
    if contents.len() > MAX_FILE {
        return Err(format!("are {} bytes; a secret file has at most {MAX_FILE}", contents.len()));
    }
    Ok(contents)
}

#[cfg(test)]
mod tests {
    use super::{super::*, *};

    #[test]
    fn a_file_is_data_and_a_path_that_only_a_program_knows() {
        let data = json!({"$secret": "file/tls/CERT@2"});
        let group = json!({"secrets": {"files": {
            "CERT": {"data": data}, "KEYS": {"data": data, "encoding": "base64"}, "PLAIN": {"data": "eA=="},
        }}});
        let found = files(&group);
        assert_eq!(found["CERT"], json!({"data": data, "path": {"$file": data}, "encoding": "utf-8"}));
        assert_eq!(found["KEYS"]["encoding"], "base64");
        assert_eq!(found.get("PLAIN"), None, "data that were not taken out are not handed on");

        let path = &found["CERT"]["path"];
        assert!(is_mark(path) && is_secret(path));
        assert_eq!(secrets_in(path).iter().map(ToString::to_string).collect::<Vec<_>>(), ["file/tls/CERT@2"]);
        assert_eq!(file_data(path), Some(&data));
        let error = finish(path, &|_| Some("eA==".to_owned())).unwrap_err();
        assert!(error.to_string().starts_with("the path of the secret file `file/tls/CERT@2`"), "{error}");
        for other in [json!({"$file": "text"}), json!({"$file": data, "b": 1}), data] {
            assert_eq!(file_data(&other), None, "{other}");
        }
    }

    #[test]
    fn data_are_base64_and_not_too_much() {
        assert_eq!(file_contents("aGVs\n  bG8=\n").unwrap(), b"hello");
        assert_eq!(file_contents("").unwrap(), b"");
        assert_eq!(file_contents("hunter2!").unwrap_err(), "are not base64");
        let large = STANDARD.encode(vec![0; MAX_FILE + 1]);
        assert_eq!(file_contents(&large).unwrap_err(), "are 65537 bytes; a secret file has at most 65536");
        assert_eq!(file_contents(&large[..large.len() - 4]).unwrap().len(), MAX_FILE - 1);
    }
}
