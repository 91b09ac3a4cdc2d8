//! Sessions of the web page.

mod elsewhere;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::PoisonError;

use cnnf_core::access::check_password;
use cnnf_rpc::convert::ConvertError;
use cnnf_rpc::convert::common::stamp;
use cnnf_rpc::v1;
use cnnf_rpc::v1::session_service_server::SessionService;
use cnnf_store::{Kept, SessionRow, UserRow};
use serde_json::json;
use tonic::metadata::MetadataValue;
use tonic::{Request, Response, Status};

use super::{Api, caller};
use crate::auth::{Caller, Who};
use crate::clock::now;
use crate::controller::refuse;
use crate::people::{MAX_SESSIONS, clear_cookie, ends, new_secret, secret_hash, set_cookie};

#[tonic::async_trait]
impl SessionService for Api {
    async fn get_sign_in_options(
        &self,
        _: Request<v1::GetSignInOptionsRequest>,
    ) -> Result<Response<v1::SignInOptions>, Status> {
        let oidc = self.0.oidc();
        let oidc_name = oidc.as_ref().map(|oidc| oidc.name().to_owned()).unwrap_or_default();
        Ok(Response::new(v1::SignInOptions { oidc: oidc.is_some(), oidc_name }))
    }

    async fn sign_in(&self, request: Request<v1::SignInRequest>) -> Result<Response<v1::Session>, Status> {
        let who = caller(&request);
        let v1::SignInRequest { user: name, password } = request.into_inner();
        let from = who.address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let people = &self.0.people;
        let attempts = || people.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        attempts().take(from, now()).map_err(|wait| {
            people.refused(&self.0.store, "session.refused", from, &name, "too many attempts");
            let seconds = wait.as_secs() + 1;
            Status::resource_exhausted(format!("too many attempts from your address: wait {seconds} s"))
        })?;
        let known = people.known().users.get(&name).filter(|user| !user.disabled).cloned();
        let hash = known.as_ref().map(|user| user.password.clone());
        if !people.hashing.fits(password, hash).await? {
            people.refused(&self.0.store, "session.refused", from, &name, "user and password do not fit");
            return Err(Status::unauthenticated("user and password do not fit"));
        }
        attempts().give_back(from);
        let user = known.ok_or_else(|| Status::internal("a user has vanished"))?;
        let (who, secret) = self.begin(user, who.address, None).await?;
        let mut answer = Response::new(self.session(&who));
        put_cookie(&mut answer, &set_cookie(&secret))?;
        Ok(answer)
    }

    async fn sign_out(&self, request: Request<v1::SignOutRequest>) -> Result<Response<v1::SignOutResponse>, Status> {
        let who = caller(&request);
        if let Who::Session { user, secret_hash, .. } = &who.who {
            let entry = who.record("session.sign_out", user, None, None);
            self.0.store.end_session(secret_hash.clone(), entry).await.map_err(refuse)?;
            self.0.people.known().sessions.remove(secret_hash);
        }
        let mut answer = Response::new(v1::SignOutResponse {});
        put_cookie(&mut answer, &clear_cookie())?;
        Ok(answer)
    }

    async fn get_session(&self, request: Request<v1::GetSessionRequest>) -> Result<Response<v1::Session>, Status> {
        Ok(Response::new(self.session(&caller(&request))))
    }

    async fn change_password(
        &self,
        request: Request<v1::ChangePasswordRequest>,
    ) -> Result<Response<v1::Session>, Status> {
        let who = caller(&request);
        let Who::Session { user: name, secret_hash, .. } = &who.who else {
            return Err(Status::failed_precondition(format!("{who} has no password: sign in to the page")));
        };
        let v1::ChangePasswordRequest { current, new } = request.into_inner();
        check_password(name, &new).map_err(|error| Status::from(ConvertError::new("new", error)))?;
        if new == current {
            return Err(ConvertError::new("new", "is the one until now: choose another").into());
        }
        let people = &self.0.people;
        let old = people.known().users.get(name).cloned().ok_or_else(|| Status::not_found("you are deleted"))?;
        let from = who.address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let attempts = || people.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        attempts().take(from, now()).map_err(|wait| {
            Status::resource_exhausted(format!("too many attempts from your address: wait {} s", wait.as_secs() + 1))
        })?;
        if !people.hashing.fits(current, Some(old.password.clone())).await? {
            return Err(ConvertError::new("current", "is not your password").into());
        }
        attempts().give_back(from);
        let password = people.hashing.hash(new).await?;
        let _guard = self.0.edits.lock().await;
        let user = self.still(&old)?;
        let user = UserRow { password, must_change: false, ..user };
        let entry = who.record("user.password", name, None, None);
        let kept = Kept::Only(secret_hash.clone());
        self.0.store.put_user(user.clone(), kept, entry).await.map_err(refuse)?;
        {
            let mut known = people.known();
            known.end_sessions(name, Some(secret_hash));
            known.users.insert(name.clone(), user);
        }
        let mut now_known = who.clone();
        if let Who::Session { must_change, .. } = &mut now_known.who {
            *must_change = false;
        }
        Ok(Response::new(self.session(&now_known)))
    }
}

impl Api {
    /// Begins a session of a user who has proved to be the one, here or at `issuer`: who calls from now on, and the cookie's secret.
    pub(super) async fn begin(
        &self,
        user: UserRow,
        address: Option<IpAddr>,
        issuer: Option<&str>,
    ) -> Result<(Caller, String), Status> {
        let _guard = self.0.edits.lock().await;
        let user = self.still(&user)?;
        let (secret, at) = (new_secret(), now());
        let hash = secret_hash(&secret);
        let session = SessionRow { secret_hash: hash.clone(), user: user.name.clone(), created: at, last_used: at };
        let who = Who::Session {
            user: user.name.clone(),
            role: user.role,
            secret_hash: hash.clone(),
            must_change: user.must_change,
        };
        let who = Caller { who, address, once: None };
        let entry = who.record("session.sign_in", &user.name, None, issuer.map(|issuer| json!({"issuer": issuer})));
        self.0.store.add_session(session.clone(), entry).await.map_err(refuse)?;
        {
            let mut known = self.0.people.known();
            if let Some(known) = known.users.get_mut(&user.name) {
                known.last_sign_in = Some(at);
            }
            let theirs = known.sessions.values().filter(|session| session.user == user.name);
            let oldest = theirs.clone().min_by_key(|session| session.last_used).map(|s| s.secret_hash.clone());
            if theirs.count() >= MAX_SESSIONS
                && let Some(oldest) = oldest
            {
                known.sessions.remove(&oldest);
            }
            known.sessions.insert(hash, session);
        }
        tracing::info!(user = user.name, issuer, "a user has signed in");
        Ok((who, secret))
    }

    /// The user as known now, unless what the caller has proved does not hold any more.
    fn still(&self, proved: &UserRow) -> Result<UserRow, Status> {
        let known = self.0.people.known().users.get(&proved.name).cloned();
        known
            .filter(|user| user.password == proved.password && !user.disabled)
            .ok_or_else(|| Status::unauthenticated("you were changed meanwhile: sign in again"))
    }

    fn session(&self, who: &Caller) -> v1::Session {
        let known = self.0.people.known();
        let (expires, must_change_password) = match &who.who {
            Who::Session { secret_hash, must_change, .. } => (known.sessions.get(secret_hash).map(ends), *must_change),
            Who::Token { secret_hash, .. } => (known.tokens.get(secret_hash).map(|token| token.expires), false),
            _ => (None, false),
        };
        let issuer = match &who.who {
            Who::Session { user, .. } => known.issuer_of(user).unwrap_or_default(),
            _ => "",
        };
        v1::Session {
            issuer: issuer.to_owned(),
            user: who.name().to_owned(),
            role: who.role().map(|role| role.to_string()).unwrap_or_default(),
            expires: expires.map(stamp),
            must_change_password,
        }
    }
}

fn put_cookie<T>(answer: &mut Response<T>, line: &str) -> Result<(), Status> {
    let line = MetadataValue::try_from(line).map_err(|_| Status::internal("a cookie has odd letters"))?;
    answer.metadata_mut().insert("set-cookie", line);
    Ok(())
}
