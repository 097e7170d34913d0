//! What the exits of instances say about their code: whether it takes over, stands its probation, or is taken back.

use std::sync::Arc;

use actix::Context;

use super::{
    events::{Subject, What},
    generations::OnProbation,
    status::GenerationOrigin,
    swaps::{SwapRequest, SwapSource},
    tree::Supervisor,
};
use crate::actors::{ExitReason, ExitReport};

/// The exit of an instance, as it concerns the code that it ran.
#[derive(Debug, Clone, Copy)]
pub(super) struct CodeExit {
    pub(super) slot: usize,
    pub(super) instance: u64,
    pub(super) generation: u64,
}

/// Why code is taken back.
#[derive(Debug)]
pub(super) enum CodeFailure {
    /// It does not take over.
    Swap(String),
    /// It failed in its probation.
    Probation(OnProbation),
}

impl Supervisor {
    /// Counts the exit of an instance against the code that it ran; what follows, where anything does but a restart.
    pub(super) fn exit_of_code(&mut self, module: usize, exit: CodeExit, reason: ExitReason) -> Option<CodeFailure> {
        let CodeExit { instance, generation, .. } = exit;
        let child = self.modules.get_mut(module)?;
        let probation = child.config.swap.probation;
        let Some(rolling) = child.swaps.rolling_mut() else {
            let failed = is_failure(reason).then(|| child.code.count_failure(generation)).flatten();
            return failed.map(CodeFailure::Probation);
        };
        let of_step = rolling.step.take_if(|step| step.instance == instance);
        if of_step.is_some_and(|step| step.renewal.is_none()) {
            return Some(CodeFailure::Swap("an instance of the new code did not start".to_owned()));
        }
        if generation != rolling.code.generation || !is_failure(reason) {
            return None;
        }
        rolling.failures += 1;
        let failures = rolling.failures;
        let too_many = probation.is_some_and(|probation| failures > probation.max_failures);
        too_many.then(|| {
            CodeFailure::Swap(format!("instances of the new code failed {} while it took over", times(failures)))
        })
    }

    /// Goes back to the code before.
    pub(super) fn code_failed(
        &mut self,
        module: usize,
        exit: CodeExit,
        failure: CodeFailure,
        report: &ExitReport,
        ctx: &mut Context<Self>,
    ) {
        match failure {
            CodeFailure::Swap(what) => {
                let causes = std::iter::once(what).chain(report.causes.iter().cloned()).collect();
                self.swap_failed(module, causes, ctx);
            }
            CodeFailure::Probation(failed) => self.fail_probation(module, failed, ctx),
        }
        // Where the swap back does not come by at once.
        let rolls = self.modules.get(module).is_some_and(|child| child.swaps.rolling().is_some());
        if !rolls {
            self.start_instance(module, exit.slot, ctx);
        }
    }

    /// Goes back to the code before, if it is on probation and the module has failed with it.
    pub(super) fn fail_with_code(&mut self, module: usize, ctx: &mut Context<Self>) {
        let Some(child) = self.modules.get(module) else { return };
        if let (Some(on), Some(_)) = (child.code.probation, child.code.last_good()) {
            self.fail_probation(module, on, ctx);
        }
    }

    fn fail_probation(&mut self, module: usize, failed: OnProbation, ctx: &mut Context<Self>) {
        let Some(child) = self.modules.get(module) else { return };
        let OnProbation { generation, failures, of } = failed;
        let what = What::ProbationFailed { generation, failures, of };
        self.events.record(Subject::Module(Arc::clone(&child.config.name)), what);
        let why = Some(format!("its instances failed {} in its probation, {of} allowed", times(failures)));
        let source = SwapSource::LastGood { instead_of: generation };
        let request = SwapRequest { source, origin: GenerationOrigin::RollBack, why, reply: None };
        self.want_swap(module, request, ctx);
    }

    /// Ends the watch of code that has stood it.
    pub(super) fn pass_probation(&mut self, module: usize, generation: u64) {
        let Some(child) = self.modules.get_mut(module) else { return };
        if child.code.pass(generation) {
            let subject = Subject::Module(Arc::clone(&child.config.name));
            self.events.record(subject, What::ProbationPassed { generation });
        }
    }
}

/// Whether an exit speaks against the code: not one that was asked for, and not waiting for a slow backend.
fn is_failure(reason: ExitReason) -> bool {
    !matches!(reason, ExitReason::Stopped | ExitReason::Exited(0) | ExitReason::DeadlineExceeded { in_host_call: true })
}

fn times(count: u32) -> String {
    if count == 1 { "once".to_owned() } else { format!("{count} times") }
}
