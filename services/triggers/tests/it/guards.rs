//! What strangers and noisy senders can do to the ingress, over real connections: rows W-5, W-6, W-7, W-12 and W-13.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use axum::http::StatusCode;
use futures::{StreamExt as _, stream};
use shipway_service_kit::{Guard, Server};
use shipway_triggers::{Config, Rate, signature::hub_signature};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
};

use crate::support::*;

/// Where an attacker sits: an address of its own, which is no proxy.
const STRANGER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

fn full() -> bool {
    std::env::var_os("SHIPWAY_FULL").is_some()
}

fn judged() -> bool {
    full() || std::env::var_os("SHIPWAY_ROW").is_some()
}

/// A service on a port of its own.
struct Port {
    world: World,
    address: SocketAddr,
}

impl Port {
    async fn open(place: &Place, home: &Home, config: Config) -> Self {
        let world = World::start(place, home, config).await;
        // Room for all who come at once: whom the kernel turns away, because its queue is full, believes to be connected
        // and hears of nothing.
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let listener = socket.listen(4_096).unwrap();
        let address = listener.local_addr().unwrap();
        let server = Server::new().guard(Guard::default()).http(world.router());
        tokio::spawn(server.serve(listener, world.stop.clone()));
        Self { world, address }
    }

    async fn connect(&self, from: Ipv4Addr) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((from, 0).into()).unwrap();
        let stream = socket.connect(self.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }
}

/// The head of a signed delivery with a body of that length.
fn head(hook: &str, id: &str, signature: &str, length: Option<usize>) -> String {
    let length = match length {
        Some(length) => format!("content-length: {length}"),
        None => "transfer-encoding: chunked".to_owned(),
    };
    format!(
        "POST /hooks/github/{hook} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nx-github-event: push\r\n\
         x-github-delivery: {id}\r\nx-hub-signature-256: {signature}\r\n{length}\r\n\r\n"
    )
}

fn request(hook: &str, id: &str, body: &str) -> Vec<u8> {
    let signature = hub_signature(SECRET.as_bytes(), body.as_bytes());
    [head(hook, id, &signature, Some(body.len())).as_bytes(), body.as_bytes()].concat()
}

/// Reads one answer: its status and its text. None if the connection ended.
async fn answer(stream: &mut TcpStream) -> Option<(u16, String)> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.map_or(0, |length| length.parse().unwrap());
            if body.len() >= length {
                return Some((head.split(' ').nth(1)?.parse().ok()?, text));
            }
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}

/// Sends deliveries at a rate until told to stop; how long each took, and the codes.
async fn sends(
    port: &Port,
    hook: &str,
    name: &str,
    per_second: f64,
    count: usize,
    secret: impl Fn(usize) -> String,
) -> Vec<(u16, Duration)> {
    let start = Instant::now();
    let mut stream = port.connect(Ipv4Addr::LOCALHOST).await;
    let mut seen = Vec::with_capacity(count);
    for n in 0..count {
        let due = Duration::from_secs_f64(n as f64 / per_second);
        tokio::time::sleep(due.saturating_sub(start.elapsed())).await;
        let number = u64::try_from(n).unwrap();
        let body = push_body(REPOSITORY, &format!("topic/{name}"), &commit(number), &commit(number + 1));
        let signature = hub_signature(secret(n).as_bytes(), body.as_bytes());
        let head = head(hook, &format!("{name}-{n}"), &signature, Some(body.len()));
        let begin = Instant::now();
        loop {
            let sent = stream.write_all(&[head.as_bytes(), body.as_bytes()].concat()).await;
            if sent.is_ok()
                && let Some((status, _)) = answer(&mut stream).await
            {
                seen.push((status, begin.elapsed()));
                break;
            }
            // A connection that was idle for long is closed; its sender makes a new one.
            stream = port.connect(Ipv4Addr::LOCALHOST).await;
        }
    }
    seen
}

fn p99(seen: &[(u16, Duration)]) -> Duration {
    let mut times: Vec<_> = seen.iter().map(|(_, took)| *took).collect();
    times.sort();
    times[(times.len() * 99 / 100).min(times.len() - 1)]
}

fn codes(seen: &[(u16, Duration)], code: u16) -> usize {
    seen.iter().filter(|(seen, _)| *seen == code).count()
}

/// Lets [`peak`] begin anew, with what this process has now.
fn forget_peak() {
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
}

/// The most memory that this process has had, in bytes.
fn peak() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse::<usize>().unwrap() * 1024
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_w_5_bodies_of_every_kind_get_the_right_code_in_bounded_memory() {
    let cap = if full() { 25 << 20 } else { 4 << 20 };
    let place = Place::sqlite();
    let port =
        Port::open(&place, &Home::with_repository(REPOSITORY), Config { max_body: cap, ..config() }).await;
    let port = Arc::new(port);
    let stop = Arc::new(AtomicBool::new(false));
    let others = tokio::spawn({
        let (port, stop) = (port.clone(), stop.clone());
        async move {
            let mut seen = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                seen.extend(sends(&port, HOOK, "other", 100.0, 1, |_| SECRET.to_owned()).await);
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            seen
        }
    });
    let push = push_body(REPOSITORY, "topic", ZERO, &commit(1));
    let padded = |length: usize| format!("{push}{}", " ".repeat(length - push.len()));
    let keys = {
        let many: String = (0..cap / 16).map(|n| format!(",\"{n:07}\":1")).collect();
        push.replacen("\"commits\":[]", &format!("\"commits\":[]{many}"), 1)
    };
    assert!(keys.len() <= cap);
    let nested = |levels: usize| {
        format!("{},\"x\":{}1{}}}", &push[..push.len() - 1], "[".repeat(levels), "]".repeat(levels))
    };
    let mut cases = Vec::new();
    for (name, body, code) in [
        ("1 byte too large", padded(cap + 1), 413),
        ("many keys", keys, 202),
        ("64 levels", nested(63), 202),
        ("65 levels", nested(64), 400),
        ("deep", nested(100_000), 400),
    ] {
        cases.push((name, request(HOOK, name, &body), code));
    }
    let mut gzip = head(HOOK, "gzip", "sha256=00", Some(25_000)).into_bytes();
    let at = gzip.len() - 2;
    gzip.splice(at..at, b"content-encoding: gzip\r\n".iter().copied());
    gzip.extend(vec![0x1f; 25_000]);
    cases.push(("a bomb", gzip, 415));
    let chunk = [b"10000\r\n".as_slice(), &[b' '; 0x10000], b"\r\n"].concat();
    let largest = request(HOOK, "largest", &padded(cap));
    // What the test sends is there before, and does not count.
    forget_peak();
    let before = peak();
    for (name, request, code) in &cases {
        let mut stream = port.connect(Ipv4Addr::LOCALHOST).await;
        // Who is refused may find the door closed before the end.
        drop(stream.write_all(request).await);
        let (status, text) = answer(&mut stream).await.unwrap_or_else(|| panic!("{name}: no answer"));
        assert_eq!(status, *code, "{name}: {text}");
        if *code == 202 {
            assert!(text.contains("\"runs\":[]"), "{name}: {text}");
        }
    }
    // Without a length, and without an end.
    let mut stream = port.connect(Ipv4Addr::LOCALHOST).await;
    stream.write_all(head(HOOK, "endless", "sha256=00", None).as_bytes()).await.unwrap();
    let (mut reader, mut writer) = stream.into_split();
    let endless = tokio::spawn(async move { while writer.write_all(&chunk).await.is_ok() {} });
    let mut said = [0; 12];
    reader.read_exact(&mut said).await.unwrap();
    assert_eq!(&said, b"HTTP/1.1 413");
    drop(reader);
    endless.abort();
    let refused = peak().saturating_sub(before);
    // The largest that there may be is taken.
    forget_peak();
    let before = peak();
    let mut stream = port.connect(Ipv4Addr::LOCALHOST).await;
    stream.write_all(&largest).await.unwrap();
    assert_eq!(answer(&mut stream).await.unwrap().0, 202);
    let taken = peak().saturating_sub(before);
    stop.store(true, Ordering::Relaxed);
    let seen = others.await.unwrap();
    let slow = p99(&seen);
    let mib = |bytes: usize| bytes as f64 / f64::from(1 << 20);
    println!(
        "ROW W-5 cap={:.0}MiB others={} others_p99={slow:?} added_by_refused={:.1}MiB added_by_largest={:.1}MiB",
        mib(cap),
        seen.len(),
        mib(refused),
        mib(taken)
    );
    assert_eq!(codes(&seen, 202), seen.len());
    if judged() {
        assert!(slow <= Duration::from_millis(200), "{slow:?}");
        assert!(taken <= 2 * cap, "{:.1} MiB", mib(taken));
    }
    let Ok(port) = Arc::try_unwrap(port) else { panic!("it is held elsewhere") };
    port.world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_w_6_slow_clients_are_closed_and_others_do_not_notice() {
    let count = if full() { 2_000 } else { 150 };
    let port = Port::open(&Place::sqlite(), &Home::with_repository(REPOSITORY), config()).await;
    let stop = AtomicBool::new(false);
    let slow = |number: usize| {
        let port = &port;
        async move {
            let mut stream = port.connect(STRANGER).await;
            let begin = Instant::now();
            let text = match number % 3 {
                // Nothing at all, a head without an end, a body that trickles.
                0 => String::new(),
                1 => "POST /hooks/github/x HTTP/1.1\r\nx: ".to_owned(),
                _ => head(HOOK, "slow", "sha256=00", Some(1_000)),
            };
            drop(stream.write_all(text.as_bytes()).await);
            let mut said = [0; 64];
            loop {
                tokio::select! {
                    read = stream.read(&mut said) => match read {
                        Ok(0) | Err(_) => break,
                        Ok(_) => {}
                    },
                    () = tokio::time::sleep(Duration::from_secs(1)) => {
                        if !number.is_multiple_of(3) && stream.write_all(b"x").await.is_err() {
                            break;
                        }
                    }
                }
            }
            begin.elapsed()
        }
    };
    let attack = async {
        let start = Instant::now();
        let mut longest = Duration::ZERO;
        // In the long size they come again and again for a minute.
        loop {
            let closed: Vec<Duration> =
                stream::iter(0..count).map(slow).buffer_unordered(count).collect().await;
            longest = longest.max(*closed.iter().max().unwrap());
            if !full() || start.elapsed() > Duration::from_secs(60) {
                break;
            }
        }
        stop.store(true, Ordering::Relaxed);
        longest
    };
    let good = async {
        let mut seen = Vec::new();
        let mut round = 0;
        while !stop.load(Ordering::Relaxed) {
            round += 1;
            seen.extend(sends(&port, HOOK, &format!("good-{round}"), 50.0, 25, |_| SECRET.to_owned()).await);
        }
        seen
    };
    let (longest, seen) = tokio::join!(attack, good);
    let slow = p99(&seen);
    println!("ROW W-6 sockets={count} closed_within={longest:?} good={} good_p99={slow:?}", seen.len());
    assert_eq!(codes(&seen, 202), seen.len(), "good traffic was refused");
    if judged() {
        assert!(longest <= Duration::from_secs(15), "{longest:?}");
        assert!(slow <= Duration::from_millis(250), "{slow:?}");
    }
    port.world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_w_7_deliveries_at_a_steady_rate_are_answered_soon() {
    let (per_second, seconds) = if full() { (200, 300) } else { (100, 2) };
    let place = Place::postgresql();
    let port = Port::open(&place, &Home::with_repository(REPOSITORY), config()).await;
    let senders = 10;
    let sent = (0..senders).map(|sender| {
        let (rate, count) = (f64::from(per_second) / f64::from(senders), per_second * seconds / senders);
        let port = &port;
        async move {
            let name = format!("sender-{sender}");
            sends(port, HOOK, &name, rate, usize::try_from(count).unwrap(), |_| SECRET.to_owned()).await
        }
    });
    let seen: Vec<_> = futures::future::join_all(sent).await.into_iter().flatten().collect();
    let (slow, slowest) = (p99(&seen), seen.iter().map(|(_, took)| *took).max().unwrap());
    let stored = port.world.rows("").await;
    println!(
        "ROW W-7 rate={per_second}/s deliveries={} p99={slow:?} max={slowest:?} stored={stored}",
        seen.len()
    );
    assert_eq!(codes(&seen, 202), seen.len());
    assert_eq!(usize::try_from(stored).unwrap(), seen.len());
    if judged() {
        assert!(
            slow <= Duration::from_millis(100) && slowest <= Duration::from_secs(1),
            "{slow:?} {slowest:?}"
        );
    }
    port.world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_w_12_a_noisy_hook_is_slowed_down_and_a_quiet_one_is_not() {
    const QUIET: &str = "22222222-2222-4333-8444-555555555555";
    let seconds = if full() { 60 } else { 2 };
    let home = Home::with_repository(REPOSITORY);
    home.change(|reply| reply.hooks.push(git_hook(QUIET, REPOSITORY)));
    let limits = Config { rate: Some(Rate { per_second: 20, burst: 20 }), ..config() };
    let port = Port::open(&Place::sqlite(), &home, limits).await;
    let secret = |_| SECRET.to_owned();
    let start = Instant::now();
    let (noisy, quiet) = tokio::join!(
        async {
            let senders = (0..10).map(|n| {
                sends(
                    &port,
                    HOOK,
                    ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"][n],
                    50.0,
                    50 * seconds,
                    secret,
                )
            });
            futures::future::join_all(senders).await.into_iter().flatten().collect::<Vec<_>>()
        },
        sends(&port, QUIET, "quiet", 5.0, 5 * seconds, secret),
    );
    let took = start.elapsed().as_secs_f64();
    let (taken, refused, slow) = (codes(&noisy, 202), codes(&noisy, 429), p99(&quiet));
    println!(
        "ROW W-12 noisy_sent={} taken={taken} refused={refused} quiet_p99={slow:?} in={took:.1}s",
        noisy.len()
    );
    assert_eq!(taken + refused, noisy.len());
    assert!(refused > 0 && (taken as f64) <= 20.0 + 20.0 * took + 1.0, "{taken} in {took} s");
    assert_eq!(codes(&quiet, 202), quiet.len(), "the quiet one was refused");
    let mut stream = port.connect(Ipv4Addr::LOCALHOST).await;
    let wait = loop {
        let body = push_body(REPOSITORY, "topic", ZERO, &commit(1));
        stream.write_all(&request(HOOK, &uuid::Uuid::now_v7().to_string(), &body)).await.unwrap();
        let (status, text) = answer(&mut stream).await.unwrap();
        if status == StatusCode::TOO_MANY_REQUESTS {
            break text;
        }
    };
    assert!(wait.contains("retry-after: 1"), "{wait}");
    if judged() {
        assert!(slow <= Duration::from_millis(150), "{slow:?}");
    }
    port.world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_w_13_a_secret_is_switched_under_load_and_the_old_one_retires() {
    let count = if full() { 5_000 } else { 300 };
    let home = Home::with_repository(REPOSITORY);
    home.change(|reply| reply.hooks[0].secrets = vec!["old".to_owned()]);
    let port = Port::open(&Place::sqlite(), &home, config()).await;
    let secrets = async |secrets: &[&str]| {
        home.change(|reply| reply.hooks[0].secrets = secrets.iter().map(|&s| s.to_owned()).collect());
        port.world.touch_project().await;
    };
    // The hook gets a second secret, then its sender changes over in the middle, then the old one retires.
    secrets(&["new", "old"]).await;
    let switched = |n: usize| if n < count / 2 { "old".to_owned() } else { "new".to_owned() };
    let seen = sends(&port, HOOK, "rotated", 300.0, count, switched).await;
    assert_eq!(codes(&seen, 202), count, "refused in the overlap");
    secrets(&["new"]).await;
    let retired = Instant::now();
    let mut late = 0;
    loop {
        let old = sends(&port, HOOK, &format!("late-{late}"), 1_000.0, 1, |_| "old".to_owned()).await;
        if codes(&old, 401) == 1 {
            break;
        }
        late += 1;
        assert!(retired.elapsed() < Duration::from_secs(20), "the old secret is still good");
    }
    let took = retired.elapsed();
    let new = sends(&port, HOOK, "after", 1_000.0, 20, |_| "new".to_owned()).await;
    assert_eq!(codes(&new, 202), 20);
    println!("ROW W-13 deliveries={count} refused_in_overlap=0 old_refused_after={took:?} taken_late={late}");
    if judged() {
        assert!(took <= Duration::from_secs(1), "{took:?}");
    }
    port.world.end().await;
}

#[tokio::test]
async fn a_head_has_a_size_and_a_source_a_number_of_open_deliveries() {
    let few = Config { open: 2, ..config() };
    let port = Port::open(&Place::sqlite(), &Home::with_repository(REPOSITORY), few).await;
    let mut stream = port.connect(Ipv4Addr::LOCALHOST).await;
    let long = format!("POST /hooks/github/x HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "y".repeat(40_000));
    drop(stream.write_all(long.as_bytes()).await);
    assert_eq!(answer(&mut stream).await.unwrap().0, 431);
    // Two of a stranger are open; a third is refused, one of somebody else is not.
    let body = push_body(REPOSITORY, "topic", ZERO, &commit(1));
    let whole = request(HOOK, "d-1", &body);
    let mut open = Vec::new();
    for _ in 0..2 {
        let mut stream = port.connect(STRANGER).await;
        stream.write_all(&whole[..whole.len() - 1]).await.unwrap();
        open.push(stream);
    }
    let refused = loop {
        let mut third = port.connect(STRANGER).await;
        third.write_all(&whole).await.unwrap();
        let (status, text) = answer(&mut third).await.unwrap();
        // The first two may not have been read yet.
        if status != 202 {
            break (status, text);
        }
    };
    assert_eq!(refused.0, 429, "{}", refused.1);
    assert!(refused.1.contains("retry-after: 1"), "{}", refused.1);
    let mut other = port.connect(Ipv4Addr::new(127, 0, 0, 3)).await;
    other.write_all(&whole).await.unwrap();
    assert_eq!(answer(&mut other).await.unwrap().0, 202);
    // Behind a proxy the source is whom it names.
    let by_proxy = |source: &str| {
        let text = String::from_utf8(whole.clone()).unwrap();
        text.replacen("host: x", &format!("host: x\r\nx-forwarded-for: 9.9.9.9, {source}"), 1).into_bytes()
    };
    for (source, code) in [("127.0.0.2", 429), ("127.0.0.4", 202)] {
        let mut proxy = port.connect(Ipv4Addr::LOCALHOST).await;
        proxy.write_all(&by_proxy(source)).await.unwrap();
        assert_eq!(answer(&mut proxy).await.unwrap().0, code, "{source}");
    }
    for mut stream in open {
        stream.write_all(&whole[whole.len() - 1..]).await.unwrap();
        assert_eq!(answer(&mut stream).await.unwrap().0, 202);
    }
    port.world.end().await;
}
