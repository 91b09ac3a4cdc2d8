//! Settings.

use cnnf_rpc::v1;
use cnnf_rpc::v1::settings_service_server::SettingsService;
use tonic::{Request, Response, Status};

use super::{Api, caller};

#[tonic::async_trait]
impl SettingsService for Api {
    async fn get_settings(&self, _: Request<v1::GetSettingsRequest>) -> Result<Response<v1::Settings>, Status> {
        Ok(Response::new(v1::Settings { values: self.0.state().settings.to_texts() }))
    }

    async fn set_setting(&self, request: Request<v1::SetSettingRequest>) -> Result<Response<v1::Settings>, Status> {
        let who = caller(&request);
        let v1::SetSettingRequest { name, value } = request.into_inner();
        let values = self.0.edit_setting(&who, &name, &value).await?;
        Ok(Response::new(v1::Settings { values }))
    }
}
