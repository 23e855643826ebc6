//! Leases and members, on PostgreSQL.

use std::time::Duration;

use shipway_eventing::Leases;

use crate::fixture::Fixture;

const LONG: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_has_one_owner_and_each_holding_its_own_epoch() {
    let fixture = Fixture::postgres().await;
    let leases = Leases::open(fixture.log.durable().await.unwrap()).await.unwrap();
    let first = leases.take("relay", "a", "at a", LONG).await.unwrap().unwrap();
    assert_eq!(leases.take("relay", "b", "at b", LONG).await.unwrap(), None, "it is held");
    assert!(leases.renew("relay", "a", first, LONG).await.unwrap());
    assert!(!leases.renew("relay", "b", first, LONG).await.unwrap(), "only its owner renews it");
    let holder = leases.holder("relay").await.unwrap().unwrap();
    assert_eq!((holder.owner.as_str(), holder.epoch, holder.note.as_str()), ("a", first, "at a"));
    assert!(holder.left > LONG / 2);

    leases.release("relay", "a", first).await.unwrap();
    let second = leases.take("relay", "b", "at b", Duration::from_millis(1)).await.unwrap().unwrap();
    assert!(second > first);
    assert!(!leases.renew("relay", "a", first, LONG).await.unwrap(), "the old holding is over for good");
    // Over by the database's clock: anybody may take it.
    while leases.holder("relay").await.unwrap().unwrap().left > Duration::ZERO {}
    assert!(leases.take("relay", "c", "", LONG).await.unwrap().unwrap() > second);
    assert!(!leases.renew("relay", "b", second, LONG).await.unwrap());
    fixture.end().await;
}

/// Whoever wants to begin a transaction goes away at any moment of it: a request whose client has hung up, a leader that
/// leads no more. What others write with the same connections is seen all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_works_inside_a_transaction_that_was_given_up() {
    let fixture = Fixture::postgres().await;
    let (durable, other) = (fixture.log.durable().await.unwrap(), fixture.log.durable().await.unwrap());
    let (leases, others) = (Leases::open(durable.clone()).await.unwrap(), Leases::open(other).await.unwrap());
    for polls in 0..400 {
        let mut begin = std::pin::pin!(durable.begin());
        for _ in 0..polls % 40 {
            if futures::poll!(&mut begin).is_ready() {
                break;
            }
            tokio::task::yield_now().await;
        }
    }
    let names: Vec<_> = (0..50).map(|n| format!("lease-{n}")).collect();
    let taken = futures::future::join_all(names.iter().map(|name| leases.take(name, "a", "", LONG))).await;
    assert!(taken.into_iter().all(|taken| taken.unwrap().is_some()));
    for name in &names {
        assert!(others.holder(name).await.unwrap().is_some(), "{name} was taken and nobody sees it");
    }
    fixture.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_count_while_they_beat() {
    let fixture = Fixture::postgres().await;
    let leases = Leases::open(fixture.log.durable().await.unwrap()).await.unwrap();
    leases.beat("scheduler", "one", "http://one", "{}", LONG).await.unwrap();
    leases.beat("scheduler", "two", "http://two", "{}", Duration::from_millis(1)).await.unwrap();
    leases.beat("executor", "three", "http://three", "{}", LONG).await.unwrap();
    let two_is_gone = || async {
        let members = leases.members("scheduler").await.unwrap();
        assert_eq!(members.iter().map(|member| member.id.as_str()).collect::<Vec<_>>(), ["one", "two"]);
        assert!(members[0].left > Duration::ZERO && members[0].gone_for == Duration::ZERO);
        members[1].left == Duration::ZERO && members[1].gone_for > Duration::ZERO
    };
    while !two_is_gone().await {}
    let since = leases.members("scheduler").await.unwrap()[1].since;
    leases.beat("scheduler", "two", "http://two", "{}", LONG).await.unwrap();
    assert!(leases.members("scheduler").await.unwrap()[1].since > since, "it was away in between");
    assert!(leases.forget("scheduler", Duration::ZERO).await.unwrap().is_empty());
    leases.leave("scheduler", "two").await.unwrap();
    assert_eq!(leases.members("scheduler").await.unwrap().len(), 1);
    fixture.end().await;
}
