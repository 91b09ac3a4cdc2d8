//! What the kernel lets a defender do, and what follows from what it does not offer.

use std::path::PathBuf;

use cnnf_core::ruleset::QueueBackend;
use cnnf_host::kernel::{Features, Nft};
use cnnf_host::observe::cgroups;

use crate::config::Config;
use crate::failure::Failure;

/// How this host can be defended.
#[derive(Debug)]
pub(crate) struct Ability {
    pub(crate) features: Features,
    pub(crate) queue: QueueBackend,
    /// Where cgroup2 is mounted, if it is.
    pub(crate) groups: Option<PathBuf>,
    /// Why the kernel does not stamp connections by control group: every new one waits until its owner was looked up. Empty if it does.
    pub(crate) unstamped: &'static str,
}

impl Ability {
    /// Asks the kernel.
    ///
    /// # Errors
    /// It refuses to say, or this host cannot be defended at all.
    pub(crate) fn find(config: &Config) -> Result<Self, Failure> {
        let nothing = |error: &dyn std::fmt::Display| {
            Failure::refused(format_args!("nf_tables: {error}: run as root, on a kernel with nf_tables"))
        };
        let features = Nft::open().map_err(|error| nothing(&error))?.probe().map_err(|error| nothing(&error))?;
        let mountinfo = std::fs::read_to_string("/proc/self/mountinfo").map_err(Failure::refused)?;
        Self::from(features, cgroups::mount_point(&mountinfo), config.stamp_by_cgroup)
    }

    fn from(features: Features, groups: Option<PathBuf>, wanted: bool) -> Result<Self, Failure> {
        if !features.ct_labels {
            return Err(Failure::no("this kernel's nf_tables has no connection labels: nf_conntrack is needed"));
        }
        let queue = match (features.native_queue, features.xt_queue) {
            (true, _) => QueueBackend::Native,
            (false, true) => QueueBackend::Xt,
            (false, false) => QueueBackend::None,
        };
        let unstamped = if groups.is_none() {
            "cgroup2 is not mounted (a cgroup v1 host)"
        } else if !features.socket_cgroup {
            "the kernel cannot match a socket's control group (before Linux 5.13)"
        } else if !wanted {
            "stamp_by_cgroup is off"
        } else {
            ""
        };
        if !unstamped.is_empty() && queue == QueueBackend::None {
            return Err(Failure::no(format_args!("{unstamped}, and the kernel has no queue to look owners up from")));
        }
        Ok(Self { features, queue, groups, unstamped })
    }

    pub(crate) fn queue_is_missing(&self) -> bool {
        self.queue == QueueBackend::None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_made_up_for_or_said() {
        let all = Features { native_queue: true, ct_labels: true, socket_cgroup: true, ..Features::default() };
        let root = || Some(PathBuf::from("/sys/fs/cgroup"));
        let good = |features, groups, wanted| Ability::from(features, groups, wanted).expect("it can be defended");
        assert_eq!(good(all, root(), true).unstamped, "");
        assert!(good(all, None, true).unstamped.contains("cgroup v1"));
        assert!(good(all, root(), false).unstamped.contains("stamp_by_cgroup"));
        let old = Features { socket_cgroup: false, native_queue: false, xt_queue: true, ..all };
        assert!(good(old, root(), true).unstamped.contains("5.13"));
        assert_eq!(good(old, root(), true).queue, QueueBackend::Xt);
        for features in [Features { xt_queue: false, ..old }, Features { ct_labels: false, ..all }] {
            assert!(Ability::from(features, root(), true).is_err(), "{features:?}");
        }
    }
}
