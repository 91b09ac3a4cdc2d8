//! Where a channel's messages go, as it is typed.

use std::collections::BTreeSet;
use std::io::BufRead as _;
use std::path::PathBuf;

use clap::Args;
use cnnf_rpc::v1;
use cnnf_rpc::v1::channel::To;

use crate::failure::Failure;

/// A place and what it takes to get there.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Where to")]
pub(in crate::cmd) struct Place {
    /// POST JSON to this URL.
    #[arg(long, value_name = "URL", group = "kind")]
    webhook: Option<String>,
    /// An incoming webhook of Slack, Mattermost or the like; '-' reads the URL, which is a secret, from the standard input.
    #[arg(long, value_name = "URL", group = "kind")]
    slack: Option<String>,
    /// A syslog collector: udp://HOST, tcp://HOST or tls://HOST.
    #[arg(long, value_name = "SERVER", group = "kind")]
    syslog: Option<String>,
    /// A SIEM that reads Common Event Format over syslog: as --syslog.
    #[arg(long, value_name = "SERVER", group = "kind")]
    cef: Option<String>,
    /// A mail server: smtp://HOST (STARTTLS), smtps://HOST, or smtp+insecure://HOST for this machine's own relay.
    #[arg(long, value_name = "SERVER", group = "kind")]
    email: Option<String>,
    /// Who mail is from.
    #[arg(long, value_name = "ADDRESS")]
    from: Option<String>,
    /// Who gets mail; may be given several times.
    #[arg(long, value_name = "ADDRESS")]
    to: Vec<String>,
    /// The mail server's user; its password is read with --secret-stdin.
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// Read the secret that signs the webhook, or the mail server's password, from a line of the standard input: the one after those of headers.
    #[arg(long)]
    secret_stdin: bool,
    /// A header of the webhook, such as Authorization=…; '-' as the value reads it from a line of the standard input; may be given several times.
    #[arg(long = "header", value_name = "NAME=VALUE")]
    headers: Vec<String>,
    /// A file with the JSON that the webhook sends, with {{PATH}} in its texts.
    #[arg(long, value_name = "FILE")]
    template: Option<PathBuf>,
    /// A file with the CAs to believe instead of the system's, in PEM.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
}

impl Place {
    pub(super) fn is_empty(&self) -> bool {
        let texts = [&self.webhook, &self.slack, &self.syslog, &self.cef, &self.email, &self.from, &self.user];
        texts.iter().all(|text| text.is_none())
            && self.to.is_empty()
            && self.headers.is_empty()
            && self.template.is_none()
            && self.ca.is_none()
            && !self.secret_stdin
    }

    /// What is said, over what there was.
    pub(super) fn over(self, known: Option<To>) -> Result<To, Failure> {
        let Self { webhook, slack, syslog, cef, email, from, to, user, secret_stdin, headers, template, ca } = self;
        let mail = from.is_some() || !to.is_empty() || user.is_some();
        let post = !headers.is_empty() || template.is_some();
        let known = match (&webhook, &slack, &syslog, &cef, &email) {
            (Some(_), ..) => known.filter(|to| matches!(to, To::Webhook(_))).or(Some(To::Webhook(Default::default()))),
            (_, Some(_), ..) => known.filter(|to| matches!(to, To::Slack(_))).or(Some(To::Slack(Default::default()))),
            (_, _, Some(_), ..) => {
                known.filter(|to| matches!(to, To::Syslog(_))).or(Some(To::Syslog(Default::default())))
            }
            (.., Some(_), _) => known.filter(|to| matches!(to, To::Cef(_))).or(Some(To::Cef(Default::default()))),
            (.., Some(_)) => known.filter(|to| matches!(to, To::Email(_))).or(Some(To::Email(Default::default()))),
            _ => known,
        };
        let mut place = known
            .ok_or_else(|| Failure::Usage("say where to: --webhook, --slack, --syslog, --cef or --email".to_owned()))?;
        let kind = kind_of(&place);
        if mail && kind != "email" {
            return Err(Failure::Usage(format!("--from, --to and --user are of --email, and this is {kind}")));
        }
        if post && kind != "webhook" {
            return Err(Failure::Usage(format!("--header and --template are of --webhook, and this is {kind}")));
        }
        if secret_stdin && !matches!(kind, "webhook" | "email") {
            return Err(Failure::Usage(format!("--secret-stdin is of --webhook and --email, and this is {kind}")));
        }
        let ca = ca.map(|file| read(&file)).transpose()?;
        match &mut place {
            To::Webhook(to) => {
                set(&mut to.url, webhook);
                set(&mut to.ca_pem, ca);
                set(&mut to.template, template.map(|file| read(&file)).transpose()?);
                let mut given = BTreeSet::new();
                for header in headers {
                    let (name, value) = header
                        .split_once('=')
                        .filter(|(name, _)| !name.is_empty())
                        .ok_or_else(|| Failure::Usage("a header is written NAME=VALUE".to_owned()))?;
                    let name = name.to_ascii_lowercase();
                    if !given.insert(name.clone()) {
                        return Err(Failure::Usage(format!("the header {name} is given twice")));
                    }
                    let value = if value == "-" { line("header")? } else { value.to_owned() };
                    to.headers.insert(name, value);
                }
                if secret_stdin {
                    to.secret = line("secret")?;
                }
            }
            To::Slack(to) => {
                let url = slack.map(|url| if url == "-" { line("URL") } else { Ok(url) }).transpose()?;
                set(&mut to.url, url);
                set(&mut to.ca_pem, ca);
            }
            To::Syslog(to) | To::Cef(to) => {
                set(&mut to.server, syslog.or(cef));
                set(&mut to.ca_pem, ca);
            }
            To::Email(message) => {
                set(&mut message.server, email);
                set(&mut message.ca_pem, ca);
                set(&mut message.from, from);
                set(&mut message.user, user);
                if !to.is_empty() {
                    message.to = to;
                }
                if secret_stdin {
                    message.password = line("password")?;
                }
            }
        }
        Ok(place)
    }
}

fn set(known: &mut String, said: Option<String>) {
    if let Some(said) = said {
        *known = said;
    }
}

fn read(file: &PathBuf) -> Result<String, Failure> {
    std::fs::read_to_string(file).map_err(|error| Failure::Usage(format!("cannot read {}: {error}", file.display())))
}

/// The next line of the standard input.
fn line(what: &str) -> Result<String, Failure> {
    let mut line = String::new();
    let read = std::io::stdin().lock().read_line(&mut line);
    read.map_err(|error| Failure::Usage(format!("cannot read the {what}: {error}")))?;
    match line.trim_end_matches(['\r', '\n']) {
        "" => Err(Failure::Usage(format!("the standard input has no {what}"))),
        text => Ok(text.to_owned()),
    }
}

/// Which kind of place.
pub(super) fn kind_of(to: &To) -> &'static str {
    match to {
        To::Webhook(_) => "webhook",
        To::Slack(_) => "slack",
        To::Syslog(_) => "syslog",
        To::Cef(_) => "cef",
        To::Email(_) => "email",
    }
}

/// The place in short.
pub(super) fn place_of(to: &To) -> String {
    match to {
        To::Webhook(v1::Webhook { url, .. }) | To::Slack(v1::Slack { url, .. }) => url.clone(),
        To::Syslog(to) | To::Cef(to) => to.server.clone(),
        To::Email(to) => to.to.join(", "),
    }
}
