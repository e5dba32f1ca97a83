//! What operators change about agents, and groups of them.
use chrono::{DateTime, Utc};
use core_model::{LabelKey, LabelValue, Site};
use fleet_core::{AgentSelector, Group};
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;

/// `PATCH /api/v1/agents/{agent}`: what is not said stays as it is; `null` takes back what was said before.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AmendRequest {
    /// Another name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its site, before what it says itself.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "said")]
    pub site: Option<Option<Site>>,
    /// Labels, before and beside its own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<LabelKey, Option<LabelValue>>,
    /// Somebody works on its host, or has ended that.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "said")]
    pub maintenance: Option<Option<MaintenanceRequest>>,
}

/// Tells `null` from a field that is not there.
fn said<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// Somebody works on an agent's host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MaintenanceRequest {
    /// When it ends by itself; not before somebody ends it when not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<DateTime<Utc>>,
    /// What is done there.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// `PUT /api/v1/groups/{group}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupRequest {
    /// Who belongs to it: all of what is set has to fit.
    pub selector: AgentSelector,
    /// What there is to say about it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub comment: String,
}

/// A group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupView {
    /// Its name.
    pub name: String,
    /// Who belongs to it.
    pub selector: AgentSelector,
    /// What there is to say about it.
    pub comment: String,
    /// When it was last changed.
    pub changed_at: DateTime<Utc>,
    /// Who did.
    pub changed_by: String,
}

impl From<Group> for GroupView {
    fn from(group: Group) -> Self {
        Self {
            name: group.name,
            selector: group.selector,
            comment: group.comment,
            changed_at: group.changed_at,
            changed_by: group.changed_by,
        }
    }
}
