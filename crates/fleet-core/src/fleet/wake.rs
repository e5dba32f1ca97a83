//! Waking the sessions of this process: something waits for their agent.
use core_model::AgentId;
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::sync::Notify;

/// A session's bell.
#[derive(Default)]
struct Bell {
    rung: Notify,
    is_dismissed: AtomicBool,
}

/// Who waits for which agent. A nudge carries nothing: whoever is woken looks into the store.
#[derive(Clone, Default)]
pub(super) struct Wakes(Arc<Mutex<HashMap<AgentId, Vec<Arc<Bell>>>>>);

/// A session that is woken. It ends with its drop.
pub struct Waker {
    agent: AgentId,
    bell: Arc<Bell>,
    wakes: Wakes,
}

impl Wakes {
    pub(super) fn subscribe(&self, agent: AgentId) -> Waker {
        let bell = Arc::<Bell>::default();
        self.lock().entry(agent).or_default().push(Arc::clone(&bell));
        Waker {
            agent,
            bell,
            wakes: self.clone(),
        }
    }

    /// Wakes each session of the agent; one that is at work looks again when it is done.
    pub(super) fn wake(&self, agent: AgentId) {
        if let Some(bells) = self.lock().get(&agent) {
            bells.iter().for_each(|bell| bell.rung.notify_one());
        }
    }

    /// Has each session of the agent end, so that it begins another.
    pub(super) fn dismiss(&self, agent: AgentId) {
        if let Some(bells) = self.lock().get(&agent) {
            for bell in bells {
                bell.is_dismissed.store(true, Ordering::Release);
                bell.rung.notify_one();
            }
        }
    }

    /// Whether anybody waits.
    pub(super) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<AgentId, Vec<Arc<Bell>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waker {
    /// Waits until something is there for the agent. A nudge that came while nobody waited counts.
    pub async fn woken(&self) {
        self.bell.rung.notified().await;
    }

    /// Whether the session is to end, so that the agent hears in another what it can only hear there.
    pub fn is_dismissed(&self) -> bool {
        self.bell.is_dismissed.load(Ordering::Acquire)
    }
}

impl Drop for Waker {
    fn drop(&mut self) {
        let mut bells = self.wakes.lock();
        if let Some(of_agent) = bells.get_mut(&self.agent) {
            of_agent.retain(|bell| !Arc::ptr_eq(bell, &self.bell));
            if of_agent.is_empty() {
                bells.remove(&self.agent);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::DateTime;

    #[tokio::test]
    async fn a_nudge_reaches_each_session_of_the_agent_and_is_kept_for_one_at_work() {
        let agent = |n| AgentId::new(DateTime::UNIX_EPOCH, [n; 10]);
        let wakes = Wakes::default();
        wakes.wake(agent(1));
        let (one, other, stranger) = (
            wakes.subscribe(agent(1)),
            wakes.subscribe(agent(1)),
            wakes.subscribe(agent(2)),
        );
        wakes.wake(agent(1));
        one.woken().await;
        other.woken().await;
        {
            let woken = std::pin::pin!(stranger.woken());
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            assert!(woken.poll(&mut context).is_pending(), "the other agent's is not");
        }
        drop((one, other, stranger));
        assert!(wakes.is_empty());
    }
}
