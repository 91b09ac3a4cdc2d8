//! Where operators are told of events.

use std::sync::Arc;

use cnnf_rpc::convert::ConvertError;
use cnnf_rpc::json::JsonMessage;
use cnnf_rpc::v1;
use cnnf_store::ChannelRow;
use serde_json::Value;
use tonic::Status;

use crate::alerts::{Channel, Known};
use crate::auth::Caller;
use crate::changes::Topic;
use crate::clock::now;
use crate::controller::{Controller, refuse};

/// Channels at most.
const MOST: usize = 64;

/// What is done with a channel.
pub(crate) enum ChannelChange {
    /// It is new.
    Add,
    /// These fields of the one that has its name; all if none is named.
    Update(Vec<String>),
}

/// Puts the named fields of one channel into another.
fn overlay(into: &mut v1::Channel, from: v1::Channel, fields: &[String]) -> Result<(), ConvertError> {
    let v1::Channel { disabled, mut route, rate, mut to, .. } = from;
    for field in fields {
        match field.as_str() {
            "disabled" => into.disabled = disabled,
            "route" => into.route = route.take(),
            "rate" => into.rate = rate,
            "to" => into.to = to.take(),
            other => {
                let other: String = other.escape_debug().take(80).collect();
                let what = format!("'{other}' cannot be changed: there are disabled, route, rate, to");
                return Err(ConvertError::new("fields", what));
            }
        }
    }
    Ok(())
}

impl Controller {
    /// Adds a channel, or changes the one of its name.
    pub(crate) async fn edit_channel(
        self: &Arc<Self>,
        who: &Caller,
        mut message: v1::Channel,
        change: ChannelChange,
    ) -> Result<(String, Known), Status> {
        let _guard = self.edits.lock().await;
        let old = self.alerts.known().get(&message.name).cloned();
        let is_new = matches!(change, ChannelChange::Add);
        if let (Some(old), ChannelChange::Update(fields)) = (&old, change)
            && !fields.is_empty()
        {
            // Over what is there now, not over what the caller has seen: others may have changed the rest.
            let mut whole = old.channel.show(&message.name);
            overlay(&mut whole, message, &fields)?;
            message = whole;
        }
        let (name, channel) = Channel::read(message, old.as_ref().map(|old| &*old.channel))?;
        match &old {
            Some(_) if is_new => {
                return Err(Status::already_exists(format!("there is an alert channel '{name}' already")));
            }
            None if !is_new => return Err(no_channel(&name)),
            None if self.alerts.known().len() >= MOST => {
                return Err(Status::resource_exhausted(format!(
                    "there are {MOST} alert channels, and may be no more: delete one"
                )));
            }
            _ => {}
        }
        let body = serde_json::to_string(&channel).map_err(|error| Status::internal(error.to_string()))?;
        let row = ChannelRow {
            name: name.clone(),
            body,
            changed_by: who.name().to_owned(),
            changed: now(),
            progress: Default::default(),
        };
        let action = if is_new { "channel.add" } else { "channel.update" };
        let before = old.as_ref().map(|old| shown(&name, &old.channel));
        let record = who.record(action, &name, before, Some(shown(&name, &channel)));
        let (changed_by, changed) = (row.changed_by.clone(), row.changed);
        // What happened while it was disabled was not meant to be told.
        let skip = old.is_some_and(|old| old.channel.disabled);
        self.store.put_channel(row, skip, record).await.map_err(refuse)?;
        let progress = self.store.channel_progress(name.clone()).await.map_err(refuse)?;
        let known = Known { channel: Arc::new(channel), changed_by, changed, progress };
        self.alerts.known().insert(name.clone(), known.clone());
        self.alerts.changed.notify_one();
        tracing::info!(channel = name, %who, "an alert channel has changed");
        self.changes.note(Topic::Channels);
        Ok((name, known))
    }

    /// Deletes a channel.
    pub(crate) async fn delete_channel(self: &Arc<Self>, who: &Caller, name: String) -> Result<(), Status> {
        let _guard = self.edits.lock().await;
        let old = self.alerts.known().get(&name).cloned().ok_or_else(|| no_channel(&name))?;
        let record = who.record("channel.delete", &name, Some(shown(&name, &old.channel)), None);
        self.store.delete_channel(name.clone(), record).await.map_err(refuse)?;
        self.alerts.known().remove(&name);
        self.alerts.changed.notify_one();
        tracing::info!(channel = name, %who, "an alert channel is deleted");
        self.changes.note(Topic::Channels);
        Ok(())
    }
}

/// A channel as the record of changes shows one: as everybody sees it.
fn shown(name: &str, channel: &Channel) -> Value {
    let message = JsonMessage::new(&channel.show(name)).ok();
    message.and_then(|message| serde_json::to_value(message).ok()).unwrap_or_default()
}

pub(crate) fn no_channel(name: &str) -> Status {
    let name: String = name.escape_debug().take(80).collect();
    Status::not_found(format!("there is no alert channel '{name}': 'cnnfctl alerts list' shows them"))
}
