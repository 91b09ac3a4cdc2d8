//! Any rules.

use cnnf_rpc::v1;

use crate::numbers::Numbers;

/// What runs in the world, and where it listens, if it does.
pub(crate) const SERVICES: [(&str, &[u16]); 5] =
    [("web", &[80, 8080]), ("db", &[5432, 5433]), ("app", &[]), ("cache", &[6379]), ("mail", &[25])];

const ENDS: [&str; 9] =
    ["any", "unit:web", "unit:db", "unit:app", "unit:*", "exe:/usr/bin/curl", "10.0.0.0/30", "192.0.2.0/24", "any"];
const PORTS: [&str; 5] = ["any", "tcp/80", "tcp/5432-5433", "tcp/22,25", "tcp/1-65535"];

/// Up to eight rules.
pub(crate) fn any(numbers: &mut Numbers) -> Vec<v1::Rule> {
    (0..numbers.below(9)).map(|n| rule(n, numbers)).collect()
}

/// Rules between two services each: they concern few hosts.
pub(crate) fn narrow(numbers: &mut Numbers) -> Vec<v1::Rule> {
    let service = |numbers: &mut Numbers| format!("unit:{}", numbers.pick(&SERVICES).0);
    (0..3).map(|n| v1::Rule { from: service(numbers), to: service(numbers), ..rule(n, numbers) }).collect()
}

fn rule(n: u64, numbers: &mut Numbers) -> v1::Rule {
    let (mut from, to) = ((*numbers.pick(&ENDS)).to_owned(), (*numbers.pick(&ENDS)).to_owned());
    let is_service = |end: &str| end.starts_with("unit:") || end.starts_with("exe:");
    if !is_service(&from) && !is_service(&to) {
        from = "unit:app".to_owned();
    }
    let labels = |end: &str, wanted: bool| {
        let labels = is_service(end) && wanted;
        labels.then(|| ("env".to_owned(), "prod".to_owned())).into_iter().collect()
    };
    v1::Rule {
        name: format!("rule {n}"),
        enabled: !numbers.once_in(10),
        from_labels: labels(&from, numbers.once_in(4)),
        to_labels: labels(&to, numbers.once_in(4)),
        from,
        to,
        ports: vec![(*numbers.pick(&PORTS)).to_owned()],
        effect: (*numbers.pick(&["allow", "alert", "prevent", "prevent"])).to_owned(),
        learned: if numbers.once_in(4) { "allow".to_owned() } else { String::new() },
        on_failure: "open".to_owned(),
        ..v1::Rule::default()
    }
}
