//! `shipway lsp`: the language server on standard input and output. What it says is `shipway-editor`'s; here is the
//! protocol only.

mod convert;
mod requests;

use std::collections::HashMap;

use anyhow::Context;
use lsp_server::{Connection, ErrorCode, Message, Notification, Response};
use lsp_types::{
    CodeActionKind, CodeActionOptions, CodeActionProviderCapability, CompletionOptions,
    DidChangeTextDocumentParams, DidCloseTextDocumentParams, DidOpenTextDocumentParams,
    HoverProviderCapability, InitializeResult, OneOf, PublishDiagnosticsParams, RenameOptions,
    ServerCapabilities, ServerInfo, TextDocumentSyncCapability, TextDocumentSyncKind, Uri,
    WorkDoneProgressOptions,
    notification::{
        DidChangeTextDocument, DidCloseTextDocument, DidOpenTextDocument, Notification as _,
        PublishDiagnostics,
    },
};
use serde::de::DeserializeOwned;

use convert::Text;

/// Serves one editor until it says that it is done.
///
/// # Errors
/// The editor does not keep to the protocol, or its pipes break.
pub(crate) fn serve() -> anyhow::Result<()> {
    let (connection, threads) = Connection::stdio();
    let (id, _) = connection.initialize_start().context("waiting for the editor's first request")?;
    let answer = InitializeResult {
        capabilities: capabilities(),
        server_info: Some(ServerInfo {
            name: "shipway".to_owned(),
            version: Some(env!("CARGO_PKG_VERSION").to_owned()),
        }),
    };
    connection.initialize_finish(id, serde_json::to_value(answer)?).context("answering the editor")?;
    Server { connection: &connection, texts: HashMap::new() }.run()?;
    // The writing thread ends when nobody can write any more.
    drop(connection);
    threads.join().context("ending the connection to the editor")
}

fn capabilities() -> ServerCapabilities {
    let triggers = [".", "{", ":", " ", "\"", "'", "("].map(str::to_owned);
    ServerCapabilities {
        text_document_sync: Some(TextDocumentSyncCapability::Kind(TextDocumentSyncKind::FULL)),
        completion_provider: Some(CompletionOptions {
            trigger_characters: Some(triggers.to_vec()),
            ..CompletionOptions::default()
        }),
        hover_provider: Some(HoverProviderCapability::Simple(true)),
        definition_provider: Some(OneOf::Left(true)),
        references_provider: Some(OneOf::Left(true)),
        rename_provider: Some(OneOf::Right(RenameOptions {
            prepare_provider: Some(true),
            work_done_progress_options: WorkDoneProgressOptions::default(),
        })),
        document_formatting_provider: Some(OneOf::Left(true)),
        code_action_provider: Some(CodeActionProviderCapability::Options(CodeActionOptions {
            code_action_kinds: Some(vec![CodeActionKind::QUICKFIX]),
            ..CodeActionOptions::default()
        })),
        ..ServerCapabilities::default()
    }
}

/// The documents that the editor has open.
struct Server<'a> {
    connection: &'a Connection,
    texts: HashMap<Uri, Text>,
}

impl Server<'_> {
    fn run(&mut self) -> anyhow::Result<()> {
        for message in &self.connection.receiver {
            match message {
                Message::Request(request) => {
                    if self.connection.handle_shutdown(&request).context("ending as the editor asks")? {
                        return Ok(());
                    }
                    let id = request.id.clone();
                    let response = match requests::answer(&self.texts, request) {
                        Ok(result) => Response::new_ok(id, result),
                        Err(refusal) => Response::new_err(id, refusal.code as i32, refusal.message),
                    };
                    self.send(response.into())?;
                }
                Message::Notification(notification) => self.note(notification)?,
                // Nothing is asked of the editor.
                Message::Response(_) => {}
            }
        }
        Ok(())
    }

    /// Takes what the editor tells. What cannot be read, or is of no interest, is passed over, as the protocol says.
    fn note(&mut self, told: Notification) -> anyhow::Result<()> {
        match told.method.as_str() {
            DidOpenTextDocument::METHOD => {
                let Some(DidOpenTextDocumentParams { text_document: opened }) = read(told) else {
                    return Ok(());
                };
                let text = Text::new(&opened.uri, &opened.language_id, opened.text);
                self.texts.insert(opened.uri.clone(), text);
                self.publish(opened.uri, Some(opened.version))
            }
            DidChangeTextDocument::METHOD => {
                let Some(DidChangeTextDocumentParams { text_document: changed, content_changes }) =
                    read(told)
                else {
                    return Ok(());
                };
                if let (Some(text), Some(change)) =
                    (self.texts.get_mut(&changed.uri), content_changes.into_iter().next_back())
                {
                    text.replace(change.text);
                }
                self.publish(changed.uri, Some(changed.version))
            }
            DidCloseTextDocument::METHOD => {
                let Some(DidCloseTextDocumentParams { text_document: closed }) = read(told) else {
                    return Ok(());
                };
                self.texts.remove(&closed.uri);
                self.publish(closed.uri, None)
            }
            _ => Ok(()),
        }
    }

    /// Shows the problems of a document; none of one that has been closed.
    fn publish(&self, uri: Uri, version: Option<i32>) -> anyhow::Result<()> {
        let diagnostics = self.texts.get(&uri).map(|text| text.diagnostics(&uri)).unwrap_or_default();
        let params = PublishDiagnosticsParams { uri, diagnostics, version };
        self.send(Notification::new(PublishDiagnostics::METHOD.to_owned(), params).into())
    }

    fn send(&self, message: Message) -> anyhow::Result<()> {
        self.connection.sender.send(message).context("the editor does not read any more")
    }
}

fn read<P: DeserializeOwned>(told: Notification) -> Option<P> {
    serde_json::from_value(told.params).ok()
}

/// Why a request has no answer.
struct Refusal {
    code: ErrorCode,
    message: String,
}
