//! Where targets are, in words: on which host, since when it is away, and what can be done about it.

use shipway_contracts::{
    Error,
    v1::{Deployed, Resource},
};
use shipway_events::{ExecutorId, Timestamp};

use crate::{places::GIVEN_UP, queries::PlaceRow, service::Shared, state::sort};

impl Shared {
    /// Says where each target of a project is, and what is the matter with its host. An addon that runs has a row because
    /// its host says so; one whose host is away gets its row here.
    pub(crate) async fn say_places(
        &self,
        project: &str,
        resources: &[Resource],
        rows: &mut Vec<Deployed>,
    ) -> Result<(), Error> {
        let places = self.all_places().await?;
        for resource in resources.iter().filter(|resource| resource.kind == "Addon") {
            let Some(place) = resource.id.parse().ok().and_then(|id| places.get(&id)) else { continue };
            let is_away = place.lost.is_some() || self.registry.away_since(place.executor).is_some();
            if is_away && !rows.iter().any(|row| row.id == resource.id) {
                rows.push(Deployed {
                    project: project.to_owned(),
                    stage: resource.stage.clone(),
                    kind: resource.kind.clone(),
                    resource: resource.slug.clone(),
                    id: resource.id.clone(),
                    ..Deployed::default()
                });
            }
        }
        for row in rows.iter_mut() {
            let Some(place) = row.id.parse().ok().and_then(|id| places.get(&id)) else { continue };
            let host = self.host_of(place.executor);
            (row.executor, row.placed_since) = (place.executor.to_string(), place.since.to_string());
            row.addresses.iter_mut().for_each(|at| *at = at.replacen("127.0.0.1", &host, 1));
            row.lost_since = place.lost.map(|lost| lost.to_string()).unwrap_or_default();
            let away = self.registry.away_since(place.executor);
            if let Some(lost) = place.lost {
                row.status = format!("lost since {}, on host {host}", seconds(lost));
            } else if let Some(since) = away {
                row.status = format!("host {host} away since {}", seconds(since));
            } else if row.status.is_empty() {
                row.status = format!("host {host} does not answer");
            }
            row.help = help(row, place, away.is_some());
            row.host = host;
        }
        sort(rows);
        Ok(())
    }

    /// That an executor is away, since when and what follows; nothing if it is there.
    pub(crate) async fn away_in_words(&self, executor: ExecutorId) -> Result<Option<String>, Error> {
        let Some(since) = self.registry.away_since(executor) else { return Ok(None) };
        let host = self.host_of(executor);
        let places = self.all_places().await?;
        let lost = places.values().find(|place| place.executor == executor).and_then(|place| place.lost);
        Ok(Some(match lost {
            None => format!(
                "its host {host} has been away since {}; {} s after that it is given up, and what can be moved is moved",
                seconds(since),
                GIVEN_UP.as_secs()
            ),
            Some(lost) => format!(
                "its host {host} has been lost since {}: start it again; `shipway status` says what else can be done",
                seconds(lost)
            ),
        }))
    }
}

/// What can be done, or is being done.
fn help(row: &Deployed, place: &PlaceRow, away: bool) -> String {
    let is_addon = row.kind == "Addon";
    if place.lost.is_some() {
        return match is_addon {
            true => format!(
                "its content is on that host: start it again, or have a backup restored on another: shipway addon move {} \
                 --project {}",
                row.resource, row.project
            ),
            false => "it goes to another host as soon as one is there that can take it: start an executor"
                .to_owned(),
        };
    }
    if away {
        let then = if is_addon { "a person may have it restored elsewhere" } else { "it is moved" };
        return format!("{} s after that {then}", GIVEN_UP.as_secs());
    }
    match &place.moving {
        None => String::new(),
        Some(moving) => match &moving.failed {
            None => format!("run {} moves it to this host", moving.run),
            Some((reason, Some(again))) => {
                format!("its move failed: {reason}; it is moved again at {}", seconds(*again))
            }
            Some((reason, None)) if is_addon => format!(
                "its move was stopped: {reason}; shipway addon move {} --project {}",
                row.resource, row.project
            ),
            Some((reason, None)) => format!("its move was stopped: {reason}; release it again"),
        },
    }
}

/// A time to the second.
fn seconds(at: Timestamp) -> String {
    let text = at.to_string();
    text.split_once('.').map_or(text.clone(), |(whole, _)| format!("{whole}Z"))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::queries::MovingRow;

    fn place(lost: Option<i64>, failed: Option<Option<i64>>) -> PlaceRow {
        let at = Timestamp::from_micros;
        let moving = failed.map(|again| MovingRow {
            run: "r1".to_owned(),
            restores: false,
            failed: Some(("it did not start".to_owned(), again.map(at))),
        });
        PlaceRow { executor: ExecutorId::new(Uuid::nil()), since: at(0), lost: lost.map(at), moving }
    }

    fn row(kind: &str) -> Deployed {
        Deployed {
            kind: kind.to_owned(),
            resource: "shop-db".to_owned(),
            project: "shop".to_owned(),
            ..Deployed::default()
        }
    }

    #[test]
    fn a_person_is_told_what_can_be_done() {
        let (addon, service) = (row("Addon"), row("DeploymentService"));
        let lost = place(Some(1), None);
        let told = help(&addon, &lost, true);
        assert!(told.ends_with("shipway addon move shop-db --project shop"), "{told}");
        assert!(help(&service, &lost, true).contains("start an executor"));
        assert!(help(&service, &place(None, None), true).contains("60 s after that it is moved"));
        let again = help(&service, &place(None, Some(Some(5_000_000))), false);
        assert_eq!(again, "its move failed: it did not start; it is moved again at 1970-01-01T00:00:05Z");
        assert!(help(&service, &place(None, Some(None)), false).ends_with("release it again"));
        assert_eq!(help(&service, &place(None, None), false), "");
    }
}
