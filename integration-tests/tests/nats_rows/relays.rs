//! More than one relay. N-7 and N-8.

use std::{
    io::BufRead,
    process::{Child, Command, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use shipway_eventing::{Leadership, leadership::RELAY, nats::RelayStatus};
use shipway_integration_tests::nats::NatsServer;
use tokio::sync::watch;

use crate::{
    full,
    given::{self, Given, Member, SOON, in_order, on_stream, one_by_one, until},
};

/// Makes the test that finds it the other process: a relay in the database and on the server that it names.
const OTHER: &str = "SHIPWAY_TEST_RELAY";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_n_7_a_stopped_relay_comes_back_after_another_took_over() {
    if let Ok(places) = std::env::var(OTHER) {
        return other_process(&places).await;
    }
    let given = Given::new();
    let one = given.member().await;
    let reader = one.reader();
    let (mut other, said) = start_other(&given);
    let pid = Pid::from_child(&other);
    assert!(heard(&said, "publishes=true").is_some(), "the other process publishes");
    // It leads already, so this one waits.
    let relay = one.relay(one.elect(RELAY, "here").await).await;
    let writer = one.writer(Duration::from_millis(2));
    let position = one.append(1).await;
    reader.reach(position + 100).await;

    kill_process(pid, Signal::STOP).unwrap();
    let stopped = Instant::now();
    until("the second relay publishes", || relay.status().borrow().publishes).await;
    let takeover = stopped.elapsed();
    let pause = if full() { Duration::from_secs(30) } else { Duration::ZERO };
    let mark = one.append(1).await + 100;
    until("it publishes what comes", || relay.status().borrow().position >= mark).await;
    tokio::time::sleep(pause.saturating_sub(stopped.elapsed())).await;

    while said.try_recv().is_ok() {}
    let woken = Instant::now();
    kill_process(pid, Signal::CONT).unwrap();
    let down = tokio::task::block_in_place(|| heard(&said, "publishes=false")).expect("it steps down");
    let down_after = down.saturating_duration_since(woken);
    let last = writer.stop().await;
    until("all is published", || relay.status().borrow().position >= last).await;
    assert!(relay.status().borrow().publishes, "the second relay leads on");
    other.kill().unwrap();
    other.wait().unwrap();
    in_order(&on_stream(&one).await);
    reader.agrees_with(&*one.log).await;
    if full() {
        assert!(down_after <= Duration::from_secs(1), "{down_after:?}");
    }
    println!("ROW N-7 takeover={takeover:?} stepped_down={down_after:?} out_of_order=0");
    relay.stop().await;
}

/// Who leads and cannot publish says so: it is behind, and nobody else will do it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_whose_server_is_gone_leads_on_and_is_behind() {
    let mut given = Given::new();
    let one = given.member().await;
    let relay = one.publishing().await;
    let status = relay.status();
    assert!(status.borrow().leads);
    given.server(NatsServer::kill);
    let last = one.append(5).await;
    until("it publishes no more", || !status.borrow().publishes).await;
    assert!(status.borrow().leads && status.borrow().position < last, "{:?}", status.borrow());
    given.server(NatsServer::run);
    until("it publishes again", || status.borrow().position >= last).await;
    relay.stop().await;
}

/// The one that was stopped finds by its own clock that its lease is over. One that has no way to know is told by the
/// server, with error 10071.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_n_7_a_relay_that_cannot_know_that_it_is_stale_is_refused_and_steps_down() {
    const NAMES: [&str; 2] = ["one", "two"];
    let given = Given::new();
    let members = [given.member().await, given.member().await];
    let leads = [members[0].elect(RELAY, NAMES[0]).await, members[1].elect(RELAY, NAMES[1]).await];
    let relays = [members[0].relay(leads[0].clone()).await, members[1].relay(leads[1].clone()).await];
    let status = [relays[0].status(), relays[1].status()];
    let reader = members[0].reader();
    let rounds = if full() { 100 } else { 3 };
    let (mut refused, mut slowest, mut last) = (0, Duration::ZERO, members[0].append(1).await);
    for _ in 0..rounds {
        let done = |status: &watch::Receiver<RelayStatus>| {
            let status = status.borrow();
            status.publishes && status.position >= last
        };
        until("a relay has published all", || status.iter().any(done)).await;
        let stale = usize::from(status[1].borrow().publishes);
        let next = 1 - stale;
        let before = status[stale].borrow().refused;
        // As after a failover that lost something: what is published from now on is no repetition of anything.
        sqlx::query("UPDATE relay SET generation = generation + 1")
            .execute(members[0].durable.pool())
            .await
            .unwrap();
        // The holder hears of it with its next renewal, up to half a second later; the other at once.
        sqlx::query("UPDATE leases SET owner = $1, epoch = epoch + 1 WHERE name = $2")
            .bind(NAMES[next])
            .bind(RELAY)
            .execute(members[0].durable.pool())
            .await
            .unwrap();
        leads[next].doubt();
        until("the other publishes", || status[next].borrow().publishes).await;
        let both = Instant::now();
        // Whoever appends publishes first; the other hears of it a moment later, and is late.
        while leads[stale].leads() || status[stale].borrow().publishes {
            last = members[next].append(1).await;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        slowest = slowest.max(both.elapsed());
        refused += usize::from(status[stale].borrow().refused > before);
    }
    until("all is published", || status.iter().any(|status| status.borrow().position >= last)).await;
    one_by_one(&on_stream(&members[0]).await);
    reader.agrees_with(&*members[0].log).await;
    println!("ROW N-7 stale={rounds} refused_10071={refused} slowest_step_down={slowest:?} out_of_order=0");
    assert!(refused > 0, "the stale relay was never refused");
    assert!(!full() || slowest <= Duration::from_secs(1), "{slowest:?}");
    for relay in relays {
        relay.stop().await;
    }
}

fn start_other(given: &Given) -> (Child, mpsc::Receiver<(Instant, String)>) {
    let mut other = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "relays::row_n_7_a_stopped_relay_comes_back_after_another_took_over",
            "--nocapture",
        ])
        .env(OTHER, format!("{} {}", given.database(), given.server.url()))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (tell, said) = mpsc::channel();
    let output = std::io::BufReader::new(other.stdout.take().unwrap());
    std::thread::spawn(move || {
        for line in output.lines().map_while(Result::ok) {
            if tell.send((Instant::now(), line)).is_err() {
                return;
            }
        }
    });
    (other, said)
}

/// When the other process said this.
fn heard(said: &mpsc::Receiver<(Instant, String)>, what: &str) -> Option<Instant> {
    let deadline = Instant::now() + SOON;
    while let Ok((at, line)) = said.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
        if line.contains(what) {
            return Some(at);
        }
    }
    None
}

/// Publishes until it is killed, and says each change of its mind.
async fn other_process(places: &str) {
    let (database, nats) = places.split_once(' ').unwrap();
    let blobs = tempfile::tempdir().unwrap();
    let member = Member::open(given::log(database, blobs.path()).await, nats).await;
    let relay = member.relay(member.elect(RELAY, "there").await).await;
    let mut status = relay.status();
    let mut publishes = None;
    loop {
        let now = status.borrow_and_update().publishes;
        if publishes.replace(now) != Some(now) {
            println!("publishes={now}");
        }
        status.changed().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_n_8_two_relays_that_both_believe_to_lead() {
    let given = Given::new();
    let (one, two) = (given.member().await, given.member().await);
    let (first, second) = tokio::join!(one.relay(Leadership::always()), two.relay(Leadership::always()));
    let readers = [one.reader(), two.reader()];
    let writers = [one.writer(Duration::ZERO), two.writer(Duration::ZERO)];
    let enough = if full() { 20_000 } else { 1_500 };
    for reader in &readers {
        reader.reach(enough / 2).await;
    }
    // Both find a new stream now and begin a generation of their own: the ids of what they publish differ.
    one.nats.jetstream().delete_stream(one.names().events_stream()).await.unwrap();
    for reader in &readers {
        reader.reach(enough).await;
    }
    until("both have begun anew", || {
        [&first, &second].iter().all(|relay| relay.status().borrow().generation > 1)
    })
    .await;
    for writer in writers {
        writer.stop().await;
    }
    let head = one.log.head().await.unwrap().position;
    let published = || first.status().borrow().position.max(second.status().borrow().position);
    until("all is published", || published() >= head).await;
    let stream = on_stream(&one).await;
    for pair in stream.windows(2) {
        assert_eq!(pair[0].1 + 1, pair[1].1, "positions rise one by one: {pair:?}");
    }
    for reader in &readers {
        reader.agrees_with(&*one.log).await;
    }
    let refused = [&first, &second].map(|relay| relay.status().borrow().refused);
    println!("ROW N-8 events={head} interleaved=0 refused={refused:?}");
    first.stop().await;
    second.stop().await;
}

/// Somebody who is no relay at all publishes on the stream's subjects.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_n_8_a_stranger_publishes_in_between() {
    let given = Given::new();
    let (one, two) = (given.member().await, given.member().await);
    let relay = one.publishing().await;
    let readers = [one.reader(), two.reader()];
    let subject = one.names().all_events().replace('>', "run.-.run-x");
    for round in 1..=5 {
        one.append(20).await;
        one.nats.jetstream().publish(subject.clone(), "{}".into()).await.unwrap().await.unwrap();
        let last = one.append(20).await;
        until("the relay goes on", || relay.status().borrow().position >= last).await;
        assert!(relay.status().borrow().refused >= round, "the relay did not notice");
    }
    for reader in &readers {
        reader.agrees_with(&*one.log).await;
    }
    println!("ROW N-8 strangers=5 refused={} missed=0", relay.status().borrow().refused);
    relay.stop().await;
}
