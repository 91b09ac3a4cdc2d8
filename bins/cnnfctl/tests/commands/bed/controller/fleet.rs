//! Hosts, settings and what services are called.

use cnnf_rpc::v1::definition_service_server::DefinitionService;
use cnnf_rpc::v1::fleet_service_server::FleetService;
use cnnf_rpc::v1::settings_service_server::SettingsService;
use cnnf_rpc::v1::*;
use tonic::{Request, Response, Status};

use super::super::answers;
use super::{Answer, Controller, page};

#[tonic::async_trait]
impl FleetService for Controller {
    async fn list_defenders(&self, request: Request<ListDefendersRequest>) -> Answer<ListDefendersResponse> {
        let (defenders, next_token) = page(&answers::defenders(), self.admit(request)?.page);
        let upgrade_command = "(… sh install.sh --from https://controller.example:8443)".into();
        Ok(Response::new(ListDefendersResponse { defenders, next_token, upgrade_command }))
    }

    async fn set_defender_mode(&self, request: Request<SetDefenderModeRequest>) -> Answer<Defender> {
        let ask = self.admit(request)?;
        let found = answers::defenders().into_iter().find(|defender| defender.host == ask.host);
        let found = found.ok_or_else(|| Status::not_found(format!("there is no host '{}'", ask.host)))?;
        Ok(Response::new(Defender { mode: ask.mode, ..found }))
    }

    async fn revoke_defender(&self, request: Request<RevokeDefenderRequest>) -> Answer<Defender> {
        let ask = self.admit(request)?;
        let found = answers::defenders().into_iter().find(|defender| defender.id == ask.host);
        let found = found.ok_or_else(|| Status::not_found(format!("there is no host '{}'", ask.host)))?;
        Ok(Response::new(Defender { revoked: true, connected: false, ..found }))
    }

    async fn delete_defender(&self, request: Request<DeleteDefenderRequest>) -> Answer<DeleteDefenderResponse> {
        let ask = self.admit(request)?;
        let found = answers::defenders().into_iter().find(|defender| defender.id == ask.host);
        let found = found.ok_or_else(|| Status::not_found(format!("there is no host '{}'", ask.host)))?;
        if found.connected {
            return Err(Status::failed_precondition(format!("host '{}' is connected: revoke it first", found.host)));
        }
        Ok(Response::new(DeleteDefenderResponse { host: found.host, id: found.id }))
    }

    async fn create_token(&self, request: Request<CreateTokenRequest>) -> Answer<CreateTokenResponse> {
        let ask = self.admit(request)?;
        let token = format!("cnnf1.secret{}.pin", ask.ttl_seconds);
        let at = "controller.example:7443";
        Ok(Response::new(CreateTokenResponse {
            command: format!("cnnf-defender enroll --controller {at} --token {token}"),
            install_command: format!(
                "(… sh install.sh --from https://controller.example:8443 --controller {at} --token {token})"
            ),
            token,
            expires: "2026-11-24T06:40:00Z".into(),
            uses: ask.uses,
            controllers: vec![at.into()],
            ca_pin: "0f".repeat(32),
        }))
    }
}

#[tonic::async_trait]
impl SettingsService for Controller {
    async fn get_settings(&self, request: Request<GetSettingsRequest>) -> Answer<Settings> {
        self.admit(request)?;
        let values = [("learn_for", "1h"), ("anomaly_effect", "alert"), ("learning", "on")];
        Ok(Response::new(Settings { values: values.map(|(k, v)| (k.to_owned(), v.to_owned())).into() }))
    }

    async fn set_setting(&self, request: Request<SetSettingRequest>) -> Answer<Settings> {
        let ask = self.admit(request)?;
        if ask.name != "learn_for" {
            return Err(Status::invalid_argument(format!("there is no setting '{}': there is learn_for", ask.name)));
        }
        Ok(Response::new(Settings { values: [(ask.name, ask.value)].into() }))
    }
}

#[tonic::async_trait]
impl DefinitionService for Controller {
    async fn list_definitions(&self, request: Request<ListDefinitionsRequest>) -> Answer<ListDefinitionsResponse> {
        self.admit(request)?;
        Ok(Response::new(ListDefinitionsResponse { definitions: answers::definitions(), revision: 4 }))
    }

    async fn set_definition(&self, request: Request<SetDefinitionRequest>) -> Answer<ServiceDefinition> {
        let set = self.admit(request)?.definition.unwrap_or_default();
        let position = if set.position == 0 { 3 } else { set.position };
        Ok(Response::new(ServiceDefinition { position, ..set }))
    }

    async fn delete_definition(&self, request: Request<DeleteDefinitionRequest>) -> Answer<DeleteDefinitionResponse> {
        let ask = self.admit(request)?;
        if ask.base_revision != 0 && ask.base_revision != 4 {
            return Err(Status::aborted("the definitions have changed: they are at revision 4, not 3"));
        }
        Ok(Response::new(DeleteDefinitionResponse { revision: 5 }))
    }

    async fn preview_definition(
        &self,
        request: Request<PreviewDefinitionRequest>,
    ) -> Answer<PreviewDefinitionResponse> {
        let ask = self.admit(request)?;
        if ask.delete == "gone" {
            return Err(Status::not_found("there is no definition of 'gone'"));
        }
        Ok(Response::new(answers::would_rename()))
    }
}
