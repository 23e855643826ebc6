//! The page at `/`: what is deployed where, and the newest runs. Plain HTML, no script.

use std::fmt::Write;

use shipway_contracts::v1::{Deployed, Run};

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem;\
color:#1c2733;background:#fbfcfd}h1{font-size:1.3rem}h2{font-size:1rem;margin-top:2rem}\
table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.35rem .8rem .35rem 0;\
border-bottom:1px solid #e3e8ee}th{color:#5b6b7b;font-weight:500}code{font:13px ui-monospace,monospace}\
tr:target{background:#fff3c4}\
.success,.running{color:#0a7d4b}.failure,.unhealthy,.aborted,.unknown{color:#b3261e}";

/// The page as HTML.
pub(crate) fn render(version: &str, deployed: &[Deployed], runs: &[Run]) -> String {
    let mut page = String::new();
    let html = "<!doctype html><html lang=en><meta charset=utf-8><title>Shipway</title>\
                <meta name=viewport content=\"width=device-width\"><meta http-equiv=refresh content=5>";
    let _ = write!(page, "{html}<style>{STYLE}</style><h1>Shipway {}</h1>", escape(version));
    board(&mut page, deployed);
    list(&mut page, runs);
    page.push_str("</html>\n");
    page
}

fn board(page: &mut String, deployed: &[Deployed]) {
    page.push_str("<h2>What runs where</h2>");
    if deployed.is_empty() {
        page.push_str("<p>Nothing is released yet. Try <code>shipway apply -f shop.yaml</code>.</p>");
        return;
    }
    page.push_str("<table><tr><th>Stage<th>Resource<th>Status<th>Digest<th>Commit<th>Run<th>Address</tr>");
    for row in deployed {
        let artifact = row.artifact.clone().unwrap_or_default();
        let digest = artifact.digest.trim_start_matches("sha256:");
        let word = row.status.split(' ').next().unwrap_or_default();
        let _ = write!(
            page,
            "<tr><td>{}<td>{}<td class={}>{}<td><code>{}</code><td><code>{}</code><td><code>{}</code><td>",
            escape(&row.stage),
            escape(&row.resource),
            escape(word),
            escape(&row.status),
            escape(digest.get(..12).unwrap_or(digest)),
            escape(artifact.commit.get(..9).unwrap_or(&artifact.commit)),
            escape(row.run.get(..8).unwrap_or(&row.run)),
        );
        for address in &row.addresses {
            let address = escape(address);
            if address.starts_with("http://") {
                let _ = write!(page, "<a href=\"{address}\">{address}</a> ");
            } else {
                let _ = write!(page, "<code>{address}</code> ");
            }
        }
        page.push_str("</tr>");
    }
    page.push_str("</table>");
}

fn list(page: &mut String, runs: &[Run]) {
    page.push_str("<h2>Newest runs</h2>");
    if runs.is_empty() {
        page.push_str("<p>No run yet. Try <code>shipway run &lt;pipeline&gt;/&lt;stage&gt; -w</code>.</p>");
        return;
    }
    page.push_str("<table><tr><th>Run<th>Flow<th>Name<th>Status<th>Started<th>Ended<th>Reason</tr>");
    for run in runs {
        let _ = write!(
            page,
            "<tr id=\"{}\"><td><code>{}</code><td>{}<td>{}<td class={status}>{status}<td>{}<td>{}<td>{}</tr>",
            escape(&run.id),
            escape(run.id.get(..8).unwrap_or(&run.id)),
            escape(&run.path),
            escape(&run.name),
            escape(&run.created_at),
            escape(&run.ended_at),
            escape(&run.reason),
            status = escape(&run.status),
        );
    }
    page.push_str("</table>");
}

fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_users_named_is_text_and_never_markup() {
        let run = Run { name: "<script>alert(1)</script>".into(), status: "\"><b>".into(), ..Run::default() };
        let page = render("1", &[Deployed { resource: "<img>".into(), ..Deployed::default() }], &[run]);
        assert!(!page.contains("<script>") && !page.contains("<img>") && !page.contains("<b>"), "{page}");
        assert!(page.contains("&lt;script&gt;"));
    }

    #[test]
    fn a_commit_status_leads_to_the_run() {
        let run = Run { id: "01934f2e-8c1a-7000-8000-000000000001".into(), ..Run::default() };
        assert!(render("1", &[], &[run]).contains("<tr id=\"01934f2e-8c1a-7000-8000-000000000001\">"));
    }

    #[test]
    fn an_empty_installation_says_what_to_try() {
        assert!(render("1", &[], &[]).contains("shipway apply"));
    }
}
