//! What holds for every runtime, one line each in `runtimes`: the process runtime as the root of PID namespaces
//! and, where those are not allowed, as a subreaper.

#![expect(clippy::unwrap_used, reason = "helpers of tests may unwrap as tests do")]

mod common;

use std::{path::Path, time::Duration};

use common::{Data, eventually, free_port, service, target, task};
use shipway_events::Fence;
use shipway_executor::runtime::{Runtime, RuntimeError, process::ProcessOptions};

async fn runtimes(data: &Data) -> Vec<(&'static str, Box<dyn Runtime>)> {
    let reaping = ProcessOptions { namespaces: false, ..ProcessOptions::default() };
    vec![
        ("process", Box::new(data.runtime().await)),
        ("process, no namespaces", Box::new(data.runtime_with(reaping).await)),
    ]
}

fn lines(path: &Path) -> usize {
    std::fs::read_to_string(path).unwrap_or_default().lines().count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_start_once_end_and_stop_with_all_that_they_started() {
    let data = Data::new();
    for (name, runtime) in runtimes(&data).await {
        let target = target();
        let effects = data.shared().join(name);
        let once =
            task(&data, &target, name, &["./program", "append", effects.to_str().unwrap(), "x", "200"]);
        let handle = runtime.start(&once).await.unwrap();
        assert_eq!(runtime.start(&once).await.unwrap(), handle, "{name}");
        assert!(runtime.running().await.unwrap().contains(&(once.id.clone(), handle.clone())), "{name}");
        assert!(runtime.wait(&handle).await.unwrap().is_success(), "{name}");
        assert_eq!(runtime.start(&once).await.unwrap(), handle, "{name}");
        assert_eq!(lines(&effects), 1, "{name}");

        let folder = data.shared().join(format!("tree-{}", name.len()));
        std::fs::create_dir_all(&folder).unwrap();
        std::os::unix::fs::chown(&folder, None, None).unwrap();
        std::fs::set_permissions(&folder, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
        let tree = task(
            &data,
            &target,
            &format!("{name}/tree"),
            &["./program", "tree", "4", folder.to_str().unwrap()],
        );
        let handle = runtime.start(&tree).await.unwrap();
        eventually("the tree has grown", async || std::fs::read_dir(&folder).unwrap().count() == 5).await;
        let end = runtime.stop(&handle, Duration::from_millis(100)).await.unwrap();
        assert!(end.stopped && !end.is_success(), "{name}: {end:?}");
        assert!(
            common::processes(folder.to_str().unwrap()).is_empty(),
            "{name}: something of the tree is left"
        );
        assert!(runtime.running().await.unwrap().is_empty(), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn targets_are_fenced_and_a_failed_rollout_leaves_them() {
    let data = Data::new();
    for (name, runtime) in runtimes(&data).await {
        let (target, port) = (target(), free_port());
        assert_eq!(runtime.status(target.id).await.unwrap(), None, "{name}");
        assert!(!runtime.apply(service(&data, &target, port, 10, "ten")).await.unwrap().already, "{name}");
        assert!(runtime.apply(service(&data, &target, port, 10, "ten")).await.unwrap().already, "{name}");
        let stale = runtime.apply(service(&data, &target, port, 9, "nine")).await;
        assert!(matches!(stale, Err(RuntimeError::Stale { .. })), "{name}: {stale:?}");
        let before = runtime.status(target.id).await.unwrap().unwrap();
        let mut ill = service(&data, &target, port, 11, "ill");
        ill.words = vec!["./program".into(), "fail".into()];
        let refused = runtime.apply(ill).await;
        assert!(
            matches!(&refused, Err(RuntimeError::Refused { code, .. }) if code == "unhealthy"),
            "{name}: {refused:?}"
        );
        let after = runtime.status(target.id).await.unwrap().unwrap();
        assert_eq!((after.instances, after.effect_key), (before.instances, before.effect_key), "{name}");
        let mut slow = service(&data, &target, port, 12, "slow");
        slow.environment.insert("START_DELAY_MS".into(), "60000".into());
        let (cancelled, ()) = tokio::join!(runtime.apply(slow), async {
            eventually("it rolls", async || runtime.status(target.id).await.unwrap().unwrap().rolling).await;
            runtime.cancel(target.id, Fence::from_raw(12)).await.unwrap();
        });
        assert!(
            matches!(&cancelled, Err(RuntimeError::Refused { code, .. }) if code == "aborted"),
            "{name}: {cancelled:?}"
        );
        assert!(runtime.status(target.id).await.unwrap().unwrap().healthy, "{name}");
        runtime.restart(target.id, Fence::from_raw(13), "run/13", Duration::from_secs(30)).await.unwrap();
        let status = runtime
            .statuses()
            .await
            .unwrap()
            .into_iter()
            .find(|status| status.target.id == target.id)
            .unwrap();
        assert_eq!((status.applied, status.healthy), (Some(Fence::from_raw(13)), true), "{name}");
        common::kill(&format!("keepers/{}", target.id));
        eventually("no instance outlives its keeper", async || {
            tokio::net::TcpStream::connect(("127.0.0.1", status.instances[0].ports["http"])).await.is_err()
        })
        .await;
    }
}
