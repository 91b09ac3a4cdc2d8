//! The JSON form of messages: proto3 JSON in the order of the fields' numbers.
//!
//! As <https://protobuf.dev/programming-guides/json/> says: names in camelCase, 64-bit integers as strings, times as RFC 3339, bytes in
//! base64, absent messages left out. Unlike its default, empty texts, lists and zeros are written too, so that a reader finds every field.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use base64::Engine as _;
use prost_reflect::{DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MapKey, ReflectMessage as _, Value};
use serde::ser::{SerializeMap as _, SerializeSeq as _};
use serde::{Serialize, Serializer};

static POOL: LazyLock<Result<DescriptorPool, String>> =
    LazyLock::new(|| DescriptorPool::decode(crate::DESCRIPTORS).map_err(|error| error.to_string()));

/// A message that has no JSON form: it is none of [`crate::v1`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("message {name} has no JSON form: {reason}")]
pub struct JsonError {
    /// The message's full name.
    pub name: String,
    /// Why not.
    pub reason: String,
}

/// A message in a form that any serde format can write.
#[derive(Clone, Debug)]
pub struct JsonMessage(DynamicMessage);

impl JsonMessage {
    /// Wraps any message of [`crate::v1`].
    ///
    /// # Errors
    /// If it is none of these.
    pub fn new<M: prost::Message + prost::Name>(message: &M) -> Result<Self, JsonError> {
        let name = M::full_name();
        let wrong = |reason: String| JsonError { name: name.clone(), reason };
        let pool = POOL.as_ref().map_err(|error| wrong(error.clone()))?;
        let descriptor = pool.get_message_by_name(&name).ok_or_else(|| wrong("it has no descriptor".into()))?;
        let mut dynamic = DynamicMessage::new(descriptor);
        dynamic.transcode_from(message).map_err(|error| wrong(error.to_string()))?;
        Ok(Self(dynamic))
    }
}

/// A message as indented JSON.
///
/// # Errors
/// If it is none of [`crate::v1`].
pub fn to_string_pretty<M: prost::Message + prost::Name>(message: &M) -> Result<String, JsonError> {
    let wrong = |error: serde_json::Error| JsonError { name: M::full_name(), reason: error.to_string() };
    serde_json::to_string_pretty(&JsonMessage::new(message)?).map_err(wrong)
}

/// A message as JSON in one line.
///
/// # Errors
/// If it is none of [`crate::v1`].
pub fn to_string<M: prost::Message + prost::Name>(message: &M) -> Result<String, JsonError> {
    let wrong = |error: serde_json::Error| JsonError { name: M::full_name(), reason: error.to_string() };
    serde_json::to_string(&JsonMessage::new(message)?).map_err(wrong)
}

impl Serialize for JsonMessage {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Message(&self.0).serialize(serializer)
    }
}

struct Message<'a>(&'a DynamicMessage);

impl Serialize for Message<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        // Fields come by number.
        for field in self.0.descriptor().fields() {
            if !field.supports_presence() || self.0.has_field(&field) {
                map.serialize_entry(field.json_name(), &Field(&self.0.get_field(&field), &field))?;
            }
        }
        map.end()
    }
}

struct Field<'a>(&'a Value, &'a FieldDescriptor);

impl Serialize for Field<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::List(values) => {
                let mut seq = serializer.serialize_seq(Some(values.len()))?;
                for value in values {
                    seq.serialize_element(&Single(value, &self.1.kind()))?;
                }
                seq.end()
            }
            Value::Map(entries) => {
                let Kind::Message(entry) = self.1.kind() else {
                    return Err(serde::ser::Error::custom("a map without entries' type"));
                };
                let kind = entry.map_entry_value_field().kind();
                let sorted: BTreeMap<String, &Value> = entries.iter().map(|(k, v)| (key(k), v)).collect();
                let mut map = serializer.serialize_map(Some(sorted.len()))?;
                for (key, value) in sorted {
                    map.serialize_entry(&key, &Single(value, &kind))?;
                }
                map.end()
            }
            single => Single(single, &self.1.kind()).serialize(serializer),
        }
    }
}

fn key(key: &MapKey) -> String {
    match key {
        MapKey::Bool(value) => value.to_string(),
        MapKey::I32(value) => value.to_string(),
        MapKey::I64(value) => value.to_string(),
        MapKey::U32(value) => value.to_string(),
        MapKey::U64(value) => value.to_string(),
        MapKey::String(value) => value.clone(),
    }
}

struct Single<'a>(&'a Value, &'a Kind);

impl Serialize for Single<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Bool(value) => serializer.serialize_bool(*value),
            Value::I32(value) => serializer.serialize_i32(*value),
            Value::U32(value) => serializer.serialize_u32(*value),
            Value::I64(value) => serializer.collect_str(value),
            Value::U64(value) => serializer.collect_str(value),
            Value::F32(value) => float(f64::from(*value), serializer),
            Value::F64(value) => float(*value, serializer),
            Value::String(value) => serializer.serialize_str(value),
            Value::Bytes(value) => serializer.serialize_str(&base64::engine::general_purpose::STANDARD.encode(value)),
            Value::EnumNumber(number) => match self.1 {
                Kind::Enum(kind) if kind.get_value(*number).is_some() => {
                    serializer.serialize_str(kind.get_value(*number).as_ref().map_or("", |value| value.name()))
                }
                _ => serializer.serialize_i32(*number),
            },
            Value::Message(message) if message.descriptor().full_name() == TIMESTAMP => {
                serializer.serialize_str(&time(message).map_err(serde::ser::Error::custom)?)
            }
            Value::Message(message) => Message(message).serialize(serializer),
            Value::List(_) | Value::Map(_) => Err(serde::ser::Error::custom("a list within a list")),
        }
    }
}

/// The one message that has a form of its own.
const TIMESTAMP: &str = "google.protobuf.Timestamp";

/// A time as RFC 3339 in UTC, with as many triples of decimals as it has.
fn time(message: &DynamicMessage) -> Result<String, jiff::Error> {
    let seconds = message.get_field_by_name("seconds").and_then(|value| value.as_i64()).unwrap_or_default();
    let nanos = message.get_field_by_name("nanos").and_then(|value| value.as_i32()).unwrap_or_default();
    let at = jiff::Timestamp::new(seconds, nanos)?;
    Ok(match nanos {
        0 => format!("{at:.0}"),
        nanos if nanos % 1_000_000 == 0 => format!("{at:.3}"),
        nanos if nanos % 1_000 == 0 => format!("{at:.6}"),
        _ => format!("{at:.9}"),
    })
}

fn float<S: Serializer>(value: f64, serializer: S) -> Result<S::Ok, S::Error> {
    if value.is_finite() {
        serializer.serialize_f64(value)
    } else if value.is_nan() {
        serializer.serialize_str("NaN")
    } else {
        serializer.serialize_str(if value > 0.0 { "Infinity" } else { "-Infinity" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1;

    #[test]
    fn every_field_shows_in_order() {
        let empty = v1::ListServicesResponse::default();
        assert_eq!(to_string(&empty).expect("json"), r#"{"services":[],"nextToken":""}"#);
        let status = v1::Status {
            revision: u64::MAX,
            models: [("learning".into(), 2), ("active".into(), 1)].into(),
            ..v1::Status::default()
        };
        assert_eq!(
            to_string(&status).expect("json"),
            r#"{"version":"","defenders":0,"connected":0,"services":0,"edges":0,"rules":0,"revision":"18446744073709551615","models":{"active":1,"learning":2},"openEvents":"0","started":"","conflicts":[],"outdated":0}"#
        );
    }

    #[test]
    fn absent_messages_are_left_out_and_bytes_are_base64() {
        let event = to_string(&v1::Event { id: 7, ..v1::Event::default() }).expect("json");
        assert!(event.starts_with(r#"{"id":"7","kind":"","protocol":"""#), "{event}");
        let enroll = v1::EnrollResponse { certificate: vec![0xff, 0xfe], ..v1::EnrollResponse::default() };
        assert!(to_string(&enroll).expect("json").contains(r#""certificate":"//4=""#));
        let model = v1::Model { unseen_probability: 0.25, ..v1::Model::default() };
        assert!(to_string(&model).expect("json").contains(r#""unseenProbability":0.25"#));
    }

    #[test]
    fn times_are_texts() {
        let at = |seconds, nanos| v1::User {
            created: Some(prost_types::Timestamp { seconds, nanos }),
            ..v1::User::default()
        };
        for (seconds, nanos, text) in [
            (1_795_500_540, 0, "2026-11-24T06:09:00Z"),
            (1_795_500_540, 120_000_000, "2026-11-24T06:09:00.120Z"),
            (1_795_500_540, 1_000, "2026-11-24T06:09:00.000001Z"),
            (0, 1, "1970-01-01T00:00:00.000000001Z"),
        ] {
            let json = to_string(&at(seconds, nanos)).expect("json");
            assert!(json.contains(&format!(r#""created":"{text}""#)), "{json}");
        }
        assert!(!to_string(&v1::User::default()).expect("json").contains("created"));
        // What is no time of this calendar is an error, and no panic.
        assert!(to_string(&at(i64::MAX, 0)).is_err());
    }

    #[test]
    fn set_oneofs_show() {
        let message =
            v1::DefenderMessage { body: Some(v1::defender_message::Body::Heartbeat(v1::Heartbeat::default())) };
        assert_eq!(to_string(&message).expect("json"), r#"{"heartbeat":{"counters":{},"notCovered":[],"nowMs":"0"}}"#);
    }
}
