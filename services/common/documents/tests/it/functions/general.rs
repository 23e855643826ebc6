//! Secrets and time.

use serde_json::json;
use shipway_documents::expr::resolve;

use super::{World, gives, refuses};

#[test]
fn date() {
    gives(&[
        ("fn.date()", json!("2026-01-05T09:07:03.045Z")),
        ("fn.date('YYYY-MM-DD')", json!("2026-01-05")),
        ("fn.date('YY/M/D')", json!("26/1/5")),
        ("fn.date('dddd, D MMMM YYYY')", json!("Monday, 5 January 2026")),
        ("fn.date('MMM')", json!("Jan")),
        ("fn.date('HH:mm:ss')", json!("09:07:03")),
        ("fn.date('H:m:s')", json!("9:7:3")),
        ("fn.date('hh h A a')", json!("09 9 AM am")),
        ("fn.date('SSS')", json!("045")),
        ("fn.date('Z')", json!("+00:00")),
        ("fn.date('X')", json!("1767604023")),
        ("fn.date('x')", json!("1767604023045")),
        ("fn.date('YYYY[T]HH[ o\\'clock]')", json!("2026T09 o'clock")),
        ("fn.date('[YYYY]')", json!("YYYY")),
        ("fn.date('[]')", json!("")),
        ("fn.date('YYYYMMDD.HHmm')", json!("20260105.0907")),
        ("fn.date('')", json!("")),
    ]);
    refuses(&[
        (
            "fn.date('YYYY-MM-DDTHH')",
            "the first argument of fn.date has `T`, which is no token; there is YYYY YY MMMM MMM MM M DD D dddd HH H \
             hh h mm m ss s SSS A a Z X x, and `[text]` for text",
            "'YYYY-MM-DDTHH'",
        ),
        (
            "fn.date('[at')",
            "the first argument of fn.date has a `[` that is never closed; write `[text]`",
            "'[at'",
        ),
        ("fn.date(args.list)", "the first argument of fn.date must be text, not a list", "args.list"),
        ("fn.date(1, 2)", "fn.date takes 0 to 1 arguments, not 2", "fn.date(1, 2)"),
    ]);
}

#[test]
fn random_secrets_are_named_by_their_place_and_never_seen() {
    let value = json!({
        "A": "${fn.randomSecret(32)}",
        "B": ["x ${fn.randomSecret(16, 'hex')} ${fn.toUpper(fn.randomSecret(8))}"],
    });
    let resolved = resolve(&value, &World::new(), "/spec").unwrap();
    let random = |name: &str, length: u32, encoding: &str| json!({"$random": {"secret": name, "length": length, "encoding": encoding}});
    assert_eq!(
        resolved,
        json!({
            "A": random("random/spec/A/0@1", 32, "base64"),
            "B": [{"$text": [
                "x ", random("random/spec/B/0/0@1", 16, "hex"), " ",
                {"$call": {"fn": "toUpper", "args": [random("random/spec/B/0/1@1", 8, "base64")]}},
            ]}],
        })
    );
    refuses(&[
        (
            "fn.randomSecret(0)",
            "the first argument of fn.randomSecret must be a whole number from 6 to 1024",
            "0",
        ),
        (
            "fn.randomSecret(1.5)",
            "the first argument of fn.randomSecret must be a whole number from 6 to 1024",
            "1.5",
        ),
        (
            "fn.randomSecret(16, 'base32')",
            "the second argument of fn.randomSecret must be 'base64' or 'hex'",
            "'base32'",
        ),
        (
            "fn.randomSecret(args.pw)",
            "the arguments of fn.randomSecret may not depend on a secret",
            "fn.randomSecret(args.pw)",
        ),
        (
            "fn.map(args.list, x => fn.randomSecret(8))",
            "fn.randomSecret cannot stand in an arrow function",
            "fn.randomSecret(8)",
        ),
    ]);
}

#[test]
fn fetch_secret_is_what_the_root_secrets_is() {
    let url = json!({"$secret": "group/db/URL@2"});
    let ca = json!({"$secret": "file/db/CA@1"});
    gives(&[
        ("secrets.db.values.URL", url.clone()),
        ("fn.get(fn.fetchSecret('db'), 'values.URL')", url.clone()),
        (
            "fn.length(fn.get(fn.fetchSecret('db'), 'values.URL'))",
            json!({"$call": {"fn": "length", "args": [url]}}),
        ),
        (
            "fn.get(fn.fetchSecret('db'), 'values.URL.x')",
            json!({"$call": {"fn": "get", "args": [
                {
                    "values": {"URL": url, "PORT": {"$secret": "group/db/PORT@1"}},
                    "files": {"CA": {"data": ca, "path": {"$file": ca}, "encoding": "utf-8"}},
                },
                "values.URL.x",
            ]}}),
        ),
    ]);
    refuses(&[
        (
            "fn.get(fn.fetchSecret('db'), 'values.URI')",
            "fn.get found nothing at `values.URI`",
            "fn.get(fn.fetchSecret('db'), 'values.URI')",
        ),
        ("secrets.bd.values.URL", "no secret is called `bd`", "secrets.bd.values.URL"),
        ("fn.fetchSecret('bd')", "no secret is called `bd`", "fn.fetchSecret('bd')"),
        ("secrets.db.values.URI", "`db.values` has no `URI`", "secrets.db.values.URI"),
        ("secrets.db.values.URL.x", "`db.values.URL` is a secret and has no `x`", "secrets.db.values.URL.x"),
        (
            "fn.fetchSecret(args.pw)",
            "the arguments of fn.fetchSecret may not depend on a secret",
            "fn.fetchSecret(args.pw)",
        ),
        ("secrets", "`secrets` alone is no value", "secrets"),
    ]);
}

#[test]
fn secret_files_are_data_and_a_path_that_is_a_whole_value() {
    let ca = json!({"$secret": "file/db/CA@1"});
    gives(&[
        ("secrets.db.files.CA.data", ca.clone()),
        ("fn.fromBase64(secrets.db.files.CA.data)", json!({"$call": {"fn": "fromBase64", "args": [ca]}})),
        ("secrets.db.files.CA.encoding", json!("utf-8")),
        ("secrets.db.files.CA.path", json!({"$file": ca})),
        ("fn.if(fn.eq(args.n, 2), secrets.db.files.CA.path, 'none')", json!({"$file": ca})),
        ("fn.get(fn.fetchSecret('db'), 'files.CA.path')", json!({"$file": ca})),
    ]);
    refuses(&[
        ("secrets.db.files.CB.data", "`db.files` has no `CB`", "secrets.db.files.CB.data"),
        (
            "secrets.db.files.CA.path.x",
            "`db.files.CA.path` is a secret and has no `x`",
            "secrets.db.files.CA.path.x",
        ),
        (
            "fn.toUpper(secrets.db.files.CA.path)",
            "the path of a secret file must be the whole value",
            "secrets.db.files.CA.path",
        ),
    ]);
    let problems = resolve(&json!("--ca=${secrets.db.files.CA.path}"), &World::new(), "/f").unwrap_err();
    assert_eq!(problems[0].message, "the path of a secret file must be the whole value");
    let container = resolve(&json!("${{secrets.db.files.CA.path}}"), &World::new(), "/f");
    assert_eq!(container.unwrap(), json!({"$file": ca}));
}
