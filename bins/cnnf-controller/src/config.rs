//! The configuration file, `/etc/cnnf/controller.toml`. Every key has a default and a variable `CNNF_…` in the environment; unknown keys
//! are refused. The command line comes before the environment, that before the file.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use toml::{Spanned, Value};

use crate::failure::Failure;
use crate::oidc::{OidcArgs, OidcConfig};

/// Where the file is unless another is named.
const DEFAULT_FILE: &str = "/etc/cnnf/controller.toml";

/// What `run` is told.
#[derive(clap::Args, Default)]
pub(crate) struct Args {
    /// The configuration file; the default one, /etc/cnnf/controller.toml, may be missing
    #[arg(long, value_name = "FILE", env = "CNNF_CONFIG")]
    config: Option<PathBuf>,
    /// Where 'init' has put its files
    #[arg(long, value_name = "DIR", env = "CNNF_DATA_DIR")]
    data_dir: Option<PathBuf>,
    /// Where defenders and cnnfctl connect to
    #[arg(long, value_name = "ADDRESS:PORT", env = "CNNF_LISTEN")]
    listen: Option<SocketAddr>,
    /// Where the web page is, and /healthz, /readyz and /metrics
    #[arg(long, value_name = "ADDRESS:PORT", env = "CNNF_WEB")]
    web: Option<SocketAddr>,
    /// Where the defender's packages are that hosts can fetch
    #[arg(long, value_name = "DIR", env = "CNNF_PACKAGES")]
    packages: Option<PathBuf>,
    /// What is logged, such as info, debug or cnnf_controller=debug
    #[arg(long, value_name = "FILTER", env = "CNNF_LOG")]
    log: Option<String>,
    /// The form of the log
    #[arg(long, value_name = "FORM", env = "CNNF_LOG_FORMAT")]
    log_format: Option<LogFormat>,
    /// Where traces and logs go besides, by OTLP over gRPC, such as http://127.0.0.1:4317
    #[arg(long, value_name = "URL", env = "OTEL_EXPORTER_OTLP_ENDPOINT")]
    telemetry: Option<String>,
    /// The life of hosts' certificates, such as 7d
    #[arg(long, value_name = "TIME", env = "CNNF_CERTIFICATE_LIFE", value_parser = humantime::parse_duration)]
    certificate_life: Option<Duration>,
    #[command(flatten)]
    oidc: OidcArgs,
}

impl Args {
    /// Of a command that asks for nothing but the place.
    pub(crate) fn of(config: Option<PathBuf>, data_dir: Option<PathBuf>) -> Self {
        Self { config, data_dir, ..Self::default() }
    }

    /// The file that is read, if there is one.
    pub(crate) fn file(&self) -> Option<&Path> {
        self.config.as_deref().or_else(|| Some(Path::new(DEFAULT_FILE)).filter(|file| file.exists()))
    }
}

/// A certificate must live long enough to be renewed in good time,
const SHORTEST_LIFE: Duration = Duration::from_secs(10);
/// and the shorter it is the less a stolen one is worth.
const LONGEST_LIFE: Duration = Duration::from_secs(90 * 24 * 3600);

/// What the operator decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Config {
    /// Where `init` has put its files.
    pub(crate) data_dir: PathBuf,
    /// Where defenders and cnnfctl connect to.
    pub(crate) listen: SocketAddr,
    /// Where the web page, health and metrics are.
    pub(crate) web: SocketAddr,
    /// Where the defender's packages are that hosts can fetch; may be missing.
    pub(crate) packages: PathBuf,
    /// What is logged.
    pub(crate) log: String,
    /// In which form.
    pub(crate) log_format: LogFormat,
    /// Where traces and logs go besides: an OTLP collector; `None` for nowhere.
    pub(crate) telemetry: Option<String>,
    /// The life of hosts' certificates; they are renewed when half of it is over.
    pub(crate) certificate_life: Duration,
    /// Who else signs people in.
    pub(crate) oidc: Option<OidcConfig>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: "/var/lib/cnnf-controller".into(),
            listen: ([0, 0, 0, 0], 7443).into(),
            web: ([0, 0, 0, 0], 8443).into(),
            packages: "/usr/share/cnnf/packages".into(),
            log: "info,refinery_core=warn".into(),
            log_format: LogFormat::Text,
            telemetry: None,
            certificate_life: Duration::from_secs(7 * 24 * 3600),
            oidc: None,
        }
    }
}

/// The form of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// Lines for people.
    Text,
    /// A JSON object a line.
    Json,
}

/// All keys, as they are listed.
const KEYS: &str = "data_dir, listen, web, packages, log, log_format, certificate_life, telemetry, oidc";

impl Config {
    /// Reads a file's text.
    ///
    /// # Errors
    /// All that is wrong with it, each with its line where it has one.
    fn parse(text: &str) -> Result<Self, Vec<String>> {
        let (config, mut wrong) = Self::read(text);
        wrong.extend(config.check());
        if wrong.is_empty() { Ok(config) } else { Err(wrong) }
    }

    /// What can be read of it, and what is wrong with the rest.
    fn read(text: &str) -> (Self, Vec<String>) {
        let (mut config, mut wrong) = (Self::default(), Vec::new());
        let keys: BTreeMap<Spanned<String>, Value> = match toml::from_str(text) {
            Ok(keys) => keys,
            Err(error) => return (config, vec![error.to_string().trim_end().to_owned()]),
        };
        for (key, value) in keys {
            let line = text[..key.span().start].matches('\n').count() + 1;
            let set = match key.get_ref().as_str() {
                "data_dir" => set(&mut config.data_dir, value),
                "listen" => set(&mut config.listen, value),
                "web" => set(&mut config.web, value),
                "packages" => set(&mut config.packages, value),
                "log" => set(&mut config.log, value),
                "log_format" => set(&mut config.log_format, value),
                "telemetry" => telemetry(value).map(|to| config.telemetry = to),
                "certificate_life" => life(value).map(|life| config.certificate_life = life),
                "oidc" => table(value).map(|oidc| config.oidc = Some(oidc)),
                _ => Err(format!("unknown field: there are {KEYS}")),
            };
            if let Err(error) = set {
                wrong.push((line, format!("line {line}: {}: {error}", key.get_ref().escape_debug())));
            }
        }
        wrong.sort();
        (config, wrong.into_iter().map(|(_, text)| text).collect())
    }

    /// What does not go together.
    fn check(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        if self.listen == self.web && self.listen.port() != 0 {
            wrong.push(format!("listen and web are both {}: give each a port of its own", self.listen));
        }
        if !(SHORTEST_LIFE..=LONGEST_LIFE).contains(&self.certificate_life) {
            wrong.push(format!(
                "certificate_life = \"{}\": must be from 10s to 90d, and is 7d unless something else is written",
                humantime::format_duration(self.certificate_life)
            ));
        }
        if let Some(oidc) = &self.oidc {
            wrong.extend(oidc.check().err());
        }
        let is_web = |url: &url::Url| matches!(url.scheme(), "http" | "https") && url.has_host();
        if let Some(endpoint) =
            self.telemetry.as_deref().filter(|text| !url::Url::parse(text).is_ok_and(|url| is_web(&url)))
        {
            wrong.push(format!("telemetry.endpoint = \"{endpoint}\": write for example http://127.0.0.1:4317"));
        }
        if let Err(error) = tracing_subscriber::EnvFilter::try_new(&self.log) {
            wrong.push(format!("log = \"{}\": {error}: write for example info or cnnf_controller=debug", self.log));
        }
        wrong
    }

    /// The keys whose new value counts from the next start only.
    pub(crate) fn fixed(&self, new: &Self) -> Vec<&'static str> {
        let changed = [
            ("data_dir", self.data_dir != new.data_dir),
            ("listen", self.listen != new.listen),
            ("web", self.web != new.web),
            ("packages", self.packages != new.packages),
            ("telemetry", self.telemetry != new.telemetry),
            ("log_format", self.log_format != new.log_format),
        ];
        changed.into_iter().filter(|(_, changed)| *changed).map(|(key, _)| key).collect()
    }
}

fn set<T: serde::de::DeserializeOwned>(slot: &mut T, value: Value) -> Result<(), String> {
    *slot = table(value)?;
    Ok(())
}

fn table<T: serde::de::DeserializeOwned>(value: Value) -> Result<T, String> {
    value.try_into().map_err(|error: toml::de::Error| error.to_string().trim_end().to_owned())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TelemetryTable {
    endpoint: String,
}

/// The endpoint of `[telemetry]`; an empty one is none.
fn telemetry(value: Value) -> Result<Option<String>, String> {
    let table: TelemetryTable = value.try_into().map_err(|error: toml::de::Error| error.to_string())?;
    Ok(Some(table.endpoint).filter(|endpoint| !endpoint.is_empty()))
}

fn life(value: Value) -> Result<Duration, String> {
    let mut text = String::new();
    set(&mut text, value)?;
    humantime::parse_duration(&text).map_err(|error| format!("'{text}' is no time: {error}"))
}

/// What counts: the command line and the environment over the file.
///
/// # Errors
/// The file cannot be read, or everything that is wrong, with its line where it has one.
pub(crate) fn load(args: &Args) -> Result<Config, Failure> {
    let (mut config, mut wrong) = match args.file() {
        Some(file) => {
            let (config, wrong) = Config::read(&text_of(file)?);
            (config, wrong.into_iter().map(|error| format!("{}: {error}", file.display())).collect())
        }
        None => (Config::default(), Vec::new()),
    };
    if let Some(data_dir) = &args.data_dir {
        config.data_dir.clone_from(data_dir);
    }
    if let Some(packages) = &args.packages {
        config.packages.clone_from(packages);
    }
    config.listen = args.listen.unwrap_or(config.listen);
    config.web = args.web.unwrap_or(config.web);
    config.certificate_life = args.certificate_life.unwrap_or(config.certificate_life);
    args.oidc.over(&mut config.oidc);
    if let Some(log) = &args.log {
        config.log.clone_from(log);
    }
    if let Some(endpoint) = &args.telemetry {
        config.telemetry = Some(endpoint.clone()).filter(|endpoint| !endpoint.is_empty());
    }
    config.log_format = args.log_format.unwrap_or(config.log_format);
    wrong.extend(config.check());
    if wrong.is_empty() { Ok(config) } else { Err(Failure::usage(wrong.join("\n"))) }
}

/// Checks a file without using it.
///
/// # Errors
/// As [`load`].
pub(crate) fn check(file: &Path) -> Result<(), Failure> {
    let say = |wrong: Vec<String>| {
        let lines: Vec<String> = wrong.into_iter().map(|error| format!("{}: {error}", file.display())).collect();
        Failure::usage(lines.join("\n"))
    };
    Config::parse(&text_of(file)?).map(drop).map_err(say)
}

fn text_of(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path)
        .map_err(|error| Failure::usage(format_args!("cannot read {}: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The keys of the packaged file are all there are, and what stands in it is what holds without it.
    #[test]
    fn the_packaged_file_says_what_holds_without_it() {
        let text = include_str!("../../../packaging/controller.toml");
        assert_eq!(Config::parse(text), Ok(Config::default()));
        let shown = text.lines().map(|line| line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).unwrap_or(""));
        assert_eq!(Config::parse(&shown.collect::<Vec<_>>().join("\n")), Ok(Config::default()));
    }

    #[test]
    fn every_key_has_a_default_and_the_command_line_comes_first() {
        assert_eq!(Config::parse(""), Ok(Config::default()));
        let folder = tempfile::tempdir().expect("folder");
        let file = folder.path().join("c.toml");
        std::fs::write(&file, "data_dir = \"/srv/x\"\nlisten = \"127.0.0.1:1\"\n").expect("write");
        let args = Args { config: Some(file), listen: Some(([127, 0, 0, 1], 2).into()), ..Args::default() };
        let config = load(&args).expect("good");
        assert_eq!((config.listen.port(), config.data_dir), (2, "/srv/x".into()));
    }

    #[test]
    fn mistakes_are_named_with_their_place() {
        for (text, parts) in [
            ("\nlisen = \"0.0.0.0:1\"\n", &["line 2", "lisen", "unknown field"][..]),
            ("listen = \"here\"\n", &["line 1", "listen"]),
            ("listen = \"0.0.0.0:1\"\nweb = \"0.0.0.0:1\"\n", &["listen and web", "port of its own"]),
            ("certificate_life = \"1s\"\n", &["certificate_life", "from 10s to 90d"]),
            ("certificate_life = \"long\"\n", &["line 1", "'long' is no time"]),
            ("log = \"a=b=c\"\n", &["log", "write for example"]),
        ] {
            let error = Config::parse(text).expect_err(text).join("\n");
            assert!(parts.iter().all(|part| error.contains(part)), "{error}");
        }
    }

    #[test]
    fn everything_that_is_wrong_is_said_at_once() {
        let text = "lisen = 1\nlog = 7\nweb = \"0.0.0.0:7443\"\nlog_format = \"xml\"\ncertificate_life = \"1s\"\n";
        let wrong = Config::parse(text).expect_err("wrong");
        let begins = [
            "line 1: lisen: unknown field",
            "line 2: log: ",
            "line 4: log_format: ",
            "listen and web",
            "certificate_life",
        ];
        assert_eq!(wrong.len(), begins.len(), "{wrong:?}");
        assert!(wrong.iter().zip(begins).all(|(error, begin)| error.starts_with(begin)), "{wrong:?}");
    }
}
