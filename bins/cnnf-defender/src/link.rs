//! The stream to the controller: reports and answers go up, policies come down.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Duration, SystemTime};

use cnnf_core::time::Timestamp;
use cnnf_rpc::v1::defender_message::Body as Up;
use cnnf_rpc::v1::defender_service_client::DefenderServiceClient;
use cnnf_rpc::{limits, tls, v1};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::agent::Event;
use crate::credentials::Credentials;
use crate::enroll::host_name;
use crate::received::{Answer, Received};
use crate::runtime::Shared;
use crate::spool::Spool;

/// The longest wait before the first attempt after a loss; it doubles with each failure.
const BACK_OFF_FIRST: Duration = Duration::from_millis(500);
/// The longest wait of all.
const BACK_OFF_MAX: Duration = Duration::from_secs(15);
const HEARTBEAT: Duration = Duration::from_secs(10);
/// How often it is looked whether the certificate is to be renewed.
const LOOK: Duration = Duration::from_secs(1);

/// What the link needs.
pub(crate) struct Link {
    pub(crate) credentials: Arc<Credentials>,
    pub(crate) controller: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) spool: Arc<Spool>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) agent: Sender<Event>,
}

impl Link {
    /// Keeps a stream open for ever.
    pub(crate) async fn run(self, mut answers: mpsc::UnboundedReceiver<Up>) {
        let mut failures = 0_u32;
        loop {
            let before = std::time::Instant::now();
            match self.stream(&mut answers).await {
                Ok(()) => tracing::info!("{} ended the stream", self.controller),
                Err(error) => tracing::warn!("{error}"),
            }
            self.shared.set_connected(false);
            if before.elapsed() > BACK_OFF_MAX {
                failures = 0;
            }
            let most = BACK_OFF_FIRST.saturating_mul(1 << failures.min(10)).min(BACK_OFF_MAX);
            failures += 1;
            tokio::time::sleep(most.mul_f64(rand::random::<f64>())).await;
        }
    }

    /// One stream, until it breaks.
    async fn stream(&self, answers: &mut mpsc::UnboundedReceiver<Up>) -> Result<(), String> {
        let channel =
            tls::connect(&self.controller, &self.credentials.tls()).await.map_err(|error| error.to_string())?;
        let (up, rx) = mpsc::channel(limits::MAX_UNACKNOWLEDGED);
        let send = |body| {
            let up = up.clone();
            async move {
                let message = v1::DefenderMessage { body: Some(body) };
                up.send(message).await.map_err(|_| "the stream to the controller is closed".to_owned())
            }
        };
        let hello = v1::Hello {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            host_name: host_name(),
            spool_epoch: self.spool.epoch(),
            generation: self.shared.generation(),
            labels: self.labels.clone(),
            now_ms: Timestamp::of(SystemTime::now()).0,
            takes_deltas: true,
            takes_previews: true,
            spool_past: self.spool.past().into_iter().map(Into::into).collect(),
        };
        send(Up::Hello(hello)).await?;
        let mut client =
            DefenderServiceClient::new(channel.clone()).max_decoding_message_size(limits::MAX_POLICY_MESSAGE);
        let refused = |status: tonic::Status| format!("{}: {}", self.controller, status.message());
        let mut down = client.attach(ReceiverStream::new(rx)).await.map_err(refused)?.into_inner();
        tracing::info!("connected to {}", self.controller);
        self.shared.set_connected(true);

        let renewing = async {
            let mut look = tokio::time::interval(LOOK);
            loop {
                look.tick().await;
                if self.credentials.due(SystemTime::now()) {
                    self.credentials.renew(channel.clone()).await;
                    self.shared.set_certificate(self.credentials.expires());
                }
            }
        };
        tokio::pin!(renewing);
        let (mut sent, mut acknowledged) = (0, 0);
        let mut received = Received::default();
        let mut beat = tokio::time::interval(HEARTBEAT);
        loop {
            let room =
                limits::MAX_UNACKNOWLEDGED.saturating_sub(usize::try_from(sent - acknowledged).unwrap_or(usize::MAX));
            // registered before looking, so that no report is missed
            let changed = self.spool.changed();
            let reports = self.spool.after(sent, room.min(limits::MAX_UNACKNOWLEDGED));
            if reports.is_empty() {
                tokio::select! {
                    () = changed, if room > 0 => {}
                    // the spool may have changed between the registration's first poll and the look
                    () = tokio::time::sleep(Duration::from_millis(100)), if room > 0 => {}
                    message = down.message() => match message.map_err(refused)? {
                        None => return Ok(()),
                        Some(message) => match received.take(message, &self.spool) {
                            // the agent ends only with the process
                            Some(Answer::Event(event)) => drop(self.agent.send(event)),
                            Some(Answer::Acknowledged(seq)) => acknowledged = acknowledged.max(seq),
                            Some(Answer::Wanted(wanted)) => send(Up::SnapshotWanted(wanted)).await?,
                            Some(Answer::Unread(answer)) => send(Up::PreviewAnswer(answer)).await?,
                            Some(Answer::Believe(cas)) => self.credentials.believe(cas),
                            None => {}
                        },
                    },
                    Some(answer) = answers.recv() => send(answer).await?,
                    () = &mut renewing => {}
                    _ = beat.tick() => send(Up::Heartbeat(self.shared.heartbeat())).await?,
                }
            }
            for report in reports {
                if sent == 0 {
                    acknowledged = report.seq - 1;
                }
                sent = report.seq;
                send(Up::Report(report)).await?;
            }
        }
    }
}
