//! Which of a machine's ports are whose.

use std::ops::RangeInclusive;

/// The ports that instances of services listen on behind their keeper, each on the first that it finds free. They lie
/// outside the range that Linux gives to outgoing connections, from 32768 on.
pub const INSTANCE_PORTS: RangeInclusive<u16> = 20_000..=31_999;

/// Whether public ports from this range are kept from instances: one that got a public port first would have the
/// service that the port was given to fail at its release.
///
/// # Errors
/// Which ports may be given instead.
pub fn not_for_instances(public: &RangeInclusive<u16>) -> Result<(), String> {
    let (first, last) = (INSTANCE_PORTS.start(), INSTANCE_PORTS.end());
    if public.start() > last || public.end() < first {
        return Ok(());
    }
    Err(format!(
        "public ports would be {} to {}, and {first} to {last} are what instances of services listen on; take ports \
         that are all below or all above these",
        public.start(),
        public.end()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_ports_and_those_of_instances_do_not_meet() {
        for public in [7500..=7999, 19_500..=19_999, 32_000..=32_499] {
            assert_eq!(not_for_instances(&public), Ok(()));
        }
        for public in [19_501..=20_000, 20_000..=20_099, 25_000..=25_000, 31_999..=32_000, 7500..=40_000] {
            let why = not_for_instances(&public).unwrap_err();
            assert!(why.contains(&format!("{} to {}", public.start(), public.end())), "{why}");
            assert!(why.contains("20000 to 31999"), "{why}");
        }
    }
}
