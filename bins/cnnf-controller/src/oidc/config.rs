//! `[oidc]` in the configuration file.

use std::path::PathBuf;

use axum::http::Uri;
use cnnf_core::access::Role;
use serde::Deserialize;

use crate::outgoing::is_safe;

/// Who signs people in, and who may what then.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct OidcConfig {
    /// The provider's address, as its discovery document writes it.
    pub(crate) issuer: String,
    /// What the button of the page says.
    pub(crate) name: String,
    /// What the provider calls this controller.
    pub(crate) client_id: String,
    /// A file with the client's secret; none for a public client, which has PKCE alone.
    pub(crate) client_secret_file: Option<PathBuf>,
    /// What is asked for besides `openid`.
    pub(crate) scopes: Vec<String>,
    /// Which claim is the user's name; `preferred_username`, and `email` without it, unless set.
    pub(crate) user_claim: Option<String>,
    /// Which claim has the user's groups; `groups` unless set.
    pub(crate) groups_claim: Option<String>,
    /// Groups whose members are administrators; "*" for everybody, as in the following.
    pub(crate) admins: Vec<String>,
    /// Groups whose members are operators.
    pub(crate) operators: Vec<String>,
    /// Groups whose members are auditors.
    pub(crate) auditors: Vec<String>,
    /// Domains of verified e-mail addresses that are let in; all if empty.
    pub(crate) domains: Vec<String>,
    /// Certificates to believe the provider by, instead of the system's.
    pub(crate) ca_file: Option<PathBuf>,
}

/// The same keys in the environment; lists are separated by commas.
#[derive(clap::Args, Default)]
pub(crate) struct OidcArgs {
    #[arg(long = "oidc-issuer", hide = true, env = "CNNF_OIDC_ISSUER")]
    issuer: Option<String>,
    #[arg(long = "oidc-name", hide = true, env = "CNNF_OIDC_NAME")]
    name: Option<String>,
    #[arg(long = "oidc-client-id", hide = true, env = "CNNF_OIDC_CLIENT_ID")]
    client_id: Option<String>,
    #[arg(long = "oidc-client-secret-file", hide = true, env = "CNNF_OIDC_CLIENT_SECRET_FILE")]
    client_secret_file: Option<PathBuf>,
    #[arg(long = "oidc-scopes", hide = true, env = "CNNF_OIDC_SCOPES", value_delimiter = ',')]
    scopes: Option<Vec<String>>,
    #[arg(long = "oidc-user-claim", hide = true, env = "CNNF_OIDC_USER_CLAIM")]
    user_claim: Option<String>,
    #[arg(long = "oidc-groups-claim", hide = true, env = "CNNF_OIDC_GROUPS_CLAIM")]
    groups_claim: Option<String>,
    #[arg(long = "oidc-admins", hide = true, env = "CNNF_OIDC_ADMINS", value_delimiter = ',')]
    admins: Option<Vec<String>>,
    #[arg(long = "oidc-operators", hide = true, env = "CNNF_OIDC_OPERATORS", value_delimiter = ',')]
    operators: Option<Vec<String>>,
    #[arg(long = "oidc-auditors", hide = true, env = "CNNF_OIDC_AUDITORS", value_delimiter = ',')]
    auditors: Option<Vec<String>>,
    #[arg(long = "oidc-domains", hide = true, env = "CNNF_OIDC_DOMAINS", value_delimiter = ',')]
    domains: Option<Vec<String>>,
    #[arg(long = "oidc-ca-file", hide = true, env = "CNNF_OIDC_CA_FILE")]
    ca_file: Option<PathBuf>,
}

impl OidcArgs {
    /// Puts what is set over what the file says.
    pub(crate) fn over(&self, config: &mut Option<OidcConfig>) {
        let old = config.clone().unwrap_or_default();
        let new = OidcConfig {
            issuer: self.issuer.clone().unwrap_or(old.issuer),
            name: self.name.clone().unwrap_or(old.name),
            client_id: self.client_id.clone().unwrap_or(old.client_id),
            client_secret_file: self.client_secret_file.clone().or(old.client_secret_file),
            scopes: self.scopes.clone().unwrap_or(old.scopes),
            user_claim: self.user_claim.clone().or(old.user_claim),
            groups_claim: self.groups_claim.clone().or(old.groups_claim),
            admins: self.admins.clone().unwrap_or(old.admins),
            operators: self.operators.clone().unwrap_or(old.operators),
            auditors: self.auditors.clone().unwrap_or(old.auditors),
            domains: self.domains.clone().unwrap_or(old.domains),
            ca_file: self.ca_file.clone().or(old.ca_file),
        };
        if config.is_some() || new != OidcConfig::default() {
            *config = Some(new);
        }
    }
}

impl OidcConfig {
    /// # Errors
    /// What is wrong, with its key.
    pub(crate) fn check(&self) -> Result<(), String> {
        let issuer: Result<Uri, _> = self.issuer.parse();
        if !issuer.is_ok_and(|uri| is_safe(&uri) && uri.query().is_none()) {
            return Err(format!(
                "oidc.issuer = \"{}\": write the provider's https address, such as https://id.example.com",
                self.issuer
            ));
        }
        if self.client_id.is_empty() {
            return Err("oidc.client_id is missing: it is what the provider calls this controller".to_owned());
        }
        if self.groups().all(|(_, groups)| groups.is_empty()) {
            return Err(
                "oidc: nobody may sign in: name groups in oidc.admins, operators or auditors, or [\"*\"] for everybody"
                    .to_owned(),
            );
        }
        let bad = |scope: &&String| scope.is_empty() || scope.contains(|c: char| !c.is_ascii_graphic());
        if let Some(scope) = self.scopes.iter().find(bad) {
            return Err(format!("oidc.scopes: \"{scope}\" is none: one word for each"));
        }
        if let Some(domain) = self.domains.iter().find(|domain| domain.contains('@') || domain.is_empty()) {
            return Err(format!("oidc.domains: \"{domain}\" is none: write for example example.com"));
        }
        Ok(())
    }

    /// Roles with whose they are, the mightiest first.
    fn groups(&self) -> impl Iterator<Item = (Role, &[String])> {
        [(Role::Admin, &self.admins), (Role::Operator, &self.operators), (Role::Auditor, &self.auditors)]
            .into_iter()
            .map(|(role, groups)| (role, groups.as_slice()))
    }

    /// The mightiest role of a member of these groups.
    pub(super) fn role(&self, of: &[String]) -> Option<Role> {
        let belongs = |groups: &[String]| groups.iter().any(|group| group == "*" || of.contains(group));
        self.groups().find(|(_, groups)| belongs(groups)).map(|(role, _)| role)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> OidcConfig {
        OidcConfig {
            issuer: "https://id.example.com/realm".to_owned(),
            client_id: "cnnf".to_owned(),
            admins: vec!["net-admins".to_owned()],
            auditors: vec!["*".to_owned()],
            ..OidcConfig::default()
        }
    }

    #[test]
    fn the_mightiest_role_counts() {
        let role = |of: &[&str]| good().role(&of.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>());
        assert_eq!(role(&["staff", "net-admins"]), Some(Role::Admin));
        assert_eq!(role(&["staff"]), Some(Role::Auditor));
        assert_eq!(OidcConfig { auditors: vec![], ..good() }.role(&["staff".to_owned()]), None);
        assert_eq!(OidcConfig { auditors: vec![], ..good() }.role(&["*".to_owned()]), None, "a group may be called so");
    }

    #[test]
    fn mistakes_are_named() {
        assert_eq!(good().check(), Ok(()));
        for (config, part) in [
            (OidcConfig { issuer: "http://id.example.com".to_owned(), ..good() }, "oidc.issuer"),
            (OidcConfig { issuer: String::new(), ..good() }, "oidc.issuer"),
            (OidcConfig { client_id: String::new(), ..good() }, "oidc.client_id"),
            (OidcConfig { admins: vec![], auditors: vec![], ..good() }, "oidc.admins"),
            (OidcConfig { scopes: vec!["a b".to_owned()], ..good() }, "oidc.scopes"),
            (OidcConfig { domains: vec!["@example.com".to_owned()], ..good() }, "oidc.domains"),
        ] {
            let error = config.check().expect_err(part);
            assert!(error.contains(part), "{error}");
        }
    }
}
