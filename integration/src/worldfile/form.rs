//! The world file as it is written, and the checks that turn it into a [`WorldFile`].

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Component, Path};
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use super::{ControllerPart, HostPart, MAX_HOSTS, Port, ServicePart, WorldFile, full_unit_name};
use crate::error::{Error, Result};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileForm {
    #[serde(default)]
    controller: ControllerForm,
    #[serde(default)]
    host: Vec<HostForm>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct ControllerForm {
    enabled: Option<bool>,
    #[serde(default)]
    settings: BTreeMap<String, Spanned<toml::Value>>,
    #[serde(default)]
    env: BTreeMap<String, Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HostForm {
    name: Spanned<String>,
    #[serde(default)]
    labels: BTreeMap<String, Spanned<String>>,
    defender: Option<Spanned<bool>>,
    #[serde(default)]
    defender_env: BTreeMap<String, Spanned<String>>,
    #[serde(default)]
    service: Vec<ServiceForm>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ServiceForm {
    unit: Spanned<String>,
    command: Spanned<Vec<String>>,
    #[serde(default)]
    files: BTreeMap<String, Spanned<String>>,
    user: Option<String>,
    #[serde(default)]
    env: BTreeMap<String, Spanned<String>>,
    ready: Option<Spanned<String>>,
    watchdog: Option<Spanned<String>>,
}

struct Reader<'a> {
    text: &'a str,
    origin: &'a str,
}

impl Reader<'_> {
    fn wrong(&self, span: Range<usize>, what: impl std::fmt::Display) -> Error {
        let line = 1 + self.text[..span.start.min(self.text.len())].matches('\n').count();
        Error::Usage(format!("{what}, {} line {line}", self.origin))
    }
}

pub(super) fn parse(text: &str, origin: &str) -> Result<WorldFile> {
    let reader = Reader { text, origin };
    let form: FileForm =
        toml::from_str(text).map_err(|error| reader.wrong(error.span().unwrap_or(0..0), error.message().trim_end()))?;
    let controller = controller(&reader, form.controller)?;
    if form.host.is_empty() {
        return Err(Error::Usage(format!("the world has no host, {origin}, add a [[host]] table")));
    }
    if form.host.len() > MAX_HOSTS {
        return Err(Error::Usage(format!(
            "{} hosts are too many, {origin}, a world holds at most {MAX_HOSTS}",
            form.host.len()
        )));
    }
    let mut names = BTreeSet::new();
    let mut hosts = Vec::new();
    for form in form.host {
        let host = host(&reader, form, controller.enabled, &mut names)?;
        hosts.push(host);
    }
    Ok(WorldFile { controller, hosts })
}

fn controller(reader: &Reader<'_>, form: ControllerForm) -> Result<ControllerPart> {
    let enabled = form.enabled.unwrap_or(true);
    let mut settings = Vec::new();
    for (key, value) in form.settings {
        let span = value.span();
        if !enabled {
            return Err(reader.wrong(span, "settings need a controller, but [controller] enabled is false"));
        }
        let text = match value.into_inner() {
            toml::Value::String(text) => text,
            toml::Value::Integer(number) => number.to_string(),
            toml::Value::Float(number) => number.to_string(),
            toml::Value::Boolean(flag) => flag.to_string(),
            other => {
                let kind = other.type_str();
                return Err(reader
                    .wrong(span, format!("setting `{key}` must be a string, a number or true/false, not a {kind}")));
            }
        };
        settings.push((key, text));
    }
    let env = environment(reader, form.env, "the controller")?;
    Ok(ControllerPart { enabled, settings, env })
}

fn host(reader: &Reader<'_>, form: HostForm, controller: bool, names: &mut BTreeSet<String>) -> Result<HostPart> {
    let span = form.name.span();
    let name = form.name.into_inner();
    if !is_dns_label(&name) {
        return Err(reader.wrong(
            span,
            format!("host name `{name}` must be 1 to 63 of a-z, 0-9 and -, not beginning or ending with -"),
        ));
    }
    if name == "controller" || name == "bridge" {
        return Err(reader.wrong(span, format!("host name `{name}` is taken by the lab itself, choose another")));
    }
    if !names.insert(name.clone()) {
        return Err(reader.wrong(span, format!("host name `{name}` is used twice")));
    }
    let defender = match form.defender {
        Some(flag) if *flag.get_ref() && !controller => {
            return Err(
                reader.wrong(flag.span(), format!("host `{name}` wants a defender, but [controller] enabled is false"))
            );
        }
        Some(flag) => flag.into_inner(),
        None => controller,
    };
    let mut labels = BTreeMap::new();
    for (key, value) in form.labels {
        if key.is_empty() || key.contains(['=', ' ', ',']) {
            return Err(
                reader.wrong(value.span(), format!("label key `{key}` must not be empty or hold = , or a space"))
            );
        }
        labels.insert(key, value.into_inner());
    }
    let mut units = BTreeSet::new();
    let mut services = Vec::new();
    for form in form.service {
        let service = service(reader, form, &name, defender, &mut units)?;
        services.push(service);
    }
    let defender_env = environment(reader, form.defender_env, &format!("the defender of host `{name}`"))?;
    Ok(HostPart { name, labels, defender, defender_env, services })
}

fn service(
    reader: &Reader<'_>,
    form: ServiceForm,
    host: &str,
    defender: bool,
    units: &mut BTreeSet<String>,
) -> Result<ServicePart> {
    let span = form.unit.span();
    let unit = full_unit_name(form.unit.get_ref());
    if !is_unit_name(&unit) {
        return Err(reader.wrong(
            span,
            format!(
                "unit name `{}` must be letters, digits and : - _ . @ (like nginx or postgresql@15-main)",
                form.unit.get_ref()
            ),
        ));
    }
    if unit == "cnnf-defender.service" && defender {
        return Err(
            reader.wrong(span, format!("unit `{unit}` on host `{host}` is the defender's own, choose another name"))
        );
    }
    if !units.insert(unit.clone()) {
        return Err(reader.wrong(span, format!("unit `{unit}` is used twice on host `{host}`")));
    }
    let span = form.command.span();
    let command = form.command.into_inner();
    if command.first().is_none_or(String::is_empty) {
        return Err(reader.wrong(span, format!("unit `{unit}` has an empty command")));
    }
    if command.iter().any(|word| word.contains('\0')) {
        return Err(reader.wrong(span, format!("the command of unit `{unit}` holds a NUL character")));
    }
    let mut files = BTreeMap::new();
    for (path, content) in form.files {
        let inside = !path.is_empty() && Path::new(&path).components().all(|part| matches!(part, Component::Normal(_)));
        if !inside || path.contains('\0') {
            return Err(reader.wrong(
                content.span(),
                format!("file `{path}` of unit `{unit}` must be a relative path inside its folder, without .."),
            ));
        }
        files.insert(path, content.into_inner());
    }
    let env = environment(reader, form.env, &format!("unit `{unit}`"))?;
    let ready = form.ready.map(|text| port(reader, &text)).transpose()?;
    let watchdog = form.watchdog.map(|text| duration(reader, &text)).transpose()?;
    Ok(ServicePart { unit, command, files, user: form.user, env, ready, watchdog })
}

fn environment(
    reader: &Reader<'_>,
    form: BTreeMap<String, Spanned<String>>,
    owner: &str,
) -> Result<BTreeMap<String, String>> {
    let mut env = BTreeMap::new();
    for (key, value) in form {
        if key.is_empty() || key.contains(['=', '\0']) || value.get_ref().contains('\0') {
            let what = format!("environment variable `{key}` of {owner} has a bad name or value");
            return Err(reader.wrong(value.span(), what));
        }
        env.insert(key, value.into_inner());
    }
    Ok(env)
}

fn port(reader: &Reader<'_>, text: &Spanned<String>) -> Result<Port> {
    let parsed = text.get_ref().split_once('/').and_then(|(protocol, number)| {
        let udp = match protocol {
            "tcp" => false,
            "udp" => true,
            _ => return None,
        };
        let number = number.parse::<u16>().ok().filter(|number| *number != 0)?;
        Some(Port { udp, number })
    });
    parsed.ok_or_else(|| {
        reader.wrong(
            text.span(),
            format!("ready `{}` must be tcp/PORT or udp/PORT with a port of 1 to 65535", text.get_ref()),
        )
    })
}

fn duration(reader: &Reader<'_>, text: &Spanned<String>) -> Result<Duration> {
    let parsed = humantime::parse_duration(text.get_ref()).ok().filter(|found| !found.is_zero());
    parsed.ok_or_else(|| {
        reader.wrong(text.span(), format!("watchdog `{}` must be a time like 500ms or 3s", text.get_ref()))
    })
}

fn is_dns_label(name: &str) -> bool {
    (1..=63).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && !name.starts_with('-')
        && !name.ends_with('-')
}

// systemd.unit(5): at most 255 bytes of ASCII letters, digits, ":", "-", "_", ".", "\" and one "@" of a template.
fn is_unit_name(name: &str) -> bool {
    let stem = name.strip_suffix(".service").unwrap_or(name);
    !stem.is_empty()
        && name.len() <= 255
        && !stem.starts_with(['.', '@'])
        && !stem.ends_with('@')
        && stem.bytes().all(|byte| byte.is_ascii_alphanumeric() || b":-_.@".contains(&byte))
}
