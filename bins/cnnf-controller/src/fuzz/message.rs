//! Messages by the protocol's own description, filled with what is meant and what is not.

use prost::Message as _;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, Value};

use super::mutate::{Random, mutate};

/// Texts that mean something somewhere, and some that should not.
const TEXTS: &[&str] = &[
    "",
    "a",
    "b",
    "unit:a",
    "unit:b",
    "unit:a@*",
    "unit:none",
    "exe:/usr/bin/x",
    "watch",
    "any",
    "1",
    "0",
    "h-1",
    "admin",
    "operator",
    "auditor",
    "allow",
    "alert",
    "prevent",
    "open",
    "closed",
    "observe",
    "enforce",
    "tcp",
    "udp",
    "icmp",
    "tcp/80",
    "tcp/80-90",
    "udp/*",
    "icmp/echo-request",
    "tcp/99999",
    "10.0.0.1",
    "10.0.0.0/8",
    "::/0",
    "fd86::1",
    "999.1.1.1",
    "*",
    "env",
    "prod",
    "label:env",
    "host",
    "learn_for",
    "5s",
    "9999999d",
    "-1s",
    "name",
    "effect",
    "ports",
    "from.service",
    "rule_alert",
    "gap",
    "learning",
    "e",
    "epoch",
    "correct horse battery",
    "\u{1b}[31m",
    "=cmd()",
    "\u{202e}x",
    "a\nb",
    "\0",
    "%",
    "'; DROP TABLE rules; --",
    "../../etc/passwd",
    "\u{e4}\u{1f525}",
];
const NUMBERS: &[u64] =
    &[0, 1, 2, 7, 80, 255, 256, 3600, 65_535, 65_536, 1 << 31, (1 << 32) - 1, 1 << 53, 1 << 62, u64::MAX];
/// Messages within messages at most.
const DEEP: usize = 4;

/// A message of this kind in its encoding, now and then damaged; and whether it was.
pub(super) fn encoded(random: &mut Random, kind: &MessageDescriptor) -> (Vec<u8>, bool) {
    let mut bytes = message(random, kind, 0).encode_to_vec();
    let damaged = random.below(8) == 0;
    if damaged {
        let other = message(random, kind, 0).encode_to_vec();
        for _ in 0..=random.below(4) {
            mutate(random, &mut bytes, &[other.clone(), vec![0xff]]);
        }
    }
    (bytes, damaged)
}

fn message(random: &mut Random, kind: &MessageDescriptor, depth: usize) -> DynamicMessage {
    let mut message = DynamicMessage::new(kind.clone());
    for field in kind.fields() {
        // The deeper the fewer, so that it ends.
        if random.below(depth + 2) > 1 || (depth >= DEEP && matches!(field.kind(), Kind::Message(_))) {
            continue;
        }
        let value = if field.is_map() {
            map(random, &field, depth)
        } else if field.is_list() {
            let count = [0, 1, 1, 2, 3, 40][random.below(6)];
            Value::List((0..count).map(|_| value(random, &field.kind(), depth)).collect())
        } else {
            value(random, &field.kind(), depth)
        };
        message.set_field(&field, value);
    }
    message
}

fn map(random: &mut Random, field: &FieldDescriptor, depth: usize) -> Value {
    let Kind::Message(entry) = field.kind() else { return Value::Map(Default::default()) };
    let (key, of) = (entry.map_entry_key_field(), entry.map_entry_value_field());
    let entries = (0..random.below(3)).filter_map(|_| {
        let key = match value(random, &key.kind(), depth) {
            Value::String(key) => MapKey::String(key),
            Value::U64(key) => MapKey::U64(key),
            _ => return None,
        };
        Some((key, value(random, &of.kind(), depth)))
    });
    Value::Map(entries.collect())
}

fn value(random: &mut Random, kind: &Kind, depth: usize) -> Value {
    let number = match random.below(4) {
        0 => random.next(),
        _ => NUMBERS[random.below(NUMBERS.len())],
    };
    match kind {
        Kind::Double => Value::F64([0.0, 0.5, -1.0, f64::NAN, f64::INFINITY, 1e300][random.below(6)]),
        Kind::Float => Value::F32([0.0, 0.5, -1.0, f32::NAN, f32::INFINITY][random.below(5)]),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => Value::I32(number as i32),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => Value::I64(number as i64),
        Kind::Uint32 | Kind::Fixed32 => Value::U32(number as u32),
        Kind::Uint64 | Kind::Fixed64 => Value::U64(number),
        Kind::Bool => Value::Bool(number % 2 == 0),
        Kind::String => Value::String(text(random)),
        Kind::Bytes => Value::Bytes(text(random).into_bytes().into()),
        Kind::Message(kind) => Value::Message(message(random, kind, depth + 1)),
        Kind::Enum(_) => Value::EnumNumber(number as i32),
    }
}

fn text(random: &mut Random) -> String {
    let one = TEXTS[random.below(TEXTS.len())];
    match random.below(40) {
        0 => one.repeat(random.below(2000)),
        1 => format!("{one}{}", TEXTS[random.below(TEXTS.len())]),
        _ => one.to_owned(),
    }
}
