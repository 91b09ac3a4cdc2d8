//! Policy files: rules and objects as YAML, for people to write and to keep under version control.
//!
//! What `export` writes, `apply` takes back as the same rules. Everything that can be judged without the controller is judged here, with
//! the line and column of what is wrong; only whether a service of a short name exists is left to the controller.

mod form;
#[cfg(test)]
mod tests;

use cnnf_core::id::ServiceKey;
use cnnf_rpc::convert::ConvertError;
use cnnf_rpc::convert::policy::{NameError, objects, rules};
use cnnf_rpc::v1;
use serde_saphyr::Location;

use crate::failure::Failure;
use crate::output::{printable, to_yaml};
use form::FileForm;

/// What a file says.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Policy {
    /// In order.
    pub(crate) rules: Vec<v1::Rule>,
    /// As written.
    pub(crate) objects: Vec<v1::AddressObject>,
}

/// Reads the text of the file `name`.
pub(crate) fn read(text: &str, name: &str) -> Result<Policy, Failure> {
    let options = serde_saphyr::options! {
        with_snippet: false,
        // A policy of 100,000 rules is large and no attack: whoever runs this wrote the file.
        budget: serde_saphyr::budget! {
            max_nodes: 10_000_000,
            max_events: 30_000_000,
            max_total_scalar_bytes: 1 << 30,
        },
    };
    let form: FileForm = serde_saphyr::from_str_with_options(text, options)
        .map_err(|error| wrong(name, error.location(), &said(&error.without_snippet().to_string())))?;
    if form.version.value != 1 {
        let what = format!("version {} is not known: this cnnfctl reads version 1", form.version.value);
        return Err(wrong(name, Some(form.version.referenced), &what));
    }
    let policy = form.to_policy();
    check(&policy).map_err(|error| wrong(name, form.place(&error.field), &error.to_string()))?;
    Ok(policy)
}

/// What the YAML reader says, with what to do. Its place is said first, as for every other error.
fn said(what: &str) -> String {
    let what = what.rsplit_once(" at line ").map_or(what, |(what, _)| what);
    let what = what.split_once(", set DuplicateKeyPolicy").map_or(what, |(what, _)| what);
    let advice = [
        ("missing field", "add it"),
        ("duplicate mapping key", "keep one"),
        ("anchor or alias", "put a text that starts with * or & in quotes, such as \"*\""),
        ("unexpected end of input", "a policy file starts with 'version: 1'"),
        ("expected mapping start", "a policy file starts with 'version: 1'"),
    ];
    match advice.iter().find(|(part, _)| what.contains(part)) {
        Some((_, advice)) => format!("{what}: {advice}"),
        None => what.to_owned(),
    }
}

/// Checks what can be checked without the controller.
fn check(policy: &Policy) -> Result<(), ConvertError> {
    let objects = objects(policy.objects.clone())?;
    rules(policy.rules.clone(), &objects, &any_name).map(drop)
}

/// Takes every short name for a service: which there are, the controller knows.
pub(crate) fn any_name(name: &str) -> Result<ServiceKey, NameError> {
    if name.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(NameError::Unknown(printable(name).chars().take(80).collect()));
    }
    Ok(ServiceKey::unit(name))
}

fn wrong(name: &str, place: Option<Location>, what: &str) -> Failure {
    let place = place.filter(|place| place.line() > 0);
    let place = place.map(|p| format!(" line {} column {}", p.line(), p.column())).unwrap_or_default();
    Failure::Usage(format!("{name}{place}: {what}"))
}

/// The file of these rules and objects.
pub(crate) fn write(rules: &[v1::Rule], objects: &[v1::AddressObject]) -> Result<String, Failure> {
    to_yaml(&form::written(rules, objects))
}
