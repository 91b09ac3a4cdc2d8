//! Answers what another policy would cut, beside the agent: listing and judging many connections takes longer than packets may wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cnnf_host::observe::connections;
use cnnf_rpc::v1::defender_message::Body as Up;
use tokio::sync::mpsc::UnboundedSender;

use crate::agent::Preview;

/// One question at a time.
pub(super) struct Previews {
    up: UnboundedSender<Up>,
    busy: Arc<AtomicBool>,
}

impl Previews {
    pub(super) fn new(up: UnboundedSender<Up>) -> Self {
        Self { up, busy: Arc::default() }
    }

    /// Begins to answer; the link has the answer once it is there.
    pub(super) fn begin(&self, preview: Preview) {
        if self.busy.swap(true, Ordering::AcqRel) {
            let busy = preview.answer(Err("another question is being answered: ask again".to_owned()));
            let _ = self.up.send(Up::PreviewAnswer(busy));
            return;
        }
        let (up, busy) = (self.up.clone(), Arc::clone(&self.busy));
        let answer = move || {
            let live = connections::live().map_err(|error| error.to_string());
            let answer = preview.answer(live);
            busy.store(false, Ordering::Release);
            // the link ends only with the process
            let _ = up.send(Up::PreviewAnswer(answer));
        };
        if let Err(error) = std::thread::Builder::new().name("preview".into()).spawn(answer) {
            self.busy.store(false, Ordering::Release);
            // nobody can be told any more: the question went with the thread
            tracing::warn!("a question about live connections is not answered: {error}");
        }
    }
}
