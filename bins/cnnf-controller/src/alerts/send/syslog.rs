//! Syslog over UDP (RFC 5426), TCP (RFC 6587, octets counted) and TLS (RFC 5425).

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UdpSocket, lookup_host};
use tokio::time::timeout;
use url::Url;

use super::super::message::Alert;
use super::super::render;
use super::Failure;
use super::net::{Place, Stream};

/// Bytes of a message that every receiver should take (RFC 5426, section 3.2; RFC 5425, section 4.3.1 says 8192 for TLS).
const LONGEST_UDP: usize = 2048;
const LONGEST: usize = 8192;
/// How long a receiver may take to close the connection after us. One that does not close has taken no less.
const FAREWELL: Duration = Duration::from_secs(2);

/// Where to.
pub(in super::super) struct Collector {
    place: Place,
    udp: bool,
    cef: bool,
    /// This machine's name.
    host: String,
}

impl Collector {
    pub(super) fn new(server: &Url, cef: bool, ca_pem: &str) -> Result<Self, Failure> {
        let (port, tls) = match server.scheme() {
            "udp" => (514, false),
            "tcp" => (601, false),
            _ => (6514, true),
        };
        let place = Place::new(server, port, tls, ca_pem)?;
        Ok(Self { place, udp: server.scheme() == "udp", cef, host: own_name() })
    }

    pub(super) async fn send(&self, alerts: &[Alert]) -> Result<(), Failure> {
        let longest = if self.udp { LONGEST_UDP } else { LONGEST };
        let pid = std::process::id();
        let form = |alert| {
            if self.cef {
                render::cef(alert, &self.host, pid, longest)
            } else {
                render::syslog(alert, &self.host, pid, longest)
            }
        };
        let messages: Vec<String> = alerts.iter().map(form).collect();
        let Place { host, port, .. } = &self.place;
        let failed = |error: io::Error| Failure::away(format_args!("cannot send to {host}:{port}: {error}"));
        if self.udp {
            return self.datagrams(&messages).await.map_err(failed);
        }
        let mut stream = self.place.connect().await?;
        stream_out(&mut *stream, &messages).await.map_err(failed)
    }

    async fn datagrams(&self, messages: &[String]) -> io::Result<()> {
        let to = lookup_host((self.place.host.as_str(), self.place.port)).await?.next();
        let to = to.ok_or_else(|| io::Error::other("its name has no address"))?;
        let own: std::net::SocketAddr = if to.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0u16; 8], 0).into() };
        let socket = UdpSocket::bind(own).await?;
        // Connected, so that "port unreachable" is heard of, at the next send at the latest.
        socket.connect(to).await?;
        for message in messages {
            socket.send(message.as_bytes()).await?;
        }
        Ok(())
    }
}

/// Sends, ends, and waits for the other end: what lies in the buffer of a receiver that has gone is not delivered.
async fn stream_out(stream: &mut dyn Stream, messages: &[String]) -> io::Result<()> {
    for message in messages {
        stream.write_all(format!("{} {message}", message.len()).as_bytes()).await?;
    }
    stream.flush().await?;
    stream.shutdown().await?;
    let mut nothing = [0; 64];
    let farewell = async {
        while match stream.read(&mut nothing).await {
            Ok(read) => read > 0,
            // Its TCP connection ended without TLS's farewell, which is not about what we have sent.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => false,
            Err(error) => return Err(error),
        } {}
        Ok(())
    };
    timeout(FAREWELL, farewell).await.unwrap_or(Ok(()))
}

/// What this machine is called.
pub(super) fn own_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
