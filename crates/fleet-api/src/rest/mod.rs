//! What operators' requests and answers hold: JSON in snake case, times in RFC 3339, sizes in bytes. The client in the
//! controller's binary reads the same types.
mod agent;
mod amend;
mod claim;
mod command;
mod compliance;
mod file;
mod identity;
mod link;
mod malware;

pub use agent::{
    AgentCounts, AgentDetailView, AgentQuery, AgentView, GapView, SnapshotView, StatisticsView, StreamView,
};
pub use amend::{AmendRequest, GroupRequest, GroupView, MaintenanceRequest};
pub use claim::{AcceptRequest, ClaimView};
pub use command::{CommandDetailView, CommandQuery, CommandRequest, CommandView, DeliveryView};
pub use compliance::{ComplianceQuery, ComplianceView, ScanGist};
pub use file::{ChangeQuery, ChangeView, DeletedParam, EntryQuery, FileFactsView, FileQuery, FileView};
pub use identity::{
    JoinTokenCreated, JoinTokenRequest, JoinTokenView, LoginRequest, LoginResponse, PageQuery, PasswordRequest,
};
pub use link::{
    CloneView, ConfigRequest, ConfigStateView, ConfigView, DeleteQuery, LinkView, RollbackRequest, SessionView,
};
pub use malware::{
    AcknowledgeRequest, AcknowledgementView, DetectionDetailView, DetectionQuery, DetectionState, DetectionView,
    EventQuery, HandlingView, MalwareScanView, MalwareStatusView, OpenDetectionsView, ScanQuery,
};

use serde::{Deserialize, Serialize};

/// One page of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct List<T> {
    /// The rows. There may be fewer than asked for, even none, and still a next page.
    pub items: Vec<T>,
    /// What to send as `cursor` for the next page; absent after the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}
