//! People who sign in to the page.

use cnnf_core::access::{Role, check_name, check_password};
use cnnf_rpc::convert::ConvertError;
use cnnf_rpc::convert::common::stamp;
use cnnf_rpc::v1;
use cnnf_rpc::v1::user_service_server::UserService;
use cnnf_store::{Kept, UserRow};
use serde_json::{Value, json};
use tonic::{Request, Response, Status};

use super::{Api, caller, word};
use crate::changes::Topic;
use crate::clock::now;
use crate::controller::refuse;

#[tonic::async_trait]
impl UserService for Api {
    async fn list_users(&self, _: Request<v1::ListUsersRequest>) -> Result<Response<v1::ListUsersResponse>, Status> {
        let known = self.0.people.known();
        Ok(Response::new(v1::ListUsersResponse {
            users: known.users.values().map(|user| message(user, known.issuer_of(&user.name))).collect(),
        }))
    }

    async fn add_user(&self, request: Request<v1::AddUserRequest>) -> Result<Response<v1::User>, Status> {
        let who = caller(&request);
        let v1::AddUserRequest { name, role, password } = request.into_inner();
        check_name(&name).map_err(|error| Status::from(ConvertError::new("name", error)))?;
        let role: Role = word("role", &role)?;
        check_password(&name, &password).map_err(|error| Status::from(ConvertError::new("password", error)))?;
        let password = self.0.people.hashing.hash(password).await?;
        let _guard = self.0.edits.lock().await;
        if self.0.people.known().users.contains_key(&name) {
            return Err(Status::already_exists(format!("there is a user '{name}' already")));
        }
        let user = UserRow {
            name: name.clone(),
            role,
            password,
            must_change: true,
            disabled: false,
            created: now(),
            last_sign_in: None,
        };
        let entry = who.record("user.add", &name, None, Some(shown(&user)));
        self.0.store.put_user(user.clone(), Kept::All, entry).await.map_err(refuse)?;
        let answer = message(&user, None);
        self.0.people.known().users.insert(name, user);
        self.0.changes.note(Topic::People);
        Ok(Response::new(answer))
    }

    async fn update_user(&self, request: Request<v1::UpdateUserRequest>) -> Result<Response<v1::User>, Status> {
        let who = caller(&request);
        let v1::UpdateUserRequest { name, role, disabled, password } = request.into_inner();
        let role: Option<Role> = role.map(|role| word("role", &role)).transpose()?;
        let password = match password {
            None => None,
            Some(password) => {
                check_password(&name, &password).map_err(|error| Status::from(ConvertError::new("password", error)))?;
                Some(self.0.people.hashing.hash(password).await?)
            }
        };
        let _guard = self.0.edits.lock().await;
        let old = self.user(&name)?;
        let mut user = old.clone();
        user.role = role.unwrap_or(user.role);
        user.disabled = disabled.unwrap_or(user.disabled);
        if let Some(issuer) = password.as_ref().and(self.0.people.known().issuer_of(&name)) {
            return Err(Status::failed_precondition(format!("'{name}' signs in at {issuer} and has no password here")));
        }
        let mut kept = if user.disabled { Kept::None } else { Kept::All };
        if let Some(password) = password {
            user.password = password;
            user.must_change = true;
            kept = Kept::None;
        }
        if user.role != Role::Admin || user.disabled {
            self.check_admins(&name)?;
        }
        let mut after = shown(&user);
        if user.password != old.password {
            after["password"] = json!("changed");
        }
        let entry = who.record("user.update", &name, Some(shown(&old)), Some(after));
        self.0.store.put_user(user.clone(), kept.clone(), entry).await.map_err(refuse)?;
        let mut known = self.0.people.known();
        let answer = message(&user, known.issuer_of(&name));
        if kept == Kept::None {
            known.end_sessions(&name, None);
        }
        known.users.insert(name, user);
        drop(known);
        self.0.changes.note(Topic::People);
        Ok(Response::new(answer))
    }

    async fn delete_user(
        &self,
        request: Request<v1::DeleteUserRequest>,
    ) -> Result<Response<v1::DeleteUserResponse>, Status> {
        let who = caller(&request);
        let name = request.into_inner().name;
        let _guard = self.0.edits.lock().await;
        let old = self.user(&name)?;
        self.check_admins(&name)?;
        let entry = who.record("user.delete", &name, Some(shown(&old)), None);
        self.0.store.delete_user(name.clone(), entry).await.map_err(refuse)?;
        let mut known = self.0.people.known();
        known.end_sessions(&name, None);
        known.identities.retain(|_, user| *user != name);
        known.users.remove(&name);
        drop(known);
        self.0.changes.note(Topic::People);
        Ok(Response::new(v1::DeleteUserResponse {}))
    }
}

impl Api {
    fn user(&self, name: &str) -> Result<UserRow, Status> {
        self.0.people.known().users.get(name).cloned().ok_or_else(|| {
            let name: String = name.escape_debug().take(80).collect();
            Status::not_found(format!("there is no user '{name}': 'cnnfctl users list' shows them"))
        })
    }

    /// Refuses if this user is an administrator and nobody else is.
    fn check_admins(&self, name: &str) -> Result<(), Status> {
        let known = self.0.people.known();
        let is_one = known.users.get(name).is_some_and(|user| user.role == Role::Admin && !user.disabled);
        if is_one && !known.has_other_admin(name) {
            return Err(Status::failed_precondition(format!(
                "'{name}' is the last administrator who can sign in: make another one first"
            )));
        }
        Ok(())
    }
}

/// A user as the record of changes shows one.
pub(super) fn shown(user: &UserRow) -> Value {
    json!({"role": user.role, "disabled": user.disabled, "must_change_password": user.must_change})
}

fn message(user: &UserRow, issuer: Option<&str>) -> v1::User {
    v1::User {
        name: user.name.clone(),
        role: user.role.to_string(),
        disabled: user.disabled,
        must_change_password: user.must_change,
        created: Some(stamp(user.created)),
        last_sign_in: user.last_sign_in.map(stamp),
        issuer: issuer.unwrap_or_default().to_owned(),
    }
}
