//! Learned models.

use std::collections::BTreeMap;

use cnnf_core::id::ServiceKey;
use cnnf_core::model::{Model, Seen};
use cnnf_core::topology::Edge;
use rusqlite::{Connection, params};

use crate::audit::{self, Audit};
use crate::column::{collect, count, read_count, read_edge, read_optional, read_small, read_text, read_time, time};
use crate::writer::Class;
use crate::{Pending, Store, StoreError};

/// What changed in one service's model: whole new values, so that writing twice is once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelPatch {
    service: ServiceKey,
    /// The new model without its edges; `None` if it is no more.
    head: Option<Model>,
    put: Vec<(Edge, Seen)>,
    gone: Vec<Edge>,
}

impl ModelPatch {
    /// Makes what is stored of these edges, and of everything but edges, equal to `model`; `None` for a model that is no more.
    #[must_use]
    pub fn of<'a>(service: &ServiceKey, model: Option<&Model>, edges: impl IntoIterator<Item = &'a Edge>) -> Self {
        let Some(model) = model else { return Self::removal(service) };
        let mut patch = Self::head(service, model);
        for edge in edges {
            match model.edges.get(edge) {
                Some(seen) => patch.put.push((edge.clone(), *seen)),
                None => patch.gone.push(edge.clone()),
            }
        }
        patch
    }

    /// Sets everything of `model` but its edges.
    #[must_use]
    pub fn head(service: &ServiceKey, model: &Model) -> Self {
        let head = Some(head_of(model));
        Self { service: service.clone(), head, put: Vec::new(), gone: Vec::new() }
    }

    /// Removes the model.
    #[must_use]
    pub fn removal(service: &ServiceKey) -> Self {
        Self { service: service.clone(), head: None, put: Vec::new(), gone: Vec::new() }
    }
}

impl Store {
    /// All models.
    ///
    /// # Errors
    /// If the database cannot be read.
    pub fn models(&self) -> Result<BTreeMap<ServiceKey, Model>, StoreError> {
        self.read(|connection| {
            let heads = collect(connection, "SELECT * FROM models", &[], |row| {
                let model = Model {
                    phase: read_text(row, "phase")?,
                    since: read_time(row, "since")?,
                    observed_ms: read_count(row, "observed_ms")?,
                    runs: read_small(row, "runs")?,
                    last_live: read_time(row, "last_live")?,
                    live: row.get("live")?,
                    edges: BTreeMap::new(),
                    connections: read_count(row, "connections")?,
                    anomaly_effect: read_optional(row, "effect")?,
                    resume: read_text(row, "resume")?,
                    manual: row.get("manual")?,
                    live_since: read_time(row, "live_since")?,
                    exposed_ms: read_count(row, "exposed_ms")?,
                };
                Ok((read_text::<ServiceKey>(row, "service")?, model))
            })?;
            let mut models: BTreeMap<ServiceKey, Model> = heads.into_iter().collect();
            collect(connection, "SELECT * FROM model_edges", &[], |row| {
                let seen = Seen {
                    first: read_time(row, "first_seen")?,
                    last: read_time(row, "last_seen")?,
                    connections: read_count(row, "connections")?,
                    origin: read_text(row, "origin")?,
                };
                if let Some(model) = models.get_mut(&read_text::<ServiceKey>(row, "service")?) {
                    model.edges.insert(read_edge(row)?, seen);
                }
                Ok(())
            })?;
            Ok(models)
        })
    }

    /// Changes models outside of a report.
    pub fn patch_models(&self, patches: Vec<ModelPatch>) -> Pending<()> {
        let apply = move |connection: &Connection| patches.iter().try_for_each(|patch| apply(connection, patch));
        self.writer.submit(Class::Observation, apply)
    }

    /// Changes a model because an operator wants it, with its record: both or neither.
    pub fn decide_model(&self, patch: ModelPatch, audit: Audit) -> Pending<()> {
        self.writer.submit(Class::SyncedObservation, move |connection| {
            apply(connection, &patch)?;
            audit::add(connection, &audit)
        })
    }
}

/// A model without its edges; copies none.
fn head_of(model: &Model) -> Model {
    Model { edges: BTreeMap::new(), ..*model }
}

pub(crate) fn apply(connection: &Connection, patch: &ModelPatch) -> Result<(), StoreError> {
    let service = patch.service.as_str();
    let Some(head) = &patch.head else {
        connection.prepare_cached("DELETE FROM models WHERE service = ?1")?.execute([service])?;
        return Ok(());
    };
    let mut put_head = connection.prepare_cached(
        "INSERT INTO models (service, phase, since, observed_ms, runs, last_live, live, connections, effect, resume,
         manual, live_since, exposed_ms)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
         ON CONFLICT (service) DO UPDATE SET phase = excluded.phase, since = excluded.since,
         observed_ms = excluded.observed_ms, runs = excluded.runs, last_live = excluded.last_live, live = excluded.live,
         connections = excluded.connections, effect = excluded.effect, resume = excluded.resume,
         manual = excluded.manual, live_since = excluded.live_since, exposed_ms = excluded.exposed_ms",
    )?;
    put_head.execute(params![
        service,
        head.phase.as_str(),
        time(head.since),
        count(head.observed_ms),
        head.runs,
        time(head.last_live),
        head.live,
        count(head.connections),
        head.anomaly_effect.map_or("", |effect| effect.as_str()),
        head.resume.as_str(),
        head.manual,
        time(head.live_since),
        count(head.exposed_ms),
    ])?;
    let mut delete = connection.prepare_cached(
        "DELETE FROM model_edges WHERE service = ?1 AND client = ?2 AND server = ?3 AND protocol = ?4 AND port = ?5",
    )?;
    for edge in &patch.gone {
        let protocol = edge.protocol.to_string();
        delete.execute(params![service, edge.client.to_string(), edge.server.to_string(), protocol, edge.port])?;
    }
    let mut put = connection.prepare_cached(
        "INSERT INTO model_edges (service, client, server, protocol, port, connections, first_seen, last_seen, origin)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
         ON CONFLICT (service, client, server, protocol, port) DO UPDATE SET
         connections = excluded.connections, first_seen = excluded.first_seen, last_seen = excluded.last_seen,
         origin = excluded.origin",
    )?;
    for (edge, seen) in &patch.put {
        put.execute(params![
            service,
            edge.client.to_string(),
            edge.server.to_string(),
            edge.protocol.to_string(),
            edge.port,
            count(seen.connections),
            time(seen.first),
            time(seen.last),
            seen.origin.as_str(),
        ])?;
    }
    Ok(())
}
