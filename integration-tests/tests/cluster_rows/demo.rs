//! The demo on a cluster, while a scheduler, an executor, the load balancer and a NATS server are killed under it.

use std::{
    fs,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use shipway_integration_tests::{
    cluster::{Cluster, Shape},
    shipway::binary,
};

#[test]
fn the_demo_goes_through_while_parts_are_killed() {
    let shape = Shape { services: [2; 5], nats: 3, ..Shape::default() };
    let mut cluster = Cluster::start("demo", shape).unwrap();
    let folder = cluster.folder().join("demo");
    fs::create_dir_all(&folder).unwrap();
    let said = fs::File::create(folder.join("said")).unwrap();
    let begin = Instant::now();
    let mut demo = Command::new(binary().unwrap())
        .args(["demo", "--server", &cluster.url(), "--data"])
        .arg(&folder)
        .stdin(Stdio::null())
        .stdout(said.try_clone().unwrap())
        .stderr(said)
        .spawn()
        .unwrap();
    let mut victims = ["scheduler-1", "executor-1", "lb", "nats-2", "scheduler-2", "executor-2"].iter();
    let mut killed = 0;
    let mut next = begin + Duration::from_secs(3);
    let status = loop {
        if let Some(status) = demo.try_wait().unwrap() {
            break status;
        }
        if Instant::now() > next
            && let Some(victim) = victims.next()
        {
            let process = cluster.process(victim);
            process.kill().unwrap();
            process.spawn().unwrap();
            killed += 1;
            next += Duration::from_secs(3);
        }
        if begin.elapsed() > Duration::from_secs(300) {
            demo.kill().unwrap();
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    let said = fs::read_to_string(folder.join("said")).unwrap();
    println!("DEMO kills={killed} took={:?}", begin.elapsed());
    assert!(status.success(), "{status}\n{said}");
    assert!(said.contains("all of it is true"), "{said}");
    assert!(killed >= 4, "the demo was over before everything had been killed once: {killed}");
    cluster.verify().unwrap();
}
