//! What Git is told before every command, and all that it finds in its environment.

use std::{collections::BTreeMap, ffi::OsStr, path::Path};

/// The settings, as `name=value` after `-c`.
const SETTINGS: &[&str] = &[
    // No program of the repository, a template or a user is started.
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.alternateRefsCommand=",
    "init.templateDir=",
    "credential.helper=",
    "credential.interactive=false",
    // A checkout holds files: a link's target is one that holds the target's name.
    "core.symlinks=false",
    "core.protectHFS=true",
    "core.protectNTFS=true",
    // What comes is looked at before it is kept.
    "transfer.fsckObjects=true",
    "fetch.recurseSubmodules=false",
    "submodule.recurse=false",
    // Another place would get the login that is meant for this one.
    "http.followRedirects=false",
    "fetch.uriProtocols=",
    "transfer.bundleURI=false",
    "protocol.version=2",
    // Nothing stays behind.
    "gc.auto=0",
    "maintenance.auto=false",
    "advice.detachedHead=false",
    "init.defaultBranch=main",
];

/// A global configuration for repositories of this machine: they may belong to another user than the one that Git
/// runs as.
pub const LOCAL: &str = "[safe]\n\tdirectory = *\n";

/// The words between `git` and the command.
pub fn settings() -> impl Iterator<Item = &'static str> {
    SETTINGS.iter().flat_map(|setting| ["-c", setting])
}

/// The environment of Git, beside `PATH`: no configuration but what `config` names, no questions, no protocol but
/// that of the address.
#[must_use]
pub fn environment(config: &Path, protocol: &str, ssh: &str) -> BTreeMap<String, String> {
    [
        ("GIT_CONFIG_NOSYSTEM", "1"),
        ("GIT_CONFIG_GLOBAL", &*config.to_string_lossy()),
        ("GIT_ATTR_NOSYSTEM", "1"),
        ("GIT_TERMINAL_PROMPT", "0"),
        ("GIT_ASKPASS", "/bin/false"),
        ("SSH_ASKPASS", "/bin/false"),
        ("SSH_ASKPASS_REQUIRE", "never"),
        ("GIT_ALLOW_PROTOCOL", protocol),
        ("GIT_SSH_COMMAND", ssh),
        ("GIT_SSH_VARIANT", "ssh"),
        // A clone without files stays one.
        ("GIT_NO_LAZY_FETCH", "1"),
        ("GIT_OPTIONAL_LOCKS", "0"),
        ("GIT_ADVICE", "0"),
        ("LC_ALL", "C"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}

/// The variable that names the file of the private key, where there is one.
pub const KEY_FILE: &str = "SHIPWAY_SSH_KEY";

/// The variable that names the file of known hosts, where there is a key.
pub const HOSTS_FILE: &str = "SHIPWAY_SSH_HOSTS";

/// How Git starts ssh. Without a key it is the user's own ssh with their agent and known hosts; with one, nothing of
/// the user's is looked at, and only a host whose key is in the file of known hosts is talked to. The files are those
/// that [`KEY_FILE`] and [`HOSTS_FILE`] name.
#[must_use]
pub const fn ssh_command(key: bool) -> &'static str {
    const OWN: &str = "ssh -oBatchMode=yes -oStrictHostKeyChecking=yes -oClearAllForwardings=yes \
        -oPermitLocalCommand=no -oForwardAgent=no -oConnectTimeout=15";
    const KEY: &str = "ssh -F/dev/null -oBatchMode=yes -oStrictHostKeyChecking=yes -oClearAllForwardings=yes \
        -oPermitLocalCommand=no -oForwardAgent=no -oConnectTimeout=15 -oProxyCommand=none -oIdentitiesOnly=yes \
        -oIdentityAgent=none -oPreferredAuthentications=publickey -oUpdateHostKeys=no \
        -oGlobalKnownHostsFile=/dev/null -oIdentityFile=\"$SHIPWAY_SSH_KEY\" \
        -oUserKnownHostsFile=\"$SHIPWAY_SSH_HOSTS\"";
    if key { KEY } else { OWN }
}

/// What of this process' own environment Git needs: where programs, certificates and temporary folders are.
pub(crate) fn passed_on(agent: bool) -> impl Iterator<Item = (&'static OsStr, std::ffi::OsString)> {
    let always = ["PATH", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR"];
    let names = always.into_iter().chain(agent.then_some("SSH_AUTH_SOCK"));
    names.filter_map(|name| Some((OsStr::new(name), std::env::var_os(name)?)))
}
