//! N-1: NATS loses all that it stored, under running runs.

use shipway_integration_tests::{
    cluster::{Cluster, Shape},
    sink::Sink,
    workload::{self, Workload},
};

#[tokio::test(flavor = "multi_thread")]
async fn row_n_1_runs_do_not_notice_that_the_message_store_is_wiped() {
    let begin = std::time::Instant::now();
    let cluster = Cluster::start("n1", Shape::default()).unwrap();
    println!("started after {:?}", begin.elapsed());
    let sink = Sink::start().unwrap();
    cluster.apply(&workload::project()).unwrap();
    let work = Workload::new(cluster.channel().unwrap(), &sink);
    let ended = work.run(0..20, 5).await.unwrap();
    println!("{:?} {:?}", begin.elapsed(), workload::percentile(&ended, 50));
    println!("{:?}", workload::judge(&sink, &ended));
    println!("{:?}", ended[0]);
    cluster.verify().unwrap();
}
