//! What services are called.

use std::sync::Arc;

use cnnf_core::identity::Definition;
use cnnf_rpc::convert::ConvertError;
use cnnf_store::{DefinitionRow, DefinitionState};
use serde_json::json;
use tonic::Status;

use crate::auth::Caller;
use crate::changes::Topic;
use crate::clock::now;
use crate::controller::{Controller, refuse};

/// A change of the definitions.
pub(crate) enum Change {
    /// Puts one at this place, from 1; 0 is where the one of its name is, or the end.
    Set(Definition, usize),
    /// Takes the one of this name away.
    Delete(String),
}

impl Change {
    /// Which definition is changed.
    fn name(&self) -> &str {
        match self {
            Self::Set(definition, _) => &definition.name,
            Self::Delete(name) => name.strip_prefix("svc:").unwrap_or(name),
        }
    }

    /// The definitions after it, with who changed those that are different.
    pub(crate) fn draft(self, old: &DefinitionState, who: &str) -> Result<DefinitionState, Status> {
        let mut rows = old.rows.clone();
        let place = |name: &str| old.rows.iter().position(|row| row.definition.name == name);
        match self {
            Self::Set(definition, position) => {
                let known = place(&definition.name);
                let row = match known.map(|at| rows.remove(at)) {
                    Some(same) if same.definition == definition => same,
                    _ => DefinitionRow { definition, changed_by: who.to_owned(), changed: now() },
                };
                let to = if position == 0 { known.unwrap_or(rows.len()) } else { (position - 1).min(rows.len()) };
                rows.insert(to, row);
            }
            Self::Delete(name) => {
                let name = name.strip_prefix("svc:").unwrap_or(&name);
                let at = place(name).ok_or_else(|| {
                    let name: String = name.escape_debug().take(80).collect();
                    Status::not_found(format!(
                        "there is no definition of '{name}': 'cnnfctl services definitions' shows them"
                    ))
                })?;
                rows.remove(at);
            }
        }
        let all: Vec<Definition> = rows.iter().map(|row| row.definition.clone()).collect();
        Definition::check_all(&all).map_err(|error| ConvertError::new("definition", error))?;
        let revision = old.revision + u64::from(rows != old.rows);
        Ok(DefinitionState { revision, rows })
    }
}

impl Controller {
    /// Changes the definitions: stored, then on their way to the hosts that they fit. `seen` is the revision that the caller knows, 0 if that
    /// does not matter.
    pub(crate) async fn edit_definitions(
        self: &Arc<Self>,
        seen: u64,
        who: &Caller,
        change: Change,
    ) -> Result<DefinitionState, Status> {
        let _guard = self.edits.lock().await;
        let old = self.state().definitions.clone();
        if seen != 0 && seen != old.revision {
            return Err(Status::aborted(format!(
                "the definitions have changed: they are at revision {}, not {seen}: look at them and try again",
                old.revision
            )));
        }
        let name = change.name().to_owned();
        let new = change.draft(&old, &who.to_string())?;
        if new.revision == old.revision {
            return Ok(new);
        }
        let shown = |rows: &[DefinitionRow]| {
            let row = rows.iter().enumerate().find(|(_, row)| row.definition.name == name);
            row.map(|(at, row)| json!({"position": at + 1, "definition": row.definition}))
        };
        let (before, after) = (shown(&old.rows), shown(&new.rows));
        let action = if after.is_some() { "definition.set" } else { "definition.delete" };
        let record = who.record(action, &name, before, after);
        self.store.save_definitions(old.revision, new.clone(), record).await.map_err(refuse)?;
        let mut state = self.state();
        Arc::make_mut(&mut state.policy).definitions = new.rows.iter().map(|row| row.definition.clone()).collect();
        state.definitions.clone_from(&new);
        drop(state);
        tracing::info!(revision = new.revision, definitions = new.rows.len(), %who, "definitions have changed");
        self.changes.note(Topic::Definitions);
        self.resolve_now.notify_one();
        Ok(new)
    }
}
