//! `shipway lsp` as an editor sees it: the real binary over its pipes. `lsp/session.txt` is what the editor writes
//! (`->`) and what it reads (`<-`); `UPDATE_GOLDEN=1` writes it anew, to be read before it is kept.

#![expect(clippy::unwrap_used, reason = "a helper of a test fails it like the test itself")]

use std::{
    env, fs,
    io::{BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use lsp_server::{Message, Notification, Request, RequestId};
use serde_json::{Value, json};

const FLOW: &str = "\
apiVersion: v1.2
arguments:
  BRANCH: main
spec:
  kind: Workflow
  spec:
    type: sequential
    steps:
    - kind: Build
      ref: build
      spec: {id: api, branch: '${args.BRANCH}'}
    - kind: Relase
      spec: {sha: '${refs.biuld.sha}'}
";

#[test]
fn a_session_of_an_editor() {
    let mut editor = Editor::start();
    let uri = "file:///shop/flow.yaml";
    let at = |line: u32, character: u32| json!({"textDocument": {"uri": uri}, "position": {"line": line, "character": character}});

    editor.ask("initialize", json!({"capabilities": {}}));
    editor.tell("initialized", json!({}));
    editor.tell(
        "textDocument/didOpen",
        json!({"textDocument": {"uri": uri, "languageId": "yaml", "version": 1, "text": FLOW}}),
    );
    editor.hear();
    editor.ask("textDocument/hover", at(10, 40));
    editor.ask("textDocument/definition", at(10, 40));
    editor.ask("textDocument/completion", at(6, 10));
    editor.ask("textDocument/completion", at(10, 38));
    let whole = json!({"start": {"line": 0, "character": 0}, "end": {"line": 20, "character": 0}});
    editor.ask(
        "textDocument/codeAction",
        json!({"textDocument": {"uri": uri}, "range": whole, "context": {"diagnostics": []}}),
    );
    let mended = FLOW
        .replace("Relase", "Noop")
        .replace("spec: {sha: '${refs.biuld.sha}'}", "spec: {message: '${refs.build.sha}'}");
    editor.tell(
        "textDocument/didChange",
        json!({"textDocument": {"uri": uri, "version": 2}, "contentChanges": [{"text": mended}]}),
    );
    editor.hear();
    editor.ask("textDocument/prepareRename", at(9, 13));
    let mut rename = at(9, 13);
    rename["newName"] = json!("image");
    editor.ask("textDocument/rename", rename);
    editor.ask("textDocument/references", {
        let mut asked = at(9, 13);
        asked["context"] = json!({"includeDeclaration": true});
        asked
    });
    editor.ask(
        "textDocument/formatting",
        json!({"textDocument": {"uri": uri}, "options": {"tabSize": 4, "insertSpaces": true}}),
    );
    editor.tell(
        "textDocument/didChange",
        json!({"textDocument": {"uri": uri, "version": 3}, "contentChanges": [{"text": "spec: ["}]}),
    );
    editor.hear();
    editor.ask("textDocument/hover", at(0, 0));
    editor.ask("textDocument/nothingLikeIt", json!({}));
    editor.tell("textDocument/didClose", json!({"textDocument": {"uri": uri}}));
    editor.hear();
    editor.ask("textDocument/hover", at(0, 0));
    editor.ask("shutdown", Value::Null);
    editor.tell("exit", Value::Null);
    assert!(editor.child.wait().unwrap().success());

    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lsp/session.txt");
    if env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&golden, &editor.transcript).unwrap();
    }
    let expected = fs::read_to_string(&golden).unwrap_or_default();
    assert!(expected == editor.transcript, "the session has changed:\n{}", editor.transcript);
}

/// The editor's side of the pipes.
struct Editor {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    asked: i32,
    transcript: String,
}

impl Editor {
    fn start() -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_shipway"))
            .arg("lsp")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Self { child, input, output, asked: 0, transcript: String::new() }
    }

    fn ask(&mut self, method: &str, params: Value) {
        self.asked += 1;
        self.note("->", method, &params);
        let request = Request { id: RequestId::from(self.asked), method: method.to_owned(), params };
        self.write(request.into());
        self.hear();
    }

    fn tell(&mut self, method: &str, params: Value) {
        self.note("->", method, &params);
        self.write(Notification { method: method.to_owned(), params }.into());
    }

    fn write(&mut self, message: Message) {
        message.write(&mut self.input).unwrap();
        self.input.flush().unwrap();
    }

    /// Reads the next message.
    fn hear(&mut self) {
        match Message::read(&mut self.output).unwrap().expect("the server has ended") {
            Message::Response(response) => {
                assert_eq!(response.id, RequestId::from(self.asked));
                match response.response_result {
                    Ok(result) => self.note("<-", "", &hide_version(result)),
                    Err(error) => self.note("<-", "refused", &json!(error)),
                }
            }
            Message::Notification(told) => self.note("<-", &told.method, &told.params),
            Message::Request(request) => panic!("the server asks {}", request.method),
        }
    }

    fn note(&mut self, arrow: &str, method: &str, params: &Value) {
        let text = serde_json::to_string_pretty(params).unwrap();
        self.transcript.push_str(&format!("{arrow} {method} {text}\n").replace("  {", " {"));
    }
}

/// The version changes with every release.
fn hide_version(mut said: Value) -> Value {
    if let Some(version) = said.pointer_mut("/serverInfo/version") {
        *version = json!("…");
    }
    said
}
