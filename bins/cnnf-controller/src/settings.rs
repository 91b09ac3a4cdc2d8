//! What can be set, and how it is written.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use cnnf_core::model::LearnSettings;
use cnnf_core::policy::{Effect, Mode};

/// The settings in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    /// How long learning takes.
    pub(crate) learn: LearnSettings,
    /// What an anomaly does unless the model says otherwise.
    pub(crate) anomaly_effect: Effect,
    /// Whether models learn and are judged.
    pub(crate) learning: bool,
    /// How long what was counted for edges is kept by the hour.
    pub(crate) edges_hourly_for: Duration,
    /// How long it is kept by the day, and edges that are seen no more.
    pub(crate) edges_daily_for: Duration,
    /// The mode of new hosts.
    pub(crate) default_mode: Mode,
}

/// Why a setting is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub(crate) struct SettingError {
    pub(crate) field: &'static str,
    pub(crate) message: String,
}

/// All names, in the order in which they are listed.
pub(crate) const NAMES: [&str; 9] = [
    "learn_for",
    "dry_run_for",
    "archive_after",
    "delete_after",
    "anomaly_effect",
    "learning",
    "default_mode",
    "edges_hourly_for",
    "edges_daily_for",
];

/// The longest duration that is accepted: a hundred years.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

impl Default for Settings {
    fn default() -> Self {
        Self {
            learn: LearnSettings::default(),
            anomaly_effect: Effect::Alert,
            learning: true,
            edges_hourly_for: Duration::from_secs(7 * 24 * 3600),
            edges_daily_for: Duration::from_secs(90 * 24 * 3600),
            default_mode: Mode::Observe,
        }
    }
}

impl Settings {
    /// Sets one.
    ///
    /// # Errors
    /// There is no such setting, or the value is none of its; says which are.
    pub(crate) fn set(&mut self, name: &str, value: &str) -> Result<(), SettingError> {
        match name {
            "learn_for" => self.learn.learn_for = duration(value)?,
            "dry_run_for" => self.learn.dry_run_for = duration(value)?,
            "archive_after" => self.learn.archive_after = duration(value)?,
            "delete_after" => self.learn.delete_after = duration(value)?,
            "edges_hourly_for" => self.edges_hourly_for = duration(value)?,
            "edges_daily_for" => self.edges_daily_for = duration(value)?,
            "anomaly_effect" => self.anomaly_effect = word(value, &[Effect::Alert, Effect::Prevent])?,
            "default_mode" => self.default_mode = word(value, Mode::ALL)?,
            "learning" => {
                self.learning = match value {
                    "on" => true,
                    "off" => false,
                    _ => return Err(bad(format!("'{}' is none of: on, off", short(value)))),
                }
            }
            _ => {
                return Err(SettingError {
                    field: "name",
                    message: format!("'{}' is no setting: there are {}", short(name), NAMES.join(", ")),
                });
            }
        }
        Ok(())
    }

    /// All of them, as they are written.
    pub(crate) fn to_texts(&self) -> BTreeMap<String, String> {
        let learning = if self.learning { "on" } else { "off" };
        [
            ("learn_for", duration_text(self.learn.learn_for)),
            ("dry_run_for", duration_text(self.learn.dry_run_for)),
            ("archive_after", duration_text(self.learn.archive_after)),
            ("delete_after", duration_text(self.learn.delete_after)),
            ("edges_hourly_for", duration_text(self.edges_hourly_for)),
            ("edges_daily_for", duration_text(self.edges_daily_for)),
            ("anomaly_effect", self.anomaly_effect.to_string()),
            ("learning", learning.to_owned()),
            ("default_mode", self.default_mode.to_string()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }
}

fn duration(text: &str) -> Result<Duration, SettingError> {
    humantime::parse_duration(text)
        .ok()
        .filter(|d| *d <= LONGEST)
        .ok_or_else(|| bad(format!("'{}' is no duration: write for example 90s, 1h, 7d", short(text))))
}

/// A duration in the largest units that say it exactly, such as `90d` or `1h 30m`.
pub(crate) fn duration_text(d: Duration) -> String {
    let mut rest = d.as_millis();
    let mut parts = Vec::new();
    for (unit, name) in [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s"), (1, "ms")] {
        if rest >= unit {
            parts.push(format!("{}{name}", rest / unit));
            rest %= unit;
        }
    }
    if parts.is_empty() { "0s".to_owned() } else { parts.join(" ") }
}

fn word<T: FromStr + PartialEq + fmt::Display>(text: &str, allowed: &[T]) -> Result<T, SettingError> {
    text.parse().ok().filter(|value| allowed.contains(value)).ok_or_else(|| {
        let words: Vec<String> = allowed.iter().map(ToString::to_string).collect();
        bad(format!("'{}' is none of: {}", short(text), words.join(", ")))
    })
}

fn bad(message: String) -> SettingError {
    SettingError { field: "value", message }
}

fn short(text: &str) -> String {
    text.escape_debug().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_can_be_set() {
        let mut settings = Settings::default();
        for (name, value) in
            [("learn_for", "5s"), ("dry_run_for", "0s"), ("learning", "off"), ("anomaly_effect", "prevent")]
        {
            settings.set(name, value).expect(name);
            assert_eq!(settings.to_texts()[name], value);
        }
        let mut again = Settings::default();
        for (name, value) in settings.to_texts() {
            again.set(&name, &value).expect("round trip");
        }
        assert_eq!(again, settings);
        assert!(NAMES.iter().all(|name| settings.to_texts().contains_key(*name)));
    }

    #[test]
    fn mistakes_say_what_there_is() {
        let mut settings = Settings::default();
        for (name, value, part) in [
            ("lern_for", "1h", "there are learn_for"),
            ("learn_for", "soon", "no duration"),
            ("learn_for", "4000years", "no duration"),
            ("anomaly_effect", "allow", "none of: alert, prevent"),
            ("learning", "yes", "none of: on, off"),
        ] {
            let error = settings.set(name, value).expect_err(name).to_string();
            assert!(error.contains(part), "{error}");
        }
        assert_eq!(settings, Settings::default());
    }
}
