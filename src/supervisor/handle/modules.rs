//! What may be asked of a module: what it is, to start and to stop, and to take other code.

use bytes::Bytes;
use tokio::sync::oneshot;

use super::{NoAnswer, SETTLE, SupervisorHandle};
use crate::supervisor::{
    messages::{Act, GetModule, RollBack, Sent, Swap, Want},
    status::{ModuleStatus, SwapReport},
    swaps::SwapError,
};

impl SupervisorHandle {
    /// Describes one module; `None` for one that does not exist.
    ///
    /// # Errors
    /// [`NoAnswer`].
    pub async fn module(&self, name: &str) -> Result<Option<ModuleStatus>, NoAnswer> {
        self.ask(GetModule(name.to_owned())).await
    }

    /// Loads a module that does not run, with a clear history. Answers when it runs or has failed; `None` for a module
    /// that does not exist, or when the daemon stops.
    ///
    /// # Errors
    /// [`NoAnswer`].
    pub async fn start_module(&self, name: &str) -> Result<Option<ModuleStatus>, NoAnswer> {
        self.act(name, Want::Start).await
    }

    /// Lets a module finish what it has and stops it. Answers when it has stopped; `None` as with a start.
    ///
    /// # Errors
    /// [`NoAnswer`].
    pub async fn stop_module(&self, name: &str) -> Result<Option<ModuleStatus>, NoAnswer> {
        self.act(name, Want::Stop).await
    }

    /// Gives a module fresh instances, each after its running call. Answers when they run; `None` as with a start.
    ///
    /// # Errors
    /// [`NoAnswer`].
    pub async fn restart_module(&self, name: &str) -> Result<Option<ModuleStatus>, NoAnswer> {
        self.act(name, Want::Restart).await
    }

    async fn act(&self, name: &str, action: Want) -> Result<Option<ModuleStatus>, NoAnswer> {
        let Some(settled) = self.ask(Act { module: name.to_owned(), action }).await? else { return Ok(None) };
        // Settled or not, the status says how far it got.
        drop(tokio::time::timeout(SETTLE, settled).await);
        self.module(name).await
    }

    /// Gives a module code that an operator sent, and waits until all instances have it, or the old goes on; `None` for a
    /// module that does not exist. The code holds until the module's file changes, also when the daemon is started anew.
    ///
    /// # Errors
    /// [`NoAnswer`]; the inner one is why the old code goes on.
    pub async fn swap(
        &self,
        name: &str,
        code: Bytes,
        force: bool,
    ) -> Result<Option<Result<SwapReport, SwapError>>, NoAnswer> {
        let sent = Sent { code, force };
        let swapped = self.ask(Swap { module: name.to_owned(), sent }).await?;
        self.swapped(name, swapped).await
    }

    /// Gives a module the code back that ran before; otherwise as a swap. No state is handed over.
    ///
    /// # Errors
    /// As [`SupervisorHandle::swap`].
    pub async fn roll_back(&self, name: &str) -> Result<Option<Result<SwapReport, SwapError>>, NoAnswer> {
        let swapped = self.ask(RollBack(name.to_owned())).await?;
        self.swapped(name, swapped).await
    }

    async fn swapped(
        &self,
        name: &str,
        swapped: Option<oneshot::Receiver<Result<bool, SwapError>>>,
    ) -> Result<Option<Result<SwapReport, SwapError>>, NoAnswer> {
        let Some(swapped) = swapped else { return Ok(None) };
        let changed = match swapped.await {
            Ok(Ok(changed)) => changed,
            Ok(Err(error)) => return Ok(Some(Err(error))),
            Err(_gone) => return Ok(Some(Err(SwapError::Refused("the module is gone".to_owned())))),
        };
        Ok(self.module(name).await?.map(|module| Ok(SwapReport { changed, module })))
    }
}
