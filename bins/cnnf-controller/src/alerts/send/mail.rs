//! E-mail by SMTP.

use std::time::Duration;

use lettre::address::AddressError;
use lettre::message::Mailbox;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};
use url::Url;

use super::super::channel::Secret;
use super::super::message::Alert;
use super::super::render;
use super::Failure;
use super::net::host;
use super::syslog::own_name;

/// How long one command may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A relay and who gets what it takes.
pub(in super::super) struct Relay {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    to: Vec<Mailbox>,
}

impl Relay {
    pub(super) fn new(
        server: &Url,
        (user, password): (&str, &Secret),
        from: &str,
        to: &[String],
        ca_pem: &str,
    ) -> Result<Self, Failure> {
        let host = host(server);
        let mut tls = TlsParameters::builder(host.clone());
        if !ca_pem.is_empty() {
            let ca = Certificate::from_pem(ca_pem.as_bytes()).map_err(Failure::away)?;
            tls = tls.certificate_store(CertificateStore::None).add_root_certificate(ca);
        }
        let (port, tls) = match server.scheme() {
            "smtps" => (465, Tls::Wrapper(tls.build().map_err(Failure::away)?)),
            "smtp" => (587, Tls::Required(tls.build().map_err(Failure::away)?)),
            _ => (25, Tls::None),
        };
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(host)
            .port(server.port().unwrap_or(port))
            .tls(tls)
            .timeout(Some(PATIENCE))
            .hello_name(ClientId::Domain(own_name()));
        if !user.is_empty() {
            builder = builder.credentials(Credentials::new(user.to_owned(), password.0.clone()));
        }
        let mailbox = |text: &str| text.parse().map_err(|error: AddressError| Failure::away(error));
        let to = to.iter().map(|one| mailbox(one)).collect::<Result<_, _>>()?;
        Ok(Self { transport: builder.build(), from: mailbox(from)?, to })
    }

    pub(super) async fn send(&self, alert: &Alert) -> Result<(), Failure> {
        let mut builder = Message::builder()
            .from(self.from.clone())
            .subject(render::subject(alert))
            .date_now()
            // The same whenever the same is sent again, so that a mailbox can tell.
            .message_id(Some(format!("<{}@{}>", alert.id, self.from.email.domain())))
            .header(ContentType::TEXT_PLAIN);
        for one in &self.to {
            builder = builder.to(one.clone());
        }
        let mut message = builder.body(render::text(alert)).map_err(Failure::away)?;
        // RFC 3834: nobody's absence assistant is to answer.
        let name = HeaderName::new_from_ascii_str("Auto-Submitted");
        message.headers_mut().insert_raw(HeaderValue::new(name, "auto-generated".into()));
        match self.transport.send(message).await {
            Ok(_) => Ok(()),
            Err(error) => {
                let refused = error.is_permanent();
                Err(Failure { text: format!("the mail was not taken: {}", why(&error)), refused, after: None })
            }
        }
    }
}

/// Without what the server said, as an administrator chooses which that is: a status, and no more.
fn why(error: &Error) -> String {
    match error.status().map(|code| code.to_string()) {
        Some(code) => {
            let hint =
                if matches!(code.as_str(), "530" | "535") { ": its user or password is not accepted" } else { "" };
            format!("the server answered {code}{hint}")
        }
        None if error.is_response() => "what the server answers is no SMTP".to_owned(),
        None => error.to_string(),
    }
}
