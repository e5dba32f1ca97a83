//! What an exporter is told.
use crate::Signal;
use std::collections::{BTreeMap, BTreeSet};

/// Who speaks, and what of it leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportSettings {
    /// `service.name`: the name of the product.
    pub service: String,
    /// `service.version`.
    pub version: String,
    /// `service.instance.id`: the id of the agent, where there is one yet; see
    /// [`Exporter::set_instance_id`](crate::Exporter::set_instance_id).
    pub instance_id: Option<String>,
    /// `host.name`.
    pub host: Option<String>,
    /// More attributes of the resource, such as `deployment.environment.name`; they win over those above.
    pub attributes: BTreeMap<String, String>,
    /// What leaves.
    pub signals: BTreeSet<Signal>,
}

impl ExportSettings {
    /// All signals, from a service without an id, a host or further attributes.
    pub fn new(service: impl Into<String>, version: impl Into<String>) -> Self {
        Self {
            service: service.into(),
            version: version.into(),
            instance_id: None,
            host: None,
            attributes: BTreeMap::new(),
            signals: Signal::ALL.into(),
        }
    }

    /// The attributes of the resource.
    pub(crate) fn resource(&self) -> BTreeMap<String, String> {
        let own = [
            ("service.name", Some(&self.service)),
            ("service.version", Some(&self.version)),
            ("service.instance.id", self.instance_id.as_ref()),
            ("host.name", self.host.as_ref()),
        ];
        let own = own.into_iter().filter_map(|(name, value)| Some((name, value?)));
        let own = own.filter(|(_, value)| !value.is_empty());
        let mut all: BTreeMap<String, String> = own.map(|(name, value)| (name.to_owned(), value.clone())).collect();
        all.extend(self.attributes.clone());
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_configured_wins_and_what_is_empty_is_left_out() {
        let mut settings = ExportSettings::new("scanner", "1.2.3");
        settings.host = Some(String::new());
        settings.attributes = BTreeMap::from([("service.name".to_owned(), "files".to_owned())]);
        let expected = [("service.name", "files"), ("service.version", "1.2.3")];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(settings.resource(), BTreeMap::from(expected));
    }
}
