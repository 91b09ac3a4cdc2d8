//! Alert channels.

use std::time::Instant;

use cnnf_rpc::convert::ConvertError;
use cnnf_rpc::convert::common::stamp;
use cnnf_rpc::v1;
use cnnf_rpc::v1::channel_service_server::ChannelService;
use cnnf_store::ChannelProgress;
use tonic::{Request, Response, Status};

use super::{Api, caller};
use crate::alerts::{self, Channel, Known};
use crate::controller::refuse;
use crate::edit::ChannelChange;
use crate::edit::no_channel;

/// Events that wait are counted so far.
const MOST_PENDING: usize = 10_000;

#[tonic::async_trait]
impl ChannelService for Api {
    async fn list_channels(
        &self,
        _: Request<v1::ListChannelsRequest>,
    ) -> Result<Response<v1::ListChannelsResponse>, Status> {
        let all = self.0.alerts.known().clone();
        let answer = self.0.aside(move |controller| {
            let one = |(name, known): (String, Known)| {
                let pending = alerts::pending(controller, &known, MOST_PENDING).map_err(refuse)?;
                Ok(message(&name, known, pending))
            };
            all.into_iter().map(one).collect::<Result<_, Status>>()
        });
        Ok(Response::new(v1::ListChannelsResponse { channels: answer.await? }))
    }

    async fn add_channel(&self, request: Request<v1::AddChannelRequest>) -> Result<Response<v1::Channel>, Status> {
        let who = caller(&request);
        let channel = given(request.into_inner().channel)?;
        let (name, known) = self.0.edit_channel(&who, channel, ChannelChange::Add).await?;
        Ok(Response::new(message(&name, known, 0)))
    }

    async fn update_channel(
        &self,
        request: Request<v1::UpdateChannelRequest>,
    ) -> Result<Response<v1::Channel>, Status> {
        let who = caller(&request);
        let v1::UpdateChannelRequest { channel, fields } = request.into_inner();
        let (name, known) = self.0.edit_channel(&who, given(channel)?, ChannelChange::Update(fields)).await?;
        let counted = known.clone();
        let pending =
            self.0.aside(move |controller| alerts::pending(controller, &counted, MOST_PENDING).map_err(refuse));
        let pending = pending.await?;
        Ok(Response::new(message(&name, known, pending)))
    }

    async fn delete_channel(
        &self,
        request: Request<v1::DeleteChannelRequest>,
    ) -> Result<Response<v1::DeleteChannelResponse>, Status> {
        let who = caller(&request);
        self.0.delete_channel(&who, request.into_inner().name).await?;
        Ok(Response::new(v1::DeleteChannelResponse {}))
    }

    async fn test_channel(
        &self,
        request: Request<v1::TestChannelRequest>,
    ) -> Result<Response<v1::TestChannelResponse>, Status> {
        let who = caller(&request);
        let v1::TestChannelRequest { name, channel } = request.into_inner();
        let known = |name: &str| self.0.alerts.known().get(name).map(|known| std::sync::Arc::clone(&known.channel));
        let (name, tested) = match channel {
            Some(_) if !name.is_empty() => {
                return Err(ConvertError::new("name", "or channel: give one of them").into());
            }
            Some(message) => {
                let old = known(&message.name);
                let (name, channel) = Channel::read(message, old.as_deref())?;
                (name, std::sync::Arc::new(channel))
            }
            None => {
                let channel = known(&name).ok_or_else(|| no_channel(&name))?;
                (name, channel)
            }
        };
        let began = Instant::now();
        let result = alerts::test(&name, &tested).await;
        let took_ms = u32::try_from(began.elapsed().as_millis()).unwrap_or(u32::MAX);
        tracing::info!(channel = name, %who, delivered = result.is_ok(), "an alert channel was tested");
        let error = result.err().unwrap_or_default();
        Ok(Response::new(v1::TestChannelResponse { delivered: error.is_empty(), error, took_ms }))
    }
}

fn given(channel: Option<v1::Channel>) -> Result<v1::Channel, ConvertError> {
    channel.ok_or_else(|| ConvertError::new("channel", "is missing"))
}

fn message(name: &str, known: Known, pending: u64) -> v1::Channel {
    let Known { channel, changed_by, changed, progress } = known;
    let ChannelProgress { sent, folded, last_success, last_error, last_failure, .. } = progress;
    let state = v1::ChannelState {
        sent,
        folded,
        pending,
        last_success: last_success.map(stamp),
        last_error,
        last_failure: last_failure.map(stamp),
    };
    v1::Channel { state: Some(state), changed_by, changed: Some(stamp(changed)), ..channel.show(name) }
}
