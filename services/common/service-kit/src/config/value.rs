//! What a key may hold: how a value is read, what was expected if it is wrong, how it is shown.

use std::{net::IpAddr, net::SocketAddr, path::PathBuf, time::Duration};

use ipnet::IpNet;

use super::Raw;

/// Why a raw value is not one of a kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// It is of another kind altogether: what was expected says enough.
    Kind,
    /// It looks right and is not, for this reason.
    Because(String),
}

/// A kind of value that a key may hold.
pub trait Value: Sized + Clone {
    /// Whether it is never shown.
    const SECRET: bool = false;

    /// What was expected, for people: "a time like 30s".
    fn expected() -> String;

    /// Reads a value.
    ///
    /// # Errors
    /// Why it is none.
    fn read(raw: &Raw) -> Result<Self, Wrong>;

    /// The value as a file would have it; of a secret, what may be seen.
    fn show(&self) -> String;
}

/// A text as a file would have it.
pub(super) fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

impl Value for String {
    fn expected() -> String {
        "a text".to_owned()
    }

    fn read(raw: &Raw) -> Result<Self, Wrong> {
        raw.text().map(str::to_owned).ok_or(Wrong::Kind)
    }

    fn show(&self) -> String {
        quoted(self)
    }
}

impl Value for bool {
    fn expected() -> String {
        "true or false".to_owned()
    }

    fn read(raw: &Raw) -> Result<Self, Wrong> {
        match raw {
            Raw::Switch(on) => Ok(*on),
            Raw::Word(word) => word.parse().map_err(|_| Wrong::Kind),
            _ => Err(Wrong::Kind),
        }
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

macro_rules! number {
    ($($kind:ty)*) => { $(
        impl Value for $kind {
            fn expected() -> String {
                format!("a whole number from {} to {}", Self::MIN, Self::MAX)
            }

            fn read(raw: &Raw) -> Result<Self, Wrong> {
                match raw {
                    Raw::Number(number) => Self::try_from(*number).map_err(|_| Wrong::Kind),
                    Raw::Word(word) => word.parse().map_err(|_| Wrong::Kind),
                    _ => Err(Wrong::Kind),
                }
            }

            fn show(&self) -> String {
                self.to_string()
            }
        }
    )* };
}

number!(u16 u32 u64);

impl Value for SocketAddr {
    fn expected() -> String {
        "an address and a port like 127.0.0.1:7400 or [::1]:7400".to_owned()
    }

    fn read(raw: &Raw) -> Result<Self, Wrong> {
        raw.text().and_then(|text| text.parse().ok()).ok_or(Wrong::Kind)
    }

    fn show(&self) -> String {
        quoted(&self.to_string())
    }
}

impl Value for IpAddr {
    fn expected() -> String {
        "an address like 127.0.0.1 or ::".to_owned()
    }

    fn read(raw: &Raw) -> Result<Self, Wrong> {
        raw.text().and_then(|text| text.parse().ok()).ok_or(Wrong::Kind)
    }

    fn show(&self) -> String {
        quoted(&self.to_string())
    }
}

impl Value for IpNet {
    fn expected() -> String {
        "an address, or a network like 10.0.0.0/8".to_owned()
    }

    fn read(raw: &Raw) -> Result<Self, Wrong> {
        let text = raw.text().ok_or(Wrong::Kind)?;
        text.parse().or_else(|_| text.parse::<IpAddr>().map(Self::from)).map_err(|_| Wrong::Kind)
    }

    fn show(&self) -> String {
        let whole = self.prefix_len() == self.max_prefix_len();
        quoted(&if whole { self.addr().to_string() } else { self.to_string() })
    }
}

/// A folder. It may be made later; what is there already must be one.
impl Value for PathBuf {
    fn expected() -> String {
        "a folder like /var/lib/shipway".to_owned()
    }

    fn read(raw: &Raw) -> Result<Self, Wrong> {
        let path = raw.text().filter(|text| !text.is_empty()).map(Self::from).ok_or(Wrong::Kind)?;
        if path.exists() && !path.is_dir() {
            return Err(Wrong::Because("there is a file of that name, not a folder".to_owned()));
        }
        Ok(path)
    }

    fn show(&self) -> String {
        quoted(&self.to_string_lossy())
    }
}

const UNITS: &[(&str, u64)] =
    &[("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 24 * 3_600_000)];

impl Value for Duration {
    fn expected() -> String {
        "a time like 500ms, 30s, 5m, 2h or 90d".to_owned()
    }

    fn read(raw: &Raw) -> Result<Self, Wrong> {
        let text = raw.text().ok_or(Wrong::Kind)?;
        let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or(Wrong::Kind)?;
        let (number, unit) = text.split_at(digits);
        let number: u64 = number.parse().map_err(|_| Wrong::Kind)?;
        let (_, millis) = UNITS.iter().find(|(name, _)| *name == unit).ok_or(Wrong::Kind)?;
        number.checked_mul(*millis).map(Self::from_millis).ok_or(Wrong::Kind)
    }

    fn show(&self) -> String {
        let millis = u64::try_from(self.as_millis()).unwrap_or(u64::MAX);
        let whole = UNITS.iter().rev().find(|(_, unit)| millis > 0 && millis.is_multiple_of(*unit));
        let (name, unit) = whole.unwrap_or(&("s", 1_000));
        quoted(&format!("{}{name}", millis / unit))
    }
}

/// What may be left out: an empty text is none.
impl<T: Value> Value for Option<T> {
    const SECRET: bool = T::SECRET;

    fn expected() -> String {
        format!("{}, or \"\" for none", T::expected())
    }

    fn read(raw: &Raw) -> Result<Self, Wrong> {
        if raw.text().is_some_and(str::is_empty) { Ok(None) } else { T::read(raw).map(Some) }
    }

    fn show(&self) -> String {
        self.as_ref().map_or_else(|| quoted(""), T::show)
    }
}

impl<T: Value> Value for Vec<T> {
    const SECRET: bool = T::SECRET;

    fn expected() -> String {
        format!("a list, each {}", T::expected())
    }

    fn read(raw: &Raw) -> Result<Self, Wrong> {
        let list = raw.list().ok_or(Wrong::Kind)?;
        let mut values = Self::with_capacity(list.len());
        for (index, part) in list.iter().enumerate() {
            let value = T::read(part).map_err(|wrong| {
                let place = index + 1;
                Wrong::Because(match wrong {
                    Wrong::Kind if T::SECRET => format!("entry {place} is not {}", T::expected()),
                    Wrong::Kind => format!("entry {place}, {part}, is not {}", T::expected()),
                    Wrong::Because(reason) => format!("entry {place}: {reason}"),
                })
            })?;
            values.push(value);
        }
        Ok(values)
    }

    fn show(&self) -> String {
        format!("[{}]", self.iter().map(T::show).collect::<Vec<_>>().join(", "))
    }
}
