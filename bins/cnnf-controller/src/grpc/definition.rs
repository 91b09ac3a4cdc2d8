//! What services are called.

use std::collections::BTreeSet;
use std::sync::Arc;

use cnnf_core::id::HostId;
use cnnf_core::identity::Definition;
use cnnf_core::policy::{Renamed, Renaming, renaming};
use cnnf_rpc::convert::ConvertError;
use cnnf_rpc::convert::common::time_text;
use cnnf_rpc::v1;
use cnnf_rpc::v1::definition_service_server::DefinitionService;
use cnnf_store::DefinitionRow;
use tonic::{Request, Response, Status};

use super::{Api, caller};
use crate::edit::Change;
use crate::state::State;

#[tonic::async_trait]
impl DefinitionService for Api {
    async fn list_definitions(
        &self,
        _: Request<v1::ListDefinitionsRequest>,
    ) -> Result<Response<v1::ListDefinitionsResponse>, Status> {
        let state = self.0.state();
        let definitions = state.definitions.rows.iter().enumerate().map(message).collect();
        Ok(Response::new(v1::ListDefinitionsResponse { definitions, revision: state.definitions.revision }))
    }

    async fn set_definition(
        &self,
        request: Request<v1::SetDefinitionRequest>,
    ) -> Result<Response<v1::ServiceDefinition>, Status> {
        let who = caller(&request);
        let v1::SetDefinitionRequest { definition, base_revision } = request.into_inner();
        let (definition, position) = read(definition)?;
        let name = definition.name.clone();
        let new = self.0.edit_definitions(base_revision, &who, Change::Set(definition, position)).await?;
        let set = new.rows.iter().enumerate().find(|(_, row)| row.definition.name == name);
        let set = set.ok_or_else(|| Status::internal("the definition is gone"))?;
        Ok(Response::new(message(set)))
    }

    async fn delete_definition(
        &self,
        request: Request<v1::DeleteDefinitionRequest>,
    ) -> Result<Response<v1::DeleteDefinitionResponse>, Status> {
        let who = caller(&request);
        let v1::DeleteDefinitionRequest { name, base_revision } = request.into_inner();
        let new = self.0.edit_definitions(base_revision, &who, Change::Delete(name)).await?;
        Ok(Response::new(v1::DeleteDefinitionResponse { revision: new.revision }))
    }

    async fn preview_definition(
        &self,
        request: Request<v1::PreviewDefinitionRequest>,
    ) -> Result<Response<v1::PreviewDefinitionResponse>, Status> {
        let v1::PreviewDefinitionRequest { definition, delete } = request.into_inner();
        let (old, policy, directory) = {
            let state = self.0.state();
            (state.definitions.clone(), Arc::clone(&state.policy), Arc::clone(&state.directory))
        };
        let (name, change) = if delete.is_empty() {
            let (definition, position) = read(definition)?;
            (definition.name.clone(), Change::Set(definition, position))
        } else {
            (delete.strip_prefix("svc:").unwrap_or(&delete).to_owned(), Change::Delete(delete))
        };
        let new = change.draft(&old, "")?;
        let new: Vec<Definition> = new.rows.into_iter().map(|row| row.definition).collect();
        let by_name = |d: &&Definition| d.name == name;
        let meant = new.iter().find(by_name).or_else(|| policy.definitions.iter().find(by_name)).cloned();
        let said = self.0.aside(move |_| Ok(renaming(&policy, &new, &directory))).await?;
        let said = preview(&self.0.state(), &said, meant.as_ref(), old.revision);
        Ok(Response::new(said))
    }
}

fn read(definition: Option<v1::ServiceDefinition>) -> Result<(Definition, usize), ConvertError> {
    let definition = definition.ok_or_else(|| ConvertError::new("definition", "is missing"))?;
    let position = definition.position as usize;
    let definition = Definition::try_from(definition).map_err(|error| error.under("definition"))?;
    Ok((definition, position))
}

fn message((n, row): (usize, &DefinitionRow)) -> v1::ServiceDefinition {
    v1::ServiceDefinition {
        position: u32::try_from(n + 1).unwrap_or(u32::MAX),
        changed_by: row.changed_by.clone(),
        changed: time_text(row.changed),
        ..v1::ServiceDefinition::from(&row.definition)
    }
}

/// What would be; `meant` is the definition that is set or deleted.
fn preview(state: &State, said: &Renaming, meant: Option<&Definition>, revision: u64) -> v1::PreviewDefinitionResponse {
    let certainty = |certain: bool| if certain { "yes" } else { "maybe" }.to_owned();
    let renamings = said.renamed.iter().map(|renamed| v1::Renaming {
        host: state.host_name(&renamed.host),
        host_id: renamed.host.to_string(),
        old: renamed.old.to_string(),
        new: renamed.new.as_ref().map(ToString::to_string).unwrap_or_default(),
        certainty: certainty(renamed.certain),
        live: renamed.live,
    });
    let lost = said.lost.iter().map(|(key, lost)| v1::LostKey {
        service: key.to_string(),
        certainty: certainty(lost.certain),
        rules: lost.rules.clone(),
        phase: lost.phase.map(|phase| phase.to_string()).unwrap_or_default(),
        mode: lost.mode.map(|mode| mode.to_string()).unwrap_or_default(),
    });
    let by_process = said.by_process.iter().map(|(host, key)| v1::ByProcess {
        host: state.host_name(host),
        host_id: host.to_string(),
        service: key.to_string(),
        trouble: trouble(state, host),
    });
    let fits = |id: &&HostId| {
        let host = state.directory.host(id);
        host.zip(meant).is_some_and(|(host, meant)| host.labels.satisfy(&meant.labels))
    };
    let hosts: BTreeSet<&HostId> = state.directory.ids().filter(fits).collect();
    let mut renamings: Vec<v1::Renaming> = renamings.collect();
    renamings.sort_by(|a, b| (&a.host, &a.old, &a.new).cmp(&(&b.host, &b.old, &b.new)));
    let names: BTreeSet<String> = hosts.iter().map(|id| state.host_name(id)).collect();
    v1::PreviewDefinitionResponse {
        renamings,
        lost: lost.collect(),
        by_process: by_process.collect(),
        unknown: unknown(state, meant, &hosts, &said.renamed),
        hosts: names.into_iter().collect(),
        revision,
    }
}

/// What is amiss on a host with telling services apart by process.
fn trouble(state: &State, host: &HostId) -> String {
    let status = state.hosts.get(host).and_then(|known| known.status.as_ref());
    match status {
        Some(status) if status.queue == "none" => {
            "its kernel cannot queue packets: what processes decide would be unknown there".into()
        }
        _ => String::new(),
    }
}

/// What the preview cannot know.
fn unknown(state: &State, meant: Option<&Definition>, hosts: &BTreeSet<&HostId>, renamed: &[Renamed]) -> Vec<String> {
    let mut out = Vec::new();
    if renamed.iter().any(|renamed| renamed.new.is_none()) {
        out.push(
            "what was named by its process: only its host knows what it is called without the definition".to_owned(),
        );
    }
    let Some(meant) = meant else { return out };
    if !meant.command_lines.is_empty() || !meant.users.is_empty() {
        out.push(
            "command lines and users: hosts do not report them of all programs, so what depends on them is 'maybe'"
                .into(),
        );
    }
    if !meant.executables.is_empty() {
        out.push("which executables run inside units and containers, so these are 'maybe'; scripts are known here by their own path, not by the interpreter that runs them".into());
    }
    if meant.asks_for_ports() {
        out.push("what listens on its ports later, or did before and is stopped now: it has the name once it is seen to listen, within seconds, until another service listens there".into());
    }
    if !meant.units.is_empty() && meant.may_mean_programs() {
        out.push("in which scopes programs run, so programs are 'maybe'".into());
    }
    let away = |id: &&&HostId| state.hosts.get(**id).is_none_or(|known| known.live.is_none());
    let away: Vec<String> = hosts.iter().filter(away).map(|id| state.host_name(id)).collect();
    if !away.is_empty() {
        let more = if away.len() > 10 { format!(" and {} more", away.len() - 10) } else { String::new() };
        let names = away.iter().take(10).map(String::as_str).collect::<Vec<_>>().join(", ");
        out.push(format!("what runs now on hosts that are not connected: {names}{more}"));
    }
    out
}
