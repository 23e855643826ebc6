//! Whether the time of a refusal tells how much of a signature was right.

use std::{hint::black_box, time::Instant};

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use shipway_events::Timestamp;
use shipway_triggers::signature::{Scheme, Secrets, hub_signature};

const SCHEME: Scheme = Scheme::Hub("x-hub-signature-256");

/// The signature with one digit changed, as a request's headers.
fn wrong_at(signature: &str, at: usize) -> HeaderMap {
    let mut text = signature.as_bytes().to_vec();
    text[at] = if text[at] == b'0' { b'1' } else { b'0' };
    let name = HeaderName::from_static("x-hub-signature-256");
    HeaderMap::from_iter([(name, HeaderValue::from_bytes(&text).unwrap())])
}

/// Mean, variance and number.
fn moments(times: &[f64]) -> (f64, f64, f64) {
    let count = times.len() as f64;
    let mean = times.iter().sum::<f64>() / count;
    (mean, times.iter().map(|time| (time - mean).powi(2)).sum::<f64>() / (count - 1.0), count)
}

/// Welch's t of two classes of measurements, without the slowest twentieth of all: those are the machine's doing.
fn welch(classes: &[Vec<f64>; 2]) -> f64 {
    let mut all: Vec<f64> = classes.concat();
    all.sort_by(f64::total_cmp);
    let most = all[all.len() * 19 / 20];
    let [(m1, v1, n1), (m2, v2, n2)] = classes
        .each_ref()
        .map(|class| moments(&class.iter().copied().filter(|time| *time <= most).collect::<Vec<_>>()));
    (m1 - m2) / (v1 / n1 + v2 / n2).sqrt()
}

#[test]
fn row_w_3_a_refusal_takes_as_long_however_much_of_the_signature_is_right() {
    let asked = |name: &str| std::env::var_os(name).is_some();
    let count = if asked("SHIPWAY_FULL") { 200_000 } else { 2_000 };
    let body = [b'x'; 300];
    let secrets = Secrets::new(["a secret of the hook".to_owned()]);
    let signature = hub_signature(b"a secret of the hook", &body);
    // Wrong in its first digit, and in its last.
    let headers = [wrong_at(&signature, "sha256=".len()), wrong_at(&signature, signature.len() - 1)];
    let mut classes = [Vec::with_capacity(count), Vec::with_capacity(count)];
    let mut chance = 0x9e37_79b9_7f4a_7c15_u64;
    // The first are for the caches. Which class comes next is chance, so that no rhythm of the machine tells them apart.
    for number in 0..2 * count + 1_000 {
        chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let class = usize::from(chance >> 63 == 1);
        let start = Instant::now();
        let passed = SCHEME.verify(&secrets, black_box(&headers[class]), &body, Timestamp::from_micros(0));
        let took = start.elapsed();
        assert!(!passed);
        if number >= 1_000 {
            classes[class].push(took.as_nanos() as f64);
        }
    }
    let t = welch(&classes);
    println!("ROW W-3 verifications={} t={t:.2}", classes[0].len() + classes[1].len());
    if asked("SHIPWAY_FULL") || asked("SHIPWAY_ROW") {
        assert!(t.abs() < 4.5, "the time tells how much was right: t = {t}");
    }
}
