//! One declaration per stream: the enum, the names of its types and their schema numbers.

/// Declares a stream's event enum. Each variant wraps a struct of the same name; the text is the stored
/// type name, the number the newest schema. `upcast` names the stream's function from older schemas.
/// A `cfg` goes after a variant's words.
macro_rules! stream_events {
    ($(#[$doc:meta])* $vis:vis enum $name:ident, upcast $upcast:path {
        $($(#[doc = $vdoc:expr])* $(#[cfg($($when:tt)*)])? $variant:ident = $text:literal, $schema:literal;)*
    }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq)]
        $vis enum $name {
            $($(#[doc = $vdoc])* $(#[cfg($($when)*)])? $variant($variant),)*
        }

        impl $name {
            /// Every type of this stream with its newest schema number.
            pub const TYPES: &'static [(&'static str, u16)] = &[
                $($(#[cfg($($when)*)])? ($text, $schema),)*
            ];
        }

        $($(#[cfg($($when)*)])? impl From<$variant> for $name {
            fn from(event: $variant) -> Self {
                Self::$variant(event)
            }
        })*

        impl $crate::StreamEvent for $name {
            fn kind(&self) -> &'static str {
                match self { $($(#[cfg($($when)*)])? Self::$variant(_) => $text,)* }
            }

            fn schema(&self) -> u16 {
                match self { $($(#[cfg($($when)*)])? Self::$variant(_) => $schema,)* }
            }

            fn encode(&self) -> $crate::NewEvent {
                let data = match self {
                    $($(#[cfg($($when)*)])? Self::$variant(event) => serde_json::to_string(event),)*
                };
                $crate::NewEvent {
                    kind: self.kind(),
                    schema: self.schema(),
                    data: data.expect("an event's payload has only string keys"),
                }
            }

            fn decode(kind: &str, schema: u16, data: &str) -> Result<Self, $crate::DecodeError> {
                const UPCAST: $crate::envelope::Upcast = $upcast;
                let shape = |source| $crate::DecodeError::Shape { kind: kind.to_owned(), schema, source };
                let newer = |_| $crate::DecodeError::Unknown { kind: kind.to_owned(), schema };
                match kind {
                    $($(#[cfg($($when)*)])? $text if schema == $schema => {
                        serde_json::from_str(data).map(Self::$variant).map_err(shape)
                    })*
                    // A newer shape has all that this one has, and more that may be left out.
                    $($(#[cfg($($when)*)])? $text if schema > $schema => {
                        serde_json::from_str(data).map(Self::$variant).map_err(newer)
                    })*
                    $($(#[cfg($($when)*)])? $text if schema < $schema => {
                        let mut value = serde_json::from_str(data).map_err(shape)?;
                        for from in schema..$schema {
                            value = UPCAST(kind, from, value);
                        }
                        serde_json::from_value(value).map(Self::$variant).map_err(shape)
                    })*
                    _ => Err($crate::DecodeError::Unknown { kind: kind.to_owned(), schema }),
                }
            }
        }
    };
}
