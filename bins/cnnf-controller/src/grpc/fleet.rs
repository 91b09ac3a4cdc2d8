//! Hosts and how they get in.

use std::collections::BTreeMap;
use std::time::Duration;

use cnnf_core::id::HostId;
use cnnf_core::policy::Mode;
use cnnf_rpc::convert::ConvertError;
use cnnf_rpc::convert::common::{self, time_text_or_never};
use cnnf_rpc::tls::{Token, pin_of};
use cnnf_rpc::v1;
use cnnf_rpc::v1::fleet_service_server::FleetService;
use cnnf_store::NewToken;
use serde_json::json;
use tonic::{Request, Response, Status};

use super::page::page;
use super::{Api, caller, labels, word};
use crate::clock::now;
use crate::controller::refuse;
use crate::downloads::is_outdated;
use crate::people::secret_hash;
use crate::state::{KnownHost, State};

/// A token's life in seconds unless it is asked for, and at most.
const TOKEN_LIFE: u32 = 600;
const LONGEST_TOKEN_LIFE: u32 = 30 * 24 * 3600;
/// A token's uses at most.
const MOST_TOKEN_USES: u32 = 100_000;

#[tonic::async_trait]
impl FleetService for Api {
    async fn list_defenders(
        &self,
        request: Request<v1::ListDefendersRequest>,
    ) -> Result<Response<v1::ListDefendersResponse>, Status> {
        let mut all: Vec<v1::Defender> = self.0.state().hosts.values().map(defender).collect();
        all.sort_by(|a, b| a.host.cmp(&b.host));
        let (defenders, next_token) = page(all, request.into_inner().page.as_ref())?;
        let upgrade_command = self.0.downloads.get().map(|downloads| downloads.command("")).unwrap_or_default();
        Ok(Response::new(v1::ListDefendersResponse { defenders, next_token, upgrade_command }))
    }

    async fn set_defender_mode(
        &self,
        request: Request<v1::SetDefenderModeRequest>,
    ) -> Result<Response<v1::Defender>, Status> {
        let who = caller(&request);
        let v1::SetDefenderModeRequest { host, mode } = request.into_inner();
        let mode: Mode = word("mode", &mode)?;
        let id = named(&self.0.state(), &host)?;
        self.0.edit_host_mode(&who, &id, mode).await?;
        Ok(Response::new(answer(&self.0.state(), &id)?))
    }

    async fn revoke_defender(
        &self,
        request: Request<v1::RevokeDefenderRequest>,
    ) -> Result<Response<v1::Defender>, Status> {
        let who = caller(&request);
        let id = named(&self.0.state(), &request.into_inner().host)?;
        self.0.revoke_host(&who, &id).await?;
        Ok(Response::new(answer(&self.0.state(), &id)?))
    }

    async fn delete_defender(
        &self,
        request: Request<v1::DeleteDefenderRequest>,
    ) -> Result<Response<v1::DeleteDefenderResponse>, Status> {
        let who = caller(&request);
        let (id, host) = {
            let state = self.0.state();
            let id = named(&state, &request.into_inner().host)?;
            let name = state.host_name(&id);
            (id, name)
        };
        self.0.delete_host(&who, &id).await?;
        Ok(Response::new(v1::DeleteDefenderResponse { host, id: id.to_string() }))
    }

    async fn create_token(
        &self,
        request: Request<v1::CreateTokenRequest>,
    ) -> Result<Response<v1::CreateTokenResponse>, Status> {
        let who = caller(&request);
        let v1::CreateTokenRequest { ttl_seconds, uses, labels } = request.into_inner();
        let labels = common::labels("labels", labels)?;
        let ttl = if ttl_seconds == 0 { TOKEN_LIFE } else { ttl_seconds };
        let uses = uses.max(1);
        if ttl > LONGEST_TOKEN_LIFE {
            let error =
                format_args!("{ttl} s is too long: at most {LONGEST_TOKEN_LIFE} s, which is 30 days").to_string();
            return Err(ConvertError::new("ttl_seconds", error).into());
        }
        if uses > MOST_TOKEN_USES {
            let error = format_args!("{uses} is too many: at most {MOST_TOKEN_USES}").to_string();
            return Err(ConvertError::new("uses", error).into());
        }
        let token = Token { secret: rand::random(), pin: pin_of(&self.0.trust().ca.der) };
        let created = now();
        let expires = created.plus(Duration::from_secs(ttl.into()));
        let after = json!({"uses": uses, "expires": time_text_or_never(expires), "labels": labels.0});
        let record = who.record("enrolment_token.create", "", None, Some(after));
        let new = NewToken { secret_hash: secret_hash(&token.secret_text()), created, expires, uses, labels };
        self.0.store.add_token(new, record).await.map_err(refuse)?;
        tracing::info!(uses, ttl, "an enrolment token was made");
        let expires = time_text_or_never(expires);
        let controllers = self.0.reached_at.get().cloned().unwrap_or_default();
        let at = controllers.first().map_or("CONTROLLER:7443", String::as_str);
        let enrol = format!(" --controller {at} --token {token}");
        Ok(Response::new(v1::CreateTokenResponse {
            install_command: self.0.downloads.get().map(|downloads| downloads.command(&enrol)).unwrap_or_default(),
            command: format!("cnnf-defender enroll{enrol}"),
            token: token.to_string(),
            expires,
            uses,
            ca_pin: token.pin.iter().map(|byte| format!("{byte:02x}")).collect(),
            controllers,
        }))
    }
}

/// The host that a caller names.
fn named(state: &State, host: &str) -> Result<HostId, Status> {
    state.host_named(host).cloned().ok_or_else(|| {
        let host: String = host.escape_debug().take(80).collect();
        Status::not_found(format!("there is no host '{host}': 'cnnfctl defenders list' shows them"))
    })
}

fn answer(state: &State, id: &HostId) -> Result<v1::Defender, Status> {
    let known = state.hosts.get(id).ok_or_else(|| Status::not_found(format!("host {id} is gone")))?;
    Ok(defender(known))
}

/// Its own, and what of it was not taken in.
fn counters(known: &KnownHost) -> BTreeMap<String, u64> {
    let refused = known.quota.refused().iter().map(|(name, count)| ((*name).to_owned(), *count));
    known.counters.clone().into_iter().chain(refused).collect()
}

fn defender(known: &KnownHost) -> v1::Defender {
    let status = known.status.clone().unwrap_or_default();
    v1::Defender {
        host: known.row.name.clone(),
        id: known.row.id.to_string(),
        labels: labels(&known.row.labels),
        addresses: known.addresses.iter().map(ToString::to_string).collect(),
        connected: known.live.is_some(),
        mode: known.row.mode.to_string(),
        version: known.row.version.clone(),
        outdated: is_outdated(&known.row.version),
        desired_generation: known.desired.generation,
        applied_generation: if status.outcome == "applied" { status.generation } else { 0 },
        outcome: status.outcome,
        message: status.message,
        queue: status.queue,
        last_seen: time_text_or_never(if known.live.is_some() { known.heard } else { known.row.last_seen }),
        counters: counters(known),
        revoked: known.row.revoked,
        not_covered: known.not_covered.clone(),
        clock_behind_ms: known.skew_ms,
        certificate_expires: time_text_or_never(known.row.certificate.expires),
    }
}
