//! What operators call services.

use cnnf_core::identity::{Definition, DefinitionError};
use cnnf_core::net::Ports;

use super::ConvertError;
use super::common::labels;
use crate::v1;

impl From<&Definition> for v1::ServiceDefinition {
    /// Without its place and who changed it.
    fn from(definition: &Definition) -> Self {
        let texts = |texts: &std::collections::BTreeSet<String>| texts.iter().cloned().collect();
        Self {
            name: definition.name.clone(),
            units: texts(&definition.units),
            executables: texts(&definition.executables),
            command_lines: texts(&definition.command_lines),
            users: texts(&definition.users),
            ports: if definition.asks_for_ports() { definition.ports.to_texts() } else { Vec::new() },
            labels: definition.labels.0.clone(),
            ..Self::default()
        }
    }
}

impl TryFrom<v1::ServiceDefinition> for Definition {
    type Error = ConvertError;

    fn try_from(message: v1::ServiceDefinition) -> Result<Self, ConvertError> {
        let ports = match message.ports.is_empty() {
            true => Ports::Any,
            false => Ports::parse(&message.ports).map_err(|error| ConvertError::new("ports", error))?,
        };
        let name = message.name.strip_prefix("svc:").unwrap_or(&message.name).to_owned();
        let definition = Self {
            name,
            units: message.units.into_iter().collect(),
            executables: message.executables.into_iter().collect(),
            command_lines: message.command_lines.into_iter().collect(),
            users: message.users.into_iter().collect(),
            ports,
            labels: labels("labels", message.labels)?,
        };
        definition.check().map_err(|error| ConvertError::new(field_of(&error), error))
    }
}

/// The field that is wrong; empty where it is none of them alone.
fn field_of(error: &DefinitionError) -> &'static str {
    match error {
        DefinitionError::Name(_) | DefinitionError::Reserved(_) | DefinitionError::Twice(_) => "name",
        DefinitionError::Ports(_) => "ports",
        DefinitionError::Condition { kind, .. } => match *kind {
            "unit" => "units",
            "executable" => "executables",
            "command line" => "command_lines",
            "user" => "users",
            _ => "",
        },
        DefinitionError::NoCondition(_) | DefinitionError::Many(_) | DefinitionError::Full => "",
    }
}
