//! What one side of a connection can know of it.

use std::net::IpAddr;

use super::evaluate::{Connection, Party, Vantage};
use super::rule::{Effect, PolicySet, Rule, ServicePattern, means};
use crate::directory::{Directory, Host};
use crate::id::{HostId, ServiceKey};
use crate::label::Labels;
use crate::net::is_private;
use crate::topology::{Edge, Peer};

/// Where a judgement looks things up. What is left out of `rules` and `edges` must be such that it could not match.
pub(super) trait Lookup<'a> {
    /// What was found of a connection's services, so that it is looked for once.
    type Found;
    /// Looks for the services of `sight`.
    fn find(&self, sight: &Sight<'a>) -> Self::Found;
    /// The host of this id.
    fn host(&self, id: &HostId) -> Option<&'a Host>;
    /// Every host that claims `address`, by id.
    fn claimants(&self, address: IpAddr) -> impl Iterator<Item = &'a Host>;
    /// The rules that may match, in order.
    fn rules(&self, sight: &Sight<'a>, found: &Self::Found) -> impl Iterator<Item = &'a Rule>;
    /// What the model of `role`'s service does about an anomaly; `None` if it has none or does not object to any.
    fn judges(&self, role: Role, found: &Self::Found) -> Option<Effect>;
    /// The service of `host` that a connection reaches there.
    fn service_at(&self, host: &'a Host, connection: &Connection) -> Option<&'a ServiceKey>;
    /// The edges of the model of `role`'s service that may be `connection`.
    fn edges(&self, role: Role, found: &Self::Found, connection: &Connection) -> impl Iterator<Item = &'a Edge>;
}

/// Everything, in its own order: what [`evaluate`](super::evaluate) looks at.
pub(super) struct Everything<'a> {
    pub(super) policy: &'a PolicySet,
    pub(super) directory: &'a Directory,
}

impl<'a> Lookup<'a> for Everything<'a> {
    type Found = [Option<&'a ServiceKey>; 2];

    fn find(&self, sight: &Sight<'a>) -> Self::Found {
        [sight.client_service, sight.server_service]
    }

    fn host(&self, id: &HostId) -> Option<&'a Host> {
        self.directory.host(id)
    }

    fn claimants(&self, address: IpAddr) -> impl Iterator<Item = &'a Host> {
        self.directory.claimants(address).map(|(_, host)| host)
    }

    fn rules(&self, _: &Sight<'a>, _: &Self::Found) -> impl Iterator<Item = &'a Rule> {
        self.policy.rules.iter()
    }

    fn judges(&self, role: Role, found: &Self::Found) -> Option<Effect> {
        self.policy.judges(found[role as usize]?)
    }

    fn service_at(&self, host: &'a Host, connection: &Connection) -> Option<&'a ServiceKey> {
        host.service_at(connection.protocol, connection.server.address, connection.port)
    }

    fn edges(&self, role: Role, found: &Self::Found, _: &Connection) -> impl Iterator<Item = &'a Edge> {
        let model = found[role as usize].and_then(|key| self.policy.models.get(key));
        model.into_iter().flat_map(|model| model.edges.keys())
    }
}

/// An end of a connection.
#[derive(Clone, Copy)]
pub(super) enum Role {
    Client,
    Server,
}

/// A connection as its vantage sees it.
pub(super) struct Sight<'a> {
    pub(super) policy: &'a PolicySet,
    pub(super) connection: &'a Connection,
    pub(super) vantage: Vantage,
    /// The client's service; never known at the server's side.
    pub(super) client_service: Option<&'a ServiceKey>,
    /// The hosts that the client may be on: its own, or all that claim its address.
    client_hosts: Vec<&'a Host>,
    pub(super) server_service: Option<&'a ServiceKey>,
    server_host: Option<&'a Host>,
}

impl<'a> Sight<'a> {
    /// As `vantage` sees `connection`.
    pub(super) fn new(
        policy: &'a PolicySet,
        lookup: &impl Lookup<'a>,
        connection: &'a Connection,
        vantage: Vantage,
    ) -> Self {
        let Connection { client, server, .. } = connection;
        let host = |id: Option<&HostId>| id.and_then(|id| lookup.host(id));
        let (client_service, client_hosts) = match vantage {
            Vantage::Client => (client.service.as_ref(), host(client.host.as_ref()).into_iter().collect()),
            Vantage::Server => {
                let own = host(server.host.as_ref()).filter(|_| is_on(client, server.host.as_ref()));
                (None, own.into_iter().chain(lookup.claimants(client.address)).collect())
            }
        };
        let server_host = if vantage == Vantage::Client && is_on(server, client.host.as_ref()) {
            host(client.host.as_ref())
        } else {
            host(server.host.as_ref()).or_else(|| {
                let mut claims = lookup.claimants(server.address);
                claims.next().filter(|_| claims.next().is_none())
            })
        };
        let listens = || server_host.and_then(|host| lookup.service_at(host, connection));
        let server_service = server.service.as_ref().or_else(listens);
        Self { policy, connection, vantage, client_service, client_hosts, server_service, server_host }
    }

    /// The end that is on the judging host, and its service.
    pub(super) fn local(&self) -> (Role, Option<&'a ServiceKey>) {
        match self.vantage {
            Vantage::Client => (Role::Client, self.client_service),
            Vantage::Server => (Role::Server, self.server_service),
        }
    }

    /// Whether a defender on the client's host judges it too.
    pub(super) fn client_is_defended(&self) -> bool {
        !self.client_hosts.is_empty()
    }

    /// Whether the client is such a service. The server's side knows only its host, and never prevents what it cannot know.
    pub(super) fn client_may_be(&self, pattern: &ServicePattern, labels: &Labels, effect: Effect) -> bool {
        let mut hosts = self.client_hosts.iter().filter(|host| host.labels.satisfy(labels));
        match self.vantage {
            Vantage::Client => {
                self.client_service.is_some_and(|key| pattern.matches(key))
                    && (labels.0.is_empty() || hosts.next().is_some())
            }
            Vantage::Server => effect != Effect::Prevent && hosts.any(|host| may_run(host, &pattern.0)),
        }
    }

    /// Whether the server is such a service.
    pub(super) fn server_is(&self, pattern: &ServicePattern, labels: &Labels) -> bool {
        self.server_service.is_some_and(|key| pattern.matches(key))
            && (labels.0.is_empty() || self.server_host.is_some_and(|host| host.labels.satisfy(labels)))
    }

    /// Whether the model of the end that is `role`'s has an edge that is this connection; false if it has no model. A peer that was
    /// learned by address is known by address, whatever service is found there now.
    pub(super) fn known_to<L: Lookup<'a>>(&self, role: Role, lookup: &L, found: &L::Found) -> bool {
        let key = match role {
            Role::Client => self.client_service,
            Role::Server => self.server_service,
        };
        let Some(key) = key else { return false };
        let is_end = |peer: &Peer| matches!(peer, Peer::Service(service) if service == key);
        lookup.edges(role, found, self.connection).any(|edge| {
            edge.is_on(self.connection.protocol, self.connection.port)
                && match role {
                    Role::Client => is_end(&edge.client) && self.server_meets(&edge.server),
                    Role::Server => is_end(&edge.server) && self.client_meets(&edge.client),
                }
        })
    }

    fn server_meets(&self, peer: &Peer) -> bool {
        match peer {
            Peer::Service(key) => self.server_service == Some(key),
            _ => self.address_meets(&self.connection.server, peer),
        }
    }

    fn client_meets(&self, peer: &Peer) -> bool {
        match (peer, self.vantage) {
            (Peer::Service(key), Vantage::Client) => self.client_service == Some(key),
            (Peer::Service(key), Vantage::Server) => self.client_hosts.iter().any(|host| may_run(host, key.as_str())),
            _ => self.address_meets(&self.connection.client, peer),
        }
    }

    fn address_meets(&self, party: &Party, peer: &Peer) -> bool {
        match peer {
            Peer::Service(_) => false,
            Peer::Object(name) => {
                let object = self.policy.objects.get(name);
                object.is_some_and(|object| object.addresses.iter().any(|r| r.contains(party.address)))
            }
            Peer::Address(range) => range.contains(party.address),
            Peer::Private => is_private(party.address),
            Peer::Internet => !is_private(party.address),
        }
    }
}

/// Whether `party` is on `host`, the judging one: it says so, or its address is loopback.
fn is_on(party: &Party, host: Option<&HostId>) -> bool {
    host.is_some() && (party.host.as_ref() == host || party.address.is_loopback())
}

/// Whether traffic of such a service may come from `host`: it has an instance, or the name stands for what has no service.
pub(super) fn may_run(host: &Host, pattern: &str) -> bool {
    host.instances.keys().any(|key| means(pattern, key)) || stands_for_no_service(pattern)
}

/// Whether the name stands for what has no service: such traffic may come from any host.
pub(super) fn stands_for_no_service(pattern: &str) -> bool {
    matches!(pattern, "kernel" | "unknown" | "ambiguous")
}
