//! What was counted over time.

use std::collections::BTreeMap;

use cnnf_core::topology::Edge;
use cnnf_rpc::convert::ConvertError;
use cnnf_rpc::convert::common::time_range;
use cnnf_rpc::v1;
use cnnf_store::Span;
use tonic::Status;

use super::Api;
use crate::clock::now;
use crate::controller::refuse;

impl Api {
    /// By hours and days, of an edge or of a service.
    pub(super) async fn history(&self, wanted: v1::GetHistoryRequest) -> Result<v1::GetHistoryResponse, Status> {
        let (since, until) = time_range("time", wanted.time.as_ref())?;
        let until = until.unwrap_or_else(now);
        let (edge, key) = match (wanted.edge, wanted.service.as_str()) {
            (Some(edge), "") => (Some(Edge::try_from(edge).map_err(|error| error.under("edge"))?), None),
            (None, name) if !name.is_empty() => (None, Some(self.0.snapshot().service("service", name)?)),
            _ => return Err(ConvertError::new("edge", "or service: exactly one of them is needed").into()),
        };
        let (taken, opened) = self
            .0
            .aside(move |controller| {
                let found = match (edge, key) {
                    (Some(edge), _) => controller.store.edge_history(&edge, since, until).map(|all| (all, Vec::new())),
                    (None, Some(key)) => controller.store.service_history(&key, since, until),
                    (None, None) => Ok((Vec::new(), Vec::new())),
                };
                found.map_err(refuse)
            })
            .await?;
        let mut spans: BTreeMap<(u64, u64), v1::CountedSpan> = BTreeMap::new();
        let span = |of: &Span| v1::CountedSpan { start_ms: of.start.0, width_ms: of.width, ..Default::default() };
        for one in &taken {
            let span = spans.entry((one.start.0, one.width)).or_insert_with(|| span(one));
            (span.connections, span.bytes) = (one.connections, one.bytes);
        }
        for one in &opened {
            let span = spans.entry((one.start.0, one.width)).or_insert_with(|| span(one));
            (span.connections_out, span.bytes_out) = (one.connections, one.bytes);
        }
        Ok(v1::GetHistoryResponse { spans: spans.into_values().collect() })
    }
}
