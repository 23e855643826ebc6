//! The process's own log as JSON lines. One field set, flat, so that one query finds all that is about a run:
//!
//! | field | |
//! |---|---|
//! | `time` | when, RFC 3339 with microseconds, UTC |
//! | `level` | `ERROR`, `WARN`, `INFO`, `DEBUG`, `TRACE` |
//! | `service` | the service |
//! | `target` | the module |
//! | `message` | what happened, always the same words for the same thing |
//! | `run`, `node`, `fence` | the run, the node's index in its plan, the attempt, where it is about one |
//! | `error` | why, where something went wrong |
//! | others | as the message needs them: `consumer`, `position`, `delivery`, `executor`, … |

use std::fmt::{self, Write as _};

use serde_json::{Map, Value};
use shipway_events::Timestamp;
use tracing::{Event, Subscriber, field::Field};
use tracing_subscriber::{
    fmt::{
        FmtContext, FormattedFields,
        format::{FormatEvent, FormatFields, JsonFields, Writer},
    },
    registry::LookupSpan,
};

/// Writes an event as one line of JSON, with the fields of the spans around it; the inner ones win.
pub(crate) struct JsonLines {
    service: &'static str,
}

impl JsonLines {
    pub(crate) const fn new(service: &'static str) -> Self {
        Self { service }
    }

    fn line<S>(&self, spans: Option<tracing_subscriber::registry::Scope<'_, S>>, event: &Event<'_>) -> String
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let mut line = Map::new();
        line.insert("time".to_owned(), Value::String(now().to_string()));
        let metadata = event.metadata();
        line.insert("level".to_owned(), Value::String(metadata.level().to_string()));
        line.insert("service".to_owned(), Value::String(self.service.to_owned()));
        line.insert("target".to_owned(), Value::String(metadata.target().to_owned()));
        for span in spans.into_iter().flat_map(|spans| spans.from_root()) {
            let extensions = span.extensions();
            let fields = extensions.get::<FormattedFields<JsonFields>>();
            if let Some(Ok(Value::Object(fields))) = fields.map(|fields| serde_json::from_str(fields)) {
                line.extend(fields);
            }
        }
        event.record(&mut Fields(&mut line));
        Value::Object(line).to_string()
    }
}

impl<S> FormatEvent<S, JsonFields> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    JsonFields: for<'writer> FormatFields<'writer>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, JsonFields>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        writeln!(writer, "{}", self.line(context.event_scope(), event))
    }
}

struct Fields<'a>(&'a mut Map<String, Value>);

impl Fields<'_> {
    fn put(&mut self, field: &Field, value: Value) {
        self.0.insert(field.name().to_owned(), value);
    }
}

impl tracing::field::Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut text = String::new();
        // Writing into a text cannot fail; a value whose own format fails shows as far as it came.
        let _ = write!(text, "{value:?}");
        self.put(field, Value::String(text));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, Value::String(value.to_owned()));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        let mut text = value.to_string();
        let mut next = value.source();
        while let Some(cause) = next {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            next = cause.source();
        }
        self.put(field, Value::String(text));
    }
}

fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{Arc, Mutex},
    };

    use tracing_subscriber::{fmt, layer::SubscriberExt as _};

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_has_the_ids_of_its_spans_and_its_error_with_its_cause() {
        let kept = Kept::default();
        let written = kept.clone();
        let lines = fmt::layer()
            .with_writer(move || written.clone())
            .fmt_fields(JsonFields::new())
            .event_format(JsonLines::new("scheduler"));
        tracing::subscriber::with_default(tracing_subscriber::registry().with(lines), || {
            let _run = tracing::info_span!("run", run = "r-1").entered();
            let _node = tracing::info_span!("attempt", node = 3_u32, fence = 7_u64).entered();
            let cause = fmt_error();
            tracing::warn!(error = &cause as &dyn std::error::Error, position = 12_u64, "it went badly");
        });
        let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.lines().count(), 1);
        let line: Value = serde_json::from_str(&text).unwrap();
        for (field, value) in [
            ("run", Value::from("r-1")),
            ("node", 3.into()),
            ("fence", 7.into()),
            ("level", "WARN".into()),
            ("service", "scheduler".into()),
            ("message", "it went badly".into()),
            ("position", 12.into()),
            ("error", "reading the log: no such file".into()),
        ] {
            assert_eq!(line[field], value, "{field}: {line}");
        }
        assert!(line["time"].as_str().unwrap().ends_with('Z'), "{line}");
    }

    #[derive(Debug, thiserror::Error)]
    #[error("reading the log")]
    struct Failed(#[source] io::Error);

    fn fmt_error() -> Failed {
        Failed(io::Error::new(io::ErrorKind::NotFound, "no such file"))
    }
}
