//! `serve executor`: runs attempts on its own machine. It has no database: it asks the other services.

use std::process::ExitCode;

use anyhow::Context;
use prost::Message;
use shipway_contracts::{Targets, v1::Assignment};
use shipway_eventing::nats::{BellReceiver, Heard, Names, Nats};
use shipway_events::Fence;
use shipway_executor::{Deps, Reach, Service, Settings};
use shipway_service_kit::{Health, Lifecycle, Server};

use super::{
    ground::{open_blobs, open_nats},
    process::{self, Started},
};

pub(super) fn serve(settings: Settings) -> anyhow::Result<ExitCode> {
    process::run("executor", settings.server.clone(), settings.telemetry.clone(), |lifecycle| async move {
        let Settings { server, nats, blobs, shipway, executor: host, .. } = settings;
        let blobs = open_blobs(&blobs).await?;
        let nats = open_nats("executor", &nats).await?;
        let urls: Vec<String> = shipway.urls.iter().map(|url| url.as_str().to_owned()).collect();
        let (_, way) = Targets::new(&urls).context("reading shipway.urls")?;
        let binary = std::env::current_exe().context("finding this program's own file")?;
        let config = host.config(binary, blobs);
        let reach =
            Reach { address: server.address(), host: host.host.clone().unwrap_or_else(|| server.host()) };
        let service = Service::start(Deps {
            config,
            reach: Some(reach),
            finish: server.drain.saturating_sub(std::time::Duration::from_secs(5)),
            work: way.clone(),
            home: way,
            lifecycle: lifecycle.clone(),
        })
        .await
        .context("starting the executor")?;
        listen(&service, nats, &lifecycle);
        let health = Health::new(lifecycle.retiring());
        let asked = service.clone();
        health.check("scheduler", move || {
            let holds = asked.has_lease();
            let away =
                || "no scheduler has answered a beat for so long that its lease does not hold".to_owned();
            async move { if holds { Ok(()) } else { Err(away()) } }
        });
        let server = Server::new().health(health).grpc(service.executors_server());
        Ok(Started { server, close: Box::pin(async move { drop(service) }) })
    })
}

/// Hears of work at once while NATS is there, and asks more often while it is not.
fn listen(service: &Service, nats: Option<Nats>, lifecycle: &Lifecycle) {
    let Some(nats) = nats else { return service.is_told(false) };
    let (service, stopping) = (service.clone(), lifecycle.stopping());
    lifecycle.spawn("bell", async move {
        let hear = async {
            let names = Names::of(&service.log().await);
            let mut bell = BellReceiver::new(&nats, &names, &service.id().to_string());
            let mut link = nats.link();
            loop {
                service.is_told(link.borrow_and_update().connected);
                tokio::select! {
                    heard = bell.next() => obey(&service, heard),
                    more = link.changed() => if more.is_err() { return },
                }
            }
        };
        tokio::select! {
            () = hear => {}
            () = stopping.cancelled() => {}
        }
        Ok::<(), std::convert::Infallible>(())
    });
}

fn obey(service: &Service, heard: Heard) {
    match heard {
        Heard::Work(bytes) => match Assignment::decode(bytes) {
            Ok(assignment) => service.offer(assignment),
            Err(error) => {
                tracing::warn!(%error, "the bell said something that cannot be read; the schedulers are asked");
                service.ask();
            }
        },
        Heard::Stop(bytes) => match <[u8; 8]>::try_from(bytes.as_ref()) {
            Ok(fence) => service.stop(Fence::from_raw(u64::from_be_bytes(fence))),
            Err(_) => service.ask(),
        },
        Heard::Missed => service.ask(),
    }
}
