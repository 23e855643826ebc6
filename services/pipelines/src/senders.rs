//! Who may send deliveries to a hook. Pure.
//!
//! It follows from the repository's host where everybody knows it, else from the `vcsService` of the triggers that
//! name the repository, or the `projectType` of the build services: never from what a delivery says of itself.

use serde_json::Value;
use shipway_documents::flow::{Flow as Document, TriggerSource};

use crate::domain::ProjectState;

/// Who may send to the hook of a repository of one's own. Shipway's `post-receive` helper speaks GitHub's format.
const SELF_HOSTED: &[&str] = &["github", "gitlab", "gitea", "forgejo", "bitbucket-dc", "azure"];

/// The repositories that a project's triggers and build services name, each with its service.
#[derive(Debug, Default)]
pub(crate) struct Services(Vec<(String, String)>);

impl Services {
    /// What the newest versions of the flows say, and the build services.
    pub(crate) fn of(state: &ProjectState) -> Self {
        let documents =
            state.flows.values().filter_map(|flow| Document::parse(&flow.newest()?.document).ok());
        let services = documents.flat_map(|document| document.triggers).filter_map(|trigger| {
            let git = match trigger.source {
                TriggerSource::Git(git) => git,
                TriggerSource::Typed(typed) => typed.git,
                TriggerSource::Webhook(_) => return None,
            };
            (!git.repo_url.is_empty()).then(|| (plain(&git.repo_url), git.vcs_service))
        });
        let built = state.resources.values().filter_map(|resource| {
            let text = |at: &str| resource.spec.pointer(at).and_then(Value::as_str);
            Some((plain(text("/vcsData/projectUrl")?), text("/vcsData/projectType")?.to_owned()))
        });
        Self(services.chain(built).collect())
    }

    /// The names of those that may send about a repository, as they stand in addresses. The first is the likeliest.
    pub(crate) fn senders(&self, repo_url: &str) -> Vec<&'static str> {
        let host = host(repo_url);
        if let Some(known) = host.as_deref().and_then(of_host) {
            return vec![known];
        }
        let repository = plain(repo_url);
        let mut senders: Vec<&'static str> = Vec::new();
        // A folder has no host that could send: it is the helper that does.
        if host.is_none() {
            senders.push("github");
        }
        let named = self.0.iter().filter(|(of, _)| *of == repository).map(|(_, service)| of_service(service));
        let mut named: Vec<&'static [&'static str]> = named.collect();
        if named.is_empty() {
            named.push(SELF_HOSTED);
        }
        for sender in named.into_iter().flatten() {
            if !senders.contains(sender) {
                senders.push(sender);
            }
        }
        senders
    }
}

fn of_service(service: &str) -> &'static [&'static str] {
    match service {
        "github" => &["github"],
        "gitlab" => &["gitlab"],
        // In the cloud it has a host that everybody knows.
        "bitbucket" => &["bitbucket-dc"],
        "azure" => &["azure"],
        _ => SELF_HOSTED,
    }
}

fn of_host(host: &str) -> Option<&'static str> {
    match host {
        "github.com" | "ssh.github.com" => Some("github"),
        "gitlab.com" | "altssh.gitlab.com" => Some("gitlab"),
        "bitbucket.org" | "altssh.bitbucket.org" => Some("bitbucket"),
        "dev.azure.com" | "ssh.dev.azure.com" => Some("azure"),
        "codeberg.org" => Some("forgejo"),
        "gitea.com" => Some("gitea"),
        other if other.ends_with(".visualstudio.com") => Some("azure"),
        _ => None,
    }
}

/// The host of a URL or of `user@host:path`, without its port; none for a folder.
fn host(address: &str) -> Option<String> {
    let authority = match address.split_once("://") {
        Some((scheme, _)) if scheme.eq_ignore_ascii_case("file") => return None,
        Some((_, rest)) => rest.split('/').next().unwrap_or_default(),
        None => address.split_once(':').map(|(host, _)| host).filter(|host| !host.contains('/'))?,
    };
    let host = authority.rsplit('@').next().unwrap_or_default();
    let host = host.split(':').next().unwrap_or_default().to_ascii_lowercase();
    (!host.is_empty()).then_some(host)
}

/// An address without what tells no two repositories apart.
pub(crate) fn plain(url: &str) -> String {
    url.trim_end_matches('/').trim_end_matches(".git").to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_everybody_knows_decides_and_else_the_service() {
        let named = |service: &str| {
            let of = |url: &str| (plain(url), service.to_owned());
            Services(vec![
                of("https://git.example.com/acme/shop.git"),
                of("file:///srv/shop"),
                of("https://github.com/a/b"),
            ])
        };
        for (url, service, senders) in [
            ("https://github.com/a/b", "gitlab", &["github"][..]),
            ("git@github.com:a/b.git", "self-hosted", &["github"]),
            ("ssh://git@altssh.gitlab.com:443/a/b", "github", &["gitlab"]),
            ("https://me@bitbucket.org/a/b", "bitbucket", &["bitbucket"]),
            ("https://acme@dev.azure.com/acme/shop/_git/shop", "azure", &["azure"]),
            ("https://acme.visualstudio.com/_git/shop", "azure", &["azure"]),
            ("https://codeberg.org/a/b", "self-hosted", &["forgejo"]),
            ("https://git.example.com/acme/shop", "github", &["github"]),
            ("https://git.example.com/acme/shop/", "gitlab", &["gitlab"]),
            ("https://GIT.example.com/acme/shop.git", "bitbucket", &["bitbucket-dc"]),
            ("https://git.example.com/acme/shop", "self-hosted", SELF_HOSTED),
            ("https://git.example.com/nobody/names-it", "github", SELF_HOSTED),
            ("https://github.com.example.com/a/b", "github", SELF_HOSTED),
            ("file:///srv/shop.git", "github", &["github"]),
            ("file:///srv/shop.git", "gitlab", &["github", "gitlab"]),
            ("/srv/elsewhere", "gitlab", SELF_HOSTED),
        ] {
            assert_eq!(named(service).senders(url), senders, "{url} of {service}");
        }
    }
}
