//! Changes of learned models.

use std::collections::BTreeSet;
use std::sync::Arc;

use cnnf_core::id::ServiceKey;
use cnnf_core::model::{Model, Refusal};
use cnnf_core::time::Timestamp;
use cnnf_core::topology::Edge;
use cnnf_store::ModelPatch;
use serde_json::{Value, json};
use tonic::Status;

use crate::auth::Caller;
use crate::changes::Topic;
use crate::clock::now;
use crate::controller::{Controller, refuse};

/// What an entry of the record says of the edge.
pub(crate) const EDGE: &str = "of";
/// What an entry of the record says of the reason.
pub(crate) const WHY: &str = "why";

/// What somebody does to a model.
pub(crate) struct Deed {
    /// Such as `model.approve`.
    pub(crate) action: &'static str,
    /// The edge, if it is about one.
    pub(crate) edge: String,
    /// Why, in their words.
    pub(crate) why: String,
}

impl Controller {
    /// Changes a model: stored, then in force.
    pub(crate) async fn edit_model(
        self: &Arc<Self>,
        who: &Caller,
        key: &ServiceKey,
        Deed { action, edge, why }: Deed,
        change: impl FnOnce(&mut Model, Timestamp) -> Result<(), Refusal>,
    ) -> Result<Model, Status> {
        let _guard = self.edits.lock().await;
        let (model, pending) = {
            let mut state = self.state();
            let Some(model) = Arc::make_mut(&mut state.policy).models.get_mut(key) else {
                return Err(no_model(key));
            };
            let old = model.clone();
            change(model, now()).map_err(|refusal| refused(key, refusal))?;
            let edges = differing(&old, model);
            // Queued under the lock: see Controller::queue.
            let mut after = shown(model);
            for (name, text) in [(EDGE, &edge), (WHY, &why)] {
                if !text.is_empty() {
                    after[name] = json!(text);
                }
            }
            let record = who.record(action, key.as_str(), Some(shown(&old)), Some(after));
            (model.clone(), self.store.decide_model(ModelPatch::of(key, Some(model), &edges), record))
        };
        if let Err(error) = pending.await {
            self.take_back().await;
            return Err(refuse(error));
        }
        tracing::info!(service = %key, action, edge, why, %who, "a model was changed by hand");
        self.changes.note(Topic::Models);
        self.resolve_now.notify_one();
        Ok(model)
    }
}

/// A model as the record of changes shows it.
fn shown(model: &Model) -> Value {
    json!({
        "phase": model.phase,
        "edges": model.edges.len(),
        "anomaly_effect": model.anomaly_effect,
        "manual": model.manual,
    })
}

/// A service that has no model.
pub(crate) fn no_model(key: &ServiceKey) -> Status {
    Status::not_found(format!("{key} has no model: it has one once it runs or talks"))
}

fn refused(key: &ServiceKey, refusal: Refusal) -> Status {
    let message = format!("{key}: {refusal}");
    match refusal {
        Refusal::NotAtAnEnd => Status::invalid_argument(message),
        Refusal::NotKnown => Status::not_found(message),
        Refusal::Full | Refusal::NotManual => Status::failed_precondition(message),
    }
}

fn differing(old: &Model, new: &Model) -> BTreeSet<Edge> {
    let changed = |(edge, seen)| (old.edges.get(edge) != Some(seen)).then(|| edge.clone());
    let gone = old.edges.keys().filter(|edge| !new.edges.contains_key(edge)).cloned();
    new.edges.iter().filter_map(changed).chain(gone).collect()
}
