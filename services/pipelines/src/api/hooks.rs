//! The secrets of hooks: one more, and the old ones ended.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use shipway_contracts::{
    Code, Error,
    v1::{Hook, RetireHookReply, RetireHookRequest, RotateHookReply, RotateHookRequest},
};
use shipway_events::{HookId, Meta, ProjectId, project::Event};
use zeroize::Zeroizing;

use crate::{
    apply::{hook_shown, hook_signing_name},
    change::{Done, Shared, secret_error},
    domain::{self, Command},
    secrets,
    senders::Services,
    world::{Project, Projects},
};

/// The shortest beginning of an id that names a hook.
const SHORTEST: usize = 8;

/// The shortest secret that is taken from outside, and the longest.
const SECRET_LENGTH: std::ops::RangeInclusive<usize> = 16..=200;

impl Shared {
    pub(super) async fn rotate_hook(
        &self,
        request: RotateHookRequest,
        meta: Meta,
    ) -> Result<RotateHookReply, Error> {
        let command = shipway_contracts::id("command", &request.command)?;
        let given = Zeroizing::new(request.secret);
        check_given(&given)?;
        let projects = self.world.now();
        let (project, hook) = named(&projects, &request.hook)?;
        let (of, id) = (project.id, hook.id);
        let value = if given.is_empty() { secrets::signing() } else { given.clone() };
        let planned = self.secrets.plan(of, &hook_signing_name(hook), value).await.map_err(secret_error)?;
        let wish = Command::RotateHook { hook: id, secret: planned.secret.clone() };
        let done = self.change(command, meta, of, &wish, &[planned]).await?;
        // A command that comes again has the secret that it made at first.
        let made = events(&done).find_map(|event| match event {
            Event::HookRotated(rotated) => Some(&rotated.secret),
            _ => None,
        });
        let secret = match made.filter(|_| given.is_empty()) {
            Some(made) => self.secrets.get(of, made).await.map_err(secret_error)?.to_string(),
            None => String::new(),
        };
        let hook = Hook { secret, ..self.hook_now(of, id)? };
        Ok(RotateHookReply { hook: Some(hook), position: done.position })
    }

    pub(super) async fn retire_hook(
        &self,
        request: &RetireHookRequest,
        meta: Meta,
    ) -> Result<RetireHookReply, Error> {
        let command = shipway_contracts::id("command", &request.command)?;
        let projects = self.world.now();
        let (project, hook) = named(&projects, &request.hook)?;
        let (of, id) = (project.id, hook.id);
        let wish = Command::RetireHook { hook: id, all: request.all };
        let done = self.change(command, meta, of, &wish, &[]).await?;
        let retired = events(&done).map(|event| match event {
            Event::HookRetired(retired) => u32::try_from(retired.secrets.len()).unwrap_or(u32::MAX),
            _ => 0,
        });
        let retired = retired.sum();
        Ok(RetireHookReply { hook: Some(self.hook_now(of, id)?), retired, position: done.position })
    }

    fn hook_now(&self, project: ProjectId, hook: HookId) -> Result<Hook, Error> {
        let projects = self.world.now();
        let project = projects.by_id(project).ok_or_else(|| unknown(&hook.to_string()))?;
        let hook = project.state.hooks.get(&hook).ok_or_else(|| unknown(&hook.to_string()))?;
        Ok(hook_shown(project, &Services::of(&project.state), hook))
    }
}

fn check_given(secret: &str) -> Result<(), Error> {
    if let Some(key) = secret.strip_prefix("whpk_")
        && STANDARD.decode(key).map_or(0, |key| key.len()) != 32
    {
        let message = "field `secret`: a public key of Standard Webhooks is `whpk_` and 32 bytes in base64";
        return Err(Error::bad_request(message));
    }
    let plain = secret.bytes().all(|byte| byte.is_ascii_graphic());
    if secret.is_empty() || (plain && SECRET_LENGTH.contains(&secret.len())) {
        return Ok(());
    }
    Err(Error::bad_request(format!(
        "field `secret`: a hook's secret has {} to {} letters, digits and signs, and no spaces; leave it out and one is \
         made",
        SECRET_LENGTH.start(),
        SECRET_LENGTH.end(),
    )))
}

fn events(done: &Done) -> impl Iterator<Item = &Event> {
    done.parts.iter().flat_map(|part| &part.events)
}

/// The hook of that id, or the only one whose id begins so.
fn named<'a>(projects: &'a Projects, text: &str) -> Result<(&'a Arc<Project>, &'a domain::Hook), Error> {
    let text = text.to_ascii_lowercase();
    if text.len() < SHORTEST {
        return Err(Error::bad_request(format!(
            "field `hook`: give the hook's id, or {SHORTEST} characters of its beginning; `shipway hooks` lists them"
        )));
    }
    let all = projects.by_slug.values();
    let hooks = all.flat_map(|project| project.state.hooks.values().map(move |hook| (project, hook)));
    let mut found = hooks.filter(|(_, hook)| hook.id.to_string().starts_with(&text));
    match (found.next(), found.next()) {
        (Some(only), None) => Ok(only),
        (None, _) => Err(unknown(&text)),
        (Some(_), Some(_)) => {
            Err(Error::new(Code::BadRequest, format!("field `hook`: several hooks begin with `{text}`")))
        }
    }
}

fn unknown(hook: &str) -> Error {
    Error::not_found(format!("there is no hook `{hook}`; `shipway hooks` lists them"))
}
