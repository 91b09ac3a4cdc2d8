//! Alert channels: fixed ones, and what is written comes back.

use cnnf_rpc::v1::channel::To;
use cnnf_rpc::v1::channel_service_server::ChannelService;
use cnnf_rpc::v1::*;
use tonic::{Request, Response, Status};

use super::Controller;
use super::answers::at;
use super::controller::Answer;

fn all() -> Vec<Channel> {
    let kept = || "(kept)".to_owned();
    let mail = Email {
        server: "smtps://mail.example.org".into(),
        user: "cnnf".into(),
        password: kept(),
        from: "cnnf@example.org".into(),
        to: vec!["jo@example.org".into(), "ops@example.org".into()],
        ..Email::default()
    };
    let hook = Webhook {
        url: "https://soar.example.org/in?(kept)".into(),
        secret: kept(),
        headers: [("authorization".to_owned(), kept())].into(),
        ..Webhook::default()
    };
    let route = ChannelRoute {
        kinds: vec!["rule_prevent".into(), "tamper".into()],
        rules: vec!["nobody*".into()],
        services: Vec::new(),
        labels: [("env".to_owned(), "prod".to_owned())].into(),
    };
    let good = ChannelState { sent: 12, folded: 30, last_success: at(9), ..ChannelState::default() };
    let last_error = "the receiver answered 503 Service Unavailable \x1b[2J".into();
    let bad = ChannelState { pending: 7, last_error, last_failure: at(10), ..good.clone() };
    let channel = |name: &str, to, state| Channel {
        name: name.into(),
        rate: Some(ChannelRate { messages: 20, seconds: 600 }),
        to: Some(to),
        state: Some(state),
        changed_by: "admin".into(),
        changed: at(0),
        ..Channel::default()
    };
    let slack = Channel {
        disabled: true,
        ..channel("chat", To::Slack(Slack { url: kept(), ..Slack::default() }), good.clone())
    };
    let siem = To::Cef(Syslog { server: "tls://siem.example.org".into(), ..Syslog::default() });
    vec![
        slack,
        channel("mail", To::Email(mail), good.clone()),
        Channel { rate: Some(ChannelRate::default()), ..channel("siem", siem, good) },
        Channel { route: Some(route), ..channel("soar", To::Webhook(hook), bad) },
    ]
}

#[tonic::async_trait]
impl ChannelService for Controller {
    async fn list_channels(&self, request: Request<ListChannelsRequest>) -> Answer<ListChannelsResponse> {
        self.admit(request)?;
        Ok(Response::new(ListChannelsResponse { channels: all() }))
    }

    async fn add_channel(&self, request: Request<AddChannelRequest>) -> Answer<Channel> {
        let channel = self.admit(request)?.channel.expect("a channel");
        if all().iter().any(|known| known.name == channel.name) {
            return Err(Status::already_exists(format!("there is an alert channel '{}' already", channel.name)));
        }
        Ok(Response::new(channel))
    }

    async fn update_channel(&self, request: Request<UpdateChannelRequest>) -> Answer<Channel> {
        Ok(Response::new(self.admit(request)?.channel.expect("a channel")))
    }

    async fn delete_channel(&self, request: Request<DeleteChannelRequest>) -> Answer<DeleteChannelResponse> {
        self.admit(request)?;
        Ok(Response::new(DeleteChannelResponse {}))
    }

    async fn test_channel(&self, request: Request<TestChannelRequest>) -> Answer<TestChannelResponse> {
        let delivered = self.admit(request)?.name != "soar";
        let error = if delivered { String::new() } else { "the receiver answered 503 Service Unavailable".into() };
        Ok(Response::new(TestChannelResponse { delivered, error, took_ms: 12 }))
    }
}
