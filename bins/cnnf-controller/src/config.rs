//! The configuration file, `/etc/cnnf/controller.toml`. Every key has a default and a variable `CNNF_…` in the environment; unknown keys
//! are refused. The command line comes before the environment, that before the file.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

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
}

/// A certificate must live long enough to be renewed in good time,
const SHORTEST_LIFE: Duration = Duration::from_secs(10);
/// and the shorter it is the less a stolen one is worth.
const LONGEST_LIFE: Duration = Duration::from_secs(90 * 24 * 3600);

fn life<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    humantime::parse_duration(&text).map_err(|error| serde::de::Error::custom(format!("'{text}' is no time: {error}")))
}

/// What the operator decides.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
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
    /// The life of hosts' certificates; they are renewed when half of it is over.
    #[serde(deserialize_with = "life")]
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
            certificate_life: Duration::from_secs(7 * 24 * 3600),
            oidc: None,
        }
    }
}

impl Config {
    fn parse(text: &str) -> Result<Self, String> {
        let config: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), String> {
        if self.listen == self.web && self.listen.port() != 0 {
            return Err(format!("listen and web are both {}: give each a port of its own", self.listen));
        }
        if !(SHORTEST_LIFE..=LONGEST_LIFE).contains(&self.certificate_life) {
            return Err(format!(
                "certificate_life = \"{}\": must be from 10s to 90d, and is 7d unless something else is written",
                humantime::format_duration(self.certificate_life)
            ));
        }
        if let Some(oidc) = &self.oidc {
            oidc.check()?;
        }
        if let Err(error) = tracing_subscriber::EnvFilter::try_new(&self.log) {
            return Err(format!("log = \"{}\": {error}: write for example info or cnnf_controller=debug", self.log));
        }
        Ok(())
    }
}

/// What counts: the command line and the environment over the file.
///
/// # Errors
/// The file cannot be read, or what is wrong in it, with its line.
pub(crate) fn load(args: &Args) -> Result<Config, Failure> {
    let mut config = match &args.config {
        Some(file) => read(file)?,
        None if Path::new(DEFAULT_FILE).exists() => read(Path::new(DEFAULT_FILE))?,
        None => Config::default(),
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
    config.check().map_err(Failure::usage)?;
    Ok(config)
}

/// Checks a file without using it.
///
/// # Errors
/// As [`load`].
pub(crate) fn check(file: &Path) -> Result<(), Failure> {
    read(file).map(drop)
}

fn read(path: &Path) -> Result<Config, Failure> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::usage(format_args!("cannot read {}: {error}", path.display())))?;
    Config::parse(&text).map_err(|error| Failure::usage(format_args!("{}: {}", path.display(), error.trim_end())))
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
            let error = Config::parse(text).expect_err(text);
            assert!(parts.iter().all(|part| error.contains(part)), "{error}");
        }
    }
}
