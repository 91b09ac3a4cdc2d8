//! `docs/api.md`: every call with what it needs, every message and field, from the comments of `proto/` and the table of roles. The test
//! fails when the file is older than these; `make api-docs` writes it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use prost::Message as _;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet};

use super::table::{Needs, needs_of};

const INTRODUCTION: &str = "\
# API reference

<!-- Made from the comments in proto/ by `make api-docs`. Change those, not this. -->

The controller speaks gRPC over TLS on port 7443, and the same calls as gRPC-web on its web port for the page. Reflection tells every client
the contract (`proto/cnnf/v1` has it as text); health is `grpc.health.v1.Health`. The server shows a certificate of the controller's own CA,
which `admin.toml` has.

**Who calls.** A client certificate (`admin.toml` of `cnnf-controller init`), or an API token as metadata `authorization: Bearer TOKEN`
(`cnnfctl tokens create`). The column *needs* says what a caller must be at least: `auditor` reads, `operator` changes, `admin` changes users,
tokens and settings too; `defender` is a host by its certificate.

**Errors.** The status code says what is amiss and the message what to do. INVALID_ARGUMENT also names the field in a
`google.rpc.BadRequest`. Nothing is half-done.

**Once.** A call that changes something is made once, however often it is sent, if it has metadata `idempotency-key`: 16 to 128 visible letters, such as a UUID, a
fresh one for each call. A repeat is answered as the first was, marked `idempotency-replayed: true`, for 24 h and 1,000 calls of each caller, also over a restart.
UNAVAILABLE: ask again. FAILED_PRECONDITION: the key was another call's, or the call was made and its answer is not known any more; nothing was done twice.

**Lists** with a `page` come in parts: ask again with `token` set to the answer's `next_token` until that is empty.

**JSON** of `cnnfctl -o json` is the proto3 JSON of these messages: `first_seen` reads `firstSeen`, 64-bit numbers and times are texts.

**What may change.** Fields and calls are added; nothing that is here changes its number, type, name or meaning. `make lint` compares with
what was published.
";

/// The comments of a file, by the path of what they are of.
struct Comments<'a>(BTreeMap<&'a [i32], &'a str>);

impl<'a> Comments<'a> {
    fn of(file: &'a FileDescriptorProto) -> Self {
        let locations = file.source_code_info.iter().flat_map(|info| &info.location);
        Self(locations.filter_map(|place| Some((&*place.path, place.leading_comments.as_deref()?))).collect())
    }

    fn text(&self, path: &[i32]) -> String {
        let lines = self.0.get(path).copied().unwrap_or_default().lines();
        lines.map(|line| line.strip_prefix(' ').unwrap_or(line)).collect::<Vec<_>>().join("\n").trim().to_owned()
    }

    /// In one line, as a cell of a table.
    fn cell(&self, path: &[i32]) -> String {
        self.text(path).split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|").replace('<', "&lt;")
    }
}

/// The last part of `.cnnf.v1.Name`; a link where it is one of ours.
fn link(name: &str) -> String {
    match name.strip_prefix(".cnnf.v1.") {
        Some(own) => format!("[{own}](#{})", own.to_lowercase()),
        None => format!("`{}`", name.trim_start_matches('.')),
    }
}

fn kind(message: &DescriptorProto, field: &FieldDescriptorProto) -> String {
    let one = |field: &FieldDescriptorProto| match field.r#type() {
        Type::Message | Type::Enum => link(field.type_name()),
        scalar => scalar.as_str_name().trim_start_matches("TYPE_").to_lowercase(),
    };
    let entry = message.nested_type.iter().find(|entry| field.type_name().ends_with(&format!(".{}", entry.name())));
    match entry {
        Some(entry) => format!("map of {} to {}", one(&entry.field[0]), one(&entry.field[1])),
        None if field.label() == Label::Repeated => format!("list of {}", one(field)),
        None if field.proto3_optional() => format!("optional {}", one(field)),
        None => match field.oneof_index {
            Some(index) => format!("{}, one of `{}`", one(field), message.oneof_decl[index as usize].name()),
            None => one(field),
        },
    }
}

fn needs(path: &str) -> &'static str {
    match needs_of(path).expect("every call is in the table") {
        Needs::Anyone => "nothing",
        Needs::Defender => "defender",
        Needs::Auditor => "auditor",
        Needs::Operator => "operator",
        Needs::Admin => "admin",
    }
}

fn reference() -> Result<String, std::fmt::Error> {
    let all = FileDescriptorSet::decode(cnnf_rpc::DESCRIPTORS).expect("our own descriptors");
    let own: Vec<_> = all.file.iter().filter(|file| file.package() == "cnnf.v1").collect();
    let mut text = INTRODUCTION.to_owned();
    let services = own.iter().flat_map(|file| &file.service);
    let list: Vec<_> =
        services.map(|service| format!("[{0}](#{1})", service.name(), service.name().to_lowercase())).collect();
    write!(text, "\n**Services**: {}.\n", list.join(", "))?;
    for file in &own {
        let comments = Comments::of(file);
        for (n, service) in (0..).zip(&file.service) {
            write!(
                text,
                "\n## {}\n\n{}\n\n| call | needs | |\n|---|---|---|\n",
                service.name(),
                comments.text(&[6, n])
            )?;
            for (m, call) in (0..).zip(&service.method) {
                let needs = needs(&format!("/cnnf.v1.{}/{}", service.name(), call.name()));
                let streams = |is| if is { "stream of " } else { "" };
                let (ask, answer) = (streams(call.client_streaming()), streams(call.server_streaming()));
                let (ask, answer) =
                    (ask.to_owned() + &link(call.input_type()), answer.to_owned() + &link(call.output_type()));
                let about = comments.cell(&[6, n, 2, m]);
                writeln!(text, "| `{}` | {needs} | {ask} → {answer}<br>{about} |", call.name())?;
            }
        }
    }
    for file in &own {
        let comments = Comments::of(file);
        write!(text, "\n## `{}`\n\n{}\n", file.name(), comments.text(&[12]))?;
        for (n, message) in (0..).zip(&file.message_type) {
            write!(text, "\n### {}\n\n{}\n", message.name(), comments.text(&[4, n]))?;
            if !message.field.is_empty() {
                text.push_str("\n| field | type | |\n|---|---|---|\n");
            }
            for (m, field) in (0..).zip(&message.field) {
                let about = comments.cell(&[4, n, 2, m]);
                writeln!(text, "| `{}` | {} | {about} |", field.name(), kind(message, field))?;
            }
        }
    }
    Ok(text)
}

#[test]
fn the_reference_is_current() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/api.md");
    let text = reference().expect("text");
    if std::env::var_os("CNNF_WRITE_REFERENCE").is_some() {
        std::fs::write(file, &text).expect("write docs/api.md");
    }
    let kept = std::fs::read_to_string(file).unwrap_or_default();
    let first = text.lines().zip(kept.lines()).position(|(new, old)| new != old);
    let line = first.unwrap_or_else(|| kept.lines().count().min(text.lines().count())) + 1;
    assert!(kept == text, "docs/api.md is not what proto/ says, from line {line} on: run 'make api-docs'");
}

#[test]
fn nothing_is_left_out() {
    let text = reference().expect("text");
    for part in [
        "| `GetStatus` | auditor | [GetStatusRequest](#getstatusrequest) → [Status](#status)<br>A summary. |",
        "| `WatchEvents` | auditor | [WatchEventsRequest](#watcheventsrequest) → stream of [Event](#event)<br>",
        "| `counters` | map of string to uint64 | Its counters. |",
        "| `nodes` | list of [RadarNode](#radarnode) | Services and addresses. |",
        "| `expected_events` | optional double |",
    ] {
        assert!(text.contains(part), "{part}");
    }
    assert!(
        !text.lines().any(|line| line.ends_with("|  |") || line.ends_with("<br> |")),
        "what has no comment says nothing"
    );
}
