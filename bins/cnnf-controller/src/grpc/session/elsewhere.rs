//! Sessions of people whom a provider signs in.

use std::net::IpAddr;

use cnnf_store::{IdentityRow, Kept, UserRow};
use serde_json::{Value, json};

use super::Api;
use crate::auth::{Caller, Who};
use crate::changes::Topic;
use crate::clock::now;
use crate::grpc::user::shown;
use crate::oidc::{OidcError, Person};
use crate::people::set_cookie;

impl Api {
    /// Begins the session of a person whom their provider has signed in, and who becomes a user here when they come first: the line that sets
    /// its cookie.
    pub(crate) async fn enter(&self, person: Person, address: Option<IpAddr>) -> Result<String, OidcError> {
        let issuer = person.issuer.clone();
        let user = self.user_for(person, address).await?;
        let begun = self.begin(user, address, Some(&issuer)).await;
        let (_, secret) = begun.map_err(|status| OidcError::Refused(status.message().to_owned()))?;
        Ok(set_cookie(&secret))
    }

    async fn user_for(&self, person: Person, address: Option<IpAddr>) -> Result<UserRow, OidcError> {
        let refused = |why: String| Err(OidcError::Refused(why));
        let _guard = self.0.edits.lock().await;
        let Person { issuer, subject, name, role } = person;
        let identity = (issuer.clone(), subject.clone());
        let (user, taken) = {
            let known = self.0.people.known();
            let user = known.identities.get(&identity).and_then(|name| known.users.get(name)).cloned();
            (user, known.users.contains_key(&name))
        };
        let record = |action: &str, name: &str, before: Option<Value>, after: Value| {
            let mut entry = Caller { who: Who::Nobody, address, once: None }.record(action, name, before, Some(after));
            (entry.actor, entry.via) = (name.to_owned(), "oidc".to_owned());
            entry
        };
        let user = match user {
            Some(user) if user.disabled => {
                return refused(format!("user '{}' is disabled: ask an administrator", user.name));
            }
            Some(user) if user.role == role => return Ok(user),
            // The provider says who may what, each time.
            Some(old) => {
                let user = UserRow { role, ..old.clone() };
                let entry = record("user.update", &user.name, Some(shown(&old)), shown(&user));
                let put = self.0.store.put_user(user.clone(), Kept::All, entry).await;
                put.map_err(|error| OidcError::Refused(error.to_string()))?;
                user
            }
            // Whoever could choose a name or an address at the provider would be that user otherwise.
            None if taken => {
                return refused(format!(
                    "there is a user '{name}' already who is not you: an administrator may rename or delete that one"
                ));
            }
            None => {
                let user = UserRow {
                    name,
                    role,
                    password: String::new(),
                    must_change: false,
                    disabled: false,
                    created: now(),
                    last_sign_in: None,
                };
                let row = IdentityRow { issuer: issuer.clone(), subject: subject.clone(), user: user.name.clone() };
                let mut after = shown(&user);
                after["identity"] = json!({"issuer": issuer, "subject": subject});
                let entry = record("user.add", &user.name, None, after);
                let added = self.0.store.add_identity(user.clone(), row, entry).await;
                added.map_err(|error| OidcError::Refused(error.to_string()))?;
                user
            }
        };
        let mut known = self.0.people.known();
        known.identities.insert(identity, user.name.clone());
        known.users.insert(user.name.clone(), user.clone());
        drop(known);
        self.0.changes.note(Topic::People);
        Ok(user)
    }
}
