//! Lists of runs: filters and pages.
//!
//! However many runs there are, a page costs what is on it. One filter leads: its index, which ends with the position, is
//! walked from the page's end on, newest first. What else is asked of a run is looked at on the way, and the way has an
//! end: a page stops after so many rows and says where to go on, so that what is rare among very many is found in steps.

#[cfg(test)]
mod tests;

use shipway_contracts::{
    Error,
    v1::{ListRunsReply, ListRunsRequest, Run},
};
use shipway_eventing::failing;
use shipway_events::{FlowId, RunId, RunStatus, Timestamp};
use sqlx::{Any, AssertSqlSafe, Row, any::AnyRow, query::Query, query::QueryScalar};

use crate::{queries::away, run::present, service::Shared};

/// So many rows of the leading filter are looked at for a page.
const WALK: i64 = 5_000;
/// The longest part of a name that is looked for.
const LONGEST: usize = 200;

const COLUMNS: &str =
    "run, position, project, flow, path, name, description, flow_version, origin, author, branch,
    commit_sha, parent, status, reason, created, ended, triggers";
const NOT_BEFORE: &str = "SELECT position FROM runs_3 WHERE created >= $1 ORDER BY created, position LIMIT 1";
const COMMIT_FROM: &str =
    "SELECT min(commit_sha) FROM runs_3 WHERE commit_sha <> '' AND commit_sha >= $1 AND commit_sha < $2";
const COMMIT_AFTER: &str =
    "SELECT min(commit_sha) FROM runs_3 WHERE commit_sha <> '' AND commit_sha > $1 AND commit_sha < $2";

/// What can lead, the one that leaves the fewest runs first: a column, and how it says so that its index is taken.
const LEADS: &[(&str, &str)] = &[
    ("commit_sha", "commit_sha <> '' AND commit_sha ="),
    ("author", "author ="),
    ("branch", "branch <> '' AND branch ="),
    ("path", "path ="),
    ("status", "status ="),
    ("pipeline", "pipeline ="),
    ("stage", "stage ="),
    ("project", "project ="),
    ("origin", "origin ="),
];

/// What is asked of runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Asked {
    /// Columns and what has to be in them.
    equal: Vec<(&'static str, String)>,
    /// Whether the run is over.
    concluded: Option<bool>,
    /// A part of the name, in lower case.
    text: String,
    /// Positions: from here on, and before there.
    from: i64,
    before: i64,
}

/// A question in SQL, with its values in the order of their numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Select {
    sql: String,
    texts: Vec<String>,
}

impl Asked {
    /// Without what leads: the column, or none where all runs are walked through.
    fn lead(&self) -> (String, Option<&(&'static str, String)>) {
        // The runs that are not over are few, whatever else there is.
        if self.concluded == Some(false) {
            return ("ended = 0".to_owned(), None);
        }
        let found = LEADS.iter().find_map(|(column, says)| {
            let equal = self.equal.iter().find(|(name, _)| name == column)?;
            Some((format!("{says} $3"), Some(equal)))
        });
        found.unwrap_or_else(|| ("1 = 1".to_owned(), None))
    }

    /// Whether it asks for more than one index answers.
    fn is_walk(&self) -> bool {
        let led = usize::from(self.lead().1.is_some());
        self.equal.len() > led || self.concluded == Some(true) || !self.text.is_empty()
    }

    /// The order of the index that is walked: that of all runs has an expression, so that it is taken for nothing else.
    fn order(&self) -> &'static str {
        match self.concluded == Some(false) || self.lead().1.is_some() {
            true => "position",
            false => "position + 0",
        }
    }

    /// The position after which the page's walk ends: `$1` and `$2` are its beginning and its end.
    fn floor(&self) -> Select {
        let ((lead, equal), order) = (self.lead(), self.order());
        let sql = format!(
            "SELECT position FROM runs_3 WHERE {lead} AND {order} < $1 AND {order} >= $2
            ORDER BY {order} DESC LIMIT 1 OFFSET {WALK}"
        );
        Select { sql, texts: equal.into_iter().map(|(_, value)| value.clone()).collect() }
    }

    /// The page: `$1` and `$2` as in [`Asked::floor`].
    fn page(&self, limit: i64) -> Select {
        let ((lead, equal), order) = (self.lead(), self.order());
        let mut sql = format!("SELECT {COLUMNS} FROM runs_3 WHERE {lead} AND {order} < $1 AND {order} >= $2");
        let mut texts: Vec<String> = equal.into_iter().map(|(_, value)| value.clone()).collect();
        let mut also = |says: &str, value: String| {
            texts.push(value);
            sql.push_str(&format!(" AND {says} ${}", texts.len() + 2));
        };
        for (column, value) in self.equal.iter().filter(|other| Some(*other) != equal) {
            // No index has this, so none but the leading one is taken.
            also(&format!("{column} || '' ="), value.clone());
        }
        if !self.text.is_empty() {
            also("sought LIKE", format!("%{}%", escaped(&self.text)));
            sql.push_str(" ESCAPE '\\'");
        }
        if self.concluded == Some(true) {
            sql.push_str(" AND ended <> 0");
        }
        sql.push_str(&format!(" ORDER BY {order} DESC LIMIT {limit}"));
        Select { sql, texts }
    }
}

impl Select {
    /// The rows' question between two positions.
    fn rows(&self, before: i64, from: i64) -> Query<'_, Any, sqlx::any::AnyArguments> {
        // It is put together of this file's own words; values are bound.
        let query = sqlx::query(AssertSqlSafe(self.sql.clone())).bind(before).bind(from);
        self.texts.iter().fold(query, |query, text| query.bind(text.as_str()))
    }

    /// The same for one number.
    fn number(&self, before: i64, from: i64) -> QueryScalar<'_, Any, i64, sqlx::any::AnyArguments> {
        let query = sqlx::query_scalar(AssertSqlSafe(self.sql.clone())).bind(before).bind(from);
        self.texts.iter().fold(query, |query, text| query.bind(text.as_str()))
    }
}

/// A text in which `%`, `_` and `\` mean themselves.
fn escaped(text: &str) -> String {
    text.chars().flat_map(|c| matches!(c, '%' | '_' | '\\').then_some('\\').into_iter().chain([c])).collect()
}

impl Shared {
    /// A page of runs, newest first.
    pub(crate) async fn list_runs(&self, request: ListRunsRequest) -> Result<ListRunsReply, Error> {
        self.caught_up().await?;
        let page = request.page.clone().unwrap_or_default();
        let limit = match page.limit {
            0 => 50,
            limit => i64::from(limit.min(500)),
        };
        let Some((mut asked, live)) = self.asked(&request).await? else {
            return Ok(ListRunsReply::default());
        };
        if !page.after.is_empty() {
            let after: Option<i64> = page.after.parse().ok().filter(|after| *after >= 0);
            let after =
                after.ok_or_else(|| Error::bad_request("field `page.after`: not the `next` of an answer"))?;
            asked.before = asked.before.min(after);
        }
        let Some(live) = live else { return self.page(&asked, limit).await };
        // Where an open run stands changes too often for the tables: whoever moves it says.
        let mut found = ListRunsReply::default();
        for _ in 0..(WALK / limit).max(1) {
            let part = self.page(&asked, limit).await?;
            for run in part.runs {
                if run.status == live.as_str() {
                    found.next = run.position.to_string();
                    found.runs.push(run);
                    if found.runs.len() as i64 == limit {
                        return Ok(found);
                    }
                }
            }
            found.next = part.next;
            match found.next.parse() {
                Ok(before) => asked.before = before,
                Err(_) => return Ok(found),
            }
        }
        Ok(found)
    }

    /// One page by the tables, with where open runs stand.
    async fn page(&self, asked: &Asked, limit: i64) -> Result<ListRunsReply, Error> {
        let mut floor = None;
        if asked.is_walk() {
            let question = asked.floor();
            let read = question.number(asked.before, asked.from).fetch_optional(self.tables());
            floor = read.await.map_err(away)?;
        }
        let question = asked.page(limit + 1);
        let from = floor.map_or(asked.from, |floor| floor + 1);
        let read = question.rows(asked.before, from).fetch_all(self.tables());
        let rows = failing!("db.reads.list", read.await).map_err(away)?;
        let limit = usize::try_from(limit).unwrap_or(0);
        let mut runs = Vec::with_capacity(rows.len());
        for row in rows.iter().take(limit) {
            runs.push(run(row).map_err(away)?);
        }
        for run in runs.iter_mut().filter(|run| !run.concluded) {
            self.say_where_it_stands(run).await;
        }
        self.say_kinds(&mut runs).await?;
        let next = match floor {
            _ if rows.len() > limit => runs.last().map(|run| run.position.to_string()),
            Some(floor) => Some((floor + 1).to_string()),
            None => None,
        };
        Ok(ListRunsReply { runs, next: next.unwrap_or_default() })
    }

    /// Where an open run stands, if it is open here.
    async fn say_where_it_stands(&self, run: &mut Run) {
        let (Ok(id), Ok(flow)) = (run.id.parse::<RunId>(), run.flow.parse::<FlowId>()) else { return };
        let Some(status) = self.book.status_if_open(id) else { return };
        run.status = status.to_string();
        if status == RunStatus::Queued
            && let Some(words) = self.book.place_in_words(flow, id).await
        {
            run.reason = words;
        }
    }

    /// What a request asks for, and the status that only open runs have; none if no run can be it.
    async fn asked(&self, request: &ListRunsRequest) -> Result<Option<(Asked, Option<RunStatus>)>, Error> {
        let mut asked = Asked { before: i64::MAX, concluded: request.concluded, ..Asked::default() };
        let mut equal = |column: &'static str, value: &str| {
            if !value.is_empty() {
                asked.equal.push((column, value.to_owned()));
            }
        };
        equal("path", &request.flow);
        equal("pipeline", &request.pipeline);
        equal("stage", &request.stage.to_lowercase());
        equal("branch", &request.branch);
        equal("author", &request.author);
        equal("origin", &request.origin);
        let mut live = None;
        if !request.status.is_empty() {
            let status = RunStatus::parse(&request.status).ok_or_else(|| {
                let all: Vec<_> = RunStatus::ALL.iter().map(|status| status.as_str()).collect();
                let all = all.join(", ");
                Error::bad_request(format!("field `status`: `{}` is none of {all}", request.status))
            })?;
            if status.is_terminal() {
                equal("status", status.as_str());
            } else if asked.concluded == Some(true) {
                return Ok(None);
            } else {
                live = Some(status);
                asked.concluded = Some(false);
            }
        }
        if !request.project.is_empty() {
            let Some(project) = self.project_id(&request.project).await? else { return Ok(None) };
            asked.equal.push(("project", project));
        }
        if !request.commit.is_empty() {
            let Some(commit) = self.commit(&request.commit).await? else { return Ok(None) };
            asked.equal.push(("commit_sha", commit));
        }
        if request.text.len() > LONGEST {
            return Err(Error::bad_request(format!("field `text`: longer than {LONGEST} bytes")));
        }
        asked.text = request.text.to_lowercase();
        if let Some(since) = time("since", &request.since)? {
            let Some(from) = self.first_run_from(since).await? else { return Ok(None) };
            asked.from = from;
        }
        if let Some(until) = time("until", &request.until)? {
            let after = Timestamp::from_micros(until.micros().saturating_add(1));
            asked.before = self.first_run_from(after).await?.unwrap_or(i64::MAX);
        }
        Ok(Some((asked, live)))
    }

    /// A project by its id or by what people call it; none if there is none.
    async fn project_id(&self, named: &str) -> Result<Option<String>, Error> {
        if named.parse::<shipway_events::ProjectId>().is_ok() {
            return Ok(Some(named.to_owned()));
        }
        Ok(self.project_names(named).await?.into_iter().next().map(|(id, _)| id))
    }

    /// The commit that begins so, of those that runs are of; none if there is none.
    async fn commit(&self, begins: &str) -> Result<Option<String>, Error> {
        let begins = begins.to_lowercase();
        if begins.len() < 4 || !begins.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(Error::bad_request(format!(
                "field `commit`: `{begins}` is no commit: give 4 hex digits of it or more"
            )));
        }
        // After all that begin so: no hex digit is higher.
        let end = format!("{begins}g");
        let first: Option<String> = sqlx::query_scalar(COMMIT_FROM)
            .bind(begins.as_str())
            .bind(end.as_str())
            .fetch_one(self.tables())
            .await
            .map_err(away)?;
        let Some(first) = first else { return Ok(None) };
        let other: Option<String> = sqlx::query_scalar(COMMIT_AFTER)
            .bind(first.as_str())
            .bind(end.as_str())
            .fetch_one(self.tables())
            .await
            .map_err(away)?;
        match other {
            None => Ok(Some(first)),
            // A whole commit is itself, whatever else begins so.
            Some(_) if first == begins => Ok(Some(first)),
            Some(other) => Err(Error::bad_request(format!(
                "field `commit`: `{begins}` begins both {first} and {other}; give more of it"
            ))),
        }
    }

    /// The position of the first run that was made at a time or later. Positions are in the order of time.
    pub(crate) async fn first_run_from(&self, at: Timestamp) -> Result<Option<i64>, Error> {
        let read = sqlx::query_scalar(NOT_BEFORE).bind(at.micros()).fetch_optional(self.tables());
        read.await.map_err(away)
    }
}

fn time(field: &str, text: &str) -> Result<Option<Timestamp>, Error> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|error| Error::bad_request(format!("field `{field}`: {error}")))
}

fn run(row: &AnyRow) -> Result<Run, sqlx::Error> {
    let at = |field: &str| row.try_get(field).map(|at: i64| (at != 0).then(|| Timestamp::from_micros(at)));
    let text = |field: &str| row.try_get::<String, _>(field);
    let ended = at("ended")?;
    Ok(Run {
        id: text("run")?,
        path: text("path")?,
        project: text("project")?,
        flow: text("flow")?,
        flow_version: u32::try_from(row.try_get::<i64, _>("flow_version")?).unwrap_or(0),
        name: text("name")?,
        description: text("description")?,
        status: text("status")?,
        concluded: ended.is_some(),
        origin: text("origin")?,
        created_at: present::text(at("created")?),
        ended_at: present::text(ended),
        reason: text("reason")?,
        position: row.try_get::<i64, _>("position")?.cast_unsigned(),
        triggers_json: text("triggers")?,
        parent: text("parent")?,
        author: text("author")?,
        branch: text("branch")?,
        commit: text("commit_sha")?,
        ..Run::default()
    })
}
