//! What the daemon says to operators when it cannot do something, as problem details.

use super::daemon::ControlError;
use crate::host;
pub use crate::web::{Facts, Kind, MEDIA_TYPE, Problem};

impl From<ControlError> for Problem {
    fn from(error: ControlError) -> Self {
        let kind = match &error {
            ControlError::NoSuchModule(_) => Kind::NoSuchModule,
            ControlError::NoSuchBinding(_) => Kind::NoSuchBinding,
            ControlError::NoSuchTrigger(_) => Kind::NoSuchTrigger,
            ControlError::TriggerRefused { .. } => Kind::TriggerRefused,
            ControlError::NoMessages { .. } => Kind::NoMessages,
            ControlError::BindingUnavailable { .. } => Kind::BindingUnavailable,
            ControlError::NoAnswer { .. } => Kind::NoAnswer,
            ControlError::ShuttingDown => Kind::ShuttingDown,
            ControlError::SwapFailed { .. } => Kind::SwapFailed,
            ControlError::SwapNotKept { .. } => Kind::SwapNotKept,
            ControlError::SwapRefused { .. } => Kind::SwapRefused,
            ControlError::ReloadRefused { .. } => Kind::ReloadRefused,
        };
        let mut problem = Self::new(kind, host::chain(&error));
        match error {
            ControlError::SwapFailed { module, causes } | ControlError::SwapNotKept { module, causes } => {
                (problem.facts.module, problem.facts.causes) = (Some(module), causes);
            }
            ControlError::SwapRefused { module, why } => {
                (problem.facts.module, problem.facts.causes) = (Some(module), vec![why]);
            }
            ControlError::ReloadRefused { problems } => problem.facts.problems = problems,
            ControlError::NoSuchModule(_)
            | ControlError::NoSuchBinding(_)
            | ControlError::NoSuchTrigger(_)
            | ControlError::TriggerRefused { .. }
            | ControlError::NoMessages { .. }
            | ControlError::BindingUnavailable { .. }
            | ControlError::NoAnswer { .. }
            | ControlError::ShuttingDown => {}
        }
        problem
    }
}
