//! What became of what a reload started or swapped, for whoever asked for it.

use std::time::Duration;

use actix::Addr;
use futures_util::future::join_all;
use tokio::sync::oneshot;

use super::{
    SETTLE,
    messages::GetModule,
    module_child::{ModuleChild, Phase},
    status::{ModuleState, ReloadReport},
    swaps::SwapError,
    tree::Supervisor,
};

/// What became of the children that a reload started or swapped.
pub(super) struct Outcomes {
    pub(super) supervisor: Addr<Supervisor>,
    /// By the subject of the change.
    pub(super) waits: Vec<(String, Wait)>,
}

pub(super) enum Wait {
    /// Until a module has settled.
    Start { name: String, settled: oneshot::Receiver<()> },
    /// For the end of a swap.
    Swap(oneshot::Receiver<Result<bool, SwapError>>),
}

impl Outcomes {
    /// These, if they are wanted.
    pub(super) fn if_wanted(&mut self, wanted: bool) -> Option<&mut Self> {
        wanted.then_some(self)
    }

    pub(super) fn await_start(&mut self, child: Option<&mut ModuleChild>) {
        // What is lazy does not start.
        let Some(child) = child.filter(|child| child.phase != Phase::Idle) else { return };
        let name = child.config.name.to_string();
        self.waits.push((format!("modules.{name}"), Wait::Start { name, settled: child.settled() }));
    }

    /// Waits for all of them, and adds to the report what went wrong.
    pub(super) async fn into_report(self, mut report: ReloadReport) -> ReloadReport {
        let Self { supervisor, waits } = self;
        let ends = waits.into_iter().map(|(subject, wait)| {
            let supervisor = supervisor.clone();
            async move { (subject, wait.error(&supervisor).await) }
        });
        for (subject, error) in join_all(ends).await {
            let of_subject = report.changes.iter_mut().filter(|change| change.subject == subject);
            of_subject.for_each(|change| change.error = error.clone());
        }
        report
    }
}

impl Wait {
    /// What went wrong, if anything did within a time.
    async fn error(self, supervisor: &Addr<Supervisor>) -> Option<String> {
        match self {
            Self::Swap(receiver) => match within(receiver).await {
                Ok(Ok(_)) => None,
                Ok(Err(error)) => Some(error.to_string()),
                Err(error) => Some(error),
            },
            Self::Start { name, settled } => {
                if let Err(error) = within(settled).await {
                    return Some(error);
                }
                let status = supervisor.send(GetModule(name)).await.ok().flatten()?;
                let failed = matches!(status.state, ModuleState::Failed | ModuleState::Backoff);
                status.last_exit.filter(|_| failed).map(|exit| format!("{}: {}", exit.reason, exit.causes.join(": ")))
            }
        }
    }
}

async fn within<T>(receiver: oneshot::Receiver<T>) -> Result<T, String> {
    const TIME: Duration = SETTLE;
    match tokio::time::timeout(TIME, receiver).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(_gone)) => Err("it was removed before it had started".to_owned()),
        Err(_elapsed) => Err(format!("it has not settled within {} s", TIME.as_secs())),
    }
}
