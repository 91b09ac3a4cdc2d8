//! Which controller is asked, and as whom.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cnnf_rpc::limits;
use cnnf_rpc::tls::{self, ClientTls};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::{Request, Response, Status};

use crate::failure::Failure;
use crate::repeat::Repeat;

/// A controller and a credential: `admin.toml` as `cnnf-controller init` writes it, or an entry of `contexts.toml`.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Context {
    /// Where the controller listens, HOST:PORT.
    pub(crate) server: String,
    /// The CA's certificate, PEM.
    ca: String,
    /// The administrator's certificate, PEM.
    certificate: Option<String>,
    /// Its private key, PEM.
    key: Option<String>,
    /// Or an API token, as 'cnnfctl tokens create' prints it.
    token: Option<String>,
}

/// `contexts.toml`.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Contexts {
    current: Option<String>,
    #[serde(default)]
    contexts: BTreeMap<String, Context>,
}

/// Where a context may come from.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    /// `--admin FILE`.
    pub(crate) admin: Option<PathBuf>,
    /// `--context NAME`.
    pub(crate) name: Option<String>,
    /// `$CNNF_ADMIN`.
    pub(crate) environment: Option<PathBuf>,
    /// `contexts.toml`, whether it is there or not.
    pub(crate) contexts: Option<PathBuf>,
}

impl Sources {
    /// `contexts.toml` in the user's configuration directory, as the XDG base directory specification says.
    pub(crate) fn contexts_file() -> Option<PathBuf> {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let directory = set("XDG_CONFIG_HOME").or_else(|| set("HOME").map(|home| home.join(".config")))?;
        Some(directory.join("cnnf/contexts.toml"))
    }

    /// The context that counts: `--admin`, `--context`, the current one of `contexts.toml`, `$CNNF_ADMIN`.
    pub(crate) fn find(&self) -> Result<Context, Failure> {
        if let Some(file) = &self.admin {
            return read(file);
        }
        let there = self.contexts.as_deref().filter(|file| file.exists());
        if let Some(name) = &self.name {
            let file = there.ok_or_else(|| {
                let place = self.contexts.as_deref().map_or("contexts.toml".into(), Path::to_string_lossy);
                Failure::Usage(format!(
                    "there is no {place}, so no context '{name}': name a credential with --admin FILE"
                ))
            })?;
            return named(file, name, read(file)?);
        }
        if let Some(file) = there {
            let contexts: Contexts = read(file)?;
            if let Some(current) = contexts.current.clone() {
                return named(file, &current, contexts);
            }
        }
        if let Some(file) = &self.environment {
            return read(file);
        }
        Err(Failure::Usage(
            "no controller is named: give --admin FILE (admin.toml of 'cnnf-controller init'), --context NAME or set CNNF_ADMIN"
                .into(),
        ))
    }
}

fn named(file: &Path, name: &str, mut contexts: Contexts) -> Result<Context, Failure> {
    contexts.contexts.remove(name).ok_or_else(|| {
        let there = contexts.contexts.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        Failure::Usage(format!("there is no context '{name}' in {}: there are: {there}", file.display()))
    })
}

fn read<T: serde::de::DeserializeOwned>(file: &Path) -> Result<T, Failure> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| Failure::Usage(format!("cannot read {}: {error}", file.display())))?;
    toml::from_str(&text).map_err(|error: toml::de::Error| {
        // The whole message would repeat the line, which may be of a private key.
        let line = error.span().map_or(1, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
        Failure::Usage(format!("{} line {line}: {}", file.display(), error.message()))
    })
}

/// A connection to the controller.
pub(crate) struct Session {
    /// Its address, for messages.
    pub(crate) server: String,
    channel: Repeat,
    marks: Marks,
}

/// Puts the API token, if there is one, into every request, and a key by which it is made once however often it is sent.
#[derive(Clone)]
pub(crate) struct Marks {
    bearer: Option<MetadataValue<Ascii>>,
}

impl Interceptor for Marks {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(bearer) = &self.bearer {
            request.metadata_mut().insert("authorization", bearer.clone());
        }
        let key = format!("{:032x}", rand::random::<u128>());
        let key = MetadataValue::try_from(key).map_err(|_| Status::internal("a key has odd letters"))?;
        request.metadata_mut().insert("idempotency-key", key);
        Ok(request)
    }
}

macro_rules! client {
    ($($(#[$doc:meta])* $name:ident: $module:ident::$client:ident,)+) => {
        $(
            $(#[$doc])*
            pub(crate) fn $name(&self) -> cnnf_rpc::v1::$module::$client<InterceptedService<Repeat, Marks>> {
                cnnf_rpc::v1::$module::$client::with_interceptor(self.channel.clone(), self.marks.clone())
                    .max_decoding_message_size(limits::MAX_POLICY_MESSAGE)
            }
        )+
    };
}

impl Session {
    /// Connects.
    pub(crate) async fn open(context: &Context) -> Result<Self, Failure> {
        let (identity, bearer) = match (&context.certificate, &context.key, &context.token) {
            (Some(certificate), Some(key), None) => {
                let certificate = tls::certificates_from_pem(certificate)?.swap_remove(0);
                (Some((certificate, tls::key_from_pem(key)?)), None)
            }
            (None, None, Some(token)) => {
                let bearer = MetadataValue::try_from(format!("Bearer {}", token.trim()));
                let bearer = bearer.map_err(|_| Failure::Usage("the context's token has odd letters".into()))?;
                (None, Some(bearer))
            }
            _ => {
                let what = "a context needs either certificate and key, or token";
                return Err(Failure::Usage(format!("{what}: see the one of {}", context.server)));
            }
        };
        let tls = ClientTls { cas: tls::certificates_from_pem(&context.ca)?, identity };
        let channel = tls::connect(&context.server, &tls).await?;
        Ok(Self { channel: Repeat(channel), server: context.server.clone(), marks: Marks { bearer } })
    }

    client! {
        /// How the whole is.
        status: status_service_client::StatusServiceClient,
        /// Services, edges and the picture.
        topology: topology_service_client::TopologyServiceClient,
        /// Rules.
        policy: policy_service_client::PolicyServiceClient,
        /// Models.
        models: model_service_client::ModelServiceClient,
        /// Events.
        events: event_service_client::EventServiceClient,
        /// Hosts.
        fleet: fleet_service_client::FleetServiceClient,
        /// Settings.
        settings: settings_service_client::SettingsServiceClient,
        /// Users.
        users: user_service_client::UserServiceClient,
        /// Alert channels.
        channels: channel_service_client::ChannelServiceClient,
        /// API tokens.
        tokens: api_token_service_client::ApiTokenServiceClient,
        /// The record of changes.
        audit: audit_service_client::AuditServiceClient,
        /// What has changed.
        watch: watch_service_client::WatchServiceClient,
        /// What services are called.
        definitions: definition_service_client::DefinitionServiceClient,
    }

    /// Waits for an answer, but not for ever.
    pub(crate) async fn answer<T>(
        &self,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, Failure> {
        self.ask(call).await.map_err(|status| self.refused(&status))
    }

    /// What the controller's refusal means.
    pub(crate) fn refused(&self, status: &Status) -> Failure {
        Failure::refused(status, &self.server)
    }

    /// The same, for who has to tell refusals apart.
    pub(crate) async fn ask<T>(&self, call: impl Future<Output = Result<Response<T>, Status>>) -> Result<T, Status> {
        // The controller's own deadline comes first and says more.
        let patience = limits::DEADLINE + Duration::from_secs(2);
        let answer = tokio::time::timeout(patience, call).await;
        answer.unwrap_or_else(|_| Err(Status::deadline_exceeded(""))).map(Response::into_inner)
    }
}

/// A request with the deadline that the controller is told of.
pub(crate) fn request<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(limits::DEADLINE);
    request
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(server: &str) -> String {
        format!("server = \"{server}\"\nca = \"a\"\ncertificate = \"b\"\nkey = \"c\"\n")
    }

    #[test]
    fn the_nearest_source_counts() {
        let dir = tempfile::tempdir().expect("directory");
        let write = |name: &str, text: &str| {
            let file = dir.path().join(name);
            std::fs::write(&file, text).expect("write");
            Some(file)
        };
        let contexts = write(
            "contexts.toml",
            &format!("current = \"x\"\n[contexts.x]\n{}[contexts.y]\n{}", entry("x:1"), entry("y:1")),
        );
        let mut sources = Sources { environment: write("env.toml", &entry("env:1")), ..Sources::default() };
        assert_eq!(sources.find().expect("environment").server, "env:1");
        sources.contexts = contexts;
        assert_eq!(sources.find().expect("current").server, "x:1");
        sources.name = Some("y".into());
        assert_eq!(sources.find().expect("named").server, "y:1");
        sources.name = Some("z".into());
        let failure = sources.find().expect_err("unknown");
        assert!(failure.code() == 2 && failure.text().is_some_and(|text| text.ends_with("there are: x, y")));
        sources.admin = write("admin.toml", &entry("admin:1"));
        assert_eq!(sources.find().expect("admin").server, "admin:1");
        sources.admin = write("bad.toml", "server = \"a\"\nkey = \"secret\"\nkye = \"secret\"\n");
        let text = sources.find().expect_err("typo").text().expect("text");
        assert!(text.contains("bad.toml line 3: unknown field `kye`") && !text.contains("secret"), "{text}");
        let none = Sources::default().find().expect_err("none");
        assert!(none.text().is_some_and(|text| text.contains("--admin FILE")));
    }
}
