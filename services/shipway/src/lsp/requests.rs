//! What the editor asks, answered.

#![expect(
    clippy::mutable_key_type,
    reason = "the protocol's own type of addresses; its inner cache is no part of its identity"
)]

use std::collections::HashMap;

use lsp_server::{ErrorCode, Request};
use lsp_types::{
    CodeAction, CodeActionKind, CodeActionOrCommand, CodeActionParams, CompletionItem, CompletionItemKind,
    CompletionParams, CompletionTextEdit, DocumentFormattingParams, Documentation, GotoDefinitionParams,
    Hover, HoverContents, HoverParams, Location, MarkupContent, MarkupKind, PrepareRenameResponse,
    ReferenceParams, RenameParams, TextDocumentPositionParams, TextEdit, Uri, WorkspaceEdit,
    request::{
        CodeActionRequest, Completion, Formatting, GotoDefinition, HoverRequest, PrepareRenameRequest,
        References, Rename, Request as _,
    },
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use shipway_editor as editor;

use super::{Refusal, convert::Text};

type Answer = Result<Value, Refusal>;

/// The answer to a request about one of the texts.
pub(super) fn answer(texts: &HashMap<Uri, Text>, request: Request) -> Answer {
    match request.method.as_str() {
        Completion::METHOD => {
            let CompletionParams { text_document_position: at, .. } = params(request)?;
            at_place(texts, &at, completion)
        }
        HoverRequest::METHOD => {
            let HoverParams { text_document_position_params: at, .. } = params(request)?;
            at_place(texts, &at, |text, _, offset| shown(hover(text, offset)))
        }
        GotoDefinition::METHOD => {
            let GotoDefinitionParams { text_document_position_params: at, .. } = params(request)?;
            at_place(texts, &at, |text, uri, offset| {
                let found = editor::definition(&text.name, &text.text, offset);
                shown(found.map(|range| Location { uri: uri.clone(), range: text.places(&range) }))
            })
        }
        References::METHOD => {
            let ReferenceParams { text_document_position: at, .. } = params(request)?;
            at_place(texts, &at, |text, uri, offset| {
                let found = editor::references(&text.name, &text.text, offset);
                let all = found.iter().map(|range| Location { uri: uri.clone(), range: text.places(range) });
                shown(all.collect::<Vec<_>>())
            })
        }
        PrepareRenameRequest::METHOD => {
            let at: TextDocumentPositionParams = params(request)?;
            at_place(texts, &at, |text, _, offset| {
                let all = editor::references(&text.name, &text.text, offset);
                let here = all.into_iter().find(|range| range.start <= offset && offset <= range.end);
                shown(here.map(|range| PrepareRenameResponse::Range(text.places(&range))))
            })
        }
        Rename::METHOD => {
            let RenameParams { text_document_position: at, new_name, .. } = params(request)?;
            at_place(texts, &at, |text, uri, offset| {
                let edits = editor::rename(&text.name, &text.text, offset, &new_name)
                    .map_err(|error| refuse(ErrorCode::InvalidParams, error.to_string()))?;
                shown(change(uri, edits.iter().map(|edit| text.edit(edit)).collect()))
            })
        }
        Formatting::METHOD => {
            let DocumentFormattingParams { text_document, .. } = params(request)?;
            let text = open(texts, &text_document.uri)?;
            let edit = editor::format(&text.name, &text.text);
            shown(edit.map(|edit| vec![text.edit(&edit)]).unwrap_or_default())
        }
        CodeActionRequest::METHOD => code_actions(texts, params(request)?),
        method => Err(refuse(ErrorCode::MethodNotFound, format!("`{method}` is not known"))),
    }
}

fn completion(text: &Text, _: &Uri, offset: usize) -> Answer {
    let found = editor::complete(&text.name, &text.text, offset);
    let item = |(n, found): (usize, editor::Completion)| CompletionItem {
        label: found.label,
        kind: Some(match found.kind {
            editor::CompletionKind::Field => CompletionItemKind::FIELD,
            editor::CompletionKind::Word => CompletionItemKind::ENUM_MEMBER,
            editor::CompletionKind::NodeKind => CompletionItemKind::CLASS,
            editor::CompletionKind::Root => CompletionItemKind::MODULE,
            editor::CompletionKind::Argument => CompletionItemKind::VARIABLE,
            editor::CompletionKind::Reference => CompletionItemKind::REFERENCE,
            editor::CompletionKind::Output => CompletionItemKind::PROPERTY,
            editor::CompletionKind::Function => CompletionItemKind::FUNCTION,
        }),
        detail: (!found.detail.is_empty()).then_some(found.detail),
        documentation: (!found.help.is_empty()).then(|| Documentation::MarkupContent(markdown(found.help))),
        // Editors sort by label otherwise, and the order has a meaning.
        sort_text: Some(format!("{n:04}")),
        text_edit: Some(CompletionTextEdit::Edit(TextEdit {
            range: text.places(&found.range),
            new_text: found.insert,
        })),
        ..CompletionItem::default()
    };
    shown(found.into_iter().enumerate().map(item).collect::<Vec<_>>())
}

fn hover(text: &Text, offset: usize) -> Option<Hover> {
    let found = editor::hover(&text.name, &text.text, offset)?;
    Some(Hover {
        range: Some(text.places(&found.range)),
        contents: HoverContents::Markup(markdown(found.text)),
    })
}

fn code_actions(texts: &HashMap<Uri, Text>, asked: CodeActionParams) -> Answer {
    let uri = asked.text_document.uri;
    let text = open(texts, &uri)?;
    let range = text.offset(asked.range.start)..text.offset(asked.range.end);
    let offered = editor::actions(&text.name, &text.text, &range).into_iter().map(|action| {
        CodeActionOrCommand::CodeAction(CodeAction {
            title: action.title,
            kind: Some(CodeActionKind::QUICKFIX),
            diagnostics: Some(vec![text.diagnostic(&uri, &action.problem)]),
            edit: Some(change(&uri, vec![text.edit(&action.edit)])),
            is_preferred: Some(true),
            ..CodeAction::default()
        })
    });
    shown(offered.collect::<Vec<_>>())
}

/// Answers about a place of an open text.
fn at_place(
    texts: &HashMap<Uri, Text>,
    at: &TextDocumentPositionParams,
    answer: impl FnOnce(&Text, &Uri, usize) -> Answer,
) -> Answer {
    let uri = &at.text_document.uri;
    let text = open(texts, uri)?;
    answer(text, uri, text.offset(at.position))
}

fn open<'a>(texts: &'a HashMap<Uri, Text>, uri: &Uri) -> Result<&'a Text, Refusal> {
    texts.get(uri).ok_or_else(|| refuse(ErrorCode::InvalidParams, format!("{} is not open", uri.as_str())))
}

fn change(uri: &Uri, edits: Vec<TextEdit>) -> WorkspaceEdit {
    WorkspaceEdit { changes: Some(HashMap::from([(uri.clone(), edits)])), ..WorkspaceEdit::default() }
}

fn markdown(value: String) -> MarkupContent {
    MarkupContent { kind: MarkupKind::Markdown, value }
}

fn params<P: DeserializeOwned>(request: Request) -> Result<P, Refusal> {
    let method = request.method;
    serde_json::from_value(request.params)
        .map_err(|error| refuse(ErrorCode::InvalidParams, format!("the parameters of `{method}`: {error}")))
}

fn shown(answer: impl Serialize) -> Answer {
    serde_json::to_value(answer).map_err(|error| refuse(ErrorCode::InternalError, error.to_string()))
}

fn refuse(code: ErrorCode, message: String) -> Refusal {
    Refusal { code, message }
}
