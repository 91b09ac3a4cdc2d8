//! Users, API tokens and the record of changes.

use cnnf_rpc::v1::api_token_service_server::ApiTokenService;
use cnnf_rpc::v1::audit_service_server::AuditService;
use cnnf_rpc::v1::user_service_server::UserService;
use cnnf_rpc::v1::*;
use tonic::{Request, Response, Status};

use super::super::answers;
use super::{Answer, Controller, page};

#[tonic::async_trait]
impl UserService for Controller {
    async fn list_users(&self, request: Request<ListUsersRequest>) -> Answer<ListUsersResponse> {
        self.admit(request)?;
        Ok(Response::new(ListUsersResponse { users: answers::users() }))
    }

    async fn add_user(&self, request: Request<AddUserRequest>) -> Answer<User> {
        let AddUserRequest { name, role, password: _ } = self.admit(request)?;
        if answers::users().iter().any(|user| user.name == name) {
            return Err(Status::already_exists(format!("there is a user '{name}' already")));
        }
        Ok(Response::new(User { name, role, must_change_password: true, ..User::default() }))
    }

    async fn update_user(&self, request: Request<UpdateUserRequest>) -> Answer<User> {
        let UpdateUserRequest { name, role, disabled, password } = self.admit(request)?;
        let mut user = answers::users()
            .into_iter()
            .find(|user| user.name == name)
            .ok_or_else(|| Status::not_found(format!("there is no user '{name}': 'cnnfctl users list' shows them")))?;
        user.role = role.unwrap_or(user.role);
        user.disabled = disabled.unwrap_or(user.disabled);
        user.must_change_password |= password.is_some();
        Ok(Response::new(user))
    }

    async fn delete_user(&self, request: Request<DeleteUserRequest>) -> Answer<DeleteUserResponse> {
        self.admit(request)?;
        Ok(Response::new(DeleteUserResponse {}))
    }
}

#[tonic::async_trait]
impl ApiTokenService for Controller {
    async fn list_tokens(&self, request: Request<ListTokensRequest>) -> Answer<ListTokensResponse> {
        self.admit(request)?;
        Ok(Response::new(ListTokensResponse { tokens: answers::tokens() }))
    }

    async fn create_token(&self, request: Request<CreateApiTokenRequest>) -> Answer<CreateApiTokenResponse> {
        let CreateApiTokenRequest { name, role, ttl_seconds } = self.admit(request)?;
        let made = answers::tokens().swap_remove(0);
        let token = Some(ApiToken { name, role, last_used: None, ..made });
        Ok(Response::new(CreateApiTokenResponse { token, secret: format!("cnnf_api_secret{ttl_seconds}") }))
    }

    async fn revoke_token(&self, request: Request<RevokeTokenRequest>) -> Answer<RevokeTokenResponse> {
        self.admit(request)?;
        Ok(Response::new(RevokeTokenResponse {}))
    }
}

#[tonic::async_trait]
impl AuditService for Controller {
    async fn list_audit(&self, request: Request<ListAuditRequest>) -> Answer<ListAuditResponse> {
        let (entries, next_token) = page(&answers::audit(), self.admit(request)?.page);
        Ok(Response::new(ListAuditResponse { entries, next_token }))
    }

    async fn verify_audit(&self, request: Request<VerifyAuditRequest>) -> Answer<VerifyAuditResponse> {
        self.admit(request)?;
        let problem = "the entry, or one before it, is not what was recorded";
        Ok(Response::new(VerifyAuditResponse {
            intact: false,
            entries: 3,
            first_bad: 2,
            problem: problem.into(),
            head: "ab".repeat(32),
        }))
    }
}
