//! A unit of the world file as a unit file, systemd.service(5).

use std::time::Duration;

use crate::plan::{HOME, SEARCH_PATH, UnitPlan};

/// The file's text. Like the lab's init, systemd starts the unit again however it ends, and its output goes to the
/// same log.
pub(super) fn text(unit: &UnitPlan) -> String {
    let command: Vec<String> = unit.command.iter().map(|word| quote(word, true)).collect();
    let mut lines = vec![
        "[Unit]".to_owned(),
        format!("Description={} of the world", unit.name.replace('%', "%%")),
        "StartLimitIntervalSec=0".to_owned(),
        // No connection of a service is older than the defender.
        "After=cnnf-defender.service".to_owned(),
        "[Service]".to_owned(),
        format!("ExecStart={}", command.join(" ")),
        format!("ExecSearchPath={SEARCH_PATH}"),
        format!("Environment={}", quote(&format!("PATH={SEARCH_PATH}"), false)),
        format!("WorkingDirectory={}", unit.folder.display().to_string().replace('%', "%%")),
        format!("StandardOutput=append:{HOME}/log/{}.log", unit.name),
        "StandardError=inherit".to_owned(),
        "Restart=always".to_owned(),
        "RestartSec=100ms".to_owned(),
        "TimeoutStopSec=5s".to_owned(),
    ];
    lines
        .extend(unit.env.iter().map(|(key, value)| format!("Environment={}", quote(&format!("{key}={value}"), false))));
    if let Some(user) = &unit.user {
        lines.push(format!("User={user}"));
    }
    if let Some(millis) = unit.watchdog_ms {
        let limit = Duration::from_millis(millis);
        lines.push("NotifyAccess=all".to_owned());
        lines.push(format!("WatchdogSec={}ms", limit.as_millis()));
    }
    lines.join("\n") + "\n"
}

/// One word in double quotes (systemd.syntax(7), "QUOTING"); in a command a `$` has a meaning of its own.
fn quote(word: &str, command: bool) -> String {
    let mut quoted = String::from("\"");
    for letter in word.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            '\n' => quoted.push_str("\\n"),
            '%' => quoted.push_str("%%"),
            '$' if command => quoted.push_str("$$"),
            letter => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_for_systemd() {
        assert_eq!(quote("daemon off;", true), "\"daemon off;\"");
        assert_eq!(quote("a\"b\\c\n50% $HOME", true), "\"a\\\"b\\\\c\\n50%% $$HOME\"");
        assert_eq!(quote("A=$b", false), "\"A=$b\"");
    }
}
