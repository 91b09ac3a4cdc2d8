//! What has changed, by topic: counted where it changes, and told to those who watch.

use std::collections::BTreeMap;

use tokio::sync::watch;

/// What changes can be of. The words stand in `watch.proto`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Topic {
    Topology,
    Policy,
    Fleet,
    Models,
    Events,
    Definitions,
    Settings,
    People,
    Channels,
}

const WORDS: [(Topic, &str); 9] = [
    (Topic::Topology, "topology"),
    (Topic::Policy, "policy"),
    (Topic::Fleet, "fleet"),
    (Topic::Models, "models"),
    (Topic::Events, "events"),
    (Topic::Definitions, "definitions"),
    (Topic::Settings, "settings"),
    (Topic::People, "people"),
    (Topic::Channels, "channels"),
];

/// How often each topic has changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Revisions([u64; WORDS.len()]);

impl Revisions {
    /// Those that a caller has seen; what it does not name it has never seen.
    pub(crate) fn read(seen: &BTreeMap<String, u64>) -> Self {
        Self(WORDS.map(|(_, word)| seen.get(word).copied().unwrap_or(0)))
    }

    pub(crate) fn write(self) -> BTreeMap<String, u64> {
        WORDS.iter().zip(self.0).map(|((_, word), number)| ((*word).to_owned(), number)).collect()
    }

    /// The topics that have changed since.
    pub(crate) fn since(self, earlier: Self) -> Vec<String> {
        let pairs = self.0.into_iter().zip(earlier.0).zip(WORDS);
        pairs.filter(|((now, then), _)| now != then).map(|(_, (_, word))| word.to_owned()).collect()
    }
}

/// The counters.
pub(crate) struct Changes {
    /// Of this run.
    pub(crate) epoch: String,
    counted: watch::Sender<Revisions>,
}

impl Changes {
    pub(crate) fn new() -> Self {
        // A caller that has seen nothing has seen 0, so every topic begins as changed.
        let epoch = rand::random::<[u8; 8]>().iter().map(|byte| format!("{byte:02x}")).collect();
        Self { epoch, counted: watch::channel(Revisions([1; WORDS.len()])).0 }
    }

    /// Counts a change. After it is to be seen: whoever is told asks at once.
    pub(crate) fn note(&self, topic: Topic) {
        self.counted.send_modify(|counted| {
            for ((known, _), count) in WORDS.iter().zip(&mut counted.0) {
                *count += u64::from(*known == topic);
            }
        });
    }

    pub(crate) fn watch(&self) -> watch::Receiver<Revisions> {
        self.counted.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_seen_has_changed() {
        let changes = Changes::new();
        let begin = *changes.watch().borrow();
        assert_eq!(begin.since(Revisions::default()).len(), WORDS.len());
        changes.note(Topic::Policy);
        changes.note(Topic::Policy);
        changes.note(Topic::People);
        let now = *changes.watch().borrow();
        assert_eq!(now.since(begin), ["policy", "people"]);
        assert_eq!(now.since(now), Vec::<String>::new());
        assert_eq!(Revisions::read(&now.write()), now);
        let mut part = now.write();
        part.remove("events");
        assert_eq!(now.since(Revisions::read(&part)), ["events"]);
    }
}
