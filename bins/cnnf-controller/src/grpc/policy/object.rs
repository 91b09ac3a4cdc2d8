//! Address objects.

use std::collections::{BTreeMap, BTreeSet};

use cnnf_core::policy::{AddressObject, End, PolicySet, Rules};
use cnnf_rpc::convert::ConvertError;
use cnnf_rpc::v1;
use tonic::Status;

use crate::edit::Draft;

/// All, with the rules that use them.
pub(super) fn list(policy: &PolicySet) -> Vec<v1::AddressObject> {
    let mut used_by: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for rule in &policy.rules {
        let ends = [&rule.source, &rule.destination].map(|end| match end {
            End::Object(name) => Some(name.as_str()),
            _ => None,
        });
        for name in ends.into_iter().flatten().collect::<BTreeSet<_>>() {
            used_by.entry(name).or_default().push(rule.name.clone());
        }
    }
    let with_users = |object: &AddressObject| v1::AddressObject {
        used_by: used_by.get(object.name.as_str()).cloned().unwrap_or_default(),
        ..v1::AddressObject::from(object)
    };
    policy.objects.values().map(with_users).collect()
}

/// An object as a caller writes it.
pub(super) fn read(object: Option<v1::AddressObject>) -> Result<AddressObject, Status> {
    let object = object.ok_or_else(|| ConvertError::new("object", "is missing"))?;
    Ok(AddressObject::try_from(object)?)
}

/// Adds one, or replaces one of its name if that is wanted.
pub(super) fn add(draft: &mut Draft, object: AddressObject, replace: bool) -> Result<v1::AddressObject, Status> {
    let name = object.name.clone();
    if !replace && draft.new.objects.contains_key(&name) {
        return Err(Status::already_exists(format!(
            "there is an object '{name}' already: choose another name, or replace it"
        )));
    }
    let used_by = users(&draft.new.rules, &name);
    let message = v1::AddressObject { used_by, ..v1::AddressObject::from(&object) };
    draft.new.objects.insert(name, object);
    Ok(message)
}

/// Deletes one that no rule uses.
pub(super) fn delete(draft: &mut Draft, name: &str) -> Result<(), Status> {
    let users = users(&draft.new.rules, name);
    if !users.is_empty() {
        let shown = users.iter().take(10).map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", ");
        let more = if users.len() > 10 { format!(" and {} more", users.len() - 10) } else { String::new() };
        return Err(Status::failed_precondition(format!(
            "object '{name}' is used by {shown}{more}: change or delete these rules first"
        )));
    }
    if draft.new.objects.remove(name).is_none() {
        let name: String = name.escape_debug().take(80).collect();
        return Err(Status::not_found(format!("there is no object '{name}': 'cnnfctl objects list' shows them")));
    }
    Ok(())
}

/// The rules that use an object, in order.
fn users(rules: &Rules, name: &str) -> Vec<String> {
    let uses = |end: &End| matches!(end, End::Object(object) if object == name);
    let users = rules.iter().filter(|rule| uses(&rule.source) || uses(&rule.destination));
    users.map(|rule| rule.name.clone()).collect()
}
