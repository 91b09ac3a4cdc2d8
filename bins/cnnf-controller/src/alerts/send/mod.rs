//! Brings messages to where they go. A sender is made once for a channel and used for one delivery at a time.

mod http;
mod mail;
mod net;
mod syslog;

use std::time::Duration;

use tokio::time::timeout;

use super::channel::Channel;
use super::message::Alert;
use super::target::Target;

/// How long a delivery may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Why a message did not arrive, or is not known to have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub(crate) struct Failure {
    pub(crate) text: String,
    /// The receiver has it and does not want it: to send the same again is of little use.
    pub(crate) refused: bool,
    /// When the receiver wants to be asked again.
    pub(crate) after: Option<Duration>,
}

impl Failure {
    /// It could not be reached, or went away.
    fn away(text: impl std::fmt::Display) -> Self {
        Self { text: text.to_string(), refused: false, after: None }
    }
}

/// A way to a channel's place.
pub(super) enum Sender {
    Http(Box<http::Post>),
    Syslog(syslog::Collector),
    Mail(Box<mail::Relay>),
}

impl Sender {
    /// # Errors
    /// What the channel says cannot be used here, such as when this machine has no CA certificates.
    pub(super) fn new(channel: &Channel) -> Result<Self, Failure> {
        Ok(match &channel.to {
            Target::Webhook { url, secret, headers, template, ca_pem } => {
                Self::Http(Box::new(http::Post::webhook(url, secret, headers, template, ca_pem)?))
            }
            Target::Slack { url, ca_pem } => Self::Http(Box::new(http::Post::slack(url, ca_pem)?)),
            Target::Syslog { server, ca_pem } => Self::Syslog(syslog::Collector::new(server, false, ca_pem)?),
            Target::Cef { server, ca_pem } => Self::Syslog(syslog::Collector::new(server, true, ca_pem)?),
            Target::Email { server, user, password, from, to, ca_pem } => {
                Self::Mail(Box::new(mail::Relay::new(server, (user, password), from, to, ca_pem)?))
            }
        })
    }

    /// How many messages go in one delivery at most.
    pub(super) fn batch(&self) -> usize {
        if matches!(self, Self::Syslog(_)) { 64 } else { 1 }
    }

    /// Delivers: all or, as far as is known, none.
    pub(super) async fn send(&self, alerts: &[Alert]) -> Result<(), Failure> {
        let deliver = async {
            match self {
                Self::Syslog(collector) => collector.send(alerts).await,
                Self::Http(post) => {
                    for alert in alerts {
                        post.send(alert).await?;
                    }
                    Ok(())
                }
                Self::Mail(relay) => {
                    for alert in alerts {
                        relay.send(alert).await?;
                    }
                    Ok(())
                }
            }
        };
        let late = || Failure::away(format_args!("there was no answer in {} s", PATIENCE.as_secs()));
        timeout(PATIENCE, deliver).await.unwrap_or_else(|_| Err(late()))
    }
}
