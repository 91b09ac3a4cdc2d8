//! Tokens for programs.

use std::time::Duration;

use cnnf_core::access::{Role, check_name};
use cnnf_rpc::convert::ConvertError;
use cnnf_rpc::convert::common::stamp;
use cnnf_rpc::v1;
use cnnf_rpc::v1::api_token_service_server::ApiTokenService;
use cnnf_store::ApiTokenRow;
use serde_json::{Value, json};
use tonic::{Request, Response, Status};

use super::{Api, caller, word};
use crate::changes::Topic;
use crate::clock::now;
use crate::controller::refuse;
use crate::people::{new_secret, secret_hash};

const DAY: u32 = 24 * 3600;
/// A token's life in seconds unless it is asked for, and at most.
const LIFE: u32 = 90 * DAY;
const LONGEST_LIFE: u32 = 366 * DAY;
/// What a secret begins with, so that scanners of repositories and people know what they have found.
const PREFIX: &str = "cnnf_api_";

#[tonic::async_trait]
impl ApiTokenService for Api {
    async fn list_tokens(&self, _: Request<v1::ListTokensRequest>) -> Result<Response<v1::ListTokensResponse>, Status> {
        let mut tokens: Vec<v1::ApiToken> = self.0.people.known().tokens.values().map(message).collect();
        tokens.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Response::new(v1::ListTokensResponse { tokens }))
    }

    async fn create_token(
        &self,
        request: Request<v1::CreateApiTokenRequest>,
    ) -> Result<Response<v1::CreateApiTokenResponse>, Status> {
        let who = caller(&request);
        let v1::CreateApiTokenRequest { name, role, ttl_seconds } = request.into_inner();
        check_name(&name).map_err(|error| Status::from(ConvertError::new("name", error)))?;
        let role: Role = word("role", &role)?;
        let ttl = if ttl_seconds == 0 { LIFE } else { ttl_seconds };
        if ttl > LONGEST_LIFE {
            let error = format!("{ttl} s is too long: at most {LONGEST_LIFE} s, which is 366 days");
            return Err(ConvertError::new("ttl_seconds", error).into());
        }
        let secret = format!("{PREFIX}{}", new_secret());
        let _guard = self.0.edits.lock().await;
        if self.0.people.known().tokens.values().any(|token| token.name == name) {
            return Err(Status::already_exists(format!("there is a token '{name}' already")));
        }
        let created = now();
        let token = ApiTokenRow {
            name: name.clone(),
            secret_hash: secret_hash(&secret),
            role,
            created_by: who.name().to_owned(),
            created,
            expires: created.plus(Duration::from_secs(ttl.into())),
            last_used: None,
        };
        let record = who.record("api_token.create", &name, None, Some(shown(&token)));
        self.0.store.add_api_token(token.clone(), record).await.map_err(refuse)?;
        let answer = message(&token);
        self.0.people.known().tokens.insert(token.secret_hash.clone(), token);
        self.0.changes.note(Topic::People);
        Ok(Response::new(v1::CreateApiTokenResponse { token: Some(answer), secret }))
    }

    async fn revoke_token(
        &self,
        request: Request<v1::RevokeTokenRequest>,
    ) -> Result<Response<v1::RevokeTokenResponse>, Status> {
        let who = caller(&request);
        let name = request.into_inner().name;
        let _guard = self.0.edits.lock().await;
        let token = self.0.people.known().tokens.values().find(|token| token.name == name).cloned();
        let token = token.ok_or_else(|| {
            let name: String = name.escape_debug().take(80).collect();
            Status::not_found(format!("there is no API token '{name}': 'cnnfctl tokens list' shows them"))
        })?;
        let record = who.record("api_token.revoke", &name, Some(shown(&token)), None);
        self.0.store.delete_api_token(name, record).await.map_err(refuse)?;
        self.0.people.known().tokens.remove(&token.secret_hash);
        self.0.changes.note(Topic::People);
        Ok(Response::new(v1::RevokeTokenResponse {}))
    }
}

/// A token as the record of changes shows one.
fn shown(token: &ApiTokenRow) -> Value {
    json!({"role": token.role, "expires": cnnf_rpc::convert::common::time_text(token.expires)})
}

fn message(token: &ApiTokenRow) -> v1::ApiToken {
    v1::ApiToken {
        name: token.name.clone(),
        role: token.role.to_string(),
        created_by: token.created_by.clone(),
        created: Some(stamp(token.created)),
        expires: Some(stamp(token.expires)),
        last_used: token.last_used.map(stamp),
    }
}
