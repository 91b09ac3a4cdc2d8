//! Where labels lie in conntrack's bits.

use cnnf_host::dataplane::{Reconciler, labels};
use cnnf_host::kernel::LabelPlace;

use crate::config::Config;
use crate::snapshot;

/// Chooses the place that is configured. Where an earlier run of this boot had another, its table is taken away and its labels with it, as they would be
/// misread: connections that live are looked up again like those that are older than the table. Says what stands in the way of nothing else.
pub(super) fn place(config: &Config, boot: &str, reconciler: &mut Reconciler) {
    let first = config.first_free_label_bit;
    let before = snapshot::load_free_labels(&config.state_dir, boot).unwrap_or(LabelPlace::USUAL);
    if let Some(old) = LabelPlace::leaving(before).filter(|_| before != first) {
        old.choose();
        let cleared = reconciler.release().map_err(|error| error.to_string());
        match cleared.and_then(|()| labels::clear().map_err(|error| error.to_string())) {
            Ok(number) => {
                tracing::info!("label bits {first} and up are left to others from now on: {number} labels were cleared")
            }
            Err(error) => tracing::error!("labels of connections that live may be misread: {error}"),
        }
    }
    config.label_place().choose();
    if let Err(error) = snapshot::keep_free_labels(&config.state_dir, boot, first) {
        tracing::warn!("which label bits are left to others is not kept: {error}");
    }
    match labels::strange() {
        Ok(0) => {}
        Ok(number) => tracing::warn!(
            "{number} connections have label bits that no defender sets, and count as ambiguous: does other software set them? See first_free_label_bit"
        ),
        Err(error) => tracing::debug!("labels: {error}"),
    }
}
