//! The gRPC contract `Triggers`.

use std::sync::Arc;

use shipway_contracts::{
    Code, Error,
    v1::{self, triggers_server::Triggers},
};
use shipway_eventing::{People, PeopleError};
use shipway_events::{Actor, Asker, DeliveryId, HookId, Timestamp};
use shipway_service_kit::Credentials;
use tonic::{Request, Response, Status, metadata::MetadataMap};

use crate::{
    domain::push::short,
    git::without_password,
    http::Ingress,
    inbox::{Approving, Filter, InboxError, Kind, NotApproved, StoredRow},
    parcel::{self, about},
    replay, schedules, why,
};

/// How many deliveries a page has if nobody says, and at most.
const PAGE: (u32, u32) = (50, 500);

/// The shortest beginning of an id that is looked for.
const SHORTEST: usize = 8;

/// What somebody hears who may be anybody, where a commit is approved by people who are told apart.
const PROVES_NO_NAME: &str = "nobody in particular may not approve a fork's commit; prove who you are with a token \
                              (`SHIPWAY_TOKEN`)";

/// The states that deliveries have, and what a filter knows besides.
const STATES: [&str; 7] = ["stored", "waiting", "held", "approved", "matched", "unmatched", "repeated"];

/// Answers from the inbox.
#[derive(Clone)]
pub struct Api {
    pub(crate) ingress: Arc<Ingress>,
    pub(crate) people: Arc<People>,
}

#[tonic::async_trait]
impl Triggers for Api {
    async fn list_deliveries(
        &self,
        request: Request<v1::ListDeliveriesRequest>,
    ) -> Result<Response<v1::ListDeliveriesReply>, Status> {
        let v1::ListDeliveriesRequest { page, filter: wanted } = request.into_inner();
        let (deliveries, next) =
            self.page(Kind::NewestFirst, &filter(wanted.unwrap_or_default())?, page).await?;
        Ok(Response::new(v1::ListDeliveriesReply { deliveries, next }))
    }

    async fn get_delivery(
        &self,
        request: Request<v1::GetDeliveryRequest>,
    ) -> Result<Response<v1::GetDeliveryReply>, Status> {
        let v1::GetDeliveryRequest { delivery, body } = request.into_inner();
        let row = self.row("delivery", &delivery).await?;
        let mut reply = self.shown(&row).await?;
        if body {
            match replay::opened(&self.ingress, &row).await.map_err(|error| away(&error))? {
                Ok(whole) => match parcel::flow_request(&whole).filter(|_| replay::is_flow(&row)) {
                    Some((_, query, body)) => (reply.query, reply.body) = (query, body.to_vec()),
                    None => reply.body = whole.to_vec(),
                },
                Err(problem) => reply.body_problem = problem,
            }
        }
        Ok(Response::new(reply))
    }

    async fn replay_deliveries(
        &self,
        request: Request<v1::ReplayDeliveriesRequest>,
    ) -> Result<Response<v1::ReplayDeliveriesReply>, Status> {
        let by = self.actor(request.metadata()).await?.name().to_owned();
        let v1::ReplayDeliveriesRequest { command, deliveries, filter: wanted, page, dry_run } =
            request.into_inner();
        let command: uuid::Uuid = command.parse().map_err(|_| {
            Error::bad_request("field `command`: make a new UUID for what is asked, and keep it for a repeat")
        })?;
        let wanted = filter(wanted.unwrap_or_default())?;
        let (named, next) = match (deliveries.is_empty(), wanted.is_empty()) {
            (false, true) => (deliveries, String::new()),
            (true, false) => {
                let (chosen, next) = self.page(Kind::FirstOnes, &wanted, page).await?;
                (chosen.into_iter().map(|delivery| delivery.id).collect(), next)
            }
            _ => {
                let message = "name deliveries, or choose some by a filter: one of both";
                return Err(Error::bad_request(format!("fields `deliveries` and `filter`: {message}")).into());
            }
        };
        // All of them are known before the first one is done.
        let mut rows = Vec::with_capacity(named.len());
        for name in &named {
            rows.push(self.row("deliveries", name).await?);
        }
        let mut replayed = Vec::with_capacity(rows.len());
        for row in rows {
            let asked = replay::Asked { command, by: by.clone(), dry_run };
            let mut one = replay::replay(&self.ingress, &row, &asked).await.map_err(|error| away(&error))?;
            if let Some(delivery) = &mut one.delivery {
                delivery.of = self.of(&delivery.hook);
            }
            replayed.push(one);
        }
        Ok(Response::new(v1::ReplayDeliveriesReply { replayed, next }))
    }

    async fn approve_delivery(
        &self,
        request: Request<v1::ApproveDeliveryRequest>,
    ) -> Result<Response<v1::Delivery>, Status> {
        let by = self.asker(request.metadata()).await?;
        if !by.counts {
            return Err(Error::new(Code::Unauthenticated, PROVES_NO_NAME).into());
        }
        // Without a token names are what people say, and nobody is told from the sender by theirs.
        let is_proven = Credentials::of(request.metadata()).token().is_some();
        let v1::ApproveDeliveryRequest { delivery, with_secrets, head } = request.into_inner();
        let row = self.row("delivery", &delivery).await?;
        let Some(delivery) = row.delivery() else { return Err(Error::not_found("it has no id").into()) };
        let head = Some(head).filter(|head| !head.is_empty());
        let approving = Approving { delivery, by: by.actor, is_proven, secrets: with_secrets, head };
        let approved = self.ingress.inbox.approve(approving).await.map_err(|error| away(&error))?;
        approved.map_err(refused)?;
        let mut shown = self.row("delivery", &delivery.to_string()).await?.listed();
        shown.of = self.of(&shown.hook);
        Ok(Response::new(shown))
    }

    async fn list_schedules(
        &self,
        request: Request<v1::ListSchedulesRequest>,
    ) -> Result<Response<v1::ListSchedulesReply>, Status> {
        let schedules = self.schedules(request.into_inner().coming).await?;
        Ok(Response::new(v1::ListSchedulesReply { schedules }))
    }

    async fn why(&self, request: Request<v1::WhyRequest>) -> Result<Response<v1::WhyReply>, Status> {
        let what = request.into_inner().what.trim().to_owned();
        let page = || Some(v1::Page { after: String::new(), limit: why::MOST });
        let schedules = self.schedules(1).await?;
        let known = self.ingress.hooks.watch().borrow().clone();
        if known.is_some_and(|hooks| hooks.triggers().any(|trigger| trigger.path == what)) {
            let mut open = Vec::new();
            for state in ["waiting", "held"] {
                let wanted = Filter { flow: what.clone(), state: state.to_owned(), ..Filter::default() };
                open.extend(self.page(Kind::NewestFirst, &wanted, page()).await?.0);
            }
            return Ok(Response::new(why::flow(&what, &schedules, &open)));
        }
        let named = |text: &str| Filter { text: text.to_owned(), ..Filter::default() };
        let (mut deliveries, _) = self.page(Kind::NewestFirst, &named(&what), page()).await?;
        // What no trigger wanted is known by the beginning of its commit alone.
        let beginning = short(&what);
        let is_commit = beginning.len() < what.len() && what.bytes().all(|byte| byte.is_ascii_hexdigit());
        if deliveries.is_empty() && is_commit {
            (deliveries, _) = self.page(Kind::NewestFirst, &named(beginning), page()).await?;
        }
        // It may be a delivery's own id.
        if let Ok(row) = self.row("what", &what).await {
            let mut one = row.listed();
            one.of = self.of(&one.hook);
            deliveries.insert(0, one);
        }
        Ok(Response::new(why::pushed(&what, &deliveries)?))
    }
}

impl Api {
    /// Every flow's schedule, each with so many coming ticks.
    async fn schedules(&self, coming: u32) -> Result<Vec<v1::Schedule>, Error> {
        let unknown = || Error::unavailable("the flows' schedules are not known yet; try again");
        let head = *self.ingress.log.tail().borrow();
        let hooks = self.ingress.hooks.at(head).await.ok_or_else(unknown)?;
        schedules::list(&*self.ingress.log, &hooks, coming).await.map_err(|error| {
            tracing::error!(error = &error as &dyn std::error::Error, "schedules could not be listed");
            Error::unavailable("a schedule could not be read; try again")
        })
    }

    /// The name of who is asking.
    async fn actor(&self, metadata: &MetadataMap) -> Result<Actor, Error> {
        let brought = Credentials::of(metadata);
        self.people.actor(brought.token(), brought.says()).await.map_err(|why| unproven(&why))
    }

    /// Who is asking, and whether they can be told apart from others.
    async fn asker(&self, metadata: &MetadataMap) -> Result<Asker, Error> {
        let brought = Credentials::of(metadata);
        self.people.asker(brought.token(), brought.says()).await.map_err(|why| unproven(&why))
    }

    /// A page of deliveries, and where the next one begins.
    async fn page(
        &self,
        kind: Kind,
        filter: &Filter,
        page: Option<v1::Page>,
    ) -> Result<(Vec<v1::Delivery>, String), Error> {
        let v1::Page { after, limit } = page.unwrap_or_default();
        if !after.is_empty() && after.parse::<DeliveryId>().is_err() {
            return Err(Error::bad_request("field `page.after`: give the `next` of the page before"));
        }
        let limit = if limit == 0 { PAGE.0 } else { limit.min(PAGE.1) };
        // One more tells whether there is a next page.
        let listed = self.ingress.inbox.list(kind, filter, &after, limit + 1).await;
        let mut deliveries = listed.map_err(|error| away(&error))?;
        let more = deliveries.len() > limit as usize;
        deliveries.truncate(limit as usize);
        for delivery in &mut deliveries {
            delivery.of = self.of(&delivery.hook);
        }
        let next = deliveries.last().filter(|_| more).map(|last| last.id.clone()).unwrap_or_default();
        Ok((deliveries, next))
    }

    async fn row(&self, field: &str, name: &str) -> Result<StoredRow, Error> {
        let name = name.trim().to_ascii_lowercase();
        let fits = name.len() >= SHORTEST && name.chars().all(|c| c.is_ascii_hexdigit() || c == '-');
        if !fits {
            return Err(Error::bad_request(format!(
                "field `{field}`: `{name}` is no id of a delivery, nor the beginning of one with {SHORTEST} characters \
                 or more"
            )));
        }
        match self.ingress.inbox.find(&name).await.map_err(|error| away(&error))? {
            (None, _) => Err(Error::not_found(format!("no delivery's id begins with `{name}`"))),
            (Some(_), true) => Err(Error::bad_request(format!(
                "field `{field}`: several deliveries' ids begin with `{name}`; give more of it"
            ))),
            (Some(row), false) => Ok(row),
        }
    }

    async fn shown(&self, row: &StoredRow) -> Result<v1::GetDeliveryReply, Error> {
        let mut delivery = row.listed();
        delivery.of = self.of(&delivery.hook);
        let kept = parcel::Kept::parse(&row.headers);
        let about = |name: &str| kept.get(name).unwrap_or_default().to_owned();
        let header =
            |(name, value): (&str, &str)| v1::Header { name: name.to_owned(), value: value.to_owned() };
        let replays = match row.delivery() {
            Some(id) => self.ingress.inbox.replays(id).await.map_err(|error| away(&error))?,
            None => Vec::new(),
        };
        let verified = match about(about::VERIFIED) {
            none if none.is_empty() => "nobody sent it: it was found by asking the repository".to_owned(),
            verified => verified,
        };
        Ok(v1::GetDeliveryReply {
            method: about(about::METHOD),
            path: about(about::PATH),
            verified,
            headers: kept.iter().filter(|(name, _)| !name.starts_with(':')).map(header).collect(),
            digest: row.body.clone(),
            replays,
            delivery: Some(delivery),
            ..v1::GetDeliveryReply::default()
        })
    }

    /// The repository or the flow that a hook is of.
    fn of(&self, hook: &str) -> String {
        let known = self.ingress.hooks.watch();
        let hooks = known.borrow();
        let (Some(hooks), Ok(hook)) = (hooks.as_ref(), hook.parse::<HookId>()) else { return String::new() };
        match (hooks.git(hook), hooks.flow_of(hook, None)) {
            (Some(git), _) => without_password(&git.address),
            (None, Some(flow)) => flow.path.clone(),
            (None, None) => String::new(),
        }
    }
}

/// It is not known who is asking.
fn unproven(why: &PeopleError) -> Error {
    match why.is_unknown() {
        true => Error::new(Code::Unauthenticated, why.to_string()),
        false => {
            tracing::error!(error = why as &dyn std::error::Error, "the tokens could not be read");
            Error::unavailable("the tokens could not be read; try again")
        }
    }
}

fn filter(wanted: v1::DeliveryFilter) -> Result<Filter, Error> {
    let v1::DeliveryFilter { hook, flow, state, since, until, text } = wanted;
    let time = |field: &str, text: &str| match text {
        "" => Ok(None),
        text => text.parse::<Timestamp>().map(Some).map_err(|_| {
            Error::bad_request(format!(
                "field `filter.{field}`: `{text}` is no time like 2026-01-31T17:00:00Z"
            ))
        }),
    };
    if !state.is_empty() && !STATES.contains(&state.as_str()) {
        let states = STATES.join(", ");
        return Err(Error::bad_request(format!(
            "field `filter.state`: `{state}` is none of the states {states}"
        )));
    }
    let hook = match hook.as_str() {
        "" => hook,
        text => shipway_contracts::id::<HookId>("filter.hook", text)?.to_string(),
    };
    Ok(Filter { hook, flow, state, since: time("since", &since)?, until: time("until", &until)?, text })
}

fn refused(why: NotApproved) -> Status {
    let code = match &why {
        NotApproved::Unknown(_) => Code::NotFound,
        NotApproved::IsSender { .. } => Code::PermissionDenied,
        NotApproved::NotHeld { .. } | NotApproved::OtherCommit { .. } | NotApproved::Superseded { .. } => {
            Code::FailedPrecondition
        }
    };
    Error::new(code, why.to_string()).into()
}

fn away(error: &InboxError) -> Error {
    tracing::error!(error = error as &dyn std::error::Error, "the inbox could not be used");
    Error::unavailable("the inbox could not be read; try again")
}
