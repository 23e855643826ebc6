//! A credential goes to its host, and is seen nowhere else.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    process::Command,
    sync::{Arc, Mutex},
    time::Duration,
};

use shipway_repository::{Address, Allow, Credential, Git, GitError, Secret, Trouble, references};
use zeroize::Zeroizing;

use crate::{
    host::{Answer, Host},
    repository::Repository,
};

const LIMIT: Duration = Duration::from_secs(60);
const TOKEN: &str = "hunter22-hunter22";
/// `bot:hunter22-hunter22`.
const BASIC: &str = "Ym90Omh1bnRlcjIyLWh1bnRlcjIy";

fn token(host: &Address) -> Credential {
    let secret = Secret::Token(Zeroizing::new(TOKEN.to_owned()));
    Credential::new(&host.host().unwrap(), "bot", secret)
}

fn at(text: &str) -> Address {
    Address::parse(text, Allow::HERE).unwrap()
}

fn files() -> (Repository, Answer) {
    let repository = Repository::new();
    repository.commit("First");
    repository.git(&["update-server-info"]);
    let answer = Answer::Files { folder: repository.git_folder(), login: BASIC.to_owned() };
    (repository, answer)
}

/// What every process of this machine shows of itself.
fn shown_by_processes() -> Vec<String> {
    let mut all = Vec::new();
    for process in fs::read_dir("/proc").unwrap().flatten() {
        for file in ["cmdline", "environ"] {
            if let Ok(bytes) = fs::read(process.path().join(file)) {
                all.push(String::from_utf8_lossy(&bytes).into_owned());
            }
        }
    }
    all
}

#[tokio::test]
async fn a_token_logs_in_and_is_in_no_argument_and_no_environment() {
    let (_repository, answer) = files();
    let seen = Arc::new(Mutex::new((0, Vec::new())));
    let looked = Arc::clone(&seen);
    let host = Host::looking(answer, move || {
        let all = shown_by_processes();
        let mut seen = looked.lock().unwrap();
        seen.0 += all.iter().filter(|text| text.contains("ls-remote")).count();
        seen.1.extend(all.into_iter().filter(|text| text.contains(TOKEN) || text.contains(BASIC)));
    });
    let address = at(&host.url());
    let credential = token(&address);
    let git = Git::new(&address, Some(&credential), LIMIT).unwrap();
    let all = references(&git, &address.url()).await.unwrap();
    assert_eq!(all.branches.len(), 1);
    let (git_was_seen, leaks) = &*seen.lock().unwrap();
    assert!(*git_was_seen > 0 && leaks.is_empty(), "{git_was_seen} {leaks:?}");
}

#[tokio::test]
async fn the_login_of_an_address_takes_the_same_way() {
    let (_repository, answer) = files();
    let host = Host::new(answer);
    let address = at(&format!("http://bot:{TOKEN}@127.0.0.1:{}/team/repo", host.port));
    let git = Git::new(&address, None, LIMIT).unwrap();
    assert!(references(&git, &address.url()).await.is_ok());
}

#[tokio::test]
async fn a_login_that_is_missing_or_wrong_is_said_and_not_shown() {
    let (_repository, answer) = files();
    let host = Host::new(answer);
    let address = at(&host.url());
    let error = references(&Git::new(&address, None, LIMIT).unwrap(), &address.url()).await.unwrap_err();
    assert!(error.trouble() == Trouble::Login && error.to_string().contains("it wants a login"), "{error}");
    let secret = Secret::Token(Zeroizing::new("wrong-wrong".to_owned()));
    let wrong = Credential::new(&address.host().unwrap(), "bot", secret);
    let git = Git::new(&address, Some(&wrong), LIMIT).unwrap();
    let error = references(&git, &address.url()).await.unwrap_err();
    assert!(error.trouble() == Trouble::Login && error.to_string().contains("was not taken"), "{error}");
    assert!(!error.to_string().contains("wrong-wrong"), "{error}");
}

#[tokio::test]
async fn row_s_17_a_token_is_not_taken_along_to_another_host() {
    let (_repository, answer) = files();
    let thief = Host::new(answer);
    let host = Host::new(Answer::Elsewhere(format!("http://127.0.0.1:{}", thief.port)));
    let address = at(&host.url());
    let credential = token(&address);
    let git = Git::new(&address, Some(&credential), LIMIT).unwrap();
    let error = references(&git, &address.url()).await.unwrap_err();
    assert!(error.trouble() == Trouble::Moved && error.to_string().contains("another address"), "{error}");
    assert!(host.asked().iter().any(|asked| asked.contains(BASIC)));
    assert_eq!(thief.asked(), Vec::<String>::new());
    // Nor is it given to a repository that is elsewhere from the start.
    let elsewhere = at(&thief.url());
    assert!(Git::new(&elsewhere, Some(&credential), LIMIT).is_err());
    println!("ROW S-17 1 redirect and 1 other host: 0 credentials sent to them");
}

#[tokio::test]
async fn a_host_that_never_answers_leaves_no_process_behind() {
    let host = Host::new(Answer::Silence);
    let address = at(&host.url());
    let git = Git::new(&address, None, Duration::from_millis(500)).unwrap();
    let error = references(&git, &address.url()).await.unwrap_err();
    assert!(matches!(error, GitError::TimedOut { .. }), "{error}");
    let port = format!(":{}/", host.port);
    for _ in 0..1000 {
        let left = shown_by_processes().iter().filter(|text| text.contains(&port)).count();
        if left == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("Git's helper still waits for the host");
}

/// The key is a file of this user alone, while ssh needs it. The ssh is this test's: it looks, and then does what the
/// host would do.
#[tokio::test]
async fn a_key_is_given_to_ssh_by_a_file_that_is_in_memory() {
    const INNER: &str = "SHIPWAY_TEST_SSH";
    let Some(folder) = std::env::var_os(INNER) else {
        let folder = tempfile::tempdir().unwrap();
        let ssh = folder.path().join("ssh");
        let script = "#!/bin/sh\nfor word; do case $word in -oIdentityFile=*) key=${word#*=} ;; esac; last=$word; done\n\
                      { stat -Lc %a \"$key\"; readlink \"$key\"; cat \"$key\"; echo \"$@\"; env; } > \"$(dirname \"$0\")/seen\"\n\
                      exec sh -c \"$last\"\n";
        fs::write(&ssh, script).unwrap();
        fs::set_permissions(&ssh, fs::Permissions::from_mode(0o755)).unwrap();
        let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());
        let inner = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "credentials::a_key_is_given_to_ssh_by_a_file_that_is_in_memory",
                "--nocapture",
            ])
            .env(INNER, folder.path())
            .env("PATH", path)
            .output()
            .unwrap();
        assert!(inner.status.success(), "{}", String::from_utf8_lossy(&inner.stderr));
        return;
    };
    let repository = Repository::new();
    repository.commit("First");
    let address = at(&format!("ssh://git@h:2222{}", repository.path().display()));
    let key = Zeroizing::new("-----BEGIN KEY-----\nhunter22\n-----END KEY-----".to_owned());
    let secret = Secret::Key { key, known_hosts: "[h]:2222 ssh-ed25519 AAAA\n".to_owned() };
    let credential = Credential::new("h:2222", "git", secret);
    let git = Git::new(&address, Some(&credential), LIMIT).unwrap();
    let all = references(&git, &address.url()).await.unwrap();
    assert_eq!(all.branches.len(), 1);
    let seen = fs::read_to_string(std::path::Path::new(&folder).join("seen")).unwrap();
    let mut lines = seen.lines();
    assert_eq!(lines.next(), Some("600"), "{seen}");
    assert!(lines.next().unwrap().starts_with("/memfd:"), "{seen}");
    assert!(seen.contains("-----BEGIN KEY-----\nhunter22\n-----END KEY-----\n"), "{seen}");
    assert_eq!(seen.matches("hunter22").count(), 1, "{seen}");
    for option in ["StrictHostKeyChecking=yes", "BatchMode=yes", "-F/dev/null", "IdentityAgent=none"] {
        assert!(seen.contains(option), "{option}: {seen}");
    }
}
