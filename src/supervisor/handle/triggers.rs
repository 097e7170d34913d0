//! What may be asked of a trigger: what it is, to start and to stop, and to call now.

use super::{NoAnswer, SETTLE, SupervisorHandle};
use crate::supervisor::{
    messages::{ActOnTrigger, GetStatus, NoRun, RunTrigger, Want},
    status::TriggerStatus,
};

impl SupervisorHandle {
    /// Describes one trigger; `None` for one that does not exist.
    ///
    /// # Errors
    /// [`NoAnswer`].
    pub async fn trigger(&self, name: &str) -> Result<Option<TriggerStatus>, NoAnswer> {
        Ok(self.ask(GetStatus).await?.triggers.into_iter().find(|trigger| trigger.name == name))
    }

    /// Starts a trigger that is not at work, with a clear history. Answers when it is at work or has failed; `None` for a
    /// trigger that does not exist, or when the daemon stops.
    ///
    /// # Errors
    /// [`NoAnswer`].
    pub async fn start_trigger(&self, name: &str) -> Result<Option<TriggerStatus>, NoAnswer> {
        self.act_on_trigger(name, Want::Start).await
    }

    /// Lets a trigger finish what it began and stops it. Answers when it has stopped; `None` as with a start.
    ///
    /// # Errors
    /// [`NoAnswer`].
    pub async fn stop_trigger(&self, name: &str) -> Result<Option<TriggerStatus>, NoAnswer> {
        self.act_on_trigger(name, Want::Stop).await
    }

    /// Drains a trigger and starts it anew. Answers when it is at work; `None` as with a start.
    ///
    /// # Errors
    /// [`NoAnswer`].
    pub async fn restart_trigger(&self, name: &str) -> Result<Option<TriggerStatus>, NoAnswer> {
        self.act_on_trigger(name, Want::Restart).await
    }

    /// Lets a schedule begin a call at once.
    ///
    /// # Errors
    /// [`NoAnswer`]; the inner one is why there is no call.
    pub async fn run_trigger(&self, name: &str) -> Result<Result<(), NoRun>, NoAnswer> {
        self.ask(RunTrigger(name.to_owned())).await
    }

    async fn act_on_trigger(&self, name: &str, action: Want) -> Result<Option<TriggerStatus>, NoAnswer> {
        let asked = ActOnTrigger { trigger: name.to_owned(), action };
        let Some(settled) = self.ask(asked).await? else { return Ok(None) };
        // Settled or not, the status says how far it got.
        drop(tokio::time::timeout(SETTLE, settled).await);
        self.trigger(name).await
    }
}
