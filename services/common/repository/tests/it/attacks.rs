//! What a hostile address, name or repository tries.

use std::{fs, path::Path, time::Duration};

use shipway_repository::{
    Address, Allow, Git, branch_ref, check_commit, check_ref, commits, references, tag_ref,
};

use crate::repository::Repository;

const LIMIT: Duration = Duration::from_secs(60);

/// 200 and more texts that would run `touch <canary>` or read elsewhere if Git, ssh or a shell took them at their word.
fn hostile(canary: &Path) -> Vec<String> {
    let touch = format!("touch {}", canary.display());
    let tight = format!("touch${{IFS}}{}", canary.display());
    let commands = [
        format!("--upload-pack={touch}"),
        format!("--upload-pack={tight}"),
        format!("--receive-pack={touch}"),
        format!("--exec={touch}"),
        format!("-u{touch}"),
        format!("-ccore.sshCommand={touch}"),
        format!("-c core.fsmonitor={touch}"),
        format!("--config=core.hooksPath={}", canary.display()),
        format!("--output={}", canary.display()),
        format!("--template={}", canary.display()),
        format!("ext::sh -c {touch}"),
        format!("ext::{tight}"),
        "fd::17".to_owned(),
        format!("-oProxyCommand={touch}"),
        format!("-oProxyCommand={tight}"),
        format!("$({touch})"),
        format!("$({tight})"),
        format!("`{touch}`"),
        format!("`{tight}`"),
        format!(";{touch};"),
        format!("|{tight}"),
        format!("&&{touch}"),
        format!("\n{touch}\n"),
        format!("\"$({tight})\""),
        format!("'{touch}'"),
        format!("x\0{touch}"),
        format!("{touch} #"),
        "@{-1}".to_owned(),
        "HEAD~1".to_owned(),
        "../../etc/passwd".to_owned(),
        ":/etc/passwd".to_owned(),
        "%0a".to_owned(),
    ];
    let around = [
        ("", ""),
        ("refs/heads/", ""),
        ("main", ""),
        ("https://127.0.0.1:1/", ".git"),
        ("https://", "/x"),
        ("ssh://", "/x"),
        ("ssh://git@", ":1/x"),
        ("ssh://git@127.0.0.1:1/", ""),
        ("git@127.0.0.1:", ""),
        ("file://", ""),
        ("/", ""),
    ];
    let all =
        commands.iter().flat_map(|command| around.map(|(before, after)| format!("{before}{command}{after}")));
    all.collect()
}

#[tokio::test]
async fn row_s_12_git_takes_nothing_for_an_option_a_program_or_another_place() {
    let folder = tempfile::tempdir().unwrap();
    let canary = folder.path().join("canary");
    let repository = Repository::new();
    repository.commit("First");
    let here = Address::parse(repository.path().to_str().unwrap(), Allow::HERE).unwrap();
    let texts = hostile(&canary);
    let (mut refused, mut ran) = (0, 0);
    for text in &texts {
        match Address::parse(text, Allow::HERE) {
            Err(_) => refused += 1,
            Ok(address) => {
                let git = Git::new(&address, None, LIMIT).unwrap();
                assert!(references(&git, &address.url()).await.is_err(), "{text}");
                ran += 1;
            }
        }
        for named in [branch_ref(text), tag_ref(text), check_ref(text).map(|()| text.clone())] {
            let Ok(reference) = named else {
                refused += 1;
                continue;
            };
            let git = Git::new(&here, None, LIMIT).unwrap();
            assert!(commits(&git, &here.url(), &reference, 1).await.is_err(), "{text}");
            ran += 1;
        }
        assert!(check_commit(text).is_err(), "{text}");
    }
    assert!(!canary.exists());
    assert!(texts.len() >= 200 && refused > ran, "{} {refused} {ran}", texts.len());
    println!("ROW S-12 {} hostile texts, {refused} refused, {ran} given to Git, 0 canaries", texts.len());
}

#[tokio::test]
async fn a_hostile_repository_runs_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let canary = folder.path().join("canary");
    let touch = format!("touch {}", canary.display());
    let repository = Repository::new();
    let commit = repository.commit("First");
    for (name, value) in [
        ("core.sshCommand", touch.as_str()),
        ("core.fsmonitor", &touch),
        ("core.pager", &touch),
        ("uploadpack.packObjectsHook", &touch),
        ("core.alternateRefsCommand", &touch),
        ("credential.helper", &format!("!{touch}")),
        ("log.showSignature", "true"),
        ("gpg.program", &touch),
    ] {
        repository.git(&["config", name, value]);
    }
    let hooks = repository.git_folder().join("hooks");
    fs::create_dir_all(&hooks).unwrap();
    for hook in ["post-checkout", "reference-transaction", "pre-auto-gc", "post-index-change"] {
        let path = hooks.join(hook);
        fs::write(&path, format!("#!/bin/sh\n{touch}\n")).unwrap();
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }
    let address = Address::parse(repository.path().to_str().unwrap(), Allow::HERE).unwrap();
    let git = Git::new(&address, None, LIMIT).unwrap();
    assert_eq!(references(&git, &address.url()).await.unwrap().branches.len(), 1);
    let newest = commits(&git, &address.url(), "refs/heads/main", 50).await.unwrap();
    assert_eq!(newest[0].id, commit);
    assert!(!canary.exists());
}

/// An object that a careful Git would not make.
#[tokio::test]
async fn a_broken_object_is_not_taken() {
    let repository = Repository::new();
    repository.commit("First");
    let raw = repository.path().join("commit");
    let tree = repository.git(&["rev-parse", "HEAD^{tree}"]);
    // Without an author's address or a time.
    fs::write(&raw, format!("tree {tree}\nauthor x\ncommitter x\n\nBroken\n")).unwrap();
    let words = ["hash-object", "-t", "commit", "-w", "--literally", raw.to_str().unwrap()];
    let broken = repository.git(&words);
    fs::write(repository.git_folder().join("refs/heads/broken"), format!("{broken}\n")).unwrap();
    let address = Address::parse(repository.path().to_str().unwrap(), Allow::HERE).unwrap();
    let git = Git::new(&address, None, LIMIT).unwrap();
    let error = commits(&git, &address.url(), "refs/heads/broken", 5).await.unwrap_err().to_string();
    assert!(error.contains("fetch"), "{error}");
    assert!(commits(&git, &address.url(), "refs/heads/main", 5).await.is_ok());
}
