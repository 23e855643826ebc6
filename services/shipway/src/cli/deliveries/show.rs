//! `shipway deliveries show`: one delivery with all that is known of it.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use jiff::Timestamp;
use serde_json::{Value, json};
use shipway_contracts::v1::{GetDeliveryReply, GetDeliveryRequest, Verdict};

use crate::cli::{
    Client, Exit, Failure, Outcome, Paint, Style, age,
    flags::Common,
    hint, json as shown, out,
    output::{out_bytes, out_json},
    short_id,
};

/// Arguments of `shipway deliveries show`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The delivery: its id, or the beginning of it (8 characters or more).
    delivery: String,
    /// Decrypts the body and writes it, and nothing else, as it came.
    #[arg(long)]
    body: bool,
    #[command(flatten)]
    common: Common,
}

pub(super) async fn show(args: Args) -> Outcome {
    let client = Client::connect(&args.common.place).await?;
    let request = GetDeliveryRequest { delivery: args.delivery, body: args.body };
    let found = client.triggers().get_delivery(request).await.map_err(|status| {
        let missing = status.code() == tonic::Code::NotFound;
        let failure = Failure::from(status);
        if missing { failure.help("`shipway deliveries` lists them, newest first") } else { failure }
    })?;
    let found = found.into_inner();
    if args.common.json() {
        out_json(&as_json(&found, args.body));
        return Ok(Exit::Ok);
    }
    if args.body {
        if !found.body_problem.is_empty() {
            return Err(Failure::new(format!("there is no body to show: {}", found.body_problem)));
        }
        out_bytes(&found.body);
        return Ok(Exit::Ok);
    }
    out(&lines(&found, Timestamp::now(), Paint::stdout()).join("\n"));
    if let Some(delivery) = &found.delivery {
        hint(&format!("shipway replay {} --dry-run", short_id(&delivery.id)));
    }
    Ok(Exit::Ok)
}

fn lines(found: &GetDeliveryReply, now: Timestamp, paint: Paint) -> Vec<String> {
    let delivery = found.delivery.clone().unwrap_or_default();
    let field = |name: &str, value: &str| format!("{name:<10} {value}");
    let mut lines = vec![
        paint.on(&delivery.summary, Style::Strong),
        field("delivery", &delivery.id),
        field("came", &format!("{} ({} ago)", delivery.received_at, age(&delivery.received_at, now))),
        field("state", &delivery.state),
    ];
    let mut given = |name: &str, value: &str| {
        if !value.is_empty() {
            lines.push(field(name, value));
        }
    };
    given("request", format!("{} {}", found.method, found.path).trim());
    given("hook", format!("{} {}", delivery.hook, delivery.of).trim());
    given("sender", &found.verified);
    given("repeats", &delivery.original);
    given("replay of", &delivery.replay_of);
    given("replays", &found.replays.join(", "));
    given("body", &format!("sha256:{}", found.digest));
    if !found.headers.is_empty() {
        lines.push(String::new());
        lines.push(paint.on("headers", Style::Strong));
        lines.extend(found.headers.iter().map(|header| format!("  {}: {}", header.name, header.value)));
    }
    lines.push(String::new());
    lines.push(paint.on("triggers", Style::Strong));
    if delivery.verdicts.is_empty() {
        lines.push("  none was asked".to_owned());
    }
    for verdict in &delivery.verdicts {
        lines.extend(told(verdict, paint));
    }
    lines
}

fn told(verdict: &Verdict, paint: Paint) -> Vec<String> {
    let (mark, style) =
        if verdict.matched { ("matches", Style::Good) } else { ("does not match", Style::Quiet) };
    let mut lines = vec![format!("  {} {} {}", verdict.path, verdict.trigger, paint.on(mark, style))];
    lines.extend(verdict.reason.lines().map(|line| format!("    {line}")));
    lines.extend(
        verdict.rules.iter().map(|rule| format!("    - {} {}: {}", rule.rule, rule.outcome, rule.words)),
    );
    if !verdict.run.is_empty() {
        lines.push(format!("    run {}", verdict.run));
    }
    lines
}

fn as_json(found: &GetDeliveryReply, body: bool) -> Value {
    let mut value = shown::delivery(&found.delivery.clone().unwrap_or_default());
    let headers: Vec<_> = found.headers.iter().map(|h| json!({"name": h.name, "value": h.value})).collect();
    value["method"] = json!(found.method);
    value["path"] = json!(found.path);
    value["verified"] = json!(found.verified);
    value["digest"] = json!(found.digest);
    value["headers"] = json!(headers);
    value["replays"] = json!(found.replays);
    if body {
        value["query"] = json!(found.query);
        value["bodyProblem"] = json!(found.body_problem);
        // What is no text is base64, under a name that says so.
        match std::str::from_utf8(&found.body) {
            Ok(text) => value["body"] = json!(text),
            Err(_) => value["bodyBase64"] = json!(BASE64.encode(&found.body)),
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use shipway_contracts::v1::{Delivery, Header};

    use super::*;

    #[test]
    fn all_that_is_known_is_told_trigger_by_trigger() {
        let verdict = |trigger: &str, matched: bool, reason: &str, run: &str| Verdict {
            flow: String::new(),
            path: "shop/staging".to_owned(),
            trigger: trigger.to_owned(),
            matched,
            reason: reason.to_owned(),
            run: run.to_owned(),
            ..Verdict::default()
        };
        let found = GetDeliveryReply {
            delivery: Some(Delivery {
                id: "01934f2e-8c1a-7000-8000-000000000001".to_owned(),
                hook: "11111111-2222-4333-8444-555555555555".to_owned(),
                of: "https://github.com/acme/shop".to_owned(),
                received_at: "2026-01-01T00:00:00Z".to_owned(),
                state: "matched".to_owned(),
                summary: "push of 3f2a91c to main".to_owned(),
                verdicts: vec![
                    verdict("main", true, "branch main matches the rule main", "01934f2e-8c1a-8000"),
                    verdict("docs", false, "path rule `docs/**` excluded all 3 files", ""),
                ],
                ..Delivery::default()
            }),
            method: "POST".to_owned(),
            path: "/hooks/github/x".to_owned(),
            verified: "the signature in x-hub-signature-256 was right".to_owned(),
            headers: vec![Header { name: "x-github-event".to_owned(), value: "push".to_owned() }],
            digest: "abc".to_owned(),
            ..GetDeliveryReply::default()
        };
        let now = "2026-01-01T00:10:00Z".parse().unwrap();
        let expected = "\
push of 3f2a91c to main
delivery   01934f2e-8c1a-7000-8000-000000000001
came       2026-01-01T00:00:00Z (10m ago)
state      matched
request    POST /hooks/github/x
hook       11111111-2222-4333-8444-555555555555 https://github.com/acme/shop
sender     the signature in x-hub-signature-256 was right
body       sha256:abc

headers
  x-github-event: push

triggers
  shop/staging main matches
    branch main matches the rule main
    run 01934f2e-8c1a-8000
  shop/staging docs does not match
    path rule `docs/**` excluded all 3 files";
        assert_eq!(lines(&found, now, Paint::none()).join("\n"), expected);
        let shown = as_json(&GetDeliveryReply { body: vec![0xff], ..found }, true);
        assert_eq!(
            (&shown["bodyBase64"], &shown["summary"]),
            (&json!("/w=="), &json!("push of 3f2a91c to main"))
        );
    }
}
