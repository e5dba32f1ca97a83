//! The health of a process as the sum of its components' health.
use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Serialize, Serializer, ser::SerializeMap as _};
use serde_json::{Map, Value};
use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

/// How well something works; the worst component decides for the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// As it should.
    Healthy,
    /// With less than it should, but it works.
    Degraded,
    /// It does not work.
    Unhealthy,
}

/// What all components of a process report to. Cheap to clone: all clones are one registry.
#[derive(Clone, Debug)]
pub struct HealthRegistry {
    inner: Arc<Inner>,
}

struct Inner {
    version: String,
    agent_id: Option<String>,
    started: Instant,
    ready: AtomicBool,
    blocks: Mutex<Vec<Block>>,
    asked: Mutex<Vec<(String, Ask)>>,
}

/// Gives a component's state at the instant it is looked at.
type Ask = Arc<dyn Fn() -> (Status, Map<String, Value>) + Send + Sync>;

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HealthRegistry")
            .field("version", &self.version)
            .field("agent_id", &self.agent_id)
            .finish_non_exhaustive()
    }
}

#[derive(Clone, Debug)]
struct Block {
    name: String,
    /// `None` for blocks that inform and do not judge.
    status: Option<Status>,
    details: Map<String, Value>,
}

impl Block {
    fn line(&self) -> String {
        let said = ["detail", "error", "last_error"]
            .iter()
            .find_map(|key| self.details.get(*key)?.as_str());
        match said {
            // What follows is for whoever sees all of it: places in a file, drawn.
            Some(said) => format!("{}: {}", self.name, said.lines().next().unwrap_or_default()),
            None => self.name.clone(),
        }
    }
}

/// One component's way to report. Cheap to clone; the last report counts.
#[derive(Clone, Debug)]
pub struct ComponentHandle {
    name: String,
    inner: Arc<Inner>,
}

/// The fixed keys of the document: a block of such a name would hide them.
const FIXED: [&str; 5] = ["status", "timestamp", "agent_id", "version", "uptime_seconds"];

impl HealthRegistry {
    /// Healthy, not ready, without components. `version` is the product's; `agent_id` is left out where there is none.
    pub fn new(version: impl Into<String>, agent_id: Option<String>) -> Self {
        Self {
            inner: Arc::new(Inner {
                version: version.into(),
                agent_id,
                started: Instant::now(),
                ready: AtomicBool::new(false),
                blocks: Mutex::default(),
                asked: Mutex::default(),
            }),
        }
    }

    /// The component `name`, made if it is new: it counts as degraded until its first report.
    pub fn component(&self, name: impl Into<String>) -> ComponentHandle {
        let name = name.into();
        let mut blocks = lock(&self.inner.blocks);
        if !blocks.iter().any(|block| block.name == name) {
            let mut details = Map::new();
            details.insert("detail".to_owned(), "has not reported yet".into());
            blocks.push(Block {
                name: name.clone(),
                status: Some(Status::Degraded),
                details,
            });
        }
        drop(blocks);
        ComponentHandle {
            name,
            inner: Arc::clone(&self.inner),
        }
    }

    /// Shows `details` under `name` without any bearing on the status, such as `last_scan`.
    pub fn inform(&self, name: &str, details: Map<String, Value>) {
        self.inner.put(name, None, details);
    }

    /// The component `name` is asked whenever somebody looks, for what changes by itself, such as a circuit breaker.
    /// `ask` must not block for long. Another registration of the same name takes its place.
    pub fn ask(&self, name: &str, ask: impl Fn() -> (Status, Map<String, Value>) + Send + Sync + 'static) {
        let mut asked = self.inner.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.retain(|(other, _)| other != name);
        asked.push((name.to_owned(), Arc::new(ask)));
    }

    /// Whether the process can do its work: `/health/ready` answers 503 until it is said to be.
    pub fn set_ready(&self, ready: bool) {
        self.inner.ready.store(ready, Ordering::Release);
    }

    /// What [`HealthRegistry::set_ready`] said last.
    pub fn is_ready(&self) -> bool {
        self.inner.ready.load(Ordering::Acquire)
    }

    /// The status of the worst component; healthy where there is none.
    pub fn status(&self) -> Status {
        worst(&self.inner.all())
    }

    /// Which components are not healthy, the worst first, each with what its `detail`, `error` or `last_error` says: one
    /// line for people. `None` where all are healthy.
    pub fn reason(&self) -> Option<String> {
        let mut unwell: Vec<Block> = self.inner.all();
        unwell.retain(|block| block.status.is_some_and(|status| status != Status::Healthy));
        unwell.sort_by(|one, other| (other.status, &one.name).cmp(&(one.status, &other.name)));
        let lines: Vec<String> = unwell.iter().map(Block::line).collect();
        (!lines.is_empty()).then(|| lines.join("; "))
    }

    /// The document at `now` as text, with its keys in the documented order.
    pub(crate) fn render(&self, now: DateTime<Utc>) -> (Status, String) {
        let blocks = self.inner.all();
        let status = worst(&blocks);
        let report = Report {
            inner: &self.inner,
            now,
            status,
            blocks: &blocks,
        };
        // Maps with text as keys always have a JSON form.
        (status, serde_json::to_string(&report).unwrap_or_default())
    }
}

impl ComponentHandle {
    /// Reports. `details` appear beside `status` in the component's block.
    pub fn set(&self, status: Status, details: Map<String, Value>) {
        self.inner.put(&self.name, Some(status), details);
    }
}

impl Inner {
    /// Every block as it is now.
    fn all(&self) -> Vec<Block> {
        let mut blocks = lock(&self.blocks).clone();
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for (name, ask) in asked {
            let (status, details) = ask();
            blocks.retain(|block| block.name != name);
            blocks.push(Block {
                name,
                status: Some(status),
                details,
            });
        }
        blocks
    }

    fn put(&self, name: &str, status: Option<Status>, details: Map<String, Value>) {
        let mut blocks = lock(&self.blocks);
        match blocks.iter_mut().find(|block| block.name == name) {
            Some(block) => {
                block.status = status;
                block.details = details;
            }
            None => blocks.push(Block {
                name: name.to_owned(),
                status,
                details,
            }),
        }
    }
}

fn worst(blocks: &[Block]) -> Status {
    blocks
        .iter()
        .filter_map(|block| block.status)
        .max()
        .unwrap_or(Status::Healthy)
}

struct Report<'a> {
    inner: &'a Inner,
    now: DateTime<Utc>,
    status: Status,
    blocks: &'a [Block],
}

impl Serialize for Report<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("status", &self.status)?;
        map.serialize_entry("timestamp", &self.now.to_rfc3339_opts(SecondsFormat::Secs, true))?;
        if let Some(agent_id) = &self.inner.agent_id {
            map.serialize_entry("agent_id", agent_id)?;
        }
        map.serialize_entry("version", &self.inner.version)?;
        map.serialize_entry("uptime_seconds", &self.inner.started.elapsed().as_secs())?;
        for block in self.blocks.iter().filter(|block| !FIXED.contains(&block.name.as_str())) {
            map.serialize_entry(&block.name, block)?;
        }
        map.end()
    }
}

impl Serialize for Block {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if let Some(status) = self.status {
            map.serialize_entry("status", &status)?;
        }
        // The health of a component is what it reported, whatever its details call by the same name.
        for (name, value) in self
            .details
            .iter()
            .filter(|(name, _)| self.status.is_none() || *name != "status")
        {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

fn lock(blocks: &Mutex<Vec<Block>>) -> MutexGuard<'_, Vec<Block>> {
    blocks.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn details(value: &Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn the_worst_component_decides_and_informing_blocks_do_not() {
        let health = HealthRegistry::new("1.0.0", None);
        assert_eq!(health.status(), Status::Healthy);
        let (database, api) = (health.component("database"), health.component("api"));
        assert_eq!(health.status(), Status::Degraded, "nobody has reported yet");
        database.set(Status::Healthy, Map::new());
        api.set(Status::Unhealthy, Map::new());
        assert_eq!(health.status(), Status::Unhealthy);
        health.component("api").set(Status::Healthy, Map::new());
        health.inform("last_scan", details(&json!({"status": "failed"})));
        assert_eq!(health.status(), Status::Healthy, "the same name is the same component");
    }

    #[test]
    fn the_reason_names_what_is_not_well_the_worst_first() {
        let health = HealthRegistry::new("1.0.0", None);
        assert_eq!(health.reason(), None);
        let (api, database) = (health.component("api"), health.component("database"));
        api.set(
            Status::Degraded,
            details(&json!({"last_error": "refused", "circuit_breaker": "open"})),
        );
        database.set(Status::Unhealthy, details(&json!({"error": "its disk is full"})));
        health
            .component("tasks")
            .set(Status::Healthy, details(&json!({"detail": "all run"})));
        health.ask("outbox", || (Status::Degraded, Map::new()));
        let reason = health.reason();
        assert_eq!(
            reason.as_deref(),
            Some("database: its disk is full; api: refused; outbox")
        );
    }

    #[test]
    fn who_is_asked_is_asked_each_time() {
        let health = HealthRegistry::new("1.0.0", None);
        let open = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&open);
        health.ask("api", move || match seen.load(Ordering::Relaxed) {
            true => (Status::Degraded, details(&json!({"circuit_breaker": "open"}))),
            false => (Status::Healthy, Map::new()),
        });
        assert_eq!(health.status(), Status::Healthy);
        open.store(true, Ordering::Relaxed);
        assert_eq!(health.status(), Status::Degraded);
        let (_, text) = health.render(Utc::now());
        assert!(
            text.ends_with(r#""api":{"status":"degraded","circuit_breaker":"open"}}"#),
            "{text}"
        );
    }

    #[test]
    fn the_document_has_the_documented_shape() {
        let health = HealthRegistry::new("1.0.0", Some("server-01-scanner".to_owned()));
        health.inform("last_scan", details(&json!({"status": "success"})));
        health
            .component("database")
            .set(Status::Healthy, details(&json!({"size_mb": 15.2, "status": "big"})));
        health.component("status").set(Status::Healthy, Map::new());
        let (_, text) = health.render("2024-01-15T10:30:00.123Z".parse().unwrap());
        assert_eq!(
            text,
            r#"{"status":"healthy","timestamp":"2024-01-15T10:30:00Z","agent_id":"server-01-scanner","version":"1.0.0","uptime_seconds":0,"last_scan":{"status":"success"},"database":{"status":"healthy","size_mb":15.2}}"#
        );
    }
}
