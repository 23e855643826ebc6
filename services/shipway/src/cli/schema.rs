//! `shipway schema`: the JSON Schemas that editors check and complete with. Asks no server.

use serde_json::json;
use shipway_documents::{DocumentType, Support, list};

use super::{Exit, Failure, Outcome, Style, Table, color::Paint, flags::Output, hint, out, output::out_json};

/// Arguments of `shipway schema`.
#[derive(Debug, clap::Args)]
pub(crate) struct SchemaArgs {
    /// The type of documents: template, release-flow, preview, workflow, blueprint or teardown; lists them when absent.
    #[arg(value_name = "TYPE")]
    document_type: Option<String>,
    /// How the list is written; a schema is JSON.
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    output: Output,
}

pub(crate) fn schema(args: &SchemaArgs) -> Outcome {
    let Some(word) = &args.document_type else {
        types(args.output);
        return Ok(Exit::Ok);
    };
    let document = DocumentType::parse(word).ok_or_else(|| {
        let known = list(DocumentType::ALL.iter().map(|document| document.as_str()));
        Failure::usage(format!("`{word}` is no type of document")).help(format!("it is one of {known}"))
    })?;
    out_json(&shipway_nodes::schema(document));
    Ok(Exit::Ok)
}

fn types(output: Output) {
    let runs = |document: DocumentType| document.support() == Support::Runs;
    if output == Output::Json {
        let each = DocumentType::ALL.iter().map(|document| {
            json!({"type": document, "describes": document.describe(), "supported": runs(*document)})
        });
        out_json(&each.collect());
        return;
    }
    let mut table = Table::new(&["TYPE", "DESCRIBES", "SUPPORTED"]);
    for document in DocumentType::ALL {
        table.styled([
            (document.to_string(), Style::Plain),
            (document.describe().to_owned(), Style::Quiet),
            (if runs(*document) { "yes" } else { "not yet" }.to_owned(), Style::Quiet),
        ]);
    }
    out(&table.text(Paint::stdout()));
    hint("shipway schema release-flow > release-flow.schema.json");
}
